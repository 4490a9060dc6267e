"""The program as a person calls it, a small labelled task, and a prompt tuned on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from softprompt import cli

ROWS = [
    {"input": f"{thing} {fault}", "output": answer}
    for thing in ("lamp", "chair", "desk", "phone", "sofa", "bowl")
    for fault, answer in (("broke", "Service"), ("is late", "Warehouse"), ("ad lies", "Marketing"))
]

Call = Callable[..., SimpleNamespace]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """`call("tune", …)`: exit code, standard output and standard error."""

    def call(*arguments: Any) -> SimpleNamespace:
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=told.out, err=told.err)

    return call


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 rows of three answers."""
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="session")
def tuned(tiny_folder: Callable[..., Path], rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned prompt with three vectors and a label readout."""
    from softprompt import tune
    from softprompt.params import TuneConfig

    out = tmp_path_factory.mktemp("prompts") / "complaints"
    tune(
        rows, model=tiny_folder(), out=out, config=TuneConfig(place="prefix", virtual_tokens=3, epochs=1, batch_size=8)
    )
    return out
