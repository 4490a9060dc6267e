"""`softprompt restore`: a studio from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DatabaseUrl, DataDir, StorageUrl, settings
from softprompt.errors import Conflict

if TYPE_CHECKING:
    from softprompt.studio.access import Office


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `softprompt backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Throw away the studio that is there.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    storage_url: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring a studio back from a backup. Everything is checked first; then all of it is there, or nothing changed.

    The studio must not run. Backups of older versions are migrated.
    """
    from softprompt.storage import backup
    from softprompt.supervisor.home import is_there, office_of, sole

    studio = settings(data_dir, database_url, storage_url)
    with sole(studio.data_dir, wish="be restored"):
        office = office_of(studio)
        try:
            if is_there(studio):  # else asking would make an empty database, which stays when the backup is refused
                _refuse_workers(office)
            made = backup.restore(
                file, office.database, office.store, scratch=studio.data_dir / "scratch", replace=replace
            )
        finally:
            office.database.close()
    if as_json:
        print_json({"revision": made.revision, "created": made.created, "rows": made.rows, "missing": made.missing})
        return
    typer.echo(f"Restored: {sum(made.rows.values()):,} rows, {len(made.keys):,} files and folders of {made.created}.")
    typer.echo("Start it: softprompt up")


def _refuse_workers(office: Office) -> None:
    """Workers of other machines must not write into tables that are being replaced."""
    from softprompt.jobs import workers
    from softprompt.storage.rows import Rows

    if office.database.revision() != office.database.newest_revision():
        return
    with office.database.read() as session:
        hosts = sorted({f"{row.host} (process {row.pid})" for row in workers.present(Rows(session))})
    if hosts:
        raise Conflict(
            f"Workers are at work on this database: {', '.join(hosts)}. Stop them; one that died counts as gone after "
            "half a minute."
        )
