"""Options that several commands share: where the data, the database and the files are, and where models run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from softprompt.config import StudioSettings
    from softprompt.supervisor.lifeline import Lifeline

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Data folder [default: SOFTPROMPT_DATA_DIR, else the user's own]."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", metavar="URL", help="postgresql://… or sqlite:///FILE [default: in the folder]."),
]
StorageUrl = Annotated[
    str | None,
    typer.Option("--storage-url", metavar="URL", help="Folder or s3://BUCKET for files [default: in the folder]."),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="Where models run: cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
# What the parent gives to a process that it starts.
LifelineFd = Annotated[int | None, typer.Option("--lifeline", hidden=True)]
LogFile = Annotated[Path | None, typer.Option("--log-file", metavar="FILE", help="Log here too, as JSON lines.")]
ProcessName = Annotated[str, typer.Option("--process", hidden=True)]
Quiet = Annotated[bool, typer.Option("--quiet", hidden=True)]


def settings(data_dir: Path | None, database_url: str | None = None, storage_url: str | None = None) -> StudioSettings:
    from softprompt.config import StudioSettings

    return StudioSettings.of(data_dir, database_url, storage_url)


def begin(process: str, log_file: Path | None, lifeline: int | None, *, quiet: bool) -> Lifeline | None:
    """What a process of the studio does first: logs, and the line to its parent if it has one."""
    from softprompt import logs
    from softprompt.config import log_level_from_environment

    logs.setup(process, file=log_file, stderr=not quiet, level=log_level_from_environment())
    if lifeline is None:
        return None
    from softprompt.supervisor.lifeline import Lifeline

    return Lifeline(lifeline)
