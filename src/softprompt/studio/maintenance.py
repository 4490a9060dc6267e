"""Cleaning up: what was deleted 30 days ago goes for good, and files that nothing needs any more.

May break off anywhere and be done again; may run on several machines at once. The audit log is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from softprompt.storage import cleaning
from softprompt.storage.tables import NOUNS
from softprompt.storage.types import now
from softprompt.studio import usage
from softprompt.studio.access import Office, called

KEPT = timedelta(days=30)
"""For which deleted things can still be found in the database, and their files in the store."""
ANSWERED = timedelta(days=7)
YOUNG = timedelta(days=2)
"""A file may lie in the store for that long before a row names it: its upload or run may not be over."""
_ROWS = 50
"""Nouns that go in one transaction: others have to get their turn."""


@dataclass(slots=True)
class Gone:
    """What was cleaned up.

    Attributes:
        rows: of each noun, by what people call it.
        files: keys in the store.
        expired: sessions, links, stored answers, workers.
    """

    rows: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    expired: int = 0

    def in_words(self) -> str:
        told = [f"{count} of {noun}" for noun, count in self.rows.items()]
        told += [f"{len(self.files)} files or folders"] if self.files else []
        told += [f"{self.expired} expired entries"] if self.expired else []
        return ", ".join(told) or "nothing to do"


def purge(
    office: Office, older_than: timedelta = KEPT, *, at: datetime | None = None, uploads: Path | None = None
) -> Gone:
    """Remove for good what was deleted before, and files without a row.

    Args:
        older_than: since when something is deleted.
        at: the present moment.
        uploads: folder of files on their way in; those that lie there for days came to nothing.
    """
    at = at or now()
    gone = Gone()
    for table in reversed(NOUNS):
        while True:
            with office.unit() as unit:
                ids = cleaning.deleted_before(unit.rows.session, table, at - older_than, _ROWS)
                if ids:
                    count = cleaning.remove_noun(unit.rows.session, table, ids)
                    gone.rows[called(table)] = gone.rows.get(called(table), 0) + count
            if not ids:
                break
    with office.unit() as unit:
        gone.expired = cleaning.remove_expired(unit.rows.session, at, at - ANSWERED, at - older_than)
    usage.tidy(office, at)
    gone.files = list(_remove_orphans(office, at - YOUNG))
    if uploads is not None:
        gone.files += _remove_stale(uploads)
    return gone


def _remove_orphans(office: Office, before: datetime) -> Iterator[str]:
    """Files and folders of the store, put there before a moment, that no row needs."""
    for under in ("datasets", "prompts", "checkpoints"):
        newest: dict[str, datetime] = {}
        for key, put in office.store.stored(under):
            whole = "/".join(key.split("/")[:2])
            newest[whole] = max(put, newest.get(whole, put))
        old = [key for key, put in newest.items() if put < before]
        for some in _batches(old):
            # In one writing unit: a dataset with the same bytes cannot come in between on SQLite, and on PostgreSQL
            # whoever brings one in puts its file again if it is not there.
            with office.unit() as unit:
                session = unit.rows.session
                if under == "checkpoints":
                    runs = cleaning.unfinished(session, [key.split("/")[1] for key in some])
                    orphans = [key for key in some if key.split("/")[1] not in runs]
                else:
                    keep = cleaning.needed(session, some)
                    orphans = [key for key in some if key not in keep]
                for key in orphans:
                    office.store.remove(key)
            yield from orphans


def _batches(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _ROWS):
        yield keys[start : start + _ROWS]


def _remove_stale(folder: Path) -> list[str]:
    gone = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            with suppress(OSError):
                if path.is_file() and path.stat().st_mtime < time.time() - YOUNG.total_seconds():
                    path.unlink()
                    gone.append(f"uploads/{path.name}")
    return gone
