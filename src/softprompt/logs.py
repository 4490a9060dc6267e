"""Logs: one JSON object a line for programs, plain lines for a terminal, files that do not grow without end.

Fields beside the message come from `extra={"fields": {…}}` and from `bound` and `bind`, which give every line the ids
of the request or run that it belongs to. A process that must not write to the file itself passes its lines on
(`relayed`). Decides nothing about what is logged.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from softprompt.errors import UsageError

FILE_BYTES = 10 * 2**20
FILES = 5
"""Older files that are kept beside the present one."""
REQUEST_ID = "x-request-id"
"""The header by which processes tell each other to which request something belongs."""
_BOUND: ContextVar[dict[str, Any]] = ContextVar("softprompt_log_fields")
_OWN = ("time", "level", "logger", "process", "message", "trace")


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Every line that is logged in the block (in this task or thread) carries these fields."""
    token = _BOUND.set({**bound_fields(), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


def bind(**fields: Any) -> None:
    """As `bound`, to the end of the task: a server writes down why a request broke off when the request is over."""
    _BOUND.set({**bound_fields(), **fields})


def bound_fields() -> dict[str, Any]:
    """What every line that is logged here and now carries."""
    return _BOUND.get({})


class JsonFormatter(logging.Formatter):
    """A line of JSON: time (UTC), level, logger, process, message, the fields, and the trace of an error.

    Args:
        process: which of the studio's processes speaks, such as "web 1".
    """

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if self._process:
            line["process"] = self._process
        line["message"] = record.getMessage()
        for name, value in _fields(record).items():
            if value is not None:
                line[name if name not in _OWN else f"{name}_"] = value
        if trace := _trace(self, record):
            line["trace"] = trace
        return json.dumps(line, ensure_ascii=False, default=str)


class HumanFormatter(logging.Formatter):
    """A line to read: time of day, level where it matters, message, ids."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        fields = _fields(record)
        hidden = () if level else ("request_id",)  # which request it was is news only where something is wrong
        shown = {name: value for name, value in fields.items() if name.endswith("_id") and name not in hidden}
        ids = "".join(f" [{name[:-3]} {value}]" for name, value in shown.items())
        spent = f" {fields['ms']} ms" if "ms" in fields else ""
        text = f"{clock} {level}{record.getMessage()}{spent}{ids}"
        return f"{text}\n{trace}" if (trace := _trace(self, record)) else text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {**bound_fields(), **getattr(record, "fields", {})}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    return formatter.formatException(record.exc_info) if record.exc_info else record.exc_text


class _Relay(logging.Handler):
    """Hands each line of JSON to somebody."""

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__()
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._take(self.format(record))
        except Exception:
            self.handleError(record)


def relayed(text: str) -> None:
    """Log here what another process handed to its `relay`, with all its fields."""
    line: dict[str, Any] = json.loads(text)
    level = line["level"].upper()
    told = {
        "name": line["logger"],
        "levelname": level,
        "levelno": logging.getLevelNamesMapping()[level],
        "msg": line["message"],
        "exc_text": line.get("trace"),
        "fields": {name: value for name, value in line.items() if name not in _OWN},
    }
    logging.getLogger(line["logger"]).handle(logging.makeLogRecord(told))


def setup(
    process: str = "",
    *,
    file: Path | None = None,
    stderr: bool = True,
    relay: Callable[[str], None] | None = None,
    level: int = logging.INFO,
) -> None:
    """Send all logs of this process where they belong; what was set up before is replaced.

    Args:
        process: a name for this process in every line of JSON.
        file: JSON lines with rotation.
        stderr: also standard error, in plain lines on a terminal, else in JSON.
        relay: takes lines of JSON too, for another process that logs them by `relayed`: two that write to one file
            with rotation lose lines.
        level: the least that is logged of what is ours; of libraries what is news.
    """
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    handlers: list[logging.Handler] = []
    if stderr:
        stream = logging.StreamHandler()
        stream.setFormatter(HumanFormatter() if sys.stderr.isatty() else JsonFormatter(process))
        handlers.append(stream)
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            written = RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{file} cannot be written ({error.strerror}). Give its folder to this user.") from error
        written.setFormatter(JsonFormatter(process))
        handlers.append(written)
    if relay is not None:
        passed_on = _Relay(relay)
        passed_on.setFormatter(JsonFormatter())
        handlers.append(passed_on)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("softprompt").setLevel(level)
    # Each tells its requests or steps as news; ours stand in our own words already.
    for name in ("httpx", "httpcore", "alembic", "uvicorn", "uvicorn.access", "botocore", "s3fs", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
