"""Texts of strangers stay texts: a payload in every name, row, label, template and answer, and nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from browser.addresses import ALL
from browser.conftest import PAYLOAD
from browser.person import Person
from browser.seed import Seeded, tell_updates
from softprompt.jobs import events
from softprompt.storage.tables import TuningRun
from softprompt.studio.access import SYSTEM

Arrive = Callable[..., Person]


def harmless(person: Person) -> None:
    """Neither the script nor the picture of the payload was taken for what it is."""
    assert person.page.evaluate("window.ran") is None, person.page.url
    assert person.page.locator("img[src='/ran']").count() == 0, person.page.url
    assert "49" not in person.page.title()


@pytest.fixture
def victim(hostile: Seeded, person: Arrive) -> Person:
    somebody = person(hostile)
    somebody.expect("status of 4")
    somebody.page.on("request", lambda request: somebody.faults.append("ran") if request.url.endswith("/ran") else None)
    return somebody


def test_no_page_runs_what_a_name_says(hostile: Seeded, victim: Person) -> None:
    shown = 0
    for address in ALL:
        victim.go(hostile.path(address))
        shown += victim.page.get_by_text("<script>window.ran=1</script>").count()
        harmless(victim)
    assert shown > 50, "the payload is not on the pages"


def test_events_of_a_run_are_texts(hostile: Seeded, victim: Person) -> None:
    victim.go(hostile.path("/tuning/runs/{live}"))
    with hostile.live.office.unit(SYSTEM) as unit:
        run = unit.rows.get(TuningRun, hostile.ids["live"])
        assert run is not None
        events.tell(unit.rows, run.id, "Note", {"text": f"A note {PAYLOAD}"})
        tell_updates(unit, run, 1, of=200, first=int(run.progress["update"]) + 1)
    expect(victim.page.get_by_text("A note")).to_be_visible()
    harmless(victim)


def test_answers_of_a_model_are_texts(hostile: Seeded, victim: Person) -> None:
    victim.go(hostile.path("/deployments/{plain deployment}/test"))
    victim.page.locator("textarea[name=input]").fill(PAYLOAD)
    victim.page.keyboard.press("Control+Enter")
    expect(victim.page.locator("[data-part=answer]").first).to_contain_text("<script>")
    harmless(victim)


def test_names_and_lines_of_a_file_are_texts(hostile: Seeded, victim: Person) -> None:
    rows = "".join(json.dumps({"input": f"{i} {PAYLOAD}", "output": PAYLOAD}) + "\n" for i in range(5)) + PAYLOAD
    victim.go("/data")
    victim.bring("<img src=/ran onerror=window.ran=1>.jsonl".replace("/", "\u2215"), rows.encode())
    victim.page.wait_for_url("**/data/*")
    expect(victim.page.get_by_text("<script>").first).to_be_visible()
    harmless(victim)
