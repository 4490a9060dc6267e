"""`softprompt web`: one web process, alone or started by `up`."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli.places import (
    DatabaseUrl,
    DataDir,
    LifelineFd,
    LogFile,
    ProcessName,
    Quiet,
    StorageUrl,
    begin,
    settings,
)


def command(
    host: Annotated[str, typer.Option(metavar="H", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Of plain HTTP.")] = 8440,
    tls_port: Annotated[int | None, typer.Option(metavar="PORT", help="Of HTTPS; without it no TLS.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate in place of our own.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    storage_url: StorageUrl = None,
    trust_proxy: Annotated[bool, typer.Option("--trust-proxy", help="Believe X-Forwarded-… headers.")] = False,
    log_file: LogFile = None,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    tls_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    lifeline: LifelineFd = None,
    process: ProcessName = "web",
    quiet: Quiet = False,
) -> None:
    """Answer requests only; workers and the serving host run elsewhere. `up` starts this itself."""
    line = begin(process, log_file, lifeline, quiet=quiet)
    from softprompt.supervisor import certificate, sockets
    from softprompt.supervisor.home import make_home
    from softprompt.supervisor.plan import plain_warning
    from softprompt.supervisor.web import Listeners, serve

    studio = settings(data_dir, database_url, storage_url)
    make_home(studio.data_dir)
    cert = certificate.given(tls_cert, tls_key)
    if cert is None and tls_port is not None:
        cert = certificate.ensure(studio.data_dir / "tls", host)
    plain = socket.socket(fileno=fd) if fd is not None else sockets.listen(host, port, "--port")
    tls = None
    if tls_fd is not None:
        tls = socket.socket(fileno=tls_fd)
    elif tls_port is not None:
        tls = sockets.listen(host, tls_port, "--tls-port")
    if warning := plain_warning(host, sockets.port_of(plain), trust_proxy=trust_proxy):
        logging.getLogger("softprompt.web").warning(warning.removeprefix("Warning: "))
    listeners = Listeners(plain=plain, tls=tls, cert=cert.cert if cert else None, key=cert.key if cert else None)
    serve(studio, listeners, trust_proxy=trust_proxy, lifeline=line)
