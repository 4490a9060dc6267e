"""Log lines: JSON with ids for programs, short ones for people, files that rotate."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from softprompt import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_is_one_json_object_with_fields_and_bound_ids(tmp_path: Path) -> None:
    logs.setup("web 1", file=tmp_path / "logs" / "web.log", stderr=False)
    log = logging.getLogger("softprompt.requests")
    with logs.bound(run_id="r-1"):
        log.info("%s done\nreally", "GET", extra={"fields": {"status": 200, "user": None, "level": "mine"}})
    log.warning("ends")
    first, second = written(tmp_path / "logs" / "web.log")
    assert str(first.pop("time")).endswith("Z")
    assert first == {
        "level": "info", "logger": "softprompt.requests", "process": "web 1", "message": "GET done\nreally",
        "run_id": "r-1", "status": 200, "level_": "mine",
    }  # fmt: skip
    assert "run_id" not in second


def test_an_error_carries_its_trace_in_the_same_line(tmp_path: Path) -> None:
    logs.setup(file=tmp_path / "x.log", stderr=False)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("a").exception("broke")
    (line,) = written(tmp_path / "x.log")
    assert str(line["trace"]).endswith("ValueError: no")


def test_without_a_terminal_standard_error_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("worker 1")
    logging.getLogger("a").info("hello")
    logging.getLogger("httpx").info("a request")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"


def test_people_get_short_lines() -> None:
    record = logging.LogRecord("a", logging.WARNING, "", 0, "slow %s", ("disk",), None)
    record.fields = {"ms": 12.5, "run_id": "r-1", "status": 200}
    assert logs.HumanFormatter().format(record)[9:] == "warning: slow disk 12.5 ms [run r-1]"


def test_files_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 500)
    monkeypatch.setattr(logs, "FILES", 2)
    logs.setup(file=tmp_path / "x.log", stderr=False)
    for number in range(50):
        logging.getLogger("a").info("line %d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]
    assert written(tmp_path / "x.log")[-1]["message"] == "line 49"
