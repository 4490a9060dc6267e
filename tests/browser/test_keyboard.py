"""The keyboard alone: every control is reached and seen, nothing holds on to the focus, and a run can be started."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from browser.person import Person
from browser.seed import Seeded

Arrive = Callable[..., Person]
LOOKED_AT = ("/", "/lab", "/data/{data}", "/tuning", "/tuning/new", "/tuning/runs/{run}", "/deployments/{deployment}")

WANTED = """
() => {
  const takes = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.matches("[inert] *, :disabled");
  const one = (e) => e.type !== "radio" || e.checked || !document.querySelector(`input[name="${e.name}"]:checked`);
  return [...document.querySelectorAll(takes)].filter((e) => e.tabIndex >= 0 && seen(e) && one(e)).map((e) => {
    e.dataset.stop = "";
    return e;
  }).length;
}
"""
HERE = """
() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  delete e.dataset.stop;
  const marks = [e, e.nextElementSibling, e.closest("label")].filter(Boolean).map((m) => getComputedStyle(m));
  const shown = marks.some((s) => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0);
  return { shown, what: e.outerHTML.slice(0, 110) };
}
"""
LEFT = "() => [...document.querySelectorAll('[data-stop]')].map((e) => e.outerHTML.slice(0, 110))"


@pytest.mark.parametrize("address", LOOKED_AT)
def test_every_control_is_reached_and_shows_it(seeded: Seeded, person: Arrive, address: str) -> None:
    somebody = person(seeded)
    somebody.go(seeded.path(address))
    page = somebody.page
    count = page.evaluate(WANTED)
    hidden = []
    for _ in range(count + 10):
        page.keyboard.press("Tab")
        here = page.evaluate(HERE)
        if here is None:
            break
        if not here["shown"]:
            hidden.append(here["what"])
    assert page.evaluate(LEFT) == [], "not reached with Tab"
    assert hidden == [], "reached, but one does not see it"


def test_the_content_is_one_key_away(seeded: Seeded, person: Arrive) -> None:
    somebody = person(seeded)
    somebody.go("/tuning")
    somebody.page.keyboard.press("Tab")
    expect(somebody.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    somebody.page.keyboard.press("Enter")
    expect(somebody.page.locator("main")).to_be_focused()


def test_everything_is_found_by_name(seeded: Seeded, person: Arrive) -> None:
    somebody = person(seeded)
    somebody.go("/account")
    page = somebody.page
    page.keyboard.press("Control+K")
    palette = page.get_by_role("dialog", name="Search")
    expect(palette.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("old rout")
    expect(palette.get_by_role("option").first).to_contain_text("Old router")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Old router")
    page.keyboard.press("Control+K")
    page.keyboard.press("Escape")
    expect(palette).to_be_hidden()


def reach(page: Page, target: Locator, most: int = 150) -> None:
    """Tab until the target has the focus."""
    target.first.wait_for()
    for _ in range(most):
        if target.first.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"not reached with {most} presses of Tab: {target}")


def test_a_question_without_a_mouse(seeded: Seeded, person: Arrive) -> None:
    somebody = person(seeded)
    somebody.go(seeded.path("/deployments/{plain deployment}/test"))
    page = somebody.page
    reach(page, page.locator("textarea[name=input]"))
    page.keyboard.type("where is my parcel")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-part=answer]").first).to_have_text("where is my parcel")


def test_the_lab_without_a_mouse(seeded: Seeded, person: Arrive) -> None:
    somebody = person(seeded)
    somebody.go("/lab?subject=model:" + seeded.ids["model"])
    page = somebody.page
    reach(page, page.get_by_role("textbox", name="Instruction"))
    page.keyboard.type("Say it again.")
    reach(page, page.locator("textarea[name=try_input]"))
    page.keyboard.type("one two")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-part=told]").first).to_contain_text("Tokens:")
