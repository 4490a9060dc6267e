"""Lists and facts as plain text: aligned columns, one thing a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import typer


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
    """Every field that says something; nested ones below."""
    for name, value in document.items():
        if isinstance(value, dict) and value:
            typer.echo(name.replace("_", " "))
            for inner, item in value.items():
                typer.echo(f"  {inner.replace('_', ' '):20} {_word(item)}")
        elif value not in (None, "", [], {}):
            typer.echo(f"{name.replace('_', ' '):22} {_word(value)}")


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
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)
