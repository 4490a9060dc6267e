"""Heavy libraries stay out until a model is needed: each import is tried in a process of its own."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import softprompt.data

HEAVY = ("torch", "transformers", "peft", "sklearn", "matplotlib", "gguf")
LIGHT = [
    "import softprompt",
    "import softprompt.cli",
    "import softprompt.cli.models",
    "import softprompt.catalogue; softprompt.catalogue.cards()",
    "import softprompt.params, softprompt.config",
    "import " + ", ".join(f"softprompt.data.{m.name}" for m in pkgutil.iter_modules(softprompt.data.__path__)),
    "import softprompt.engine.sources",
    "from softprompt.cli import _run; _run(['--help'])",
    "from softprompt.cli import _run; _run(['models', 'list'])",
]


@pytest.mark.parametrize("statement", LIGHT)
def test_it_leaves_torch_and_transformers_alone(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_public_names_are_known_before_they_are_loaded() -> None:
    code = "import softprompt, sys; print(dir(softprompt)); assert 'torch' not in sys.modules; softprompt.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "load_model" in done.stdout
    assert "has no attribute 'nothing'" in done.stderr
