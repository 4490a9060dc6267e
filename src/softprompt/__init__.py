"""Softprompt: tune, prove and serve soft prompts for frozen foundation models.

The public names load on first use, so that `import softprompt` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from softprompt.data.report import check
    from softprompt.engine.artifact import TunedPrompt
    from softprompt.engine.loading import load_model
    from softprompt.workbench.evaluate import evaluate
    from softprompt.workbench.respond import generate
    from softprompt.workbench.tune import tune

_HOMES = {
    "TunedPrompt": "softprompt.engine.artifact",
    "check": "softprompt.data.report",
    "evaluate": "softprompt.workbench.evaluate",
    "generate": "softprompt.workbench.respond",
    "load_model": "softprompt.engine.loading",
    "tune": "softprompt.workbench.tune",
}

__all__ = ["TunedPrompt", "__version__", "check", "evaluate", "generate", "load_model", "tune"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softprompt' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
