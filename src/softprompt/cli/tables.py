"""Lists and facts as plain text: aligned columns, one thing a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import typer

MOST_ITEMS = 12
"""Of a list of things with several fields."""


def print_table(heads: Sequence[str], rows: Sequence[Sequence[Any]], nothing: str) -> None:
    """Rows under heads; without rows what to do about it."""
    if not rows:
        typer.echo(nothing)
        return
    texts = [[_word(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(heads), *texts]) for i in range(len(heads))]
    for row in [list(heads), *texts]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_facts(document: Mapping[str, Any]) -> None:
    """Every field that says something; nested ones below, of a long list its beginning."""
    for line in _facts(document, ""):
        typer.echo(line)


def _facts(document: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in document.items():
        title, inner = f"{indent}{name.replace('_', ' ')}", f"{indent}  "
        if isinstance(value, dict) and value:
            yield title
            yield from _facts(value, inner)
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            yield title
            yield from (f"{inner}{_word(item)}" for item in value[:MOST_ITEMS])
            if len(value) > MOST_ITEMS:
                yield f"{inner}… and {len(value) - MOST_ITEMS:,} more: --json shows them"
        elif value not in (None, "", [], {}):
            yield f"{title:22} {_word(value)}"


def moment(text: str | None, *, seconds: bool = False) -> str:
    """A moment of the interface in this machine's time."""
    if not text:
        return "–"
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_word, value))
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_word(item)}" for name, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)
