"""One's own account: who one is here, API keys, a password, and the browsers that are signed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import htpy as h

from softprompt.storage.people import ApiKey, BrowserSession
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
    notice,
    outcome,
    select,
    until,
    when,
)
from softprompt.ui.layout import Frame, csrf_field, page

ROLES = (
    ("editor", "Editor: tunes, deploys and asks"),
    ("viewer", "Viewer: looks and asks"),
    ("admin", "Admin: everything you may do"),
)
LIVES = (("30", "30 days"), ("90", "90 days"), ("365", "One year"), ("", "Never"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the page shows.

    Attributes:
        admin: of the whole studio.
        keys: newest first.
        places: id to name of the projects and spaces a key can be bound to.
        roles: name of each project and space one is in, with its word and the role there.
        sessions: newest first.
        current: digest of the session of this browser.
    """

    name: str
    admin: bool
    created_at: datetime | None
    has_password: bool
    keys: Sequence[ApiKey]
    places: Mapping[str, str]
    roles: Sequence[tuple[str, str, str]]
    sessions: Sequence[BrowserSession]
    current: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of the last form.

    Attributes:
        secret: of a key just made; shown this once.
        given: what was typed into the form that did not work.
    """

    secret: str = ""
    secret_name: str = ""
    problem: str = ""
    done: str = ""
    given: Mapping[str, str] | None = None


def account(frame: Frame, shown: Account, told: Told) -> str:
    return page(
        frame,
        "Account",
        outcome(told.problem, told.done),
        _secret(told) if told.secret else None,
        _first_password() if not shown.has_password and not told.problem else None,
        h.div(".split")[
            h.div(".stack")[_keys(frame, shown), _sessions(frame, shown)],
            h.div(".stack")[_new_key(frame, shown, told.given or {}), _profile(frame, shown), _password(frame, shown)],
        ],
        lead=["Signed in as ", h.strong[shown.name], ", admin of the whole studio." if shown.admin else "."],
    )


def _secret(told: Told) -> h.Element:
    return h.section(".card.stack.tight.fresh", aria_label="Your new key")[
        h.h2[f"Your new key “{told.secret_name}”"],
        h.p["Copy it now: it is shown this once, and the studio keeps only a digest of it."],
        code(told.secret),
        h.details[
            h.summary["Try it"],
            code(f'curl -H "Authorization: Bearer {told.secret}" ADDRESS/api/me'),
            h.p(".faint.small")["ADDRESS is where you opened this studio. The answer says who you are."],
        ],
    ]


def _first_password() -> h.Element:
    words = "The link that let you in works once. With a password you can sign in again. "
    return notice("warn", "You have no password yet.", h.p[words, h.a(href="#password")["Set one"], "."])


# --- keys -------------------------------------------------------------------------------------------------------------
def _keys(frame: Frame, shown: Account) -> h.Element:
    working = [key for key in shown.keys if _state(key) == "ready"]
    gone = [key for key in shown.keys if _state(key) != "ready"]
    if not shown.keys:
        words = "Programs sign in with keys: a notebook, a pipeline, your application. Make the first one on this page."
        return empty("No API key yet", words)
    rows = [[_named(key), _may(key, shown), _used(key), _revoke(frame, key)] for key in working]
    head = (("Key", False), ("Role", False), ("Last used", False), ("", False))
    return h.section(".card.flush", data_part="keys")[
        h.div(".title")[h.h2["API keys"], h.span(".faint.small")[f"{len(working)} in use"]],
        folding(head, rows, "API keys") if rows else h.p(".pad.muted")["No key works now. Make a new one."],
        _gone(gone, shown) if gone else None,
    ]


def _gone(keys: Sequence[ApiKey], shown: Account) -> h.Element:
    rows = [
        [_named(key), badge(_state(key)), when(key.revoked_at or key.expires_at), when(key.last_used_at)]
        for key in keys
    ]
    count = f"{len(keys)} key{'s' if len(keys) > 1 else ''} that work{'' if len(keys) > 1 else 's'} no longer"
    head = (("Key", False), ("State", False), ("Since", False), ("Last used", False))
    return h.details(".more")[h.summary[count], folding(head, rows, "Keys that work no longer")]


def _named(key: ApiKey) -> h.Node:
    return [h.strong[key.name], h.div(".sub")[h.code[f"{key.prefix}…"], " made ", when(key.created_at)]]


def _may(key: ApiKey, shown: Account) -> h.Node:
    bound = key.project_id or key.space_id
    where = f"only in {shown.places.get(bound, 'a place that is gone')}" if bound else "everywhere"
    return [key.role.capitalize(), h.div(".sub")[where]]


def _used(key: ApiKey) -> h.Node:
    ends = ["expires ", until(key.expires_at)] if key.expires_at else "never expires"
    return [when(key.last_used_at) if key.last_used_at else h.span(".faint")["never"], h.div(".sub")[ends]]


def _revoke(frame: Frame, key: ApiKey) -> h.Element:
    words = f"Programs that use “{key.name}” are refused from their next request on. This cannot be undone."
    where = f"/account/keys/{key.id}/revoke"
    return confirm(frame, "Revoke", words, where, yes="Revoke this key", label=f"Revoke the key {key.name}")


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now() else "ready"


def _new_key(frame: Frame, shown: Account, given: Mapping[str, str]) -> h.Element:
    places = [("", "Everything you may see"), *shown.places.items()]
    name = given.get("name", "")
    return h.form(".card.stack.tight", method="post", action="/account/keys")[
        csrf_field(frame),
        h.h2["New API key"],
        field(
            "Name",
            h.input(
                name="name", required=True, maxlength="100", placeholder="Notebook", value=name, autocomplete="off"
            ),
        ),
        helped(
            "Role",
            "The most it may do; never more than you.",
            lambda tie: select("role", ROLES, given.get("role", "editor"), **tie),
        ),
        field("Works in", select("place", places, given.get("place", ""))),
        field("Expires", select("days", LIVES, given.get("days", "90"))),
        h.button(".button.primary")["Make a key"],
    ]


# --- oneself ----------------------------------------------------------------------------------------------------------
def _profile(frame: Frame, shown: Account) -> h.Element:
    roles = [h.li[h.strong[name], f" · {role} of the {noun}"] for name, noun, role in shown.roles]
    everything = (
        h.p(".muted.small")["As an admin of the studio you see every project and space."] if shown.admin else None
    )
    nowhere = h.p(".muted.small")["You are in no project or space yet. An admin of the studio can let you in."]
    return h.section(".card.stack.tight")[
        h.h2["Profile"],
        h.form(".stack.tight", method="post", action="/account/profile")[
            csrf_field(frame),
            field(
                "Name", h.input(name="name", value=shown.name, required=True, maxlength="100", autocomplete="username")
            ),
            h.button(".button")["Save"],
        ],
        everything,
        h.ul(".list-plain.small", aria_label="Your roles")[roles] if roles else None if shown.admin else nowhere,
        h.p(".faint.small")["Here since ", when(shown.created_at)] if shown.created_at else None,
    ]


def _password(frame: Frame, shown: Account) -> h.Element:
    old = field(
        "Current password", h.input(name="old", type="password", autocomplete="current-password", required=True)
    )
    new = helped(
        "New password",
        "At least 10 characters. Other browsers are signed out.",
        lambda tie: h.input(
            tie, name="password", type="password", autocomplete="new-password", minlength="10", required=True
        ),
    )
    return h.form("#password.card.stack.tight", method="post", action="/account/password")[
        csrf_field(frame),
        h.h2["Password"],
        h.input(name="username", value=shown.name, autocomplete="username", hidden=True),
        old if shown.has_password else None,
        new,
        h.button(".button")["Set password"],
    ]


def _sessions(frame: Frame, shown: Account) -> h.Element:
    rows = [
        h.li(".row.apart")[
            h.div[
                h.strong["This browser" if session.digest == shown.current else "Another browser"],
                h.div(".sub.faint.small")["Signed in ", when(session.created_at), ", ends ", until(session.expires_at)],
            ],
        ]
        for session in shown.sessions
    ]
    others = [session for session in shown.sessions if session.digest != shown.current]
    ends = h.div(".row")[
        action(frame, "Sign out everywhere else", "/account/sessions/end", fields={"which": "others"})
        if others
        else None,
        action(frame, "Sign out everywhere", "/account/sessions/end", fields={"which": "all"}),
    ]
    return h.section(".card.stack.tight", data_part="sessions")[
        h.h2["Browsers that are signed in"],
        h.ul(".list-plain.lines", role="list")[rows] if rows else h.p(".muted")["None: you are here with an API key."],
        ends if rows else None,
    ]
