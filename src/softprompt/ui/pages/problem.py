"""What a person sees when something did not work: what happened, what to do, and the id to ask with."""

from __future__ import annotations

import htpy as h

from softprompt.ui.icons import logo
from softprompt.ui.layout import document

TITLES = {
    401: "Please sign in",
    403: "You may not do this",
    404: "There is nothing here",
    409: "That does not fit",
    429: "A little slower, please",
    503: "A part of the studio is not running",
}


def problem(version: str, status: int, message: str, request_id: str) -> str:
    title = TITLES.get(status, "That did not work")
    card = h.div(".card")[
        h.a(".brand", href="/")[logo(), "Softprompt"],
        h.h1[title],
        h.p(role="alert")[message],
        h.div(".row")[h.a(".button.primary", href="/")["Home"], h.a(".button", href="/sign-in")["Sign in"]],
        h.p(".faint.small")["Request ", h.code[request_id]],
    ]
    return document(title, h.main("#main.sign-in")[card], version)
