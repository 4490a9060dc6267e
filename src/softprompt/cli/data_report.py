"""A data report for people: tables with bars, problems with their places, warnings. Computes nothing."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from softprompt.data.findings import Cut, Lengths
from softprompt.data.problems import Problem
from softprompt.data.report import DataReport

_BAR = 24
_MOST_ROWS = 20
_SEEN = 32
"""Characters of the file shown beside a problem."""
_BLOCKS = " ▏▎▍▌▋▊▉█"


def print_report(console: Console, report: DataReport) -> None:
    """The whole report, the most urgent part last, where the reader's eye is."""
    parts: list[RenderableType] = [_headline(report)]
    if report.labels and report.task == "multilabel":
        parts.append(_bars("label", report.labels, report.valid))
    if report.combinations:
        parts.append(_bars("output", report.combinations, report.valid))
    if report.lengths:
        parts.append(_lengths(report.lengths, report.cut))
    if report.test:
        parts += _test(report.test)
    if report.leaks:
        parts.append(_leaks(report))
    if report.problems:
        parts.append(_problems(report.problems, sum(report.problem_kinds.values())))
    parts += [Text.assemble(("! ", "bold yellow"), warning) for warning in report.warnings]
    parts.append(_verdict(report))
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
        if isinstance(part, Table):
            console.print()


def print_changes(console: Console, changes: dict[str, Any]) -> None:
    """What `--fix` did."""
    lines = [Text.assemble(("wrote ", "bold"), f"{_rows(changes['rows'])} to {changes['path']}")]
    if changes["dropped"]:
        lines.append(Text(f"  left out: {_rows(changes['dropped'])} that cannot be repaired"))
    if changes["repaired"]:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in changes["repaired"].items())
        lines.append(Text(f"  repaired: {kinds}"))
    if wrapper := changes["wrapper"]:
        lines.append(Text(f"  taken off every input: {wrapper['prefix'] + '…' + wrapper['suffix']!r}"))
    for spelling in changes["spellings"]:
        lines.append(Text(f"  {spelling['from']!r} → {spelling['to']!r} in {_rows(spelling['rows'])}"))
    console.print(Group(*lines))


def _headline(report: DataReport) -> Text:
    refused = f", {report.refused:,} refused" if report.refused else ""
    facts = f"  {_rows(report.rows)}, {report.valid:,} valid{refused}, {report.task}"
    return Text.assemble((report.path, "bold"), facts)


def _bars(title: str, counts: dict[str, int], rows: int) -> Table:
    table = _table(title, "rows", "share", "")
    table.columns[1].justify = table.columns[2].justify = "right"
    largest = max(counts.values())
    for name, count in list(counts.items())[:_MOST_ROWS]:
        table.add_row(Text(name), f"{count:,}", f"{count / rows:.1%}", Text(_bar(count / largest), style="cyan"))
    if len(counts) > _MOST_ROWS:
        rest = sum(list(counts.values())[_MOST_ROWS:])
        table.add_row(Text(f"… {len(counts) - _MOST_ROWS:,} more"), f"{rest:,}", f"{rest / rows:.1%}", "")
    return table


def _lengths(lengths: dict[str, Lengths], cut: Cut | None) -> Table:
    table = _table("length", "median", "95 %", "longest", "mean")
    for column in table.columns[1:]:
        column.justify = "right"
    for side, measured in lengths.items():
        for unit in ("words", "characters", "tokens"):
            spread = getattr(measured, unit)
            if spread:
                values = (spread.median, spread.p95, spread.longest, spread.mean)
                table.add_row(f"{side}, {unit}", *(f"{value:,}" for value in values))
    if cut:
        table.caption = f"{cut.rows:,} rows are cut at {cut.limit} tokens"
        table.caption_justify = "left"
    return table


def _test(test: DataReport) -> list[RenderableType]:
    parts: list[RenderableType] = [_headline(test)]
    if test.problems:
        parts.append(_problems(test.problems, sum(test.problem_kinds.values())))
    return parts + [Text.assemble(("! ", "bold yellow"), "test file: ", warning) for warning in test.warnings]


def _leaks(report: DataReport) -> Table:
    table = _table("training line", "test line", "leak", "shared")
    for leak in report.leaks[:_MOST_ROWS]:
        table.add_row(str(leak.line), str(leak.test_line), leak.kind, f"{leak.overlap:.0%}")
    if report.leak_count > _MOST_ROWS:
        table.add_row("…", "…", f"{report.leak_count - _MOST_ROWS:,} more", "")
    return table


def _problems(problems: tuple[Problem, ...], total: int) -> Table:
    table = _table("place", "", "problem", "seen", "what to do")
    table.columns[2].ratio, table.columns[3].ratio, table.columns[4].ratio = 4, 2, 3
    table.expand = True
    shown = sorted(problems, key=lambda p: p.repaired)[:_MOST_ROWS]  # what costs rows comes first
    for problem in shown:
        mark = Text("repaired", style="green") if problem.repaired else Text("refused", style="bold red")
        place = ":".join(str(number) for number in (problem.line, problem.column) if number) or "file"
        seen = problem.seen if len(problem.seen) <= _SEEN else problem.seen[: _SEEN - 1] + "…"
        table.add_row(place, mark, Text(problem.message), Text(seen, style="dim"), Text(problem.fix))
    if total > len(shown):
        table.add_row("…", "", Text(f"{total - len(shown):,} more; --json lists up to 1,000"), "", "")
    return table


def _verdict(report: DataReport) -> Text:
    if report.ok:
        return Text("All rows can be used.", style="bold green")
    if not report.valid:
        return Text("No row can be used.", style="bold red")
    broken = report.refused + (report.test.refused if report.test else 0)
    hint = "correct them, or write the others with --fix OUT"
    return Text(f"{_rows(broken)} cannot be used: {hint}.", style="bold red")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _bar(share: float) -> str:
    eighths = max(1, round(share * _BAR * 8))
    return "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
