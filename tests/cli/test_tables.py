"""Facts of an answer as a person reads them."""

from __future__ import annotations

import pytest

from softprompt.cli.tables import print_facts


def test_facts_are_words_and_no_code(capsys: pytest.CaptureFixture[str]) -> None:
    document = {
        "name": "Routing (1)",
        "problem": None,
        "tags": ["a", "b"],
        "results": {
            "seconds": 1.23456789,
            "kept": True,
            "test": {"exact": None, "interval": [0.25, 0.5]},
            "epochs": [{"epoch": number, "loss": 1.5, "validation_loss": None} for number in range(14)],
        },
    }
    print_facts(document)
    assert capsys.readouterr().out.splitlines() == [
        "name                   Routing (1)",
        "tags                   a, b",
        "results",
        "  seconds              1.23457",
        "  kept                 yes",
        "  test",
        "    interval           0.25, 0.5",
        "  epochs",
        *(f"    epoch {number}, loss 1.5, validation loss –" for number in range(12)),
        "    … and 2 more: --json shows them",
    ]
