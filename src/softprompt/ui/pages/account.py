"""One's own account: API keys, and a password for the next sign-in."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from softprompt.storage.people import ApiKey
from softprompt.storage.types import now
from softprompt.ui.components import action, badge, code, empty, field, notice, select, table, when
from softprompt.ui.layout import Frame, csrf_field, page


def account(frame: Frame, keys: Sequence[ApiKey], *, secret: str = "", problem: str = "", done: str = "") -> str:
    rows = [
        [
            key.name,
            h.code[f"{key.prefix}…"],
            key.role,
            badge(_state(key)),
            when(key.last_used_at),
            action(frame, "Revoke", f"/account/keys/{key.id}/revoke", style="quiet danger")
            if key.revoked_at is None
            else None,
        ]
        for key in keys
    ]
    head = (
        ("Key", False),
        ("Begins with", False),
        ("Role", False),
        ("State", False),
        ("Last used", False),
        ("", False),
    )
    listed = (
        h.section(".card.flush")[h.div(".title")[h.h2["API keys"]], table(head, rows, "API keys")]
        if rows
        else empty("No API key yet", "Programs sign in with keys. A key is shown once, when it is made.")
    )
    shown = notice("note", "Your new key. It is shown this once.", code(secret)) if secret else None
    return page(
        frame,
        "Account",
        notice("error", "That did not work.", problem) if problem else None,
        notice("note", done) if done else None,
        shown,
        h.div(".split")[h.div(".stack")[listed], h.div(".stack")[_new_key(frame), _password(frame)]],
        lead=f"Signed in as {frame.user}.",
    )


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now() else "ready"


def _new_key(frame: Frame) -> h.Element:
    roles = [
        ("editor", "Editor: tune, deploy, ask"),
        ("viewer", "Viewer: look and ask"),
        ("admin", "Admin: everything"),
    ]
    return h.form(".card.stack.tight", method="post", action="/account/keys")[
        csrf_field(frame),
        h.h2["New API key"],
        field("Name", h.input(name="name", required=True, maxlength="100", placeholder="Notebook")),
        field("Role", select("role", roles)),
        field("Days until it expires", h.input(name="days", type="number", min="1", placeholder="never")),
        h.button(".button.primary")["Make a key"],
    ]


def _password(frame: Frame) -> h.Element:
    return h.form(".card.stack.tight", method="post", action="/account/password")[
        csrf_field(frame),
        h.h2["Password"],
        field(
            "New password",
            h.input(name="password", type="password", autocomplete="new-password", minlength="10", required=True),
            "At least 10 characters. Other sessions end.",
        ),
        h.button(".button")["Set it"],
    ]
