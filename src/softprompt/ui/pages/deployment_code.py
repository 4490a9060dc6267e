"""Code that asks a deployment, ready to paste, and a key for it, made on the spot and shown once."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from softprompt.studio.snippets import KEY, Snippet
from softprompt.ui.components import code, field, notice, select
from softprompt.ui.deployment_frame import Shown, deployment_page
from softprompt.ui.layout import Frame, csrf_field

_TITLES = {
    "curl": "curl",
    "ibm-watsonx-ai": "Python, with IBM's client",
    "openai": "Python, with OpenAI's client",
    "softprompt library": "Python, without the studio",
    "softprompt": "Command line, without the studio",
}


def deployment_code(
    frame: Frame, shown: Shown, snippets: Sequence[Snippet], *, secret: str = "", problem: str = "", name: str = ""
) -> str:
    order = list(_TITLES)
    found = sorted(snippets, key=lambda s: order.index(s["client"]))
    links = [h.a(href=f"#{_anchor(each)}")[_TITLES[each["client"]]] for each in found]
    return deployment_page(
        frame,
        shown,
        "code",
        _key(frame, shown, secret, problem, name),
        h.nav(".row.small", aria_label="Clients")[links],
        [_snippet(each) for each in found],
    )


def _key(frame: Frame, shown: Shown, secret: str, problem: str, name: str) -> h.Element:
    if secret:
        return h.section(".note.stack.tight", data_part="key", role="status")[
            h.h2["Your new key. It is shown this once."],
            h.p["Paste this line into the terminal first; the code below reads it from there."],
            code(f"export {KEY}={secret}"),
            h.p(".small")["Keys are listed, and revoked, in ", h.a(href="/account")["your account"], "."],
        ]
    days = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")]
    return h.section(".card.stack.tight", data_part="key")[
        h.h2["A key first"],
        h.p(".muted")[
            f"The code reads it from {KEY}. A key made here may ask and look, and nothing else, only in the place "
            "of this deployment."
        ],
        notice("error", "No key was made.", problem) if problem else None,
        h.form(".row.end", method="post", action=f"{shown.here}/key")[
            csrf_field(frame),
            field("Name", h.input(name="name", required=True, maxlength="100", value=name)),
            field("It works for", select("days", days, "90")),
            h.button(".button.primary")["Make a key"],
        ],
    ]


def _snippet(each: Snippet) -> h.Element:
    note = each["note"].rsplit("Put an API key", 1)[0].strip()
    return h.section(".card.stack.tight", id=_anchor(each), data_client=each["client"])[
        h.h2[_TITLES[each["client"]]],
        h.p(".muted.small")[note] if note else None,
        [h.p(".faint.small")["Once:"], code(each["install"])] if each["install"] else None,
        code(each["code"]),
    ]


def _anchor(each: Snippet) -> str:
    return each["client"].replace(" ", "-")
