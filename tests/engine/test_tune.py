"""The tuning loop on tiny models, and its bookkeeping on a model that is only a recorder."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.engine import checkpoint, events, tune
from softprompt.engine.backbone import wrap
from softprompt.engine.optim import rate_at
from softprompt.engine.packing import Row
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tune import Keep, Outcome, Schedule, Validation
from softprompt.errors import CheckpointInvalid, LossNotFinite, OutOfMemory
from softprompt.testing.tiny import tiny_model

OPTIMIZERS = ("adamw", "adafactor")
few = settings(max_examples=12, deadline=None)

TARGETS = ((90, 2), (91, 92, 93, 2), (90, 2), (94, 2), (91, 92, 93, 2), (94, 2))
ROWS = [Row((40 + n, 41, 42 + n, 50 + 3 * n), target) for n, target in enumerate(TARGETS)]
PLAN = Schedule(batch_size=2, accumulate=1, epochs=2, learning_rate=0.05)


@cache
def backbone(kind: str) -> Any:
    model, tokenizer = tiny_model(kind)  # type: ignore[arg-type]
    return wrap(model, tokenizer, model_id=f"tiny-{kind}")


def start(shape: str = "prefix") -> SoftPrompt:
    generator = torch.Generator().manual_seed(0)
    vectors = 0.15 * torch.randn(6, 32, generator=generator)
    if shape == "deep":
        return SoftPrompt(deep=0.3 * torch.randn(2, 2, 2, 4, 8, generator=generator))
    return SoftPrompt(prefix=vectors[:4], suffix=vectors[4:] if shape == "both" else None)


def run(plan: Schedule = PLAN, *, kind: str = "llama", shape: str = "prefix", **options: Any) -> Outcome:
    return tune.run(backbone(kind), start(shape), ROWS, (30, 31), plan, **options)


def validated(prompt: SoftPrompt) -> Validation:
    losses, _ = backbone("llama").token_losses(ROWS[:3], prompt, (30, 31))
    return Validation(float(losses.mean()))


def steps(told: Sequence[events.Event]) -> list[events.StepDone]:
    return [event for event in told if isinstance(event, events.StepDone)]


def same(one: SoftPrompt, two: SoftPrompt) -> bool:
    """Bit for bit."""
    a, b = one.tensors(), two.tensors()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def story(outcome: Outcome) -> list[dict[str, object]]:
    """What happened, without how long it took."""
    return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in outcome.history]


class Recorder:
    """Stands for a model: keeps what it is given, and pushes every vector up."""

    embedding_rms = 2.0

    def __init__(self) -> None:
        self.batches: list[list[list[Row]]] = []
        self.prompts: list[SoftPrompt] = []

    def add_gradient(self, batches: Sequence[Sequence[Row]], prompt: SoftPrompt, head: Sequence[int]) -> Tensor:
        self.batches.append([list(rows) for rows in batches])
        self.prompts.append(prompt.detached())
        sum(-tensor.sum() for tensor in prompt.tensors().values()).backward()  # type: ignore[union-attr]
        return torch.tensor(float(len(self.batches)))


def record(plan: Schedule, rows: Sequence[Row] = ROWS, **options: Any) -> tuple[Recorder, Outcome]:
    model: Any = Recorder()
    return model, tune.run(model, SoftPrompt(prefix=torch.zeros(2, 3)), rows, (), plan, **options)


# --- it learns -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "shape"), [("llama", "prefix"), ("llama", "both"), ("llama", "deep"), ("gpt2", "prefix"), ("t5", "both")]
)
def test_the_loss_falls(kind: str, shape: str) -> None:
    head = () if kind == "t5" else (30, 31)
    outcome = tune.run(backbone(kind), start(shape), ROWS, head, replace(PLAN, epochs=8, learning_rate=0.3))

    losses = [float(epoch["loss"]) for epoch in outcome.history]  # type: ignore[arg-type]
    assert losses[-1] < 0.85 * losses[0]
    assert (outcome.updates, outcome.stopped) == (24, "all epochs done")


def test_the_start_is_left_as_it_was() -> None:
    before = start()
    kept = before.detached()
    outcome = tune.run(backbone("llama"), before, ROWS, (), replace(PLAN, epochs=1))
    assert same(before, kept)
    assert not same(outcome.prompt, kept)
    assert not any(tensor.requires_grad for tensor in outcome.prompt.tensors().values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_seed_fixes_every_bit(optimizer: Any) -> None:
    plan = replace(PLAN, epochs=1, optimizer=optimizer, noise=0.1)
    assert same(run(plan).prompt, run(plan).prompt)
    assert not same(run(plan).prompt, run(replace(plan, seed=74)).prompt)


# --- windows ---------------------------------------------------------------------------------------------------------
def test_an_update_is_the_mean_over_its_target_tokens() -> None:
    told: list[events.Event] = []
    run(replace(PLAN, epochs=1, accumulate=3), listener=told.append)

    losses, _ = backbone("llama").token_losses(ROWS, start(), (30, 31))
    assert [event.loss for event in steps(told)] == pytest.approx([float(losses.mean())], rel=1e-5)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_accumulated_batches_equal_one_big_batch(kind: str) -> None:
    parts, whole = [], []
    head = () if kind == "t5" else (30, 31)
    plan = replace(PLAN, epochs=3, learning_rate=0.01)
    options = [(replace(plan, batch_size=1, accumulate=4), parts), (replace(plan, batch_size=4), whole)]
    ends = [tune.run(backbone(kind), start(), ROWS, head, p, listener=told.append).prompt for p, told in options]

    assert [event.loss for event in steps(parts)] == pytest.approx([e.loss for e in steps(whole)], rel=1e-4)
    torch.testing.assert_close(ends[0].prefix, ends[1].prefix, rtol=1e-3, atol=1e-4)


@few
@given(
    rows=st.integers(1, 20), batch=st.integers(1, 6), accumulate=st.integers(1, 5), epochs=st.integers(1, 3),
    seed=st.sampled_from([0, 73, 2**32 - 1]),
)  # fmt: skip
def test_every_row_is_read_once_an_epoch(rows: int, batch: int, accumulate: int, epochs: int, seed: int) -> None:
    plan = replace(PLAN, batch_size=batch, accumulate=accumulate, epochs=epochs, seed=seed)
    model, outcome = record(plan, [Row((n,), (1,)) for n in range(rows)])

    assert len(model.batches) == plan.updates(rows) == outcome.updates
    each = plan.updates_per_epoch(rows)
    for epoch in range(epochs):
        windows = model.batches[epoch * each : (epoch + 1) * each]
        assert sorted(row.prompt[0] for window in windows for part in window for row in part) == list(range(rows))
        assert all(len(window) == accumulate for window in windows[:-1])
        assert all(len(part) == batch for window in windows for part in window[:-1])
        assert all(0 < len(part) <= batch for window in windows for part in window)


def test_a_partial_window_is_an_update_of_its_own() -> None:
    model, outcome = record(replace(PLAN, batch_size=2, accumulate=2, epochs=2), ROWS[:5])
    assert [[len(part) for part in window] for window in model.batches] == [[2, 2], [1]] * 2
    assert outcome.updates == 4


def test_epochs_have_orders_of_their_own() -> None:
    model, _ = record(replace(PLAN, batch_size=20), [Row((n,), (1,)) for n in range(20)])
    orders = [[row.prompt[0] for row in window[0]] for window in model.batches]
    assert orders[0] != orders[1]
    assert list(range(20)) not in orders


# --- noise -----------------------------------------------------------------------------------------------------------
def test_noise_is_relative_to_the_embeddings_and_never_kept() -> None:
    plan = Schedule(batch_size=6, accumulate=1, epochs=4, learning_rate=1e-9, noise=0.5)
    model: Any = Recorder()
    outcome = tune.run(model, SoftPrompt(prefix=torch.zeros(200, 20)), ROWS, (), plan)

    seen = [prompt.tensors()["prefix"] for prompt in model.prompts]
    assert [float(tensor.std()) for tensor in seen] == pytest.approx([0.5 * model.embedding_rms] * 4, rel=0.05)
    assert not torch.equal(seen[0], seen[1])
    assert float(outcome.prompt.tensors()["prefix"].abs().max()) < 1e-6


def test_without_noise_the_prompt_itself_is_read() -> None:
    model, _ = record(replace(PLAN, epochs=1))
    assert same(model.prompts[0], SoftPrompt(prefix=torch.zeros(2, 3)))


# --- what is told ----------------------------------------------------------------------------------------------------
def test_events_come_in_order_with_their_numbers(tmp_path: Path) -> None:
    told: list[events.Event] = []
    plan = replace(PLAN, batch_size=4, warmup=0.5)
    record(plan, listener=told.append, validate=lambda _: Validation(2.0, 0.5), keep=Keep(tmp_path / "s", 60.0, "k"))

    epoch = ["StepDone", "StepDone", "EpochDone", "Saved"]
    assert [type(event).__name__ for event in told] == ["Started", *epoch, *epoch, "Finished"]
    targets = sum(len(row.target) for row in ROWS)
    assert told[0] == events.Started(updates=4, done=0, rows=6, virtual_tokens=2, target_tokens=targets)
    assert [(s.update, s.epoch) for s in steps(told)] == [(1, 0), (2, 0), (3, 1), (4, 1)]
    assert [s.learning_rate for s in steps(told)] == [0.05 * rate_at(u, 4, 0.5, True) for u in range(4)]
    assert all(s.tokens_per_second > 0 for s in steps(told))
    assert [s.eta_seconds > 0 for s in steps(told)] == [True, True, True, False]
    done = [event for event in told if isinstance(event, events.EpochDone)]
    assert [(e.epoch, e.validation_loss, e.metric, e.best) for e in done] == [(0, 2.0, 0.5, True), (1, 2.0, 0.5, False)]
    assert [e.loss for e in done] == pytest.approx([(1 + 2) / targets, (3 + 4) / targets])  # sums by the recorder
    assert told[-1] == events.Finished("all epochs done", 4)


def test_events_are_flat_json(tmp_path: Path) -> None:
    told: list[events.Event] = [events.Note("the learning rate follows the embeddings")]
    outcome = run(replace(PLAN, epochs=1), listener=told.append, keep=Keep(tmp_path / "s", 0.0, "k"))

    for event in told:
        record_ = json.loads(json.dumps(events.as_record(event), allow_nan=False))
        assert record_.pop("event") == type(event).__name__
        assert type(event)(**record_) == event
    epochs = [events.as_record(event) for event in told if isinstance(event, events.EpochDone)]
    assert [{"event": "EpochDone", **epoch} for epoch in outcome.history] == epochs


# --- validation ------------------------------------------------------------------------------------------------------
def judged(values: Sequence[Validation]) -> tuple[Callable[[SoftPrompt], Validation], list[SoftPrompt]]:
    """A validation that says these values in turn, and the prompts it was shown."""
    shown: list[SoftPrompt] = []

    def validate(prompt: SoftPrompt) -> Validation:
        shown.append(prompt)
        return values[len(shown) - 1]

    return validate, shown


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([Validation(3.0), Validation(1.0), Validation(2.0), Validation(1.0)], 1),
        ([Validation(1.0, 0.2), Validation(2.0, 0.9), Validation(0.5, 0.3), Validation(0.1, 0.9)], 1),
        ([Validation(math.nan), Validation(3.0), Validation(2.0), Validation(math.nan)], 2),
    ],
    ids=["loss", "metric before loss", "not a number"],
)
def test_the_best_prompt_is_returned(values: list[Validation], best: int) -> None:
    validate, shown = judged(values)
    _, outcome = record(replace(PLAN, epochs=4), validate=validate)
    assert len(shown) == 4
    assert same(outcome.prompt, shown[best])
    assert [epoch["best"] for epoch in outcome.history].count(True) >= 1


def test_without_validation_the_last_prompt_is_returned() -> None:
    model, outcome = record(replace(PLAN, epochs=1))
    assert not same(outcome.prompt, model.prompts[-1])  # one step further than the last that was read


def test_patience_ends_a_run_that_gets_no_better(tmp_path: Path) -> None:
    values = [Validation(loss) for loss in (3.0, 2.0, 2.5, 2.0, 1.0)]
    validate, shown = judged(values)
    keep = Keep(tmp_path / "s", 60.0, "k")
    _, outcome = record(replace(PLAN, epochs=5, patience=2), validate=validate, keep=keep)

    assert outcome.stopped == "no better validation result for 2 epochs"
    assert len(outcome.history) == len(shown) == 4
    assert same(outcome.prompt, shown[1])

    again, once_more = record(replace(PLAN, epochs=5, patience=2), validate=validate, keep=keep)
    assert (again.batches, once_more.stopped) == ([], outcome.stopped)  # it had ended, and stays so
    assert same(once_more.prompt, outcome.prompt)


# --- stopping on request ---------------------------------------------------------------------------------------------
def stop_after(updates: int) -> Callable[[], bool]:
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == updates

    return stop


def test_a_stop_ends_with_the_best_so_far() -> None:
    told: list[events.Event] = []
    validate, shown = judged([Validation(1.0), Validation(2.0)])
    _, outcome = record(replace(PLAN, epochs=5), validate=validate, listener=told.append, should_stop=stop_after(7))

    assert told[-1] == events.Finished("stopped on request", 7)
    assert (outcome.stopped, outcome.updates, len(outcome.history)) == ("stopped on request", 7, 2)
    assert same(outcome.prompt, shown[0])
    assert outcome.seconds > 0


def test_a_stop_before_any_validation_ends_with_what_there_is() -> None:
    model, outcome = record(PLAN, validate=lambda _: Validation(1.0), should_stop=stop_after(1))
    assert not same(outcome.prompt, model.prompts[0])
    assert outcome.history == ()


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "s", 60.0, "k")
    plan = replace(PLAN, noise=0.1)
    run(plan, validate=validated, keep=keep, should_stop=stop_after(4))
    told: list[events.Event] = []
    resumed = run(plan, validate=validated, keep=keep, listener=told.append)

    wanted = run(plan, validate=validated)
    assert told[0] == events.Started(6, 4, 6, 4, sum(map(len, TARGETS)))
    assert [step.update for step in steps(told)] == [5, 6]
    assert same(resumed.prompt, wanted.prompt)
    assert story(resumed) == story(wanted)


# --- death in the middle ---------------------------------------------------------------------------------------------
def hard_plan(optimizer: Any) -> Schedule:
    return replace(PLAN, epochs=3, optimizer=optimizer, noise=0.1, weight_decay=0.01)


def run_until_killed(optimizer: str, path: Path) -> None:
    """Dies in the second epoch, when its fifth update is done and not yet saved."""

    def listener(event: events.Event) -> None:
        if isinstance(event, events.StepDone) and event.update == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    run(hard_plan(optimizer), shape="both", validate=validated, listener=listener, keep=Keep(path, 0.0, "k"))


_VICTIMS = """
import os, signal, sys
from pathlib import Path
import test_tune

for name in test_tune.OPTIMIZERS:
    child = os.fork()
    if child == 0:
        test_tune.run_until_killed(name, Path(sys.argv[1]) / name)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of killed runs, one for each optimizer."""
    folder = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", _VICTIMS, str(folder)], check=True, env=environment)
    return folder


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_killed_run_goes_on_to_the_same_bits(killed: Path, optimizer: str) -> None:
    told: list[events.Event] = []
    keep = Keep(killed / optimizer, 0.0, "k")
    resumed = run(hard_plan(optimizer), shape="both", validate=validated, listener=told.append, keep=keep)

    wanted = run(hard_plan(optimizer), shape="both", validate=validated)
    assert [step.update for step in steps(told)] == [5, 6, 7, 8, 9]
    assert same(resumed.prompt, wanted.prompt)
    assert story(resumed) == story(wanted)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "s", 60.0, "k")
    _, first = record(PLAN, keep=keep)
    model, second = record(PLAN, keep=keep)
    assert model.batches == []
    assert same(first.prompt, second.prompt)
    assert second.history == first.history


def test_a_run_of_something_else_is_not_continued(tmp_path: Path) -> None:
    record(PLAN, keep=Keep(tmp_path / "s", 0.0, "one"))
    with pytest.raises(CheckpointInvalid, match="belongs to a run with other data, model or parameters"):
        record(PLAN, keep=Keep(tmp_path / "s", 0.0, "other"))


def test_a_broken_checkpoint_is_not_started_over(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"half a file")
    with pytest.raises(CheckpointInvalid, match="cannot be read .*Delete it to start from the beginning"):
        record(PLAN, keep=Keep(tmp_path / "s", 0.0, "k"))


def test_checkpoints_are_as_frequent_as_asked(tmp_path: Path) -> None:
    for seconds, saved in [(0.0, [1, 2, 3, 3, 4, 5, 6, 6]), (60.0, [3, 6])]:
        told: list[events.Event] = []
        record(PLAN, keep=Keep(tmp_path / str(seconds), seconds, "k"), listener=told.append)
        assert [event.update for event in told if isinstance(event, events.Saved)] == saved


def test_a_full_disk_ends_the_run_and_leaves_the_former_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Keep(tmp_path / "s", 0.0, "k")

    def fill_up(event: events.Event) -> None:
        if isinstance(event, events.Saved) and event.update == 2:
            monkeypatch.setattr(checkpoint, "save_file", full)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CheckpointInvalid, match="No space left on device.*the checkpoint before it is intact"):
        run(keep=keep, listener=fill_up)
    monkeypatch.undo()
    told: list[events.Event] = []
    resumed = run(keep=keep, listener=told.append)
    assert [step.update for step in steps(told)] == [3, 4, 5, 6]
    assert same(resumed.prompt, run().prompt)


# --- numbers that are none -------------------------------------------------------------------------------------------
def test_an_absurd_learning_rate_is_refused_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "s", 0.0, "k")
    plan = replace(PLAN, learning_rate=1e30, warmup=0.0, decay=False)
    with pytest.raises(LossNotFinite, match=r"at update \d with learning rate 1e\+30\. Use a smaller learning rate"):
        run(plan, kind="gpt2", shape="both", keep=keep)

    progress, tensors = checkpoint.load(keep.path, "k") or pytest.fail("nothing was stored")
    assert progress.update >= 1
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_start_that_is_no_number_is_refused_at_once() -> None:
    broken = SoftPrompt(prefix=torch.full((2, 32), math.nan))
    with pytest.raises(LossNotFinite, match="The loss became nan .*at update 1 with .*; the last good checkpoint is"):
        tune.run(backbone("llama"), broken, ROWS, (), PLAN)


# --- memory ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["device", "python", "processor"],
)
def test_a_batch_that_does_not_fit_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def full(*_: object) -> Tensor:
        raise error

    keep = Keep(tmp_path / "s", 0.0, "k")
    record(PLAN, keep=keep, should_stop=stop_after(1))
    monkeypatch.setattr(Recorder, "add_gradient", full)
    with pytest.raises(
        OutOfMemory, match="batch of 2 rows of up to 8 tokens .*Halve the batch size and double accumulate"
    ):
        record(PLAN, keep=keep)
    progress, _ = checkpoint.load(keep.path, "k") or pytest.fail("nothing was stored")
    assert progress.update == 1


def test_other_trouble_of_a_pass_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Recorder, "add_gradient", wrong)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        record(PLAN)
