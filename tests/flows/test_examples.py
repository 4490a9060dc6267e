"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_library_tour(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "prompt"
    given = ["--model", str(tiny_folder()), "--rows", "24", "--epochs", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "library_tour.py"), *given],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for words in ("200 of 200 rows can be used", " updates in ", "zero-shot", "prompt · readout", "% sure"):
        assert words in done.stdout
    assert (out / "softprompt.json").is_file()
