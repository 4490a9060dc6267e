"""How far a download is, in words and as a bar."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from softprompt.studio.model_pulls import Pull
from softprompt.ui.model_parts import progress, pull_shown, pull_words

AT = datetime(2026, 1, 1, tzinfo=UTC)


def pull(state: Any = "running", **told: Any) -> Pull:
    return Pull("acme/tiny", state, AT, AT, **told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"done": 0}, ""),
        ({"done": 2_000_000}, "2.0 MB so far"),
        ({"done": 50_000_000, "total": 100_000_000}, "50.0 MB of 100.0 MB"),
        ({"done": 50_000_000, "total": 100_000_000, "rate": 1e6}, "50.0 MB of 100.0 MB · 1.0 MB/s · about 50 s left"),
        ({"done": 0, "total": 60_000_000_000, "rate": 10e6}, "0 B of 60.0 GB · 10.0 MB/s · about 1.7 h left"),
        ({"done": 120, "total": 100}, "100 B of 100 B"),
    ],
)
def test_numbers_are_said_as_far_as_they_are_known(told: dict[str, Any], words: str) -> None:
    assert pull_words(pull(**told)) == words


def test_what_has_ended_says_what_arrived() -> None:
    assert pull_words(pull("stopped", done=3_000_000, total=9_000_000)) == "3.0 MB have arrived"


def test_the_bar_says_the_share_or_that_nobody_knows_it() -> None:
    known, unknown = (str(progress(pull(step="<Downloading>", **told))) for told in ({"done": 1, "total": 4}, {}))
    assert 'aria-valuenow="25"' in known
    assert "&lt;Downloading&gt;" in known
    assert "aria-valuenow" not in unknown
    assert "meter unknown" in unknown
    assert pull_shown(pull(done=9, total=4))["share"] == 1.0
