"""`softprompt serve`: the serving host, alone or started by `up`."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from softprompt.cli.places import (
    DatabaseUrl,
    DataDir,
    Device,
    LifelineFd,
    LogFile,
    ProcessName,
    Quiet,
    StorageUrl,
    begin,
    settings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from softprompt.supervisor.lifeline import Lifeline


def command(
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="ID", help="Load at the start; may be given several times.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="H", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="0 takes a free one; others find it by a file.")] = 0,
    device: Device = "cpu",
    vllm: Annotated[str | None, typer.Option(metavar="URL", help="A vLLM server that generates instead.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    storage_url: StorageUrl = None,
    log_file: LogFile = None,
    lifeline: LifelineFd = None,
    process: ProcessName = "serving",
    quiet: Quiet = False,
) -> None:
    """Generate for the web processes of the same data folder: each foundation model once, any mix of tuned prompts.

    A vLLM server wants its key in SOFTPROMPT_VLLM_KEY, if it wants one.
    """
    line = begin(process, log_file, lifeline, quiet=quiet)
    from softprompt.config import address_problem, vllm_key_from_environment
    from softprompt.errors import ParameterInvalid
    from softprompt.serving.host import HostSettings
    from softprompt.serving.server import serve
    from softprompt.storage.artifacts import ArtifactStore
    from softprompt.studio.secrets import new_secret
    from softprompt.supervisor.home import make_home

    if vllm is not None and (problem := address_problem(vllm)):
        raise ParameterInvalid(f"--vllm: {problem}.")
    studio = settings(data_dir, database_url, storage_url)
    make_home(studio.data_dir)
    store = ArtifactStore(studio.storage_url, studio.data_dir / "cache")
    if line is not None:
        threading.Thread(target=_tell_when_ready, args=(studio.data_dir, line), daemon=True).start()
    serve(
        HostSettings(
            fetch=store.folder,
            data_dir=studio.data_dir,
            secret=new_secret(),
            host=host,
            port=port,
            models=tuple(models or ()),
            device=device,
            vllm=vllm,
            vllm_key=vllm_key_from_environment() or "",
        )
    )


def _tell_when_ready(data_dir: Path, line: Lifeline) -> None:
    """The host listens once its note is there."""
    from softprompt.serving import discovery

    while (note := discovery.read(data_dir)) is None or note.pid != os.getpid():
        time.sleep(0.1)
    line.tell(ready=True)
