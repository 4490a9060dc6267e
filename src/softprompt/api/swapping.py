"""Another tuned prompt behind a deployment's name: it has to answer once before. A name that works is never broken."""

from __future__ import annotations

from fastapi import Request

from softprompt.api import inference
from softprompt.api.context import in_unit
from softprompt.params import GenerateConfig
from softprompt.studio import deployments, snippets
from softprompt.studio.access import Revision, Unit, check_revision


async def swap(request: Request, deployment_id: str, prompt_id: str, revision: Revision = None) -> str:
    """Id of the tuned prompt that answered before, or nothing. A deployment that is offline asks nobody.

    Raises:
        SoftpromptError: why the other one does not answer; the one that is there goes on.
    """

    def answers(unit: Unit) -> bool:
        row = deployments.get(unit, deployment_id)
        check_revision(row, revision)
        return row.state == "ready"

    if await in_unit(request, answers, write=False):
        behind = await inference.behind_prompt(request, prompt_id)
        probe = inference.Asked(text=snippets.SAMPLE, config=GenerateConfig(max_new_tokens=1))
        await inference.answer(request, behind, probe)

    def change(unit: Unit) -> str:
        before = deployments.get(unit, deployment_id).tuned_prompt_id
        deployments.update(unit, deployment_id, prompt_id=prompt_id, revision=revision)
        return before or ""

    return str(await in_unit(request, change))
