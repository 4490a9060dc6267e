"""How the demo looks on a terminal: numbered steps, sentences, small tables, bars for what takes long."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from softprompt.cli.progress import TuneProgress, progress_bar, sentence
from softprompt.cli.results import print_answers, print_figures
from softprompt.data.report import DataReport
from softprompt.engine.events import Listener
from softprompt.workbench.demo import Audience
from softprompt.workbench.evaluate import Evaluation

BAR = 20


class Screen(Audience):
    """Shows everything at once, in the order in which it happens; use it in a `with` block."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def step(self, number: int, title: str) -> None:
        self._clear()
        self._console.print(Text.assemble("\n" if number > 1 else "", (f"{number}  ", "cyan"), (title, "bold")))

    def say(self, text: str, *, capital: bool = True) -> None:
        self._console.print(Text(f"   {sentence(text) if capital else text}"), soft_wrap=True)

    def data(self, reports: dict[str, DataReport]) -> None:
        for name, report in reports.items():
            words = report.lengths["input"].words
            spread = f", median {words.median} and up to {words.longest} words" if words else ""
            self.say(
                f"{name}: {report.valid} of {report.rows} rows can be used, {len(report.combinations)} different "
                f"outputs{spread}; {report.duplicate_count} copies, {report.contradiction_count} contradictions, "
                f"{report.leak_count} leaks into the test rows.",
                capital=False,
            )
        self._console.print()
        self._console.print(_labels(reports))
        self._console.print()

    def tuning(self, name: str) -> AbstractContextManager[Listener]:
        if not self._console.is_terminal:  # there the bar carries the name
            self._console.print(Text(f"   {name}", style="bold"))
        return TuneProgress(self._console, name, indent="   ")

    def method(self, name: str, number: int, count: int) -> None:
        if not self._console.is_terminal:
            self.say(f"asking {number} of {count}: {name}")
            return
        if self._bar is None:
            self._bar = progress_bar(self._console)
            self._task = self._bar.add_task("   asking", total=count, loss="", eta="")
            self._bar.start()
        self._bar.update(self._task, completed=number - 1, description=f"   asking {name}", refresh=True)

    def figures(self, evaluation: Evaluation) -> None:
        self._clear()
        print_figures(self._console, evaluation)
        for note in evaluation.notes:
            self._console.print(Text(sentence(note), style="dim"), soft_wrap=True)

    def questions(self, evaluation: Evaluation) -> None:
        print_answers(self._console, evaluation)

    def _clear(self) -> None:
        """Take the methods' bar away."""
        if self._bar is not None:
            self._bar.update(self._task, visible=False)
            self._bar.stop()
            self._bar = None


def _labels(reports: dict[str, DataReport]) -> Table:
    """How often each label stands in each training set."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("   label")
    for name in reports:
        table.add_column(name, justify="right")
        table.add_column("")
    most = max((count for report in reports.values() for count in report.labels.values()), default=1)
    for label in dict.fromkeys(label for report in reports.values() for label in report.labels):
        cells: list[Text] = [Text(f"   {label}")]
        for report in reports.values():
            count = report.labels.get(label, 0)
            cells += [Text(str(count)), Text("█" * max(1, round(BAR * count / most)), style="cyan")]
        table.add_row(*cells)
    return table
