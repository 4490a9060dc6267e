"""Files that are not what they should be: the page says what is wrong and where, and repairs what it can."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from browser.person import Person
from softprompt.testing.live import LiveStudio

Arrive = Callable[..., Person]
GOOD = "".join(f'{{"input": "Row {i} is here", "output": "{"AB"[i % 2]}"}}\n' for i in range(12))
BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("nothing.jsonl", b"", "empty|no rows|nothing"),
    "a picture": ("cat.jsonl", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\xff\xfe", "not|read"),
    "an archive": ("rows.zip", b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "not|read|archive"),
    "other keys": ("rows.jsonl", b'{"prompt": "a", "completion": "b"}\n' * 3, "input"),
    "no answers": ("rows.csv", b"input\nfirst\nsecond\n", "output"),
    "half a list": ("rows.json", b'[{"input": "a", "output": "b"}, {"input": "c"', "line 1|ends|bracket|closed"),
}


def upload(person: Person, name: str, body: bytes) -> None:
    person.go("/data")
    person.bring(name, body)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_words(studio: LiveStudio, person: Arrive, kind: str, scripts: bool) -> None:
    name, body, words = BAD[kind]
    somebody = person(studio, scripts=scripts)
    somebody.expect("status of 4")
    upload(somebody, name, body)
    told = somebody.page.locator("main").locator(".error, .warn, [role=alert], .scroll, .badge.invalid").first
    expect(told).to_be_visible()
    expect(somebody.page.locator("main")).to_contain_text(re.compile(words, re.I))


def test_what_can_be_repaired_is_repaired(studio: LiveStudio, person: Arrive) -> None:
    somebody = person(studio)
    rows = GOOD + '{"input": "one", "output": "A"} {"input": "two", "output": "B"}\n{"input": "no answer"}\n'
    upload(somebody, "broken.jsonl", rows.encode())
    somebody.page.wait_for_url("**/data/*")
    expect(somebody.page.locator("main")).to_contain_text("14")
    somebody.press("Fix these")
    if "/fix" in somebody.page.url:
        expect(somebody.page.locator("main")).to_contain_text("no answer")
        somebody.press("Fix")
    expect(somebody.page.locator("h1")).to_contain_text("broken")
    expect(somebody.page.get_by_role("link", name="Tune")).to_be_visible()


def test_dropped_files_are_taken(studio: LiveStudio, person: Arrive) -> None:
    somebody = person(studio)
    somebody.go("/data")
    drop = """
    (zone, text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], "dropped.jsonl"));
      for (const kind of ["dragover", "drop"])
        zone.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
    }
    """
    somebody.page.locator(".drop").evaluate(drop, GOOD)
    somebody.page.wait_for_url("**/data/*")
    expect(somebody.page.locator("h1")).to_contain_text("dropped")


def test_a_file_may_be_chosen_before_the_scripts_are_there(studio: LiveStudio, person: Arrive) -> None:
    somebody = person(studio)
    held: list[Route] = []
    somebody.page.route("**/upload.js*", lambda route: held.append(route))
    with somebody.page.expect_request("**/upload.js*"):
        somebody.page.goto("/data", wait_until="commit")
    somebody.bring("early.jsonl", GOOD.encode())
    held[0].continue_()
    somebody.page.wait_for_url("**/data/*")
    expect(somebody.page.locator("h1")).to_contain_text("early")


def test_a_file_is_not_loaded_again_on_the_way_back(studio: LiveStudio, person: Arrive) -> None:
    somebody = person(studio)
    upload(somebody, "once.jsonl", GOOD.encode())
    somebody.page.wait_for_url("**/data/*")
    somebody.page.go_back(wait_until="load")
    assert somebody.page.locator("input[type=file]").first.evaluate("field => field.files.length") == 0
    somebody.go("/data")
    expect(somebody.page.locator("main")).to_contain_text("once")
    expect(somebody.page.locator("main")).not_to_contain_text("version 2")


def test_a_wrong_file_can_be_followed_by_a_right_one(studio: LiveStudio, person: Arrive) -> None:
    somebody = person(studio)
    somebody.expect("status of 4")
    upload(somebody, "nothing.jsonl", b"")
    upload(somebody, "rows.json", json.dumps([{"input": f"r{i}", "output": "A"} for i in range(9)]).encode())
    somebody.page.wait_for_url("**/data/*")
    expect(somebody.page.locator("main")).to_contain_text("r3")
