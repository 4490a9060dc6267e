"""Two units that meet, one that lets a thing be used and one that deletes it: never do both succeed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from softprompt.errors import InUse, NotFound
from softprompt.storage.tables import Deployment, Project, TunedPrompt
from softprompt.studio import deployments, projects, tuned_prompts
from softprompt.studio.access import SYSTEM, Office

LONG = 30.0
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def ids(office: Office) -> tuple[str, str]:
    """A project and a tuned prompt in it."""
    with office.unit(SYSTEM) as unit:
        project = projects.create(unit, "Routing")
        prompt = unit.rows.add(TunedPrompt(project_id=project.id, name="P", model_id=MODEL, key="prompts/none"))
        return project.id, prompt.id


def deploy(office: Office, project: str, prompt: str) -> Callable[[], None]:
    def run() -> None:
        with office.unit(SYSTEM) as unit:
            deployments.create(unit, unit.get(Project, project), "D", serving="d", prompt_id=prompt)

    return run


def delete(office: Office, prompt: str) -> Callable[[], None]:
    def run() -> None:
        with office.unit(SYSTEM) as unit:
            tuned_prompts.delete(unit, prompt)

    return run


def meanwhile(work: Callable[[], None]) -> tuple[threading.Thread, list[Exception]]:
    """Work in a thread of its own, and what it failed with."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(0.5)  # time to go wrong in: who waits for the other's end is still there afterwards
    return thread, failed


def test_who_deletes_sees_a_deployment_that_is_just_being_made(office: Office, ids: tuple[str, str]) -> None:
    with office.unit(SYSTEM) as unit:
        deployments.create(unit, unit.get(Project, ids[0]), "D", serving="d", prompt_id=ids[1])
        thread, failed = meanwhile(delete(office, ids[1]))
    thread.join(LONG)
    assert [type(error) for error in failed] == [InUse]
    with office.unit(SYSTEM) as unit:
        assert unit.rows.get(TunedPrompt, ids[1]) is not None


def test_who_deploys_sees_that_the_prompt_is_just_being_deleted(office: Office, ids: tuple[str, str]) -> None:
    with office.unit(SYSTEM) as unit:
        tuned_prompts.delete(unit, ids[1])
        thread, failed = meanwhile(deploy(office, *ids))
    thread.join(LONG)
    assert [type(error) for error in failed] == [NotFound]
    with office.unit(SYSTEM) as unit:
        assert unit.rows.count(Deployment) == 0
