"""`softprompt backup`: a whole studio into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DatabaseUrl, DataDir, StorageUrl, settings


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; an older backup there is replaced.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    storage_url: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write everything of a studio into one file, as of one moment; the studio may run meanwhile.

    It can be restored into SQLite or PostgreSQL, a folder or S3, whatever it came from. Keep it safe: it holds digests
    of passwords and keys.
    """
    from softprompt.storage import backup
    from softprompt.supervisor.home import office_of

    studio = settings(data_dir, database_url, storage_url)
    office = office_of(studio, existing=True)
    try:
        made = backup.write(office.database, office.store, file)
    finally:
        office.database.close()
    size = file.stat().st_size
    if as_json:
        print_json(
            {
                "file": str(file.absolute()),
                "bytes": size,
                "revision": made.revision,
                "created": made.created,
                "rows": made.rows,
                "files": len(made.keys),
                "missing": made.missing,
            }
        )
    else:
        rows = sum(made.rows.values())
        typer.echo(f"{file}: {rows:,} rows, {len(made.keys):,} files and folders, {size / 1e6:,.1f} MB")
    if made.missing:
        shown = ", ".join(made.missing[:5])
        typer.echo(f"warning: the store did not have {len(made.missing)} of them: {shown}", err=True)
