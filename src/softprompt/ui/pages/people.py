"""People for those who keep the studio: who is here, invitations, roles, deactivating; each person's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import htpy as h

from softprompt.storage.people import ApiKey, User
from softprompt.storage.types import now
from softprompt.ui.components import (
    action,
    badge,
    code,
    confirm,
    empty,
    field,
    folding,
    helped,
    outcome,
    select,
    until,
    when,
)
from softprompt.ui.layout import Frame, csrf_field, page

ROLES = (
    ("viewer", "Viewer: looks and asks"),
    ("editor", "Editor: tunes and deploys"),
    ("admin", "Admin: decides who may"),
)
SHORT = (("viewer", "Viewer"), ("editor", "Editor"), ("admin", "Admin"))
PEOPLE = (("/admin/people", "People"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user with the roles they have.

    Attributes:
        roles: name of each project and space, with its word and the role there.
        seen: when they or one of their keys were here last.
    """

    user: User
    roles: Sequence[tuple[str, str, str]]
    seen: datetime | None

    @property
    def state(self) -> str:
        if self.user.disabled_at is not None:
            return "deactivated"
        return "invited" if self.seen is None and self.user.password_hash is None else "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A one-time link that was just made.

    Attributes:
        invited: for somebody new; else it replaces a password.
    """

    address: str
    name: str
    hours: int
    invited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A project or space, and its word."""

    id: str
    name: str
    noun: str


def people(
    frame: Frame,
    found: Sequence[Person],
    places: Sequence[Place],
    *,
    total: int,
    admins: int,
    search: str = "",
    following: str | None = None,
    link: Link | None = None,
    problem: str = "",
    done: str = "",
    given: Mapping[str, str] | None = None,
) -> str:
    """Everybody who may come in."""
    finder = h.form(".row.nowrap", method="get", role="search")[
        h.input(
            type="search", name="search", value=search, placeholder="Find a name", aria_label="Find people by name"
        ),
        h.button(".button")["Find"],
    ]
    return page(
        frame,
        "People",
        outcome(problem, done),
        _link(link) if link else None,
        h.div(".split")[
            h.div(".stack")[_list(found, search, following)],
            h.div(".stack")[_invitation(frame, places, given or {}), _rights()],
        ],
        lead=_counted(total, admins),
        actions=finder,
    )


def _counted(total: int, admins: int) -> str:
    people = "1 person" if total == 1 else f"{total:,} people"
    return f"{people}; {'1 is' if admins == 1 else f'{admins:,} are'} admin of the whole studio."


def _link(link: Link) -> h.Element:
    title = f"The link for {link.name}" if link.invited else f"The new link for {link.name}"
    words = (
        f"Give it to {link.name}, by a way that nobody else reads. It signs in once, within {link.hours} hours, and is "
        "shown this once. Then a password can be set under Account."
    )
    return h.section(".card.stack.tight.fresh", data_part="link", aria_label=title)[
        h.h2[title], h.p[words], code(link.address)
    ]


def _list(found: Sequence[Person], search: str, following: str | None) -> h.Element:
    if not found:
        return empty(
            "Nobody by this name", f"No name holds “{search}”.", h.a(".button", href="/admin/people")["Show all"]
        )
    rows = [
        [
            [
                h.a(".strong", href=f"/admin/people/{person.user.id}")[person.user.name],
                h.div(".sub")["admin of the whole studio"] if person.user.admin else None,
            ],
            _roles(person.roles)
            if person.roles
            else h.span(".faint")["all, as admin" if person.user.admin else "none yet"],
            badge(person.state),
            when(person.seen) if person.seen else h.span(".faint")["never"],
        ]
        for person in found
    ]
    head = (("Name", False), ("Roles", False), ("State", False), ("Last here", False))
    return h.section(".card.flush", data_part="people")[
        h.div(".title")[h.h2["Who may come in"]],
        folding(head, rows, "People"),
        h.p(".pad")[h.a(href=following)["More people"]] if following else None,
    ]


def _roles(roles: Sequence[tuple[str, str, str]], most: int = 3) -> h.Node:
    rest = len(roles) - most
    return [
        [h.div(".small.roles")[f"{name} ", h.span(".faint")[role]] for name, _, role in roles[:most]],
        h.div(".small.faint")[f"and {rest} more"] if rest > 0 else None,
    ]


def _invitation(frame: Frame, places: Sequence[Place], given: Mapping[str, str]) -> h.Element:
    where = [("", "No place yet"), *((place.id, f"{place.noun.capitalize()} {place.name}") for place in places)]
    chosen = given.get("place", places[0].id if places else "")
    typed = given.get("name", "")
    return h.form("#invite.card.stack.tight", method="post", action="/admin/people", data_part="invite")[
        csrf_field(frame),
        h.h2["Invite somebody"],
        h.p(".muted.small")["You get a link to pass on; it signs in once. No e-mail is sent."],
        helped(
            "Name",
            "What they sign in with.",
            lambda tie: h.input(
                tie, name="name", required=True, maxlength="100", value=typed, autocomplete="off", placeholder="kim"
            ),
        ),
        field("Project or space", select("place", where, chosen)),
        field("Role there", select("role", ROLES, given.get("role", "editor"))),
        h.label(".row.tick")[
            h.input(type="checkbox", name="admin", value="yes", checked="admin" in given),
            "Admin of the whole studio",
        ],
        h.button(".button.primary")["Make the link"],
    ]


def _rights() -> h.Element:
    rows = (
        ("Viewer", "sees everything in the project or space and asks deployments."),
        ("Editor", "also loads data, tunes and deploys."),
        ("Admin", "also lets people in and deletes the project or space."),
        ("Studio admin", "sees every project and space, people, jobs, settings and this page."),
    )
    return h.section(".card")[
        h.h2["What the roles mean"], h.dl(".pairs")[[[h.dt[name], h.dd(".small")[words]] for name, words in rows]]
    ]


# --- one person -------------------------------------------------------------------------------------------------------
def person(
    frame: Frame,
    shown: Person,
    places: Sequence[Place],
    roles: Mapping[str, str],
    keys: Sequence[ApiKey],
    *,
    sessions: int,
    own: bool,
    only_admin: bool,
    link: Link | None = None,
    problem: str = "",
    done: str = "",
) -> str:
    """One of them.

    Args:
        places: those that there are.
        roles: the role in each place, by its id.
        own: whether it is the page of whoever looks.
        only_admin: whether nobody else is admin of the studio.
    """
    user = shown.user
    return page(
        frame,
        user.name,
        outcome(problem, done),
        _link(link) if link else None,
        h.div(".split")[
            h.div(".stack")[_memberships(frame, user, places, roles), _keys(frame, keys)],
            h.div(".stack")[_studio_role(frame, shown, only_admin), _way_in(frame, shown, sessions, own, only_admin)],
        ],
        lead=[badge(shown.state), " here since ", when(user.created_at), ", last here ", when(shown.seen)],
        crumbs=PEOPLE,
    )


def _memberships(frame: Frame, user: User, places: Sequence[Place], roles: Mapping[str, str]) -> h.Element:
    where = f"/admin/people/{user.id}/roles"
    rows: list[list[h.Node]] = [
        [
            [h.a(".strong", href=f"/members/{place.id}")[place.name], h.div(".sub")[place.noun]],
            h.form(".row.nowrap", method="post", action=where)[
                csrf_field(frame),
                h.input(type="hidden", name="place", value=place.id),
                select("role", SHORT, roles[place.id], aria_label=f"Role in {place.name}", class_="short"),
                h.button(".button.small")["Change"],
            ],
            action(frame, "Remove", where, style="quiet small", fields={"place": place.id, "role": ""}),
        ]
        for place in places
        if place.id in roles
    ]
    free = [(place.id, f"{place.noun.capitalize()} {place.name}") for place in places if place.id not in roles]
    adding = h.form(".pad.fields", method="post", action=where)[
        csrf_field(frame),
        field("Add to", select("place", free)),
        field("Role there", select("role", ROLES, "editor")),
        h.div(".field.end")[h.button(".button")["Add"]],
    ]
    head = (("Project or space", False), ("Role", False), ("", False))
    return h.section(".card.flush", data_part="roles")[
        h.div(".title")[h.h2["Roles"]],
        folding(head, rows, f"Roles of {user.name}") if rows else h.p(".pad.muted")["In no project or space yet."],
        adding if free else None,
    ]


def _keys(frame: Frame, keys: Sequence[ApiKey]) -> h.Element:
    rows: list[list[h.Node]] = [
        [
            [h.strong[key.name], h.div(".sub")[h.code[f"{key.prefix}…"]]],
            key.role,
            when(key.last_used_at),
            until(key.expires_at),
            confirm(
                frame, "Revoke", f"Programs that use “{key.name}” are refused from their next request on.",
                f"/admin/people/{key.user_id}/keys/{key.id}/revoke", yes="Revoke this key",
                label=f"Revoke the key {key.name}",
            ),
        ]
        for key in keys
        if key.revoked_at is None and (key.expires_at is None or key.expires_at > now())
    ]  # fmt: skip
    head = (("Key", False), ("Role", False), ("Last used", False), ("Expires", False), ("", False))
    return h.section(".card.flush", data_part="keys")[
        h.div(".title")[h.h2["API keys"], h.span(".faint.small")[f"{len(rows)} in use"]],
        folding(head, rows, "API keys") if rows else h.p(".pad.muted")["No key that works."],
    ]


def _studio_role(frame: Frame, shown: Person, only_admin: bool) -> h.Element:
    user = shown.user
    if user.admin:
        words = "Sees every project and space, and decides who may come in."
        change: h.Node = (
            h.p(".muted.small")["The only admin: make somebody else one first."]
            if only_admin
            else action(frame, "Take the role away", f"/admin/people/{user.id}/admin", fields={"admin": "no"})
        )
    else:
        words = "Works in the projects and spaces listed here."
        change = confirm(
            frame, "Make studio admin", f"{user.name} will see every project and space, and decide who may come in.",
            f"/admin/people/{user.id}/admin", yes="Make studio admin", style="", fields={"admin": "yes"},
        )  # fmt: skip
    return h.section(".card.stack.tight")[h.h2["Studio admin" if user.admin else "Member"], h.p[words], change]


def _way_in(frame: Frame, shown: Person, sessions: int, own: bool, only_admin: bool) -> h.Element:
    user, where = shown.user, f"/admin/people/{shown.user.id}"
    if shown.state == "deactivated":
        return h.section(".card.stack.tight")[
            h.h2["Deactivated"],
            h.p["Since ", when(user.disabled_at), ". Password, keys and roles are kept, and open nothing."],
            action(frame, "Let in again", f"{where}/enable", style="primary"),
        ]
    signed = f"{sessions} browser{'' if sessions == 1 else 's'} signed in."
    browsers = signed if sessions else "No browser is signed in."
    reset = confirm(
        frame, "New sign-in link", "The password stops working now, browsers are signed out, and you get a link to "
        "pass on.", f"{where}/link", yes="Make the link", style="",
    )  # fmt: skip
    end = action(frame, "Sign out everywhere", f"{where}/sessions/end", style="quiet") if sessions else None
    stop = confirm(
        frame, "Deactivate", f"{user.name} is signed out, and their keys stop working at once. What they made stays, "
        "and you can let them in again.", f"{where}/disable", yes=f"Deactivate {user.name}",
    )  # fmt: skip
    yours = h.p(".muted.small")["This is you. ", h.a(href="/account")["Password and keys"], " are under Account."]
    return h.section(".card.stack.tight")[
        h.h2["Way in"],
        h.p(".muted.small")[browsers],
        yours if own else [reset, end],
        None if only_admin and user.admin else stop,
    ]
