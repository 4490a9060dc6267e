"""How long a run will take follows from what was measured, part by part, and nothing is said without that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from softprompt.engine.plans import Schedule, Shape
from softprompt.params import TuneConfig
from softprompt.storage.types import now
from softprompt.storage.work import Measurement
from softprompt.studio.estimates import Size, estimate

NO_SCHEDULE = Schedule(batch_size=4, accumulate=1, epochs=5, learning_rate=0.03)
FRONT = Shape(init="text", place="prefix", prefix_length=20, suffix_length=8)


def size(**changes: Any) -> Size:
    given: dict[str, Any] = {
        "rows": 40, "held": 0, "test": 0, "row_tokens": 2000.0, "schedule": NO_SCHEDULE, "shape": FRONT, "causal": True
    }  # fmt: skip
    return Size(**{**given, **changes})


def measured(age: float = 0.0, **found: Any) -> Measurement:
    facts = {
        "method": "prompt_tuning", "updates": 3, "seconds": 6.0, "tokens": 660.0, "pass_tokens": 220.0,
        "held_seconds": 0.5, "after_seconds": 0.1, "readout": "auto", "readout_epochs": 0, "test_seconds": 0.25,
        "load_seconds": 4.0,
    }  # fmt: skip
    return Measurement(
        model_id="m", host=found.pop("host", "here"), device="cpu", run_id=found.pop("run_id", None),
        found={**facts, **found}, finished_at=now() - timedelta(seconds=age), created_at=now(),
    )  # fmt: skip


def test_nothing_is_said_where_nothing_was_measured() -> None:
    assert estimate(size(), TuneConfig(), []) is None
    assert estimate(size(), TuneConfig(method="prefix_tuning"), [measured()]) is None, "another method, other costs"
    assert estimate(size(row_tokens=None), TuneConfig(), [measured()]) is None, "nobody could count the tokens"


def test_updates_cost_by_the_tokens_that_pass_through_the_model() -> None:
    found = estimate(size(), TuneConfig(), [measured()])
    assert found is not None
    assert found.speed == pytest.approx(110)
    # 5 epochs of 2,000 row tokens and 50 updates that each read 20 vectors, 110 tokens a second
    assert found.parts[1].words == "50 updates"
    assert found.parts[1].seconds == pytest.approx((5 * 2000 + 50 * 20) / 110)
    assert found.seconds == pytest.approx(4.0 + 100.0 + 40 * 0.1)
    assert found.close


def test_accumulation_reads_the_vectors_in_front_less_often() -> None:
    schedule = Schedule(batch_size=4, accumulate=5, epochs=5, learning_rate=0.03)
    assert size(schedule=schedule).tokens == 5 * 2000 + 10 * 20
    assert size(causal=False).tokens == 5 * 2000 + 5 * 40 * 20, "an encoder reads them in every row"
    behind = Shape(init="text", place="both", prefix_length=20, suffix_length=8)
    assert size(shape=behind).tokens == 5 * 2000 + 50 * 20 + 5 * 40 * 8


def test_validation_and_test_rows_cost_what_they_were_measured_at() -> None:
    found = estimate(size(held=10, test=20), TuneConfig(), [measured()])
    assert found is not None
    assert {part.words: part.seconds for part in found.parts} == {
        "loading the model": 4.0,
        "50 updates": pytest.approx(100.0),
        "validation after each of 5 epochs": 25.0,
        "label readout and calibration": pytest.approx(4.0),
        "20 test rows": 5.0,
    }
    assert found.missing == ()


def test_what_was_not_measured_is_named_and_not_guessed() -> None:
    known = [measured(held_seconds=None, test_seconds=None, readout="off")]
    found = estimate(size(held=10, test=20), TuneConfig(), known)
    assert found is not None
    assert found.missing == ("validation after each of 5 epochs", "label readout and calibration", "20 test rows")
    assert found.seconds == pytest.approx(104.0)


def test_other_measurements_of_the_machine_fill_the_gaps() -> None:
    known = [measured(held_seconds=None), measured(age=60, pass_tokens=900.0, held_seconds=0.3)]
    found = estimate(size(held=10), TuneConfig(), known)
    assert found is not None
    assert found.parts[2].seconds == pytest.approx(15.0)
    assert found.others == 1


def test_the_newest_of_those_that_were_about_as_large_counts_else_the_nearest() -> None:
    newer, older = measured(pass_tokens=2000.0, seconds=3.0), measured(age=3600, run_id="r")
    found = estimate(size(), TuneConfig(), [newer, older])
    assert found is not None
    assert (found.run_id, found.close) == ("r", True)
    far = estimate(size(), TuneConfig(), [newer])
    assert far is not None
    assert far.ratio == pytest.approx(220 / 2000)
    assert not far.close


def test_machines_are_not_mixed() -> None:
    found = estimate(size(), TuneConfig(), [measured(host="new"), measured(host="old", seconds=600.0)])
    assert found is not None
    assert (found.host, found.others) == ("new", 0)


def test_a_readout_alone_needs_no_updates() -> None:
    found = estimate(size(schedule=None), TuneConfig(readout="only"), [measured(readout="only", updates=0, tokens=0)])
    assert found is not None
    assert [part.words for part in found.parts] == ["loading the model", "label readout and calibration"]
    assert (found.speed, found.seconds) == (None, pytest.approx(8.0))
