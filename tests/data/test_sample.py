"""The sample task's rows come along, in a clone and in a wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from softprompt.data import sample

ROOT = Path(__file__).resolve().parents[2]


def test_a_clone_has_its_own() -> None:
    assert sample.folder() == ROOT / "examples" / "complaints"


def test_a_wheel_gets_them_where_they_are_looked_for() -> None:
    """What the build is told to put into the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    forced = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    packaged, cloned = sample.PLACES
    assert {ROOT / a: ROOT / "src" / b for a, b in forced.items()} == {cloned: packaged}


def test_elsewhere_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sample, "PLACES", (tmp_path, tmp_path / "b"))
    assert sample.folder() is None
