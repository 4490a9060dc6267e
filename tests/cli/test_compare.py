"""Runs side by side on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.pages.run_seed import Seed
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .conftest import Call


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[LiveStudio]:
    with live_studio(tmp_path / "studio", EchoBackend()) as running:
        yield running


def test_runs_side_by_side(call: Call, studio: LiveStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_API_KEY", studio.key)
    seed = Seed(studio)
    first, second = seed.done("Routing"), seed.done("Routing", config={"epochs": 10})
    told = call("--url", studio.url, "runs", "compare", first, "Routing (2)").out
    lines = {
        cells[0]: cells[1:]
        for cells in ([c.strip() for c in line.split("  ") if c.strip()] for line in told.splitlines())
    }
    assert lines["Routing (1)"] == ["Routing (2)"], "the heads"
    assert lines["epochs"] == ["20", "10"]
    assert lines["readout, exact"] == ["0.750 (0.30 – 0.95)"] * 2
    here = call("runs", "compare", first, second, "--data-dir", studio.data_dir, "--json")
    assert [side["run_id"] for side in json.loads(here.out)["runs"]] == [first, second]
    assert call("--url", studio.url, "runs", "compare", first, "no-such").code == 1
