"""Tables of people: users, their keys and sessions, their places in projects, and what they did."""

from __future__ import annotations

from alembic import op

from softprompt.storage.migrations.first_release.columns import (
    counted,
    document,
    flag,
    identified,
    indexes,
    key,
    moment,
    primary,
    text,
    unique,
    whole,
)


def users() -> None:
    op.create_table(
        "users",
        text("name", 100),
        text("password_hash", 300, null=True),
        flag("admin"),
        moment("disabled_at", null=True),
        *identified("users"),
        unique("users", "name"),
    )
    indexes("users", "created_at")


def memberships() -> None:
    op.create_table(
        "memberships",
        key("user_id"),
        key("container_id"),
        text("role", 10),
        *identified("memberships"),
    )
    indexes("memberships", "container_id", "created_at", "user_id")
    op.create_index("uq_memberships_user_container", "memberships", ["user_id", "container_id"], unique=True)


def browser_sessions() -> None:
    op.create_table(
        "browser_sessions",
        text("digest", 64),
        key("user_id"),
        text("csrf", 64),
        moment("created_at"),
        moment("expires_at"),
        primary("browser_sessions", "digest"),
    )
    indexes("browser_sessions", "user_id")


def sign_in_links() -> None:
    op.create_table(
        "sign_in_links",
        text("digest", 64),
        key("user_id"),
        moment("expires_at"),
        moment("used_at", null=True),
        primary("sign_in_links", "digest"),
    )


def api_keys() -> None:
    op.create_table(
        "api_keys",
        key("user_id"),
        text("name", 100),
        text("prefix", 16),
        text("digest", 64),
        text("role", 10),
        key("project_id", null=True),
        key("space_id", null=True),
        moment("expires_at", null=True),
        moment("revoked_at", null=True),
        moment("last_used_at", null=True),
        *identified("api_keys"),
        unique("api_keys", "digest"),
    )
    indexes("api_keys", "created_at", "user_id")


def audit_log() -> None:
    op.create_table(
        "audit_log",
        counted(),
        moment("at"),
        key("user_id", null=True),
        key("key_id", null=True),
        text("request_id", 64, null=True),
        text("action", 40),
        text("noun", 40),
        key("noun_id", null=True),
        key("container_id", null=True),
        document("data"),
        primary("audit_log", "id"),
        sqlite_autoincrement=True,
    )
    indexes("audit_log", "at", "container_id", "noun_id", "user_id")


def answered_requests() -> None:
    op.create_table(
        "answered_requests",
        text("digest", 64),
        text("body_digest", 64),
        whole("status"),
        text("body"),
        moment("created_at"),
        primary("answered_requests", "digest"),
    )
    indexes("answered_requests", "created_at")
