"""How fast a machine is: measured for its own sake, and by every run that comes to its end."""

from __future__ import annotations

from typing import Any

from softprompt.storage.rows import Rows
from softprompt.storage.tables import TuningRun
from softprompt.storage.work import Measurement
from softprompt.studio import measurements
from softprompt.studio.access import SYSTEM, Office
from studio_fixtures import complaints
from worker.conftest import Shop

CONFIG: dict[str, Any] = {"task": "classification", "batch_size": 4, "accumulate": 1, "init": "text", "readout": "off"}


def _measured(shop: Shop) -> list[Measurement]:
    with shop.lab.database.read() as session:
        return Rows(session).all(Measurement)


def _ask(shop: Shop, dataset_id: str, **wanted: Any) -> str:
    office = Office(shop.lab.database, shop.lab.store)
    with office.unit(SYSTEM) as unit:
        from softprompt.storage.tables import Project

        project = unit.get(Project, shop.lab.project_id)
        config = {**CONFIG, **wanted.pop("config", {})}
        return measurements.ask(
            unit, project, model_id=shop.lab.model_id, dataset_id=dataset_id, config=config, **wanted
        ).id


def test_a_few_updates_are_measured_and_nothing_else_is_left(shop: Shop) -> None:
    data, test = shop.lab.dataset(complaints(64)), shop.lab.dataset(complaints(18), "test.jsonl")
    asked = _ask(shop, data, validation=True, test_dataset_id=test)
    assert _ask(shop, data, validation=True, test_dataset_id=test) == asked, "asked twice, it is done once"
    shop.once()
    (found,) = _measured(shop)
    assert (found.state, found.problem) == ("completed", None)
    assert found.host
    assert found.device == "cpu"
    speed = found.found
    assert speed["updates"] == 4, "the first one, which only lays out memory, is not among them"
    assert speed["tokens"] > 0
    assert all(speed[name] > 0 for name in ("seconds", "pass_tokens", "held_seconds", "test_seconds", "after_seconds"))
    assert not [key for key in shop.stored() if not key.startswith("datasets/")]


def test_a_label_readout_is_measured_with_what_it_costs(shop: Shop) -> None:
    _ask(shop, shop.lab.dataset(complaints(64)), config={"readout": "only"})
    shop.once()
    (found,) = _measured(shop)
    assert found.state == "completed", found.problem
    assert (found.found["updates"], found.found["held_seconds"]) == (0, None)
    assert found.found["after_seconds"] > 0


def test_a_measurement_that_cannot_be_says_why(shop: Shop) -> None:
    _ask(shop, shop.lab.dataset(complaints(64)), config={"place": "suffix", "method": "prefix_tuning"})
    shop.once()
    (found,) = _measured(shop)
    assert found.state == "failed"
    assert "prefix tuning has its keys and values in front only" in (found.problem or {})["message"]


def test_every_run_teaches_how_fast_the_machine_is(shop: Shop) -> None:
    data = shop.lab.dataset(complaints(64))
    run_id = shop.lab.run(data, validation={"share": 0.25}, test_dataset_id=data)
    shop.once()
    run, (found,) = shop.lab.get(TuningRun, run_id), _measured(shop)
    assert run.state == "completed"
    assert (found.state, found.run_id, found.model_id) == ("completed", run_id, shop.lab.model_id)
    speed = found.found
    assert speed["updates"] == run.results["updates"]
    read = run.results["tokens"] + 3 * speed["updates"]
    assert abs(speed["tokens"] - read) < 0.05 * read, "row tokens, and three vectors once an update"
    assert speed["held_seconds"] > 0
    assert speed["test_seconds"] > 0


def test_a_run_goes_on_from_the_tuned_prompt_that_it_names(shop: Shop) -> None:
    data = shop.lab.dataset(complaints(36))
    first = shop.lab.run(data)
    shop.once()
    begun = shop.prompt(first)
    asked = _ask(shop, data, config={"init": "prompt", "init_prompt": begun.id})
    shop.once()
    assert [(row.state, row.problem) for row in _measured(shop) if row.id == asked] == [("completed", None)]
    second = shop.lab.run(data, {"init": "prompt", "init_prompt": begun.id, "place": None, "virtual_tokens": None})
    shop.once()
    assert shop.prompt(second).virtual_tokens == 3
    lost = shop.lab.run(data, {"init": "prompt", "init_prompt": "gone"})
    shop.once()
    assert "to start from was deleted" in (shop.lab.get(TuningRun, lost).problem or {})["message"]
