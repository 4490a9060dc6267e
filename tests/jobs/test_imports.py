"""Queue, storage and the worker itself stay light: torch is the child's alone."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import softprompt.jobs
import softprompt.storage
import softprompt.worker

CHILDS = ("child_work", "libraries", "token_counts", "migrations")
"""Modules that only the child, or Alembic, imports."""
HEAVY = ("torch", "transformers", "sklearn", "ray", "fastapi")


@pytest.mark.parametrize("package", [softprompt.jobs, softprompt.storage, softprompt.worker])
def test_no_module_loads_torch(package: object) -> None:
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]
    modules = [f"{name}.{m.name}" for m in pkgutil.iter_modules(path) if m.name not in CHILDS]
    code = f"import sys, {', '.join(modules)}\nprint([heavy for heavy in {HEAVY} if heavy in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
