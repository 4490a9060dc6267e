"""Vectors trained through a label readout: what breaks off goes on where it was, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.engine import checkpoint, events, readout_tune
from softprompt.engine.backbone import wrap
from softprompt.engine.readout_fit import fit
from softprompt.engine.readout_tune import Moved, Plan, train
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tune import Keep
from softprompt.testing.tiny import tiny_model

PLAN = Plan(epochs=3, batch_size=8)
ROWS = [Example(f"{word} {n}", word.upper()) for n in range(10) for word in ("early", "late")]
HELD = [Example(f"{word} {n}", word.upper()) for n in range(90, 94) for word in ("early", "late")]
Again = Callable[..., Moved]


@pytest.fixture(scope="module")
def again() -> Again:
    """`again(keep)`: the passes, as far as they are not kept."""
    model, tokenizer = tiny_model("llama")
    backbone = wrap(model, tokenizer, model_id="tiny-llama")
    fitted = fit(backbone, ROWS, Template(instruction="Route it."), lambda answer: (answer,)).readout
    start = SoftPrompt(prefix=0.15 * torch.randn(3, 32, generator=torch.Generator().manual_seed(4)))

    def once(keep: Keep | None = None, listener: events.Listener = events.ignore) -> Moved:
        return train(backbone, fitted, start, ROWS, HELD, PLAN, listener, keep=keep)

    return once


def dies_when_kept(event: events.Event) -> None:
    if event == events.Kept("passes"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(("seconds", "deaths"), [(0.0, 3 * 3 + 3), (60.0, 3)], ids=["each update", "each pass"])
def test_passes_go_on_to_the_same_bits(
    again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, deaths: int
) -> None:
    made: list[int] = []
    update = readout_tune._update
    monkeypatch.setattr(readout_tune, "_update", lambda *given: made.append(1) or update(*given))  # type: ignore[func-returns-value]
    whole = again()
    assert len(made) == 9
    keep = Keep(tmp_path / "passes.safetensors", seconds, "key")
    for _ in range(deaths):
        with pytest.raises(KeyboardInterrupt):
            again(keep, dies_when_kept)
    found = again(keep, dies_when_kept)
    assert len(made) == 2 * 9, "no update is done twice"
    assert found.held_out == whole.held_out
    assert len(found.held_out) == 4
    for name, tensor in whole.readout.tensors().items():
        assert torch.equal(tensor, found.readout.tensors()[name]), name


def test_the_best_pass_is_kept_too(again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pass is worse than the first; it ends in between."""
    shares = iter((0.1, 0.9, 0.2, 0.1))
    monkeypatch.setattr(readout_tune, "_accuracy", lambda *given: next(shares))
    keep = Keep(tmp_path / "passes.safetensors", 60.0, "key")
    seen = []
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            again(keep, dies_when_kept)
        seen.append(tensors_of(keep))
    assert again(keep).held_out == (0.1, 0.9, 0.2, 0.1)
    assert torch.equal(again(keep).readout.weight, seen[0]["best.weight"])
    assert not torch.equal(seen[2]["moved.weight"], seen[0]["best.weight"])


def tensors_of(keep: Keep) -> dict[str, torch.Tensor]:
    found = checkpoint.load(keep.path, keep.key)
    assert found is not None
    return found[1]


def test_what_is_of_another_run_or_broken_is_done_anew(again: Again, tmp_path: Path) -> None:
    path = tmp_path / "passes.safetensors"
    with pytest.raises(KeyboardInterrupt):
        again(Keep(path, 60.0, "another"), dies_when_kept)
    assert len(again(Keep(path, 60.0, "key")).held_out) == 4
    path.write_bytes(b"broken")
    assert len(again(Keep(path, 60.0, "key")).held_out) == 4
