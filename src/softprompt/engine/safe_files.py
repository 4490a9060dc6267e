"""Reads files of strangers: fixed names inside one folder, plain files only, never more bytes than allowed.

Also JSON that means the same to every reader: no duplicate keys, no NaN, no infinity. Does not know what the content
means and never opens a pickle.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from softprompt.errors import ArtifactInvalid

MAX_JSON_BYTES = 4 << 20


def read_file(folder: Path, name: str, limit: int) -> bytes:
    """All bytes of `folder/name`.

    Args:
        folder: nothing outside of it is read, not even through links.
        name: fixed by the format, never taken from content.
        limit: a larger file is refused before it is read.
    """
    path = folder / name
    try:
        real, home = path.resolve(strict=True), folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        refuse(
            path, f"cannot be read: {reason(error)}", "Copy the folder again; an interrupted copy is the usual cause."
        )
    if not real.is_relative_to(home):
        refuse(path, f"is a link to {real}, outside of its folder", "Copy the folder with its content: cp -rL FROM TO.")
    try:
        # Non-blocking: opening a pipe must not wait for a writer that never comes.
        number = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        refuse(path, f"cannot be read: {reason(error)}", "Check the permissions of the folder.")
    try:
        facts = os.fstat(number)
        if not stat.S_ISREG(facts.st_mode):
            refuse(path, "is no plain file", "Only plain files are read.")
        if facts.st_size > limit:
            refuse(
                path, f"has {facts.st_size:,} bytes, more than the {limit:,} allowed", "It is no file of this format."
            )
        with os.fdopen(number, "rb", closefd=False) as stream:
            return stream.read(facts.st_size)
    except OSError as error:
        refuse(path, f"cannot be read: {reason(error)}", "Check the disk.")
    finally:
        os.close(number)


def read_json(folder: Path, name: str, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in `folder/name`."""
    return parse_json(read_file(folder, name, limit), folder / name)


def parse_json(data: bytes, where: Path | str) -> dict[str, Any]:
    """One JSON object: duplicate keys, NaN, infinity, half characters and towers of brackets are refused."""
    try:
        content = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
        json.dumps(content, ensure_ascii=False).encode("utf-8")  # lone surrogates cannot be written again
    except (ValueError, RecursionError) as error:
        refuse(where, f"is no sound JSON: {reason(error)}", "Copy the folder again.")
    if not isinstance(content, dict):
        refuse(where, f"holds a JSON {type(content).__name__} where an object belongs", "Copy the folder again.")
    return content


def refuse(where: Path | str, what: str, advice: str) -> NoReturn:
    """Say which file, what is wrong with it and what to do."""
    raise ArtifactInvalid(f"{where} {what}. {advice}")


def reason(error: BaseException) -> str:
    """The first line of an error, short, without a full stop."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = words.strip().splitlines()
    first = "".join(filter(str.isprintable, lines[0][:200])) if lines else ""
    return (first or type(error).__name__).rstrip(".")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands there twice")
    return content


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word[:40]} is too large a number")
    return number
