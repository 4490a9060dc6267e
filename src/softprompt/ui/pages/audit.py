"""The audit log: who did what, when; filters, pages, and all of it as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import htpy as h

from softprompt.studio.audit import Line
from softprompt.ui.components import empty, field, folding, outcome, select
from softprompt.ui.layout import Frame, page

HERE = "/admin/audit"
PLACES = {
    "dataset": "/data/", "tuning run": "/tuning/runs/", "deployment": "/deployments/", "user": "/admin/people/",
    "project": "/members/", "space": "/members/",
}  # fmt: skip
PAST = {
    "create": "created", "update": "changed", "delete": "deleted", "start": "started", "deploy": "deployed",
    "cancel": "canceled", "keep": "stopped and kept", "revoke": "revoked", "sign in": "signed in", "import": "imported",
    "promote": "promoted", "disable": "deactivated", "enable": "let in again", "set member": "changed the members of",
    "set password": "set the password of", "set role": "changed the role of", "reset": "made a new link for",
    "rename": "renamed", "sign out": "signed out", "bring back": "brought back", "purge": "purged",
    "backup": "backed up", "download": "downloaded", "set priority": "changed the turn of", "retry now": "retried",
}  # fmt: skip


def audit(
    frame: Frame,
    lines: Sequence[Line],
    given: Mapping[str, str],
    *,
    total: int,
    actions: Sequence[str],
    nouns: Sequence[str],
    people: Sequence[str],
    following: str | None,
    problem: str = "",
) -> str:
    chosen = {name: value for name, value in given.items() if value}
    download = h.a(".button", href=f"{HERE}/log.csv?{urlencode(chosen)}", download="audit.csv")["Download as CSV"]
    return page(
        frame,
        "Audit log",
        outcome(problem),
        _filters(chosen, actions, nouns, people),
        _list(lines, chosen, total, following),
        lead="Who did what, and when. Nothing in it is ever changed.",
        actions=download,
    )


def _filters(
    chosen: Mapping[str, str], actions: Sequence[str], nouns: Sequence[str], people: Sequence[str]
) -> h.Element:
    def options(words: Sequence[str], everything: str) -> list[tuple[str, str]]:
        return [("", everything), *((word, word) for word in words)]

    names = h.datalist("#who")[[h.option(value=name) for name in people]]
    who = h.input(name="user", value=chosen.get("user", ""), list="who", placeholder="anybody", autocomplete="off")
    return h.form(".card.stack.tight", method="get", action=HERE, role="search", data_part="filters")[
        h.div(".fields.five")[
            field("Who", who),
            field("Did", select("action", options(actions, "anything"), chosen.get("action", ""))),
            field("To", select("noun", options(nouns, "anything"), chosen.get("noun", ""))),
            field("From day", h.input(type="date", name="since", value=chosen.get("since", ""))),
            field("To day", h.input(type="date", name="until", value=chosen.get("until", ""))),
        ],
        names,
        h.div(".row")[
            h.button(".button.primary")["Filter"],
            h.a(".button.quiet", href=HERE)["Show all"] if chosen else None,
            h.span(".faint.small")["Days are in UTC."],
        ],
    ]


def _list(lines: Sequence[Line], chosen: Mapping[str, str], total: int, following: str | None) -> h.Element:
    if not lines:
        if chosen:
            return empty("Nothing fits", "No entry has all of this.", h.a(".button", href=HERE)["Show all"])
        return empty("Nothing yet", "As soon as somebody makes or changes something, it stands here.")
    rows = [[_when(line), _who(line), _did(line), line.place or h.span(".faint")["–"], _more(line)] for line in lines]
    head = (("When (UTC)", False), ("Who", False), ("Did", False), ("Where", False), ("More", False))
    return h.section(".card.flush", data_part="log")[
        h.div(".title")[h.h2[f"{total:,} {'entry' if total == 1 else 'entries'}"]],
        folding(head, rows, "Audit log"),
        h.p(".pad")[h.a(href=following)["Older entries"]] if following else None,
    ]


def _when(line: Line) -> h.Element:
    return h.time(".nowrap", datetime=line.at.isoformat())[line.at.strftime("%d %b %Y %H:%M:%S")]


def _who(line: Line) -> h.Node:
    return [h.strong[line.user], h.div(".sub")[f"with key {line.key}"] if line.key else None]


def _did(line: Line) -> h.Node:
    done = PAST.get(line.action, line.action)
    if line.action in ("sign in", "sign out") and line.name in ("", line.user):
        return done
    called = line.name or line.noun_id[:8]
    link = PLACES.get(line.noun)
    gone = line.action in ("delete", "purge")
    shown: h.Node = (
        h.a(href=f"{link}{line.noun_id}")[called] if link and line.noun_id and not gone else h.strong[called]
    )
    return [f"{done} {line.noun} ", shown if called else None]


def _more(line: Line) -> h.Node:
    facts = [
        f"{name.replace('_', ' ')}: {_value(value)}" for name, value in line.data.items() if value not in (None, "", [])
    ]
    return h.span(".small.muted.wrap")[", ".join(facts)] if facts else h.span(".faint")["–"]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
