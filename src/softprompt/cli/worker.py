"""`softprompt worker`: one process that tunes, alone or started by `up`."""

from __future__ import annotations

from typing import Annotated

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


def command(
    device: Device = "cpu",
    once: Annotated[bool, typer.Option("--once", help="End after one run.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    storage_url: StorageUrl = None,
    log_file: LogFile = None,
    lifeline: LifelineFd = None,
    process: ProcessName = "worker",
    quiet: Quiet = False,
) -> None:
    """Do queued runs and evaluations, until it is stopped; any number of workers may run, on any machine.

    Workers on other machines need the same --database-url and --storage-url.
    """
    line = begin(process, log_file, lifeline, quiet=quiet)
    from softprompt.supervisor.home import make_home
    from softprompt.worker import devices
    from softprompt.worker.process import WorkerSettings, work

    devices.need([device])  # else it would take every job of the queue, and fail it
    studio = settings(data_dir, database_url, storage_url)
    make_home(studio.data_dir)
    if line is not None:
        line.tell(ready=True)
    work(WorkerSettings(studio=studio, device=device, once=once))
