"""Logs: one JSON object a line for programs, plain lines for a terminal, files that do not grow without end.

Fields beside the message come from `extra={"fields": {…}}` and from `bound`, which gives every line of a block the id
of the request or run that it belongs to. Decides nothing about what is logged.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

FILE_BYTES = 10 * 2**20
FILES = 5
"""Older files that are kept beside the present one."""
_BOUND: ContextVar[dict[str, Any]] = ContextVar("softprompt_log_fields")
_OWN = ("time", "level", "logger", "process", "message", "trace")


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Every line that is logged in the block (in this task or thread) carries these fields."""
    token = _BOUND.set({**_BOUND.get({}), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


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
        for name, value in {**_BOUND.get({}), **getattr(record, "fields", {})}.items():
            if value is not None:
                line[name if name not in _OWN else f"{name}_"] = value
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class HumanFormatter(logging.Formatter):
    """A line to read: time of day, level where it matters, message, ids."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        fields = {**_BOUND.get({}), **getattr(record, "fields", {})}
        ids = "".join(f" [{name[:-3]} {value}]" for name, value in fields.items() if name in ("run_id", "job_id"))
        spent = f" {fields['ms']} ms" if "ms" in fields else ""
        text = f"{clock} {level}{record.getMessage()}{spent}{ids}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def setup(process: str = "", *, file: Path | None = None, stderr: bool = True, level: int = logging.INFO) -> None:
    """Send all logs of this process where they belong; what was set up before is replaced.

    Args:
        process: a name for this process in every line of JSON.
        file: JSON lines with rotation.
        stderr: also standard error, in plain lines on a terminal, else in JSON.
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
        file.parent.mkdir(parents=True, exist_ok=True)
        written = RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8")
        written.setFormatter(JsonFormatter(process))
        handlers.append(written)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    # Each tells its requests or steps as news; ours stand in our own words already.
    for name in ("httpx", "httpcore", "alembic", "uvicorn", "uvicorn.access", "botocore", "s3fs", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
