"""A page of the Prompt Lab: the text that each test becomes, its parameters, its form as JSON and as a session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig
from softprompt.studio import prompt_sessions
from softprompt.studio.lab import Column, LabPage, Try, as_freeform, content, of_content, of_dict, prompt, to_dict

PAGE = LabPage(
    instruction="Route it.",
    examples=(("The sofa is late.", "Warehouse"), ("It hums.", "Service"), ("half done", "")),
    tries=(Try("Where is {item}?", "Service"),),
    variables={"item": "my parcel"},
    columns=(Column(subject="model:m"),),
)
WHOLE = """Route it.

Input: The sofa is late.
Output: Warehouse

Input: It hums.
Output: Service

Input: Where is my parcel?
Output:"""


def said(page: LabPage, column: Column | None = None, takes: str = "words", template: str = "Q: {{input}} A: ") -> str:
    return prompt(page, column or page.columns[0], page.tries[0], takes, template)  # type: ignore[arg-type]


def test_a_model_reads_instruction_finished_examples_and_the_question() -> None:
    assert said(PAGE) == WHOLE


def test_fewer_shots_are_the_first_ones() -> None:
    assert "It hums." not in said(PAGE, Column(shots=1))
    assert said(PAGE, Column(shots=0)) == "Route it.\n\nInput: Where is my parcel?\nOutput:"


def test_a_tuned_prompt_reads_the_bare_text() -> None:
    assert said(PAGE, takes="input") == "Where is my parcel?"


def test_words_sent_to_a_tuned_prompt_stand_inside_its_own_template() -> None:
    text = said(replace(PAGE, instruction=""), Column(words=True), "input")
    assert f"Q: {text} A:" == "Q: The sofa is late. A: Warehouse\n\nQ: It hums. A: Service\n\nQ: Where is my parcel? A:"
    assert said(PAGE, Column(words=True), "input").startswith("Route it.\n")


def test_a_prompt_template_reads_the_bare_text_whatever_is_wanted() -> None:
    assert said(PAGE, Column(words=True), "template") == "Where is my parcel?"


@pytest.mark.parametrize(
    ("text", "asked", "whole"),
    [
        ("Say {input} twice:", "hello", "Say hello twice:"),
        ("Translate:", "hello", "Translate:\nhello"),
        ("Translate: ", "hello", "Translate: hello"),
        ("Tell a joke", "", "Tell a joke"),
        ("Dear {item}, {input}", "{item}?", "Dear my parcel, {item}?"),
    ],
)
def test_freeform_puts_the_test_where_the_prompt_says_or_at_its_end(text: str, asked: str, whole: str) -> None:
    page = replace(PAGE, mode="freeform", text=text, tries=(Try(asked),))
    assert said(page) == whole


def test_a_tuned_prompt_sets_a_freeform_prompt_aside_unless_nothing_else_is_asked() -> None:
    page = replace(PAGE, mode="freeform", text="Route: {input}", tries=(Try("It hums."),))
    assert said(page, takes="input") == "It hums."
    assert said(page, Column(words=True), "input") == "Route: It hums."
    assert said(replace(page, text="It hums.", tries=(Try(),)), takes="input") == "It hums."


def test_a_prompt_in_parts_comes_along_into_freeform_mode() -> None:
    free = as_freeform(PAGE)
    assert free.text == WHOLE.replace("Where is my parcel?", "{input}")
    assert said(free) == WHOLE.replace("my parcel", "{item}"), "values are put into the prompt, not into what is put in"
    assert as_freeform(replace(free, mode="structured", instruction="")).text == free.text


def test_variables_are_found_everywhere_in_their_order() -> None:
    page = replace(PAGE, instruction="{b} {a}", output_prefix="{c}:")
    assert page.places == ["b", "a", "c", "item"]
    assert replace(page, mode="freeform", text="{input} {z}").places == ["z", "item"]


def test_parameters_that_do_not_fit_are_named_together() -> None:
    column = Column(decoding="sample", numbers={"temperature": "hot", "top_k": "1.5", "max_new_tokens": "-1"})
    with pytest.raises(ParameterInvalid) as refused:
        column.config()
    for part in ("temperature: 'hot' is no number", "top_k: '1.5' is no whole number", "max_new_tokens: -1 is not"):
        assert part in str(refused.value)


def test_fields_left_empty_have_their_defaults() -> None:
    assert Column().config() == GenerateConfig()
    given = Column(numbers={"temperature": " ", "seed": "7"}, stop=("\n",)).config()
    assert (given.temperature, given.seed, given.stop) == (0.7, 7, ("\n",))


def test_json_gives_the_same_page_back() -> None:
    column = Column(
        subject="prompt:p", shots=1, words=True, way="text", decoding="sample", numbers={"top_k": "9"}, stop=("x",)
    )
    page = replace(PAGE, columns=(column, Column()))
    again = of_dict(to_dict(page))
    assert replace(again, columns=()) == replace(page, columns=())
    assert [c.config() for c in again.columns] == [c.config() for c in page.columns]
    assert (again.columns[0].shots, again.columns[0].words, again.columns[0].way) == (1, True, "text")
    assert to_dict(page)["columns"][0]["parameters"]["top_k"] == 9
    assert to_dict(page)["columns"][1]["parameters"]["seed"] is None


def test_a_session_renders_the_prompt_that_the_lab_sends() -> None:
    kept = content(PAGE)
    assert prompt_sessions.rendered(kept, {"item": "my parcel"}) == WHOLE
    again = of_content(kept, "structured", "m")
    assert said(again) == WHOLE
    assert again.tries == PAGE.tries


def test_a_session_of_another_client_opens_too() -> None:
    foreign = {
        "input": [["It hums.", ""]],
        "data": {"instruction": "Route.", "input_prefix": "Q:", "output_prefix": "A:", "examples": [["x", "y"]]},
    }
    page = of_content(foreign, "structured", "some/model")
    assert said(page) == "Route.\n\nQ: x\nA: y\n\nQ: It hums.\nA:"
    assert page.columns[0].subject == "model:some/model"
    assert of_content({"text": "Hello"}, "freeform", None).text == "Hello"
