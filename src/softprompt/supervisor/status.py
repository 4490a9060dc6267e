"""What runs: the state file of `up`, checked against the processes, the ports and the database as they are now."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from softprompt.config import StudioSettings
from softprompt.errors import SoftpromptError
from softprompt.supervisor import figures, home

_SECONDS = 3.0


def status(settings: StudioSettings) -> dict[str, Any]:
    """One document: `running`, then `web`, `tls`, `workers`, `serving`, `queue`, `runs`, `deployments`.

    And `problem` if the database does not answer, `warning` if jobs wait and no worker runs.
    """
    state = home.read_state(settings.data_dir)
    running = home.is_running(settings.data_dir)
    known = state.get("processes", []) if running else []
    processes = [{**each, "state": _state(each)} for each in known]
    return {
        "running": running,
        "data_dir": str(settings.data_dir),
        "version": state.get("version") if running else None,
        "pid": state.get("pid") if running else None,
        "started": state.get("started") if running else None,
        "web": _web(processes, state.get("web"), running),
        "tls": {
            **_web(processes, state.get("tls"), running),
            "certificate": state.get("certificate"),
            "expires": state.get("certificate_expires"),
        },
        "serving": _serving(settings, processes),
        **_data(settings, processes),
    }


def answers(address: str | None) -> bool:
    """Whether somebody answers `/healthz` there, and that all is well."""
    return b" 200 " in heard(address)


def heard(address: str | None) -> bytes:
    """How the answer to `/healthz` begins there; nothing without an answer in some seconds."""
    if not address:
        return b""
    parts = urlsplit(address)
    with suppress(OSError, ValueError):
        line: socket.socket = socket.create_connection((parts.hostname or "", parts.port or 80), _SECONDS)
        with line:
            if parts.scheme == "https":  # whether it answers, not who; clients check that
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                line = context.wrap_socket(line)
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return line.recv(64)
    return b""


def _state(process: dict[str, Any]) -> str:
    """The parent's word, unless the process is gone and the parent has not noticed yet."""
    pid = process.get("pid")
    if pid is not None:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return "restarting"
        except PermissionError:
            pass
    return str(process.get("state"))


def _web(processes: list[dict[str, Any]], address: str | None, running: bool) -> dict[str, Any]:
    mine = [each for each in processes if each["kind"] == "web"]
    answering = running and answers(address)
    state = "running" if answering else "not answering" if running else "stopped"
    pids = [each["pid"] for each in mine if each["pid"]]
    return {
        "state": state,
        "address": address if running else None,
        "pid": pids[0] if pids else None,
        "processes": mine,
    }


def _serving(settings: StudioSettings, processes: list[dict[str, Any]]) -> dict[str, Any]:
    mine = next((each for each in processes if each["kind"] == "serving"), None)
    if mine is None:
        return {"state": "stopped", "address": None, "pid": None}
    if mine["state"] != "running":
        return {**mine, "address": None}
    address = serving_address(settings)
    frozen = address is not None and not heard(address)
    return {**mine, "state": "not answering" if frozen else "running", "address": address}


def serving_address(settings: StudioSettings) -> str | None:
    """Where the serving host of this folder said that it answers."""
    from softprompt.serving import discovery

    found = discovery.read(settings.data_dir)
    return found.address if found else None


def _data(settings: StudioSettings, processes: list[dict[str, Any]]) -> dict[str, Any]:
    """What the database knows; workers of other machines too."""
    mine = [each for each in processes if each["kind"] == "worker"]
    empty: dict[str, Any] = {"workers": mine, "queue": None, "runs": None, "deployments": None}
    if not home.is_there(settings):
        return empty
    try:
        office = home.office_of(settings)
        try:
            home.need_tables(office, settings.data_dir)
            found = figures.read(office)
        finally:
            office.database.close()
    except SoftpromptError as error:
        return {**empty, "problem": str(error)}
    told = {worker.pid: asdict(worker) for worker in found.working if worker.host == socket.gethostname()}
    workers = [{**each, **told.pop(each["pid"], {"host": socket.gethostname(), "job": ""})} for each in mine]
    others = [worker for worker in found.working if worker.host != socket.gethostname() or worker.pid in told]
    workers += [{"name": f"worker on {w.host}", "kind": "worker", "state": "running", **asdict(w)} for w in others]
    queue = {"queued": found.queued, "running": found.running}
    known = {"workers": workers, "queue": queue, "runs": dict(found.runs), "deployments": found.deployments}
    return {**known, "warning": found.nobody_works} if found.nobody_works else known
