"""Log lines: JSON with ids for programs, short ones for people, files that rotate."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from softprompt import logs
from softprompt.config import log_level_from_environment
from softprompt.errors import ParameterInvalid

pytestmark = pytest.mark.usefixtures("log_file")


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


def test_what_is_bound_stays_to_the_end_of_a_task_and_no_longer(log_file: Path) -> None:
    logs.setup(file=log_file, stderr=False)
    log = logging.getLogger("a")

    async def request(name: str) -> None:
        logs.bind(request_id=name)
        await asyncio.to_thread(log.info, "in a thread")
        await asyncio.sleep(0)
        log.info("after it")

    async def both() -> None:
        await asyncio.gather(request("one"), request("two"))
        log.info("outside")

    asyncio.run(both())
    lines = written(log_file)
    assert sorted((line["message"], line.get("request_id")) for line in lines[:-1]) == [
        (words, name) for words in ("after it", "in a thread") for name in ("one", "two")
    ]
    assert "request_id" not in lines[-1]


def test_a_line_that_is_relayed_keeps_its_fields_and_its_trace(log_file: Path) -> None:
    told: list[str] = []
    logs.setup(stderr=False, relay=told.append)
    with logs.bound(run_id="r-1"):
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("softprompt.a").exception("broke: 100 %")
    logs.setup("worker 1", file=log_file, stderr=False)
    for text in told:
        logs.relayed(text)
    (line,) = written(log_file)
    assert (line["level"], line["logger"], line["process"]) == ("error", "softprompt.a", "worker 1")
    assert (line["message"], line["run_id"]) == ("broke: 100 %", "r-1")
    assert str(line["trace"]).endswith("ValueError: no")


def test_people_see_which_request_it_was_where_something_is_wrong() -> None:
    with logs.bound(request_id="q-1"):
        for level, words in ((logging.INFO, "x"), (logging.ERROR, "error: x [request q-1]")):
            record = logging.LogRecord("a", level, "", 0, "x", None, None)
            assert logs.HumanFormatter().format(record)[9:] == words


def test_only_what_is_ours_tells_more(log_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_LOG_LEVEL", "debug")
    logs.setup(file=log_file, stderr=False, level=log_level_from_environment())
    for name in ("softprompt.serving", "urllib3"):
        logging.getLogger(name).debug("detail")
    assert [line["logger"] for line in written(log_file)] == ["softprompt.serving"]
    monkeypatch.setenv("SOFTPROMPT_LOG_LEVEL", "loud")
    with pytest.raises(ParameterInvalid, match="'loud': not one of debug, info, warning, error"):
        log_level_from_environment()
