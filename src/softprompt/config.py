"""The only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things lie on this machine."""

    cache: Path
    """Converted models: `SOFTPROMPT_CACHE`, else `$XDG_CACHE_HOME/softprompt`, else `~/.cache/softprompt`."""
    offline: bool
    """`SOFTPROMPT_OFFLINE` or `HF_HUB_OFFLINE` set to 1: never ask a network source."""

    @classmethod
    def from_environment(cls) -> Settings:
        cache = os.environ.get("SOFTPROMPT_CACHE")
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        offline = any(os.environ.get(name, "0") not in ("", "0") for name in ("SOFTPROMPT_OFFLINE", "HF_HUB_OFFLINE"))
        return cls(cache=Path(cache) if cache else root / "softprompt", offline=offline)
