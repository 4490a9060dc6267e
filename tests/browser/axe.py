"""What axe-core finds in a page, in words that lead to the place."""

from __future__ import annotations

from functools import cache
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast"]
"""The rules that another colour scheme can break."""
_RUN = "options => axe.run(document, options)"


def problems(page: Page, *, colours_only: bool = False) -> list[str]:
    """One line a violation and place: rule, what to do, selector, the element."""
    page.evaluate(_script())
    only = {"type": "rule", "values": COLOURS} if colours_only else {"type": "tag", "values": RULES}
    found = page.evaluate(_RUN, {"runOnly": only, "resultTypes": ["violations"]})
    return [_line(violation, node) for violation in found["violations"] for node in violation["nodes"][:5]]


def _line(violation: dict[str, Any], node: dict[str, Any]) -> str:
    why = " ".join(check["message"] for check in (*node["any"], *node["all"], *node["none"]))
    target = " ".join(str(part) for part in node["target"])
    return f"{violation['id']}: {why or violation['help']}  at  {target}  {node['html'][:140]}"


@cache
def _script() -> str:
    return str(AXE_SCRIPT)
