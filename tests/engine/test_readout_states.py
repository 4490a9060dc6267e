"""Many rows: what was read is kept on the way, samples are fair, and the solver's two ways meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.test_readout import TEMPLATE, backbone, letters, single, soft_prompt
from softprompt.engine import readout_fit, readout_states
from softprompt.engine.readout_fit import _span, fit, sample
from softprompt.engine.readout_states import FILES, KeptStates, States, extract

TEXTS = [f"row {number} " + "x" * (number % 7) for number in range(40)]
WANTED = [(1, "mean"), (2, "max"), (2, "last")]


class PowerCut(BaseException):
    """What no code catches."""


def read(keep: KeptStates | None = None, texts: list[str] = TEXTS) -> States:
    return extract(backbone(), texts, TEMPLATE, soft_prompt(), WANTED, 40, keep)


def same(found: States, wanted: States) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """`batches(n)`: the power goes in the n-th batch from now on (None: never); returns the list of those that run."""
    pack = readout_states.pack
    seen: list[int] = []
    cut: list[int | None] = [None]

    def packed(rows: list[object], suffix: int) -> object:
        seen.append(len(rows))
        if len(seen) == cut[0]:
            raise PowerCut
        return pack(rows, suffix)  # type: ignore[arg-type]

    monkeypatch.setattr(readout_states, "pack", packed)

    def start(at: int | None) -> list[int]:
        seen.clear()
        cut[0] = at
        return seen

    return start


def test_reading_goes_on_behind_what_was_written(tmp_path: Path, batches: Callable[[int | None], list[int]]) -> None:
    undisturbed = read()
    told: list[str] = []
    batches(3)
    with pytest.raises(PowerCut):
        read(KeptStates(tmp_path, "run", 0.0, lambda: told.append("written")))
    assert len(told) == len(list(tmp_path.glob(FILES))) == 2
    seen = batches(None)
    assert same(read(KeptStates(tmp_path, "run", 0.0)), undisturbed)
    assert seen == [8]  # of 16, 16 and 8
    seen.clear()
    assert same(read(KeptStates(tmp_path, "run", 0.0)), undisturbed)
    assert seen == []


def test_files_come_no_more_often_than_asked(tmp_path: Path) -> None:
    read(KeptStates(tmp_path, "run", 3600.0))
    assert list(tmp_path.iterdir()) == []


def test_states_of_something_else_are_not_continued(tmp_path: Path, batches: Callable[[int | None], list[int]]) -> None:
    read(KeptStates(tmp_path, "run", 0.0))
    seen = batches(None)
    other = read(KeptStates(tmp_path, "another", 0.0))
    assert seen == [16, 16, 8]
    assert same(other, read())
    seen.clear()
    turned = TEXTS[::-1]
    assert same(read(KeptStates(tmp_path, "run", 0.0), turned), read(None, turned))
    KeptStates(tmp_path, "run", 0.0).clear()
    assert list(tmp_path.glob(FILES)) == []


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(path.read_bytes()[:40]), lambda path: path.unlink()])
def test_a_spoiled_file_is_read_again(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    wanted = read(KeptStates(tmp_path, "run", 0.0))
    spoil(sorted(tmp_path.glob(FILES))[1])
    assert same(read(KeptStates(tmp_path, "run", 0.0)), wanted)
    assert len(list(tmp_path.glob(FILES))) == 3


def test_many_rows_are_sampled_and_it_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout_fit, "CHOOSING_ROWS", 24)
    monkeypatch.setattr(readout_fit, "FITTING_ROWS", 60)
    made = fit(backbone(), letters(90, 1), TEMPLATE, single)
    assert (made.judged, made.rows) == (24, 60)
    assert made.chosen.exact >= 0.8
    assert made.readout.labels == ("early", "late", "never")


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=8), most=st.integers(1, 80), seed=st.integers(0, 9))
def test_a_sample_has_of_each_answer_its_share(counts: list[int], most: int, seed: int) -> None:
    answers = torch.cat([torch.full((count,), number) for number, count in enumerate(counts)])
    kept = sample(answers, most, seed)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert set(kept.tolist()) <= set(sample(answers, most + 7, seed).tolist())
    assert torch.equal(kept, sample(answers, most, seed))
    for number, count in enumerate(counts):
        share = count if len(answers) <= most else -(-count * most // len(answers))
        assert int((answers[kept] == number).sum()) == share >= 1


@given(rows=st.integers(2, 12), wide=st.integers(1, 12), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_span_of_rows_holds_them(rows: int, wide: int, seed: int) -> None:
    """More rows than dimensions, or fewer: coordinates times axes are the rows, and the axes stand upright."""
    drawn: Tensor = torch.randn(rows, wide, generator=torch.Generator().manual_seed(seed))
    inside, back = _span(drawn)
    assert inside.shape[1] <= min(rows, wide)
    torch.testing.assert_close(inside @ back, drawn.double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(back @ back.T, torch.eye(len(back)).double(), rtol=1e-5, atol=1e-5)
