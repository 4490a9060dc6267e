"""Evaluations on a terminal: the table of methods and their answers to a few rows. Computes nothing."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from softprompt.workbench.evaluate import Evaluation
from softprompt.workbench.report import RIGHT, answers, figures, printable

PLAIN_WIDTH = 120
"""Where no terminal says how wide a line may be."""
_STYLES = {RIGHT: "green", "✗": "red"}


def print_figures(console: Console, evaluation: Evaluation) -> None:
    """One line per method; the best values of each measure of quality stand out."""
    content = figures(evaluation)
    table = _table()
    for number, title in enumerate(content.head):
        words = title.replace(" tokens", "\ntokens").replace(" interval", "\ninterval").replace("micro-", "micro-\n")
        table.add_column(words, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    measures = [i for i, title in enumerate(content.head) if title in ("exact", "micro-F1", "ROUGE-L", "format kept")]
    best = {i: max(row[i] for row in content.rows) for i in measures}
    for row in content.rows:
        table.add_row(*(Text(cell, style="bold" if best.get(i) == cell else "") for i, cell in enumerate(row)))
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(table)


def print_answers(console: Console, evaluation: Evaluation) -> None:
    """The rows, and under each the right answer and what every method said."""
    content = answers(evaluation)
    for number, row in enumerate(evaluation.rows, start=1):
        console.print(Text.assemble((f"{number}. ", "dim"), printable(row.input)), soft_wrap=True)
        table = _table(show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for line in content.rows:
            said = line[number]
            table.add_row(Text(f"   {line[0]}"), Text(said, style=_STYLES.get(said[:1], "bold")))
        console.print(table)
        if number < len(evaluation.rows):
            console.print()


def _table(*, show_header: bool = True) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=show_header)
