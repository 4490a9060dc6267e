"""The only reader of the environment."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from softprompt.errors import ParameterInvalid


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
    """Of each text, or each whole chat, that a model is asked; a request may hold several."""
    requests_per_minute: int = 6_000
    """Of one API key or one browser session."""
    concurrent_runs: int = 4
    """Running at once in one project; further ones wait."""
    silent_seconds: int = 1_800
    """Of a run's process that neither tells anything nor comes any further; then it is ended and tried again."""


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
        """The settings of a studio: what is given, else the environment, else what the data folder was used with."""
        env = os.environ
        root = Path(env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        home = data_dir or (Path(env["SOFTPROMPT_DATA_DIR"]) if env.get("SOFTPROMPT_DATA_DIR") else root / "softprompt")
        home = home.expanduser().absolute()
        # Else a command on a studio with PostgreSQL, given the folder alone, would make itself another database.
        used = _used_before(home)
        database = database_url or env.get("SOFTPROMPT_DATABASE_URL") or used.get("database_url")
        storage = storage_url or env.get("SOFTPROMPT_STORAGE_URL") or used.get("storage_url")
        return cls(
            data_dir=home,
            database_url=database or f"sqlite:///{home / 'studio.db'}",
            storage_url=_absolute(storage) if storage else str(home / "files"),
            limits=_limits(),
        )

    @property
    def elsewhere(self) -> dict[str, str]:
        """Addresses that are not the defaults of the data folder: what it has to remember."""
        own = {"database_url": f"sqlite:///{self.data_dir / 'studio.db'}", "storage_url": str(self.data_dir / "files")}
        return {name: getattr(self, name) for name, value in own.items() if getattr(self, name) != value}


def api_key_from_environment() -> str | None:
    """The key with which the command line speaks to a studio."""
    return os.environ.get("SOFTPROMPT_API_KEY") or None


def ca_file_from_environment() -> str | None:
    """Certificates that the command line trusts when it speaks to a studio."""
    return os.environ.get("SOFTPROMPT_CA_FILE") or None


def vllm_key_from_environment() -> str | None:
    """The key with which the serving host speaks to a vLLM server."""
    return os.environ.get("SOFTPROMPT_VLLM_KEY") or None


def address_problem(address: str) -> str:
    """Why this cannot be the address of a server; "" if it can."""
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    return "" if fine else f"{address!r} is no address of a server; write http://HOST:PORT"


def log_level_from_environment() -> int:
    """`SOFTPROMPT_LOG_LEVEL`: the least that the processes of a studio log, "info" if it is not set."""
    given = os.environ.get("SOFTPROMPT_LOG_LEVEL") or "info"
    if given not in LOG_LEVELS:
        raise ParameterInvalid(
            f"SOFTPROMPT_LOG_LEVEL={given!r}: not one of {', '.join(LOG_LEVELS)}. Correct or unset it."
        )
    return LOG_LEVELS[given]


LOG_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Read by Prometheus' client too, when it is imported."""


def metrics_folder_from_environment() -> str | None:
    """Where the web processes of one parent keep their counters; None if there is only one."""
    return os.environ.get(METRICS_FOLDER) or None


STATE_FILE = "studio.json"
"""What `softprompt up` writes down in the data folder."""


def _used_before(home: Path) -> dict[str, str]:
    try:
        found = json.loads((home / STATE_FILE).read_text(encoding="utf-8"))["elsewhere"]
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _absolute(storage: str) -> str:
    return storage if "://" in storage else str(Path(storage).expanduser().absolute())


def limits_from_environment() -> dict[str, str]:
    """Fields of `Limits` that the environment sets, with its words."""
    given = {name: os.environ.get(f"SOFTPROMPT_MAX_{name.upper()}") for name in Limits.__dataclass_fields__}
    return {name: value for name, value in given.items() if value}


def _limits() -> Limits:
    given = limits_from_environment()
    wrong = [name for name, value in given.items() if not (value.isdecimal() and int(value) > 0)]
    if wrong:
        told = ", ".join(f"SOFTPROMPT_MAX_{name.upper()}={given[name]!r}" for name in wrong)
        raise ParameterInvalid(f"{told}: not a whole number above 0. Correct or unset it.")
    return Limits(**{name: int(value) for name, value in given.items()})
