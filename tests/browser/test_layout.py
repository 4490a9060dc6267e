"""The layout holds what people put into it: names as long as can be, a thousand rows, a phone, a wall of pixels."""

from __future__ import annotations

from collections.abc import Callable

from browser.addresses import ALL
from browser.conftest import session_of
from browser.person import PHONE, Person
from browser.seed import MODEL, Seeded, add_dataset
from softprompt.storage.tables import TuningExperiment, TuningRun
from softprompt.studio import projects
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

Arrive = Callable[..., Person]


def test_long_names_stay_within_the_window(hostile: Seeded, person: Arrive) -> None:
    somebody = person(hostile)
    somebody.expect("status of 4")
    for address in ALL:
        somebody.page.set_viewport_size({"width": 1280, "height": 900})
        somebody.go(hostile.path(address))
        for width in (1280, 760, PHONE["width"]):
            somebody.page.set_viewport_size({"width": width, "height": 740})
            assert not somebody.wide()


def test_a_wide_screen_is_used(seeded: Seeded, person: Arrive) -> None:
    somebody = person(seeded, size={"width": 3840, "height": 2160})
    for address in ("/", "/tuning/runs/{run}", "/lab"):
        somebody.go(seeded.path(address))
        assert somebody.page.locator("main").bounding_box()["width"] > 1400  # type: ignore[index]


def test_a_thousand_of_everything_is_a_page(studio: LiveStudio, person: Arrive) -> None:
    data = add_dataset(studio, "Many", "".join(f'{{"input": "row {i}", "output": "A"}}\n' for i in range(1000)))
    with studio.office.unit(SYSTEM) as unit:
        project = projects.sandbox(unit)
        experiment = unit.rows.add(TuningExperiment(name="Many", project_id=project.id))
        common = {"project_id": project.id, "experiment_id": experiment.id, "model_id": MODEL, "dataset_id": data}
        unit.rows.session.add_all(
            TuningRun(name=f"Many ({n})", number=n, state="canceled", **common) for n in range(1, 1001)
        )
    somebody = person(studio, session=session_of(studio))
    for address in ("/", "/tuning", f"/data/{data}", "/data"):
        somebody.go(address)
        assert somebody.page.locator("tr").count() < 150, address
        assert not somebody.wide()
