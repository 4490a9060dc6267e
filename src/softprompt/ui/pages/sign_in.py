"""Signing in: with name and password, or with the one-time link that `softprompt up` prints."""

from __future__ import annotations

import htpy as h

from softprompt.ui.components import field, outcome
from softprompt.ui.icons import logo
from softprompt.ui.layout import document


def sign_in(version: str, *, problem: str = "", after: str = "/", name: str = "") -> str:
    """The form.

    Args:
        after: where to go then.
        name: as it was typed the last time.
    """
    form = h.form(".stack.tight", method="post", action="/sign-in")[
        h.input(type="hidden", name="after", value=after),
        field(
            "Name",
            h.input(
                name="name", value=name, autocomplete="username", required=True, autofocus=not name, maxlength="100",
                autocapitalize="none", spellcheck="false",
            ),
        ),
        field(
            "Password",
            h.input(
                name="password", type="password", autocomplete="current-password", required=True, autofocus=bool(name)
            ),
        ),
        h.button(".button.primary")["Sign in"],
    ]  # fmt: skip
    first = h.details(open=not problem and not name)[
        h.summary["First time here?"],
        h.p(".muted.small")[
            "The terminal in which the studio was started shows a link that signs you in once. Set a password under "
            "Account then. A new link: ",
            h.code["softprompt keys link"],
            ". Somebody else runs the studio? Ask them for one.",
        ],
    ]
    card = h.div(".card")[
        h.div(".brand")[logo(), "Softprompt"],
        h.div[h.h1["Sign in"], h.p(".muted")["Tune prompts with your own examples, on your own machine."]],
        outcome(problem),
        form,
        first,
    ]
    return document("Sign in", h.main("#main.sign-in")[card], version)
