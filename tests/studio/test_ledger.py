"""The token ledger: whose tokens count, what they cost, what a browser may bring back."""

from __future__ import annotations

import pytest

from softprompt.errors import ParameterInvalid
from softprompt.studio.ledger import Line, Rates, ledger, rates_of, remembered

COUNTED = {
    "rows": 12,
    "context": 8192,
    "instruction": "Route it.",
    "lines": [
        {"way": "zero-shot", "instruction": True, "input_tokens": 53, "virtual_tokens": 0, "generated_tokens": 4},
        {"way": "3-shot", "instruction": True, "input_tokens": 140, "virtual_tokens": 0, "generated_tokens": 4},
        {"way": "text", "instruction": True, "input_tokens": 53, "virtual_tokens": 100, "generated_tokens": 4},
        {"way": "text", "instruction": False, "input_tokens": 22, "virtual_tokens": 100, "generated_tokens": 4},
    ],
}


def test_the_table_of_the_lab() -> None:
    found = ledger(COUNTED)
    assert found is not None
    assert [(line.name, line.total) for line in found.lines] == [
        ("Base model, instruction", 57),
        ("Base model, instruction and 3 examples", 144),
        ("Tuned, as text, with instruction", 157),
        ("Tuned, as text, without instruction", 126),
    ]
    assert "22 input tokens" in found.saving
    assert "84% fewer" in found.saving


def test_answers_that_were_counted_stand_in_place_of_the_right_ones() -> None:
    measured = [
        {"name": "zero-shot · guarded", "generated_tokens": 6},
        {"name": "A · b (1) · text", "generated_tokens": 3},
        {"name": "A · b (2) · text", "generated_tokens": 9},
    ]
    found = ledger(COUNTED, measured)
    assert found is not None
    assert [line.generated for line in found.lines] == [6, 4, 4, 3]
    assert [line.measured for line in found.lines] == [True, False, False, True]


def test_prices_follow_the_rates() -> None:
    line = Line("x", "text", False, input=22, virtual=100, generated=4)
    assert Rates(input=1, virtual=0.5, generated=10, questions=1000).price(line) == pytest.approx(0.112)
    assert not Rates().known


def test_what_a_browser_keeps_comes_back() -> None:
    rates = Rates(0.5, 0.25, 2, "€ net", 50_000)
    assert rates.to_text().isascii()
    assert remembered(rates.to_text()) == rates


@pytest.mark.parametrize("text", [None, "", "x", "1|2", "a|b|c|d|e", "1|1|1|1|1|1", "nan|1|1|1|USD", "-1|0|0|5|USD"])
def test_what_it_did_not_get_from_us_counts_as_nothing(text: str | None) -> None:
    assert remembered(text) == Rates()


@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf", "1e13"])
def test_amounts_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(ParameterInvalid, match="input"):
        rates_of({"input": value})


def test_a_comma_is_a_point_and_nothing_is_nothing() -> None:
    assert rates_of({"input": "0,75"}) == Rates(input=0.75)
    assert ledger(None) is None
    assert ledger({"lines": []}) is None
