"""Checkpoints: what goes in comes out, and whatever happens while writing, a whole one is there."""

from __future__ import annotations

import errno
import os
import resource
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from softprompt.engine import checkpoint
from softprompt.engine.checkpoint import Progress
from softprompt.engine.optim import make_optimizer
from softprompt.errors import CheckpointInvalid
from softprompt.params import Optimizer

OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "adafactor")
PROGRESS = Progress(
    key="abc", update=7, epoch=2, epoch_loss=1.25, epoch_tokens=9, history=[{"epoch": 0, "loss": 0.1}], best=-0.3,
    worse=1, seconds=12.5,
)  # fmt: skip


def leaves() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in [(5, 4), (2, 2, 1, 3, 4), (1, 4)]]


def step(optimizer: torch.optim.Optimizer, tensors: list[Tensor], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        tensor.grad = torch.randn(tensor.shape, generator=generator)
    optimizer.step()


def stored(path: Path, update: int = 7, size: int = 4) -> bytes:
    """Write a checkpoint; its bytes."""
    tensors = leaves()
    progress = Progress(key="abc", update=update)
    checkpoint.save(path, progress, {"a": torch.ones(size)}, make_optimizer("adamw", tensors, 0.1, 0.0))
    return path.read_bytes()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_goes_in_comes_out(tmp_path: Path, name: Optimizer) -> None:
    tensors = leaves()
    optimizer = make_optimizer(name, tensors, 0.1, 0.0)
    step(optimizer, tensors, 0)
    path = tmp_path / "new" / "folder" / "state.safetensors"

    checkpoint.save(path, PROGRESS, {"current": tensors[0], "turned": tensors[0].T}, optimizer)
    found = checkpoint.load(path, "abc")

    assert found is not None
    assert found[0] == PROGRESS
    assert torch.equal(found[1]["current"], tensors[0])
    assert torch.equal(found[1]["turned"], tensors[0].T)
    assert [file.name for file in path.parent.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_to_the_same_bits(tmp_path: Path, name: Optimizer) -> None:
    one, two = leaves(), leaves()
    before = make_optimizer(name, one, 0.1, 0.01)
    step(before, one, 0)
    checkpoint.save(tmp_path / "state", PROGRESS, {str(n): tensor for n, tensor in enumerate(one)}, before)
    after = make_optimizer(name, two, 0.1, 0.01)
    _, tensors = checkpoint.load(tmp_path / "state", "abc") or pytest.fail("nothing was stored")
    with torch.no_grad():
        for n, tensor in enumerate(two):
            tensor.copy_(tensors[str(n)])
    checkpoint.restore_optimizer(after, tensors)

    for seed in (1, 2):
        step(before, one, seed)
        step(after, two, seed)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_nothing_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "state", "abc") is None


def test_another_run_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "state")
    with pytest.raises(CheckpointInvalid, match="other data, model or parameters.*leave out --resume to start anew"):
        checkpoint.load(tmp_path / "state", "abd")


def _foreign(path: Path) -> None:
    save_file({"a": torch.ones(2)}, path)


def _other_fields(path: Path) -> None:
    save_file({"a": torch.ones(2)}, path, metadata={"progress": '{"key": "abc", "colour": 3}'})


def _no_json(path: Path) -> None:
    save_file({"a": torch.ones(2)}, path, metadata={"progress": "{"})


BROKEN: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello " * 100),
    "pickle": lambda path: torch.save({"a": 1}, path),
    "cut": lambda path: path.write_bytes(stored(path)[:-5]),
    "head that never ends": lambda path: path.write_bytes(struct.pack("<Q", 2**62) + b"{}"),
    "foreign": _foreign,
    "other fields": _other_fields,
    "no json": _no_json,
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_files_are_refused_with_a_way_out(tmp_path: Path, how: str) -> None:
    BROKEN[how](tmp_path / "state")
    with pytest.raises(CheckpointInvalid, match="state cannot be read .*Delete it to start from the beginning"):
        checkpoint.load(tmp_path / "state", "abc")


# --- trouble while writing -------------------------------------------------------------------------------------------
def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["softprompt.engine.checkpoint.save_file", "os.fsync", "os.replace"])
def test_a_full_disk_leaves_the_former_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    before = stored(tmp_path / "state", 3)
    monkeypatch.setattr(where, _full)
    with pytest.raises(CheckpointInvalid, match=r"No space left on device.*Free some space .* --resume; .* is intact"):
        stored(tmp_path / "state", 4)
    _assert_only(tmp_path, before)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A write beyond that many bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_really_fails_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    before = stored(tmp_path / "state", 3)
    with (
        files_of_at_most(4096),
        pytest.raises(CheckpointInvalid, match="state could not be written: .*(too large|space)"),
    ):
        stored(tmp_path / "state", 4, size=100_000)
    _assert_only(tmp_path, before)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("here first")
    with pytest.raises(CheckpointInvalid, match="out/state could not be written: (File exists|Not a directory)"):
        stored(tmp_path / "out" / "state")


def _assert_only(folder: Path, content: bytes) -> None:
    """The former checkpoint is there, whole, and no half file beside it."""
    assert [file.name for file in folder.iterdir()] == ["state"]
    assert (folder / "state").read_bytes() == content
    found = checkpoint.load(folder / "state", "abc")
    assert found is not None
    assert found[0].update == 3
