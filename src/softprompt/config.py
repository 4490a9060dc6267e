"""The only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one caller may ask for. Each can be set as `SOFTPROMPT_MAX_…` with the field's name in capitals."""

    body_bytes: int = 8 * 2**20
    """Of a request that is no upload."""
    upload_bytes: int = 2 * 2**30
    rows: int = 1_000_000
    """Of a dataset."""
    prompt_chars: int = 200_000
    requests_per_minute: int = 6_000
    """Of one API key or one browser session."""
    concurrent_runs: int = 4
    """Running at once in one project; further ones wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioSettings:
    """Where a studio keeps its things. Options of `softprompt up` come before the environment."""

    data_dir: Path
    """`SOFTPROMPT_DATA_DIR`, else `$XDG_DATA_HOME/softprompt`, else `~/.local/share/softprompt`."""
    database_url: str
    """`SOFTPROMPT_DATABASE_URL`, else SQLite in the data folder."""
    storage_url: str
    """`SOFTPROMPT_STORAGE_URL`, else the folder `files` in the data folder; any fsspec address such as s3://bucket."""
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(
        cls, data_dir: Path | None = None, database_url: str | None = None, storage_url: str | None = None
    ) -> StudioSettings:
        """The settings of a studio: what is given, else the environment, else the defaults."""
        env = os.environ
        root = Path(env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        home = data_dir or (Path(env["SOFTPROMPT_DATA_DIR"]) if env.get("SOFTPROMPT_DATA_DIR") else root / "softprompt")
        home = home.expanduser().absolute()
        return cls(
            data_dir=home,
            database_url=database_url or env.get("SOFTPROMPT_DATABASE_URL") or f"sqlite:///{home / 'studio.db'}",
            storage_url=storage_url or env.get("SOFTPROMPT_STORAGE_URL") or str(home / "files"),
            limits=_limits(),
        )


def api_key_from_environment() -> str | None:
    """The key with which the command line speaks to a studio."""
    return os.environ.get("SOFTPROMPT_API_KEY") or None


def _limits() -> Limits:
    names = Limits.__dataclass_fields__
    given = {name: os.environ.get(f"SOFTPROMPT_MAX_{name.upper()}") for name in names}
    return Limits(**{name: int(value) for name, value in given.items() if value})
