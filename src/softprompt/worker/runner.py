"""What a worker hands to whoever does the work, and what it hears back.

A runner does one task at a time. Here stands the seam: `local.LocalRunner` works in a child process on this machine,
`distributed` in a cluster. Does not know the queue or the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Stop = Literal["cancel", "keep", "pause"]
"""End without a result; end now with the best so far; leave a checkpoint and end."""
Message = dict[str, Any]
"""What a runner tells, under "kind":

event: {"event": a record of `engine.events`, or {"event": "Method", "name"}}
done: {"result": {…}}, see `child_work`; stopped: as `stop` wanted
failed: {"code", "message", "retry"}; died: {"message"}: no word any more, for whatever reason
"""
ALIVE, READY, LOGGED = "alive", "ready", "logged"
"""Kinds that are between a child and its runner alone: it comes further; it has loaded its libraries; a line of its
log, under "line"."""
LAST = frozenset({"done", "stopped", "failed", "died"})
"""Kinds behind which nothing follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneTask:
    """A tuning run, with everything it reads on local paths.

    Attributes:
        model_id: what the tuned prompt calls its model.
        model: the catalogue's id or a folder.
        name: of the tuned prompt.
        out: folder to write it to; a checkpoint beside it, in `OUT.run`, is continued.
        config: fields of `TuneConfig`.
        validation: a share of the training rows, a file, or nothing.
        test: a file to measure the result on, or nothing.
    """

    model_id: str
    model: str
    device: str
    name: str
    train: str
    out: str
    config: dict[str, Any]
    validation: float | str | None = None
    test: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateTask:
    """An evaluation.

    Attributes:
        methods: "zero-shot", "K-shot", "baseline", or folders of tuned prompts.
        kept: file of the answers so far, continued if it is there.
        settings: further arguments of `workbench.evaluate`: instruction, guard, limit, pattern, max_new_tokens.
    """

    model_id: str
    model: str
    device: str
    title: str
    test: str
    methods: Sequence[str]
    kept: str
    examples: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureTask:
    """A few updates, to know how fast this machine is.

    Attributes:
        config: fields of `TuneConfig`, batch size and accumulation among them.
        validation: whether validation rows are to be measured.
        test: the file of the test rows, or nothing.
    """

    model_id: str
    model: str
    device: str
    train: str
    config: dict[str, Any]
    validation: bool = False
    test: str | None = None


Task = TuneTask | EvaluateTask | MeasureTask
KINDS: dict[type[Task], str] = {TuneTask: "tune", EvaluateTask: "evaluate", MeasureTask: "measure"}
"""What a task is called in the message that hands it over."""


class Runner(Protocol):
    def warm(self) -> None:
        """Get ready for a task that may come soon."""

    def start(self, task: Task) -> None:
        """Begin a task; the one before is over."""

    def messages(self, seconds: float) -> list[Message]:
        """What was told since the last call; waits that long for the first word."""

    def stop(self, how: Stop) -> None:
        """Ask the task to end at its next update; a last message follows."""

    def silent(self) -> float:
        """Seconds since the task told something, or came further without a word."""

    def kill(self, *, trace: bool = False) -> None:
        """End the task at once, whatever it does; "died" follows.

        Args:
            trace: let it first write into the worker's log where it stands.
        """

    def close(self) -> None:
        """Give up everything."""
