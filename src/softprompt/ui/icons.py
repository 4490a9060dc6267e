"""The logo and a handful of line icons, drawn here so that nothing is loaded from elsewhere."""

from __future__ import annotations

import htpy as h
from markupsafe import Markup

_PATHS = {
    "home": "M4 11.5 12 5l8 6.5V19a1 1 0 0 1-1 1h-4v-5H9v5H5a1 1 0 0 1-1-1z",
    "lab": "M9 4h6M10 4v6L5 18.5A1 1 0 0 0 6 20h12a1 1 0 0 0 1-1.5L14 10V4M7.5 15h9",
    "data": "M5 6.5C5 5 8 4 12 4s7 1 7 2.5S16 9 12 9 5 8 5 6.5v11C5 19 8 20 12 20s7-1 7-2.5v-11M5 12c0 3.3 14 3.3 14 0",
    "tuning": "M4 19c4 0 4.5-13 8-13 2.5 0 2.5 8 4.5 8 1.4 0 1.8-2 3.5-2M4 4v16h16",
    "deploy": "M12 15V4m0 0L8 8m4-4 4 4M5 14v4a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-4",
    "models": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    "search": "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13m4.7-1.8L20 20",
    "menu": "M4 7h16M4 12h16M4 17h16",
    "evaluate": "M5 20v-7m4.7 7V9m4.6 11v-9M19 20V4",
    "spaces": "M4 4h7v7H4zm9 0h7v7h-7zM4 13h7v7H4zm9 0h7v7h-7z",
    "people": (
        "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7m-6 8.5c.6-3 3-4.5 6-4.5s5.4 1.5 6 4.5m0-15.2a3.5 3.5 0 0 1 0 6.4"
        "m3 8.8c-.3-1.7-1.2-3-2.6-3.8"
    ),
    "jobs": "M4 6h10M4 12h16M4 18h7M17 4v4m-3 8h.01",
    "health": "M3 12h4l2.5-6 4.5 12 2.5-6H21",
    "audit": "M6 3h9l4 4v14H6zm9 0v4h4M9 12h7m-7 4h5",
    "settings": "M4 7h9m4 0h3M4 17h3m4 0h9M15 9.5v-5m-6 15v-5",
    "account": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8M5 20c.8-3.4 3.5-5 7-5s6.2 1.6 7 5",
}  # fmt: skip


def icon(name: str) -> h.Element:
    """A line icon that follows the colour of the text; it says nothing to a screen reader."""
    drawing = h.path(
        d=_PATHS[name], fill="none", stroke="currentColor", stroke_width="1.6", stroke_linecap="round",
        stroke_linejoin="round",
    )  # fmt: skip
    return h.svg(viewBox="0 0 24 24", aria_hidden="true")[drawing]


LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" aria-hidden="true">'
    '<rect width="32" height="32" rx="9" fill="#1a6b57"/>'
    '<path d="M7 20c3.2 0 3.2-8 6.4-8s3.2 8 6.4 8c1.6 0 2.4-2 3-4" fill="none" stroke="#fff" stroke-width="2.4" '
    'stroke-linecap="round"/><circle cx="24.4" cy="11.6" r="2.1" fill="#f0b48a"/></svg>'
)
"""A prompt that bends: vectors between words."""


def logo() -> Markup:
    return Markup(LOGO)
