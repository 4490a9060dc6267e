"""A tiny foundation model, tuned prompts for it made without training, and a host over both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt, base_of
from softprompt.engine.loading import load_model
from softprompt.engine.readout import LabelReadout
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.serving.host import Host, HostSettings
from softprompt.serving.protocol import Done, Event, Failed, Piece, Work

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

LABELS = ("Service", "Warehouse", "Marketing")
HostMaker = Callable[..., Host]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def model_id(tiny_folder: Callable[..., Path]) -> str:
    return str(tiny_folder("llama"))


@pytest.fixture(scope="session")
def backbone(model_id: str) -> Backbone:
    return load_model(model_id)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> Path:
    """A folder of tuned prompts: text-1 … text-3, and label-1, label-2 with readouts."""
    home = tmp_path_factory.mktemp("store")
    for seed in (1, 2, 3):
        tuned_prompt(backbone, seed).save(home / f"text-{seed}")
    for seed in (1, 2):
        tuned_prompt(backbone, seed, readout=True).save(home / f"label-{seed}")
    return home


def tuned_prompt(backbone: Backbone, seed: int, *, readout: bool = False) -> TunedPrompt:
    """Vectors and maps drawn at random: what they say means nothing, but each says something else."""
    chance = torch.Generator().manual_seed(seed)
    size = backbone.hidden_size
    found = None
    if readout:
        width = 2 * 2 * size
        found = LabelReadout(
            labels=LABELS,
            layers=(1, seed),  # prompts read equally deep or not
            places=("mean", "last"),
            center=torch.zeros(width),
            scale=torch.ones(width),
            weight=torch.randn(3, width, generator=chance),
            bias=torch.zeros(3),
            template=Template("{{input}}\nDepartment: ", instruction="Route it."),
            prompt=SoftPrompt(prefix=0.15 * torch.randn(2, size, generator=chance)),
        )
    return TunedPrompt(
        name=f"prompt {seed}",
        base=base_of(backbone),
        task="classification",
        prompt=SoftPrompt(
            prefix=0.15 * torch.randn(2 + seed, size, generator=chance),
            suffix=0.15 * torch.randn(1, size, generator=chance) if seed == 2 else None,
        ),
        template=Template(),
        labels=LABELS,
        calibration=torch.randn(3, generator=chance),
        readout=found,
    )


@pytest.fixture
async def hosts(store: Path, tmp_path: Path) -> AsyncIterator[HostMaker]:
    """`hosts(**settings)`: a host over the store; all are closed at the end."""
    made: list[Host] = []

    def make(load: object = None, **settings: object) -> Host:
        facts = {"fetch": store.joinpath, "data_dir": tmp_path, "secret": "s3cret", **settings}
        extra = {} if load is None else {"load": load}
        made.append(Host(HostSettings(**facts), **extra))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for host in made:
        await host.close(1.0)


async def events(backend: object, work: Work) -> list[Event]:
    return [event async for event in backend.generate(work)]  # type: ignore[attr-defined]


async def answered(backend: object, work: Work) -> Done:
    """The answer, whose pieces are its text."""
    *pieces, last = await events(backend, work)
    assert isinstance(last, Done), last
    assert all(isinstance(piece, Piece) for piece in pieces)
    if work.stream and last.stop_reason != "label":
        assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == last.output
    return last


async def failed(backend: object, work: Work) -> Failed:
    (last,) = await events(backend, work)
    assert isinstance(last, Failed), last
    return last
