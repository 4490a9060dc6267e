"""Members of a project or space: who may do what in it, for all who are in it; its admins change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.people import User
from softprompt.ui.components import action, badge, empty, field, folding, helped, outcome, select
from softprompt.ui.layout import Frame, csrf_field, page

ROLES = (("viewer", "Viewer"), ("editor", "Editor"), ("admin", "Admin"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """A project or space and who is in it.

    Attributes:
        noun: "project" or "space".
        may_change: whether whoever looks is an admin of it.
        others: names of people who are not in it; only for those who may know them.
        admins: of the studio, who are in every place.
        places: id and words of all places this person sees.
    """

    id: str
    name: str
    noun: str
    people: Sequence[tuple[User, str]]
    may_change: bool
    own_id: str | None
    others: Sequence[str]
    admins: Sequence[str]
    places: Sequence[tuple[str, str]]


def members(frame: Frame, shown: Members, *, problem: str = "", done: str = "", typed: str = "") -> str:
    return page(
        frame,
        f"Members of {shown.name}",
        outcome(problem, done),
        h.div(".split")[
            h.div(".stack")[_list(frame, shown)],
            h.div(".stack")[_adding(frame, shown, typed) if shown.may_change else _ask(shown), _admins(shown)],
        ],
        lead=f"Who may do what in this {shown.noun}.",
        actions=_chooser(shown),
    )


def _chooser(shown: Members) -> h.Node:
    if len(shown.places) < 2:
        return None
    return h.form(".row.nowrap", method="get", action="/members")[
        select("place", shown.places, shown.id, aria_label="Project or space"), h.button(".button")["Show"]
    ]


def _list(frame: Frame, shown: Members) -> h.Element:
    if not shown.people:
        words = "Nobody is a member yet. Admins of the studio see it all the same."
        return empty("No members", words)
    rows = [
        _row(frame, shown, user, role) for user, role in sorted(shown.people, key=lambda each: each[0].name.lower())
    ]
    head = (("Name", False), ("Role", False), ("", False))
    return h.section(".card.flush", data_part="members")[
        h.div(".title")[h.h2["Members"], h.span(".faint.small")[str(len(rows))]],
        folding(head, rows, f"Members of {shown.name}"),
    ]


def _row(frame: Frame, shown: Members, user: User, role: str) -> list[h.Node]:
    you = h.span(".faint.small")[" you"] if user.id == shown.own_id else None
    gone = [" ", badge("deactivated")] if user.disabled_at is not None else None
    named = [h.strong[user.name], you, gone]
    if not shown.may_change:
        return [named, role, None]
    changing = h.form(".row.nowrap", method="post", action=f"/members/{shown.id}")[
        csrf_field(frame),
        h.input(type="hidden", name="user", value=user.name),
        select("role", ROLES, role, aria_label=f"Role of {user.name}", class_="short"),
        h.button(".button.small")["Change"],
    ]
    leaving = "Leave" if user.id == shown.own_id else "Remove"
    fields = {"user": user.name, "role": ""}
    return [named, changing, action(frame, leaving, f"/members/{shown.id}", style="quiet small", fields=fields)]


def _adding(frame: Frame, shown: Members, typed: str) -> h.Element:
    names = h.datalist("#names")[[h.option(value=name) for name in shown.others]] if shown.others else None
    given = {"value": typed, "list": "names"} if names else {"value": typed}
    return h.form(".card.stack.tight", method="post", action=f"/members/{shown.id}")[
        csrf_field(frame),
        h.h2["Add somebody"],
        helped(
            "Name",
            "Of a person who has come in; an admin of the studio invites new ones.",
            lambda tie: h.input(tie, given, name="user", required=True, maxlength="100", autocomplete="off"),
        ),
        names,
        field("Role", select("role", ROLES, "editor")),
        h.button(".button.primary")["Add"],
    ]


def _ask(shown: Members) -> h.Element:
    whom = [user.name for user, role in shown.people if role == "admin"] or list(shown.admins)
    return h.section(".card.stack.tight", data_part="no-permission")[
        h.h2["To change this"],
        h.p[f"An admin of the {shown.noun} adds people and changes roles. Ask ", h.strong[", ".join(whom)], "."],
    ]


def _admins(shown: Members) -> h.Element:
    words = "Not listed, but they see every project and space: "
    return h.p(".faint.small")[words, ", ".join(shown.admins), "."]
