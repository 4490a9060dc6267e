"""`softprompt doctor`: what is wrong, and what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DatabaseUrl, DataDir, StorageUrl, settings


def command(
    port: Annotated[int, typer.Option(metavar="PORT", help="That `up` shall use.")] = 8440,
    tls_port: Annotated[int, typer.Option(metavar="PORT", help="That `up` shall use for HTTPS.")] = 8443,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    storage_url: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Look a studio and this machine over. Each line is ok or says what to do; exit code 1 if something is wrong."""
    from softprompt.supervisor.doctor import examine

    found = examine(settings(data_dir, database_url, storage_url), port, tls_port)
    wrong = sum(finding.verdict == "wrong" for finding in found)
    if as_json:
        print_json({"ok": not wrong, "checks": [asdict(finding) for finding in found]})
    else:
        width = max(len(finding.check) for finding in found)
        for finding in found:
            typer.echo(f"{finding.verdict:8} {finding.check:{width}}  {finding.words}")
    if wrong:
        raise typer.Exit(1)
