"""What the errors of the database's drivers mean, and what to do about them: each in our words, none as a trace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from softprompt.errors import DatabaseUnusable, NameTaken, ParameterInvalid, SoftpromptError, StorageFull, Unavailable

_BROKEN = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_CLOSED = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")
_IN_USE = ("SQLITE_BUSY", "SQLITE_LOCKED")


@contextmanager
def explained(file: Path | None) -> Iterator[None]:
    """Errors of the driver in our words.

    Args:
        file: that SQLite keeps the database in; None for a server, or for one in memory.
    """
    try:
        yield
    except SoftpromptError:
        raise
    except IntegrityError as error:
        raise NameTaken(f"That would be there twice: {error.orig}. Choose another name.") from error
    except DataError as error:
        raise ParameterInvalid(f"A value cannot be stored: {_words(error)}. Correct it.") from error
    except (UnicodeEncodeError, OverflowError) as error:  # from SQLite's driver, which does not dress them
        raise ParameterInvalid(f"A value cannot be stored: {error}. Correct it.") from error
    except DBAPIError as error:
        found = _of_the_disk(error) or (_of_a_file(error, file) if file else _of_a_server(error))
        if found is None:
            raise
        raise found from error


def broken(file: Path, words: str) -> DatabaseUnusable:
    return DatabaseUnusable(
        f"The database {file} is broken: {words}. Stop the studio, move this file and those beside it that end in "
        "-wal and -shm to another place, then bring a backup back: softprompt restore BACKUP"
    )


def _of_the_disk(error: DBAPIError) -> SoftpromptError | None:
    if any(words in str(error.orig) for words in ("disk is full", "No space left")):
        return StorageFull("The database's disk is full. Make room and try again; nothing was lost.")
    return None


def _of_a_file(error: DBAPIError, file: Path) -> SoftpromptError | None:
    kind, words = str(getattr(error.orig, "sqlite_errorname", "")), _words(error)
    if kind.startswith(_BROKEN):
        return broken(file, words)
    if file.is_dir():
        return DatabaseUnusable(f"{file} is a folder and no database. Move it away, or name a file: --database-url.")
    if kind.startswith(_CLOSED) and not _is_ours(file):
        return DatabaseUnusable(
            f"The database {file} cannot be read and written by this user ({words}). Give the file and its folder to "
            f"the user that runs the studio (chown -R USER {file.parent}), or run this as that user."
        )
    if kind.startswith(_IN_USE):
        return Unavailable(
            f"The database does not answer: {words}. Another program holds {file}; `fuser {file}` names it. End it, or "
            "try again."
        )
    if isinstance(error, OperationalError):
        return Unavailable(f"The database does not answer: {words} ({file}). `softprompt doctor` looks it over.")
    return None


def _of_a_server(error: DBAPIError) -> SoftpromptError | None:
    if isinstance(error, OperationalError):
        return Unavailable(
            f"The database does not answer: {_words(error)}. Check --database-url, the server and the network between."
        )
    if error.connection_invalidated or getattr(error.orig, "sqlstate", "") in ("40001", "40P01"):
        return Unavailable(f"The database broke off: {_words(error)}.")
    return None


def _is_ours(file: Path) -> bool:
    """Whether this user may write the file and, as SQLite has to, others beside it."""
    reached = os.access(file.parent, os.W_OK | os.X_OK)
    return reached and (not file.exists() or os.access(file, os.R_OK | os.W_OK))


def _words(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0].rstrip(".")
