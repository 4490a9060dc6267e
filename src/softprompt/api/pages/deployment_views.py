"""What pages of deployments show: rows into what `ui` draws, addresses of the listeners, examples for each wire."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fastapi import Request

from softprompt.api.studio.inference import secure_url_of
from softprompt.storage.tables import Deployment, Project, PromptSession, Space, TunedPrompt
from softprompt.studio import deployments, standing
from softprompt.studio.access import RANKS, Unit
from softprompt.studio.deployment_history import user_names
from softprompt.studio.snippets import SAMPLE
from softprompt.ui.deployment_frame import Shown
from softprompt.ui.pages.deployment import Endpoints
from softprompt.ui.pages.deployment_test import Wire

MOST_CHOICES = 200
"""Things a dropdown offers."""


def shown_of(unit: Unit, deployment_id: str) -> Shown:
    found = deployments.find(unit, deployment_id)
    place: Project | Space | None = unit.rows.get(Space, found.space_id) if found.space_id else None
    place = place or unit.rows.get(Project, found.project_id or "")
    session = unit.rows.get(PromptSession, found.prompt_session_id) if found.prompt_session_id else None
    prompt = unit.rows.get(TunedPrompt, found.tuned_prompt_id) if found.tuned_prompt_id else None
    who = user_names(unit, [found.created_by]).get(found.created_by or "", "the studio")
    return Shown(found, prompt, session, place, who, may_edit(unit, found), standing.one(unit.rows, unit.store, found))


def may_edit(unit: Unit, row: Deployment | Space) -> bool:
    return unit.role_in(row) >= RANKS["editor"]


def endpoints(request: Request, found: Deployment) -> list[Endpoints]:
    """Addresses of both listeners; one list where they are the same."""
    private, public = str(request.base_url).rstrip("/"), secure_url_of(request)
    with_tls = Endpoints(
        "Public address", "With TLS. For other machines, and for IBM's client, which speaks nothing else.",
        _addresses(public, found),
    )  # fmt: skip
    if private == public:
        return [with_tls]
    without = Endpoints(
        "Private address", "Without TLS. For this machine, or a network that you trust.", _addresses(private, found)
    )
    return [with_tls, without]


def _addresses(base: str, found: Deployment) -> list[tuple[str, str]]:
    name = found.serving_name or found.id
    one = f"{base}/ml/v1/deployments/{name}/text/generation"
    shown = [("Whole answer", one), ("Streaming", f"{one}_stream")]
    if found.serving_name:
        shown.append(("By id", f"{base}/ml/v1/deployments/{found.id}/text/generation"))
    return [*shown, (f"OpenAI, model {name}", f"{base}/v1")]


def wires(found: Deployment, most: int, variables: Iterable[str]) -> list[Wire]:
    """The three interfaces, each with a question that it answers."""
    name = found.serving_name or found.id
    filled = dict.fromkeys(variables, SAMPLE)
    ibm: dict[str, object] = {"decoding_method": "greedy", "max_new_tokens": most}
    asked = {"parameters": {**ibm, "prompt_variables": filled}} if filled else {"input": SAMPLE, "parameters": ibm}
    openai: dict[str, object] = {"model": name, "prompt": SAMPLE, "max_tokens": most, "temperature": 0}
    own: dict[str, object] = {"deployment": name, "input": SAMPLE, "parameters": {"max_new_tokens": most}}
    if filled:
        openai |= {"prompt": "", "softprompt": {"variables": filled}}
        own |= {"input": "", "variables": filled}
    return [
        Wire("watsonx", "watsonx", f"/ml/v1/deployments/{name}/text/generation", _pretty(asked)),
        Wire("openai", "OpenAI", "/v1/completions", _pretty(openai)),
        Wire("studio", "Softprompt", "/api/generate", _pretty(own)),
    ]


def _pretty(body: object) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False)
