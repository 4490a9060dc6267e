"""Every page in every state: accessible in both colour schemes, no wider than a phone, quiet on the console."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from browser.addresses import ALL, MISSING, NOT_PAGES, STATES, routes
from browser.axe import problems
from browser.person import PHONE, Person
from browser.seed import Seeded

Arrive = Callable[..., Person]


def test_no_page_is_left_out() -> None:
    assert routes() - set(STATES) - NOT_PAGES == set(), "not in STATES, nor in NOT_PAGES"
    assert (set(STATES) | NOT_PAGES) - routes() == set(), "no route has this address"


@pytest.mark.parametrize("address", ALL)
def test_a_page_is_accessible(seeded: Seeded, person: Arrive, address: str) -> None:
    somebody = person(seeded, signed_in=not address.startswith("/sign-in"))
    somebody.expect("status of 4")
    somebody.go(seeded.path(address))
    somebody.settle()
    found = problems(somebody.page)
    somebody.page.emulate_media(color_scheme="dark")
    somebody.settle()
    found += [f"dark: {line}" for line in problems(somebody.page, colours_only=True)]
    assert not found, "\n".join([address, *found])
    assert somebody.page.evaluate("window.__shift") < 0.1, somebody.page.evaluate("window.__shifted")
    somebody.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert not somebody.wide()


def test_what_is_not_there_says_so(seeded: Seeded, person: Arrive) -> None:
    somebody = person(seeded)
    somebody.expect("status of 404")
    for address in MISSING:
        answer = somebody.go(address)
        assert answer.status == 404
        assert "There is nothing here" in somebody.heading()
        assert not problems(somebody.page)
