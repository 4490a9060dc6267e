"""Shows a tuning run while it works: a bar on a terminal, a plain line per epoch elsewhere. Decides nothing."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from softprompt.engine import events

PROBE = 5
"""Updates after which the time to go is told where there is no bar; the first ones are slower than the rest."""


class TuneProgress:
    """A listener for the events of one run; use it in a `with` block.

    Attributes:
        first, last: loss of the first and of the latest update, None before.
        update, updates: how far the run is.
        saved: the update of the latest checkpoint, None without one.
    """

    def __init__(self, console: Console, title: str = "Tuning", indent: str = "") -> None:
        self._console, self._indent = console, indent
        self._bar = progress_bar(console) if console.is_terminal else None
        self._task = None if self._bar is None else self._bar.add_task(indent + title, total=None, loss="", eta="")
        self._seen = 0
        self.update = self.updates = 0
        self.saved: int | None = None
        self.first: float | None = None
        self.last: float | None = None

    def __enter__(self) -> TuneProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.Note(text):
                self._say(sentence(text))
            case events.Started():
                self._begin(event)
            case events.StepDone():
                self._step(event)
            case events.EpochDone():
                self._epoch(event)
            case events.ReadoutEpochDone():
                metric = "" if event.metric is None else f", {event.metric:.3f} exact on held-out rows"
                self._say(f"Pass {event.epoch + 1} through the readout: loss {event.loss:.4f}{metric}.")
            case events.Saved(update):
                self.saved = update
            case events.Finished(reason, update):
                if self._bar is not None and self._task is not None:
                    self._bar.update(self._task, eta="last touches")
                if reason != "all epochs done":
                    self._say(f"Stopped after update {update}: {reason}.")

    def _begin(self, event: events.Started) -> None:
        self.update, self.updates = event.done, event.updates
        if event.done:
            self._say(f"Goes on behind update {event.done} of {event.updates}.")
            self.saved = event.done
        self._say(
            f"{event.rows:,} rows, {event.virtual_tokens} virtual tokens, {event.updates:,} updates; "
            f"{event.target_tokens:,} target tokens an epoch."
        )
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=event.updates, completed=event.done)

    def _step(self, event: events.StepDone) -> None:
        self.update, self.last = event.update, event.loss
        self.first = event.loss if self.first is None else self.first
        self._seen += 1
        if self._bar is not None and self._task is not None:
            eta = f"{duration(event.eta_seconds)} to go" if self._seen > 1 and event.eta_seconds >= 1 else ""
            self._bar.update(self._task, completed=event.update, loss=f"loss {event.loss:.3f}", eta=eta)
        elif self._seen == PROBE and event.update < self.updates:
            self._say(f"About {duration(event.eta_seconds)} to go, measured over the first {PROBE} updates.")

    def _epoch(self, event: events.EpochDone) -> None:
        if self._bar is not None:
            return
        parts = [f"epoch {event.epoch + 1:>2}", f"update {self.update:>4}/{self.updates}", f"loss {event.loss:.4f}"]
        if event.validation_loss is not None:
            parts.append(f"validation loss {event.validation_loss:.4f}")
        if event.metric is not None:
            parts.append(f"metric {event.metric:.3f}")
        if event.best:
            parts.append("best so far")
        self._say("  ".join([*parts, duration(event.seconds)]))

    def _say(self, text: str) -> None:
        (self._bar.console if self._bar is not None else self._console).print(Text(self._indent + text), soft_wrap=True)


def progress_bar(console: Console) -> Progress:
    """The house's progress bar: name, bar, count, loss, time to go."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=32, complete_style="cyan", finished_style="green", pulse_style="cyan"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("[dim]{task.fields[eta]}"),
        console=console,
    )


def duration(seconds: float) -> str:
    """ "42 s", "2 min 10 s", "1 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s" if whole or not seconds else f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return (text[:1].upper() + text[1:]) + ("" if text.endswith((".", "!", "?")) else ".")
