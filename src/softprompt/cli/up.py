"""`softprompt up`: a whole studio on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli.places import DatabaseUrl, DataDir, StorageUrl, settings


def command(
    host: Annotated[str, typer.Option(metavar="H", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Of plain HTTP; 0 takes a free one.")] = 8440,
    tls_port: Annotated[int, typer.Option(metavar="PORT", help="Of HTTPS; 0 takes a free one.")] = 8443,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate in place of our own.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    storage_url: StorageUrl = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes that tune.")] = 1,
    web_processes: Annotated[int, typer.Option(metavar="N", help="Processes that answer requests.")] = 1,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or cuda:0,cuda:1 to deal out; serving takes the first.")
    ] = "cpu",
    vllm: Annotated[str | None, typer.Option(metavar="URL", help="A vLLM server that generates instead.")] = None,
    no_serving: Annotated[bool, typer.Option("--no-serving", help="Without a serving host.")] = False,
    trust_proxy: Annotated[
        bool, typer.Option("--trust-proxy", help="Believe X-Forwarded-… headers: only behind a proxy.")
    ] = False,
    sample: Annotated[bool, typer.Option("--sample", help="With sample datasets and the small model SmolLM2.")] = False,
) -> None:
    """Start a whole studio: web, workers, serving host. Ctrl-C stops it.

    The first start makes the tables, an admin and the project Sandbox. Each start prints a link that signs the admin
    in once. Nothing but the data folder is needed; the ports answer on this machine alone unless --host says otherwise.
    """
    from softprompt import logs
    from softprompt.config import log_level_from_environment
    from softprompt.supervisor.home import make_home
    from softprompt.supervisor.plan import Plan
    from softprompt.supervisor.run import up
    from softprompt.worker import devices

    plan = Plan(
        settings=settings(data_dir, database_url, storage_url),
        host=host,
        port=port,
        tls_port=tls_port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        workers=workers,
        web_processes=web_processes,
        serving=not no_serving,
        trust_proxy=trust_proxy,
        sample=sample,
        device=device,
        vllm=vllm,
    )
    devices.need(device.split(","))
    make_home(plan.settings.data_dir)
    logs.setup("up", file=plan.log_dir / "up.log", stderr=False, level=log_level_from_environment())
    up(plan)
