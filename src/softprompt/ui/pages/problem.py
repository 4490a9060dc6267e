"""What a person sees when something did not work: what happened, what to do, and the id to ask with."""

from __future__ import annotations

import re

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


def problem(
    frame: Frame | None, version: str, status: int, message: str, request_id: str, *, shown: bool = True
) -> str:  # fmt: skip
    """The page of an error.

    Args:
        frame: None: nobody knows who asks, or the studio cannot tell.
        shown: whether the address shows something, so that loading it again does no harm.
    """
    title = TITLES.get(status, "That did not work")
    told = [
        h.p(".problem-told", role="alert")[_LISTED.sub("\n• ", message)],
        h.p(".muted")[HINTS[status]] if status in HINTS else None,
        h.div(".row")[_ways(frame, status, shown)],
        h.p(".faint.small")[f"Error {status} · request ", h.code[request_id]],
    ]
    if frame is not None:
        return page(frame, title, h.section(".card.problem", data_part="problem", data_status=str(status))[told])
    card = h.div(".card.problem", data_part="problem", data_status=str(status))[
        h.a(".brand", href="/")[logo(), "Softprompt"], h.h1[title], told
    ]
    return document(title, h.main("#main.sign-in")[card], version)


def _ways(frame: Frame | None, status: int, shown: bool) -> list[h.Node]:
    """Where one can go from here, the likeliest first."""
    if frame is None:
        return [h.a(".button.primary", href="/")["Home"]]
    again = h.a(".button.primary", href=frame.path)["Try again"]
    search = h.a(".button.primary", href="/search")["Search by name"]
    first = again if status >= 429 and shown else search if status == 404 else None
    return [first, h.a(".button", href="/")["Home"]]
