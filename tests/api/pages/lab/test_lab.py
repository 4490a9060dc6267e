"""The Prompt Lab's page without scripts: every button is a form that gives the page back, changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.testing.live import LiveStudio

from ..conftest import ROWS
from ..lab_fixtures import MODEL, dataset, tuned, words

Post = Callable[..., httpx.Response]


def fields(html: str, name: str) -> list[str]:
    """Contents of the text areas, or values of the inputs, of a name; templates left out."""
    shown = re.sub(r"<template.*?</template>", "", html, flags=re.S)
    areas = re.findall(rf'<textarea[^>]* name="{name}"[^>]*>(.*?)</textarea>', shown, flags=re.S)
    inputs = [tag for tag in re.findall(r"<input[^>]*>", shown) if f' name="{name}"' in tag]
    return areas + [(re.search(r' value="([^"]*)"', tag) or ["", ""])[1] for tag in inputs]


def test_every_test_is_answered_and_everything_typed_is_kept(post: Post) -> None:
    sent = {
        "subject": MODEL,
        "instruction": "Route it.",
        "example_input": ["a", "b"],
        "example_output": ["A", "B"],
        "try_input": ["first words", "second words"],
        "try_expected": ["nothing of that", ""],
        "max_new_tokens": "20",
    }
    page = post("/lab", sent)
    assert "generation=" in str(page.url), "a reload shows the same answers and asks nobody"
    assert words(page.text).count("Tokens: ") == 2
    assert "out of 8192" in page.text
    assert fields(page.text, "instruction") == ["Route it."]
    assert fields(page.text, "example_output") == ["A", "B"]
    assert fields(page.text, "try_input") == ["first words", "second words"]
    assert ">wrong<" in page.text
    assert "0 of 1 right" in page.text


def test_a_right_answer_is_marked(post: Post, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    page = post("/lab", {"subject": prompt, "try_input": "where is it", "try_expected": "WHERE IS IT"})
    assert ">right<" in page.text
    assert "1 of 1 right" in page.text
    assert "3 input + 3 virtual + 4 generated = 10 out of 8192" in page.text
    assert "ended by itself" in page.text


@pytest.mark.parametrize(
    ("do", "name", "expected"),
    [
        ("example-add", "example_input", ["a", "b", ""]),
        ("example-remove:0", "example_input", ["b"]),
        ("example-down:0", "example_input", ["b", "a"]),
        ("example-up:1", "example_output", ["B", "A"]),
        ("try-add", "try_input", ["x", "y", ""]),
        ("try-remove:1", "try_input", ["x"]),
        ("stop-remove:0:0", "stop", ["two", ""]),
        ("reset:0", "max_new_tokens", ["20"]),
        ("mode:freeform", "text", ["Do.\n\nInput: a\nOutput: A\n\nInput: b\nOutput: B\n\nInput: {input}\nOutput:"]),
        ("nonsense:7:x", "example_input", ["a", "b"]),
    ],
)
def test_buttons_change_the_page(post: Post, do: str, name: str, expected: list[str]) -> None:
    sent = {
        "do": do,
        "subject": MODEL,
        "instruction": "Do.",
        "example_input": ["a", "b"],
        "example_output": ["A", "B"],
        "try_input": ["x", "y"],
        "stop": ["one", "two", ""],
        "max_new_tokens": "99",
    }
    page = post("/lab", sent)
    assert page.status_code == 200
    assert fields(page.text, name) == expected


def test_both_modes_keep_what_the_other_one_holds(post: Post) -> None:
    sent = {"do": "mode:freeform", "subject": MODEL, "instruction": "Do.", "example_input": "a", "example_output": "A"}
    free = post("/lab", sent)
    assert 'aria-pressed="true">Freeform' in free.text
    back = {name: fields(free.text, name) for name in ("instruction", "example_input", "example_output", "text")}
    page = post("/lab", {"do": "mode:structured", "mode": "freeform", "subject": MODEL, **back})
    assert fields(page.text, "instruction") == ["Do."]
    assert fields(page.text, "example_output") == ["A"]


def test_variables_get_fields_and_their_values_stand_in_the_prompt(post: Post) -> None:
    sent: dict[str, Any] = {"do": "show", "subject": MODEL, "mode": "freeform", "text": "Dear {name}, {input}"}
    page = post("/lab", sent)
    assert fields(page.text, "variable_name") == ["name"]
    sent = {**sent, "do": "generate", "variable_name": "name", "variable_value": "Ada", "try_input": "come in"}
    assert "Dear Ada, come in" in words(post("/lab", sent).text).replace(" , ", ", ")


def test_a_tuned_prompt_sets_words_aside_and_one_button_brings_them_back(post: Post, studio: LiveStudio) -> None:
    prompt, deployment = tuned(studio)
    asked = {"instruction": "Route.", "example_input": "a", "example_output": "A", "try_input": "it hums"}
    for value in (prompt, deployment):
        page = post("/lab", {"do": "show", "subject": value, **asked})
        assert "Instruction and 1 example are set aside" in page.text
        assert "virtual tokens" in page.text
        post("/lab", {"subject": value, **asked})
        assert studio.backend.works[-1].text == "it hums"
        page = post("/lab", {"do": "words:0:send", "subject": value, **asked})
        assert "are sent too" in page.text
        post("/lab", {"subject": value, "words": "send", **asked})
        assert "Route." in studio.backend.works[-1].text
    page = post("/lab", {"do": "show", "subject": MODEL, **asked})
    assert "set aside" not in page.text


def test_a_readout_shows_its_labels_as_bars_and_can_be_switched_to_text(post: Post, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio, answers_by="readout", labels=["Service", "Warehouse"])
    page = post("/lab", {"subject": prompt, "try_input": "!label"})
    assert "Label readout" in page.text
    assert re.search(r"Warehouse.*?width:25\.0%.*?25%", page.text, re.S)
    assert "75% sure" in page.text
    post("/lab", {"subject": prompt, "way": "text", "try_input": "it hums"})
    assert studio.backend.works[-1].way == "text"
    post("/lab", {"subject": MODEL, "way": "text", "try_input": "it hums"})
    assert studio.backend.works[-1].way == "auto"


def test_columns_answer_the_same_tests_each_in_its_way(post: Post, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    before = len(studio.backend.works)
    sent = {
        "columns": "2",
        "subject": MODEL,
        "subject.1": prompt,
        "shots": "0",
        "max_new_tokens": "4",
        "decoding.1": "sample",
        "seed.1": "7",
        "instruction": "Route.",
        "example_input": "a",
        "example_output": "A",
        "try_input": ["it hums", "it sings"],
    }
    page = post("/lab", sent)
    assert words(page.text).count("Tokens: ") == 4
    works = {(work.text, work.config.decoding, work.config.seed) for work in studio.backend.works[before:]}
    assert works == {
        ("Route.\n\nInput: it hums\nOutput:", "greedy", None),
        ("Route.\n\nInput: it sings\nOutput:", "greedy", None),
        ("it hums", "sample", 7),
        ("it sings", "sample", 7),
    }
    more = post("/lab", {**sent, "do": "column-add"})
    assert 'name="subject.2"' in more.text
    less = post("/lab", {**sent, "do": "column-remove:0"})
    assert 'name="subject.1"' not in less.text
    assert "set aside" in less.text, "the tuned prompt is the one that stays"


def test_answers_go_where_their_rows_go(post: Post) -> None:
    sent: dict[str, Any] = {
        "subject": MODEL,
        "try_input": ["first one", "second one"],
        "output_prefix": "",
        "input_prefix": "",
    }
    made = str(post("/lab", sent).url).split("generation=")[1]
    page = post("/lab", {**sent, "do": "try-remove:0", "generation": made})
    assert words(page.text).count("Tokens: ") == 1
    assert 'data-token=" one"' in page.text
    assert 'data-token="first"' not in page.text


def test_one_that_fails_leaves_the_others_their_answers(post: Post, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    page = post("/lab", {"subject": prompt, "try_input": ["!busy", "it hums"]})
    assert "The queue is full. Try again." in page.text
    assert words(page.text).count("Tokens: ") == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"try_input": " "}, "Nothing is asked yet"),
        ({"temperature": "hot"}, "temperature: &#39;hot&#39; is no number"),
        ({"stop": list("abcdefg")}, "up to six texts"),
        ({"subject": ""}, "Choose a foundation model"),
        ({"subject": "prompt:gone"}, "There is no tuned prompt"),
        ({"columns": "2", "subject.1": MODEL, "top_k.1": "-4"}, "Column B: top_k"),
    ],
)
def test_what_is_wrong_stands_above_and_the_page_stays(post: Post, changed: dict[str, Any], told: str) -> None:
    sent = {"subject": MODEL, "instruction": "Keep me.", "try_input": "it hums", **changed}
    page = post("/lab", sent)
    assert page.status_code in (400, 404)
    assert told in page.text
    assert fields(page.text, "instruction") == ["Keep me."]


def test_rows_of_a_dataset_come_in_as_examples_or_tests(post: Post, studio: LiveStudio, tmp_path: Path) -> None:
    data = dataset(studio, ROWS, tmp_path)
    sent = {"do": "import", "subject": MODEL, "dataset": data, "count": "4", "seed_rows": "5"}
    page = post("/lab", sent)
    drawn = fields(page.text, "example_input")
    assert len(drawn) == 4
    assert fields(post("/lab", sent).text, "example_input") == drawn, "the seed decides"
    assert fields(post("/lab", {**sent, "seed_rows": "6"}).text, "example_input") != drawn
    tests = post("/lab", {**sent, "into": "tests", "try_input": ""})
    assert len(fields(tests.text, "try_input")) == 4
    assert set(fields(tests.text, "try_expected")) <= {"Service", "Warehouse"}
    assert "no whole number up to 20" in post("/lab", {**sent, "count": "99"}).text
    assert "There is no dataset" in post("/lab", {**sent, "dataset": "gone"}).text


def test_the_address_names_who_is_asked(browser: httpx.Client, studio: LiveStudio) -> None:
    _, deployment = tuned(studio)
    page = browser.get(f"/lab?subject={deployment}").text
    assert re.search(rf'<option value="{deployment}" selected', page)
    gone = browser.get("/lab?subject=deployment:gone").text
    assert "No longer there: choose another one" in gone
    assert 'href="/models?for=lab"' in page


def test_somebody_new_can_start_with_an_example(browser: httpx.Client) -> None:
    assert "/lab?start=example" in browser.get("/lab").text
    page = browser.get("/lab?start=example").text
    assert "Classify the following complaint" in page
    assert len(fields(page, "try_input")) == 2


def test_what_people_and_models_write_is_escaped(post: Post, studio: LiveStudio) -> None:
    prompt, _ = tuned(studio)
    nasty = "</textarea><script>alert(1)</script>"
    sent = {
        "subject": prompt,
        "try_input": nasty,
        "try_expected": nasty,
        "instruction": nasty,
        "text": nasty,
        "stop": nasty,
    }
    page = post("/lab", sent)
    assert "<script>alert" not in page.text
    assert "<SCRIPT>ALERT" not in page.text, "the answer is the text in capitals"


def test_too_many_rows_are_refused_not_dropped(post: Post) -> None:
    page = post("/lab", {"subject": MODEL, "try_input": ["x"] * 51})
    assert page.status_code == 400
    assert "tests: 51 rows given; a page has at most 50." in page.text
