"""Signing in: with name and password, or with the one-time link that `softprompt up` prints."""

from __future__ import annotations

import htpy as h

from softprompt.ui.components import field, notice
from softprompt.ui.icons import logo
from softprompt.ui.layout import document


def sign_in(version: str, *, problem: str = "", after: str = "/") -> str:
    card = h.form(".card", method="post", action="/sign-in")[
        h.div(".brand")[logo(), "Softprompt"],
        h.h1["Sign in"],
        notice("error", "That did not work.", problem) if problem else None,
        h.input(type="hidden", name="after", value=after),
        field("Name", h.input(name="name", autocomplete="username", required=True, autofocus=True)),
        field("Password", h.input(name="password", type="password", autocomplete="current-password", required=True)),
        h.button(".button.primary")["Sign in"],
        h.p(".muted.small")[
            "No password yet? The terminal in which the studio was started shows a link that signs you in once; ",
            h.code["softprompt keys link"],
            " makes a new one.",
        ],
    ]
    return document("Sign in", h.main("#main.sign-in")[card], version)
