"""What a person sees when something did not work: what happened, what to do, and the id to ask with."""

from __future__ import annotations

import re
from dataclasses import dataclass

import htpy as h

from softprompt.ui.icons import logo
from softprompt.ui.layout import Frame, document, page

TITLES = {
    400: "That could not be read",
    401: "Please sign in",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This is not how it is asked",
    409: "That does not fit",
    412: "Somebody else was quicker",
    413: "That is too large",
    429: "A little slower, please",
    500: "Something went wrong inside",
    503: "A part of the studio is not running",
    504: "That took too long",
    507: "The disk is full",
}
STALE = "The page is too old"
HINTS = {
    403: "An admin of the project or space can give you the role that it needs. Your own roles stand in your account.",
    404: "It may have been deleted or renamed, or it is in a project that you are not in.",
    412: "Load the page again: it shows what stands there now. Then change it.",
    429: "Wait a few seconds, then load the page again.",
    500: "Try once more. If it happens again, give the request id below to whoever runs the studio: the log has it.",
    503: "It is usually back within a minute. Whoever runs the studio sees under Health what is the matter.",
    504: "Try once more, or with less.",
    507: "Whoever runs the studio has to make room; Health says how much is left.",
}
_LISTED = re.compile(r"\n\s*-\s+")


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is told.

    Attributes:
        code: the kind of error, finer than the status.
        back: address of the page where it can be tried again; empty if that is not known.
    """

    status: int
    code: str
    message: str
    request_id: str
    back: str = ""


def problem(frame: Frame | None, version: str, told: Problem) -> str:
    """The page of an error; without a frame if nobody knows who asks, or the studio cannot tell."""
    title = STALE if told.code == "stale_form" else TITLES.get(told.status, "That did not work")
    hint = None if told.code == "stale_form" else HINTS.get(told.status)
    parts = [
        h.p(".problem-told", role="alert")[_LISTED.sub("\n• ", told.message)],
        h.p(".muted")[hint] if hint else None,
        h.div(".row")[_ways(frame, told)],
        h.p(".faint.small")[f"Error {told.status} · request ", h.code[told.request_id]],
    ]
    facts = {"data_part": "problem", "data_status": str(told.status)}
    if frame is not None:
        return page(frame, title, h.section(".card.problem", **facts)[parts])
    card = h.div(".card.problem", **facts)[h.a(".brand", href="/")[logo(), "Softprompt"], h.h1[title], parts]
    return document(title, h.main("#main.sign-in")[card], version)


def _ways(frame: Frame | None, told: Problem) -> list[h.Node]:
    """Where one can go from here, the likeliest first."""
    home = h.a(".button", href="/")["Home"]
    if told.status == 404 and frame is not None:
        return [h.a(".button.primary", href="/search")["Search by name"], home]
    if told.back and (told.status >= 429 or told.code == "stale_form"):
        return [h.a(".button.primary", href=told.back)["Try again"], home]
    back = told.back if frame is not None and told.back != frame.path else ""
    return [h.a(".button.primary", href=back)["Back to the page"] if back else None, home]
