"""Answers of the Prompt Lab over one stream, counts while somebody types, and the history they leave."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx

from softprompt.storage.people import User
from softprompt.storage.tables import LabGeneration
from softprompt.studio import lab_history
from softprompt.studio.access import SYSTEM, Actor
from softprompt.studio.lab import LabPage, Try
from softprompt.studio.lab_history import Answer, Token
from softprompt.testing.live import LiveStudio, wait_until
from softprompt.ui.pages.lab_answers import cell, told

from .lab_fixtures import MODEL, streamed, token_of, tuned, words

Post = Callable[..., httpx.Response]


def test_all_cells_come_over_one_stream(browser: httpx.Client, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    sent = {"columns": "2", "subject": MODEL, "subject.1": prompt, "try_input": ["one two", "", "three four"]}
    events = streamed(browser, sent)
    assert events[0]["cells"] == 4
    assert events[-1]["end"]
    done = {(e["row"], e["column"]): e for e in events if "told" in e}
    assert set(done) == {(0, 0), (0, 1), (2, 0), (2, 1)}, "rows are numbered as they stand on the page"
    for place, event in done.items():
        assert event["told"].startswith("Tokens: ")
        assert event["html"].startswith("<div")
        pieces = [e["piece"] for e in events if e.get("piece") and (e["row"], e["column"]) == place]
        assert "".join(pieces)
    assert "THREE FOUR" in words(done[2, 1]["html"])


def test_each_token_tells_of_the_others_in_its_place(browser: httpx.Client, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    html = streamed(browser, {"subject": prompt, "try_input": "it hums"})[-2]["html"]
    assert 'data-token="IT"' in html
    assert re.search(r'data-chance="0\.7788"', html)
    assert "other 5%" in html
    assert 'class="tok end"' in html, "the token that ended the answer adds nothing to it"
    assert 'tabindex="0"' in html, "the keyboard reaches it"


def test_letters_made_of_several_tokens_are_shown_whole_and_the_tokens_beside_them() -> None:
    halves = (Token(text="\ufffd", logprob=-0.1, top=(("\ufffd", -0.1),)), Token(text="\ufffd", logprob=-0.2))
    answer = Answer(row=0, column=0, output="\u6771", stop_reason="eos_token", tokens=halves)
    html = str(cell(answer, Try("x"), 0, 0, None, many=False))
    assert ">\u6771</div>" in html
    assert html.count('class="tok') == 2


def test_blanks_in_front_that_the_answer_leaves_off_belong_to_no_token() -> None:
    tokens = tuple(Token(text=text, logprob=-0.1) for text in (" Ware", "house", "\n"))
    html = str(cell(Answer(row=0, column=0, output="Warehouse", tokens=tokens), Try("x"), 0, 0, None, many=False))
    assert re.findall(r'class="tok[^"]*"[^>]*>([^<]*)<', html) == ["Ware", "house", ""]


def test_one_that_fails_says_so_in_its_own_cell(browser: httpx.Client, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    events = streamed(browser, {"subject": prompt, "try_input": ["!late-busy", "it hums"]})
    assert [e["problem"] for e in events if "problem" in e] == ["The queue is full. Try again."]
    assert [e["row"] for e in events if "told" in e] == [1]


def test_what_is_wrong_is_told_before_anybody_is_asked(browser: httpx.Client, studio: LiveStudio) -> None:
    sent = {"subject": MODEL, "try_input": "x", "top_p": "7"}
    answer = browser.post("/lab/stream", data=sent, headers={"x-csrf-token": token_of(browser), "accept": "*/*"})
    assert answer.status_code == 400
    assert "top_p: 7.0 is not between" in answer.json()["error"]["message"]
    assert not studio.backend.works
    assert "history, and can be brought back" not in browser.get("/lab").text


def test_without_the_token_of_the_page_nothing_is_asked(browser: httpx.Client, studio: LiveStudio) -> None:
    assert browser.post("/lab/stream", data={"subject": MODEL, "try_input": "x"}).status_code == 403
    assert not studio.backend.works


def test_whoever_leaves_stops_the_work_and_finds_in_the_history_what_was_said(
    browser: httpx.Client, studio: LiveStudio
) -> None:
    prompt, _ = tuned(studio)
    sent = {"subject": prompt, "try_input": ["it hums", "!hang"]}
    with browser.stream("POST", "/lab/stream", data=sent, headers={"x-csrf-token": token_of(browser)}) as answer:
        for line in answer.iter_lines():
            if '"told"' in line:
                break
    wait_until(lambda: "!hang" in studio.backend.canceled, "the work goes on")

    def saved() -> bool:
        with studio.office.unit(SYSTEM, write=False) as unit:
            row = unit.rows.first(LabGeneration)
            return bool(row and row.answers)

    wait_until(saved, "the answers are lost")
    with studio.office.unit(SYSTEM, write=False) as unit:
        row = unit.rows.first(LabGeneration)
        assert row is not None
        assert [a.output for a in lab_history.answers_of(row)] == ["IT HUMS"]
        page = browser.get(f"/lab?generation={row.id}").text
    assert "IT HUMS" in words(page) or 'data-token="IT"' in page


def test_every_generate_is_kept_and_can_be_brought_back(browser: httpx.Client, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    first = streamed(browser, {"subject": MODEL, "instruction": "One.", "try_input": "a b", "max_new_tokens": "7"})
    streamed(browser, {"subject": prompt, "instruction": "Two.", "try_input": "c d"})
    listed = words(browser.get("/lab/history").text)
    assert listed.index("c d") < listed.index("a b"), "the newest first"
    assert f"/lab?generation={first[0]['generation']}" in browser.get("/lab").text
    page = browser.get(f"/lab?generation={first[0]['generation']}").text
    assert "One." in page
    assert re.search(r'name="max_new_tokens" value="7"', page)
    assert "Tokens: " in page
    assert page.index('label="Recent"') < page.index('label="Foundation models"')
    assert browser.get("/lab?generation=gone").status_code == 404


def test_the_history_is_ones_own_and_the_oldest_go(studio: LiveStudio) -> None:
    studio.new_key("ada", member="viewer")
    with studio.office.unit(SYSTEM, write=False) as unit:
        ada = unit.rows.first(User, name="ada")
        assert ada is not None
        me = Actor(user_id=ada.id, name="ada")
    for number in range(3):
        with studio.office.unit(me, "viewer") as unit:
            lab_history.begin(unit, studio.project, LabPage(instruction=str(number)), kept=2)
    with studio.office.unit(me, "viewer", write=False) as unit:
        mine = lab_history.page(unit).items
    assert [row.page["instruction"] for row in mine] == ["2", "1"]
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert not lab_history.page(unit).items


def test_tokens_are_counted_while_somebody_types(browser: httpx.Client, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    sent = {
        "columns": "2",
        "subject": MODEL,
        "subject.1": prompt,
        "instruction": "Route it now.",
        "try_input": ["", "it hums"],
    }
    counted = browser.post("/lab/count", data=sent, headers={"x-csrf-token": token_of(browser)}).json()
    assert counted["rows"] == [[1, "Input tokens: A 7 · B 2 + 3 virtual"]]
    assert counted["aside"] == [[1, "2 input tokens instead of 6."]]
    assert counted == browser.post("/lab/count", data={**sent, "subject.2": "prompt:gone"}).json()
    assert browser.post("/lab/count", data={"subject": "prompt:gone", "try_input": "x"}).json() == {
        "rows": [],
        "aside": [],
    }


def test_one_that_was_stopped_has_no_numbers() -> None:
    assert told(Answer(row=0, column=0, output="half an", stop_reason="cancelled")) == "stopped"
