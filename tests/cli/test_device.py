"""`--device`: where models run; a device that is not there is named before anything is read or written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

Call = Callable[..., SimpleNamespace]


def test_a_device_that_is_not_there_is_named(
    call: Call, tiny_folder: Callable[..., Path], rows: Path, tuned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "prompt"
    for words in (
        ("tune", rows, "--model", tiny_folder(), "--out", out),
        ("generate", tiny_folder(), "lamp"),
        ("generate", tuned, "lamp"),
        ("evaluate", rows, "--with", tuned),
    ):
        done = call(*words, "--device", "cuda:99")
        assert (done.code, done.out) == (2, "")
        assert "device 'cuda:99'" in done.err
        assert "Use cpu, or cuda where there is one." in done.err
    assert not out.exists()


@pytest.mark.parametrize("command", ["serve", "worker", "up"])
@pytest.mark.parametrize("device", ["cuda:99", "tpu"])
def test_a_process_of_the_studio_does_not_start_where_it_cannot_run(tmp_path: Path, command: str, device: str) -> None:
    data = tmp_path / "studio"
    words = [sys.executable, "-m", "softprompt", command, "--data-dir", str(data), "--device", device]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # it sets up the logs of its process
    assert done.returncode == 2
    assert f"device '{device}'" in done.stderr
    assert "Use cpu, or cuda where there is one." in done.stderr
    assert not (data / "serving.json").exists()
    assert not (data / "studio.db").exists(), "nothing was claimed, nothing was begun"


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_a_device_by_name_answers(call: Call, tuned: Path, device: str) -> None:
    done = call("generate", tuned, "lamp broke", "--device", device, "--json")
    assert json.loads(done.out)["results"][0]["output"] in ("Service", "Warehouse", "Marketing")
