"""A run that somebody follows: the curve goes on through a reload, a lost connection, another server, a second tab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import session_of
from browser.person import Person
from browser.seed import MODEL, SMALL, add_dataset, tell_updates
from browser.wire import Wire
from softprompt.jobs import events
from softprompt.storage.tables import TuningRun
from softprompt.studio import projects, runs
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

Arrive = Callable[..., Person]
ROWS = "".join(f'{{"input": "Row {i} is here", "output": "{("Service", "Warehouse")[i % 2]}"}}\n' for i in range(40))


class Run:
    """A run at work in a studio."""

    def __init__(self, studio: LiveStudio, model: Path) -> None:
        self.studio = studio
        studio.add_model(MODEL, model)
        data = add_dataset(studio, "Rows", ROWS)
        with studio.office.unit(SYSTEM) as unit:
            plan = runs.Plan(experiment="Routing", model_id=MODEL, dataset_id=data, config=SMALL)
            run = runs.start(unit, projects.sandbox(unit), plan)
            run.state = "running"
            self.id, self.done = run.id, 0
        self.path = f"/tuning/runs/{self.id}"
        self.tell(20)

    def tell(self, count: int) -> None:
        """The worker reports updates."""
        with self.studio.office.unit(SYSTEM) as unit:
            run = unit.rows.get(TuningRun, self.id)
            assert run is not None
            tell_updates(unit, run, count, of=200, first=self.done + 1)
            self.done += count


@pytest.fixture
def run(studio: LiveStudio, tiny_folder: Callable[..., Path]) -> Run:
    return Run(studio, tiny_folder())


@pytest.fixture
def wire(studio: LiveStudio) -> Iterator[Wire]:
    made = Wire(studio.url)
    yield made
    made.close()


def points(page: Page) -> int:
    """How many points of the training curve are drawn."""
    script = "() => document.querySelector('.js-plotly-plot')?.data?.[0]?.x?.length ?? 0"
    return int(page.evaluate(script))


def shows(page: Page, done: int) -> None:
    """The number and, as soon as it is drawn, the curve."""
    expect(page.locator("[data-part=updates]")).to_have_text(f"{done} of 200", timeout=15_000)
    page.locator(".js-plotly-plot .scatterlayer").wait_for(state="attached")
    for _ in range(100):
        if points(page) == done:
            return
        page.wait_for_timeout(50)
    assert points(page) == done


def test_the_curve_grows_while_one_looks(run: Run, person: Arrive) -> None:
    somebody = person(run.studio)
    somebody.go(run.path)
    shows(somebody.page, 20)
    run.tell(15)
    shows(somebody.page, 35)


def wider_than_its_place(page: Page) -> int:
    """By how many px the drawn curve is, when it had the time to follow."""
    script = "['.main-svg', '[data-part=curve]'].map((each) => document.querySelector(each).clientWidth)"
    for _ in range(100):
        drawn, place = page.evaluate(script)
        if drawn <= place:
            return 0
        page.wait_for_timeout(50)
    return int(drawn - place)


def test_the_curve_follows_its_place(run: Run, person: Arrive) -> None:
    somebody = person(run.studio)
    somebody.go(run.path)
    shows(somebody.page, 20)
    somebody.page.evaluate("document.querySelector('main').style.maxWidth = '400px'")
    assert wider_than_its_place(somebody.page) == 0
    somebody.page.set_viewport_size({"width": 360, "height": 740})
    assert not somebody.wide()
    assert wider_than_its_place(somebody.page) == 0


def test_a_reload_loses_nothing(run: Run, person: Arrive) -> None:
    somebody = person(run.studio)
    somebody.go(run.path)
    run.tell(10)
    shows(somebody.page, 30)
    somebody.page.reload()
    shows(somebody.page, 30)
    run.tell(5)
    shows(somebody.page, 35)


def test_a_lost_connection_is_caught_up(run: Run, wire: Wire, person: Arrive) -> None:
    somebody = person(wire, session=session_of(run.studio))
    somebody.expect("ERR_", "Failed to load", "Failed to fetch")
    somebody.go(run.path)
    shows(somebody.page, 20)
    wire.cut()
    run.tell(25)
    wire.mend()
    shows(somebody.page, 45)


def test_another_server_goes_on_with_it(tmp_path: Path, tiny_folder: Callable[..., Path], person: Arrive) -> None:
    with live_studio(tmp_path / "studio", EchoBackend()) as first:
        run = Run(first, tiny_folder())
        wire = Wire(first.url)
        somebody = person(wire, session=session_of(first))
        somebody.expect("ERR_", "Failed to load", "Failed to fetch")
        somebody.go(run.path)
        shows(somebody.page, 20)
        wire.cut()
    with live_studio(tmp_path / "studio", EchoBackend()) as second:
        run.studio = second
        run.tell(12)
        wire.mend(second.url)
        shows(somebody.page, 32)
        somebody.page.goto("about:blank")
    wire.close()


def test_two_people_see_the_same(run: Run, person: Arrive) -> None:
    one, other = person(run.studio), person(run.studio)
    for each in (one, other):
        each.go(run.path)
        shows(each.page, 20)
    run.tell(7)
    for each in (one, other):
        shows(each.page, 27)
    other.press("Cancel", exact=True)
    with run.studio.office.unit(SYSTEM) as unit:  # as the worker does when it hears of it
        found = unit.rows.get(TuningRun, run.id)
        assert found is not None
        found.state = "canceled"
        events.tell(unit.rows, run.id, "state", {"state": "canceled"})
    for each in (one, other):
        expect(each.page.locator(".head .badge")).to_have_text("canceled")


def test_a_second_tab_follows_too(run: Run, person: Arrive) -> None:
    somebody = person(run.studio)
    somebody.go(run.path)
    second = somebody.open()
    second.goto(run.path)
    run.tell(3)
    shows(somebody.page, 23)
    shows(second, 23)
