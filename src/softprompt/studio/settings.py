"""The settings and limits in force: what each is, where it comes from, how it is changed. Changes none of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from urllib.parse import urlsplit, urlunsplit

from softprompt.config import Limits, StudioSettings, limits_from_environment
from softprompt.jobs.queue import Timing
from softprompt.storage.work import Job
from softprompt.studio import people
from softprompt.studio.maintenance import KEPT, YOUNG


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them.

    Attributes:
        source: where the value comes from, in words.
        change: how to change it, in words; empty: it is part of this version.
    """

    name: str
    value: str
    help: str
    source: str
    change: str


LIMITS: dict[str, tuple[str, str]] = {
    "body_bytes": ("Largest request", "Of a request that is no upload."),
    "upload_bytes": ("Largest upload", "Of a file with labelled examples or a tuned prompt."),
    "rows": ("Rows of a dataset", "A longer one is refused."),
    "prompt_chars": ("Characters asked at once", "Of each text, or each whole chat, that a model is asked."),
    "requests_per_minute": ("Requests a minute", "Of one API key or one browser, at one web process."),
    "concurrent_runs": ("Runs at once in a project", "Further ones wait, so that every project gets its turn."),
    "silent_seconds": (
        "Patience with a silent run",
        "A process that tells nothing and comes no further for so long is ended, and its run is tried again.",
    ),
}
"""Title and help of each field of `Limits`."""


def in_force(settings: StudioSettings) -> dict[str, list[Setting]]:
    """All of them, by what they are about."""
    return {"Places": _places(settings), "Limits": _limits(settings.limits), "Part of this version": _fixed()}


def without_password(address: str) -> str:
    """An address as it may be shown."""
    parts = urlsplit(address)
    if not parts.password:
        return address
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:…@{host}"))


def _places(settings: StudioSettings) -> list[Setting]:
    default = StudioSettings(
        data_dir=settings.data_dir,
        database_url=f"sqlite:///{settings.data_dir / 'studio.db'}",
        storage_url=str(settings.data_dir / "files"),
    )
    rows = (
        ("Database", settings.database_url, default.database_url, "database-url", "SQLite or PostgreSQL."),
        ("File store", settings.storage_url, default.storage_url, "storage-url", "A folder or s3://bucket/prefix."),
    )
    found = [
        Setting(
            "Data folder", str(settings.data_dir), "Logs, uploads on their way, the certificate, backups.",
            "given at the start", "--data-dir or SOFTPROMPT_DATA_DIR",
        )
    ]  # fmt: skip
    for name, value, usual, option, help in rows:
        source = "default: in the data folder" if value == usual else "given at the start"
        variable = f"SOFTPROMPT_{option.upper().replace('-', '_')}"
        shown = without_password(value)
        found.append(Setting(name, shown, help, source, f"--{option} or {variable}"))
    return found


def _limits(limits: Limits) -> list[Setting]:
    given = limits_from_environment()
    found = []
    for each in fields(Limits):
        title, help = LIMITS[each.name]
        variable = f"SOFTPROMPT_MAX_{each.name.upper()}"
        source = "the environment" if each.name in given else "default"
        value = _shown(each.name, getattr(limits, each.name))
        found.append(Setting(title, value, help, source, variable))
    return found


def _shown(name: str, value: int) -> str:
    if name.endswith("_bytes"):
        for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= size:
                return f"{value / size:,.4g} {unit}"
    if name.endswith("_seconds"):
        return f"{value / 60:,.4g} min" if value >= 60 else f"{value} s"
    return f"{value:,}"


def _fixed() -> list[Setting]:
    attempts = Job.__table__.columns["most_attempts"].default
    tries = getattr(attempts, "arg", "")
    timing = Timing()
    rows = (
        ("Deleted things are kept", f"{KEPT.days} days", "Until then they can be brought back below."),
        ("Files without a row are kept", f"{YOUNG.days} days", "Of uploads that broke off, then they are cleaned up."),
        ("A browser stays signed in", f"{people.SESSION_LIFE.days} days", "Then it asks for the password again."),
        ("A sign-in link works", f"{people.LINK_LIFE.total_seconds() / 3600:.0f} hours", "Once."),
        ("Shortest password", f"{people.SHORTEST_PASSWORD} characters", "Of new ones."),
        ("Attempts of a job", f"{tries}", "That bring nothing; then it has failed."),
        ("Lease of a worker", f"{timing.lease:.0f} s", "A worker that is silent for longer has lost its job."),
    )
    return [Setting(name, value, help, "part of this version", "") for name, value, help in rows]
