"""`softprompt status`: what of a studio runs."""

from __future__ import annotations

from typing import Any

import typer

from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DatabaseUrl, DataDir, settings


def command(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Say what of a studio runs, where it answers and what it does. Exit code 1 if it does not run."""
    from softprompt.supervisor.status import status

    found = status(settings(data_dir, database_url))
    if as_json:
        print_json(found)
    else:
        for line in _lines(found):
            typer.echo(line)
    if not found["running"]:
        raise typer.Exit(1)


def _lines(found: dict[str, Any]) -> list[str]:
    if not found["running"]:
        lines = [f"No studio runs on {found['data_dir']}. Start it: softprompt up"]
    else:
        lines = [f"Studio {found['version']} on {found['data_dir']}, process {found['pid']}, since {found['started']}"]
        lines += [f"{name:10} {_part(found[name])}" for name in ("web", "tls", "serving")]
    lines += [f"{'worker':10} {_part(worker)}" for worker in found["workers"]]
    if found["queue"] is not None:
        runs = ", ".join(f"{count:,} {state}" for state, count in found["runs"].items() if count) or "none"
        lines.append(f"{'queue':10} {found['queue']['queued']:,} waiting, {found['queue']['running']:,} at work")
        lines.append(f"{'runs':10} {runs}")
        lines.append(f"{'deployed':10} {found['deployments']:,}")
    if found.get("warning"):
        lines.append(f"{'warning':10} {found['warning']}")
    if found.get("problem"):
        lines.append(f"{'database':10} {found['problem']}")
    return lines


def _part(part: dict[str, Any]) -> str:
    words = [part["state"]]
    if part.get("address"):
        words.append(part["address"])
    if part.get("host"):
        words.append(f"on {part['host']} ({part.get('device', 'cpu')})")
    if part.get("pid"):
        words.append(f"pid {part['pid']}")
    if part.get("restarts"):
        words.append(f"{part['restarts']} restarts")
    words += [part[name] for name in ("job", "problem") if part.get(name)]
    return "  ".join(map(str, words))
