"""Who may: users, keys, browser sessions, memberships; and the log of what they did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from softprompt.storage.types import Base, Big, Identified, now


class User(Identified, Base):
    __tablename__ = "users"
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(300))
    admin: Mapped[bool] = mapped_column(default=False)
    """Of the whole studio: sees every project and space."""
    disabled_at: Mapped[datetime | None]


class ApiKey(Identified, Base):
    """Shown once; here is only its digest. It may do what its user may, but nothing above `role`, nowhere but there."""

    __tablename__ = "api_keys"
    user_id: Mapped[str] = mapped_column(String(36), index=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(10))
    project_id: Mapped[str | None] = mapped_column(String(36))
    space_id: Mapped[str | None] = mapped_column(String(36))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    made_by: Mapped[str | None] = mapped_column(String(36), index=True)
    """The key that made this one: when that ends, this does; None if a person made it."""


class BrowserSession(Base):
    __tablename__ = "browser_sessions"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]


class SignInLink(Base):
    """Signs in once."""

    __tablename__ = "sign_in_links"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Membership(Identified, Base):
    """A user's role in one project or space: admin, editor or viewer."""

    __tablename__ = "memberships"
    user_id: Mapped[str] = mapped_column(String(36), index=True)
    container_id: Mapped[str] = mapped_column(String(36), index=True)
    """Of a project or a space."""
    role: Mapped[str] = mapped_column(String(10))
    __table_args__ = (Index("uq_memberships_user_container", "user_id", "container_id", unique=True),)


class AuditEntry(Base):
    """Who changed what, and when."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    user_id: Mapped[str | None] = mapped_column(String(36), index=True)
    key_id: Mapped[str | None] = mapped_column(String(36))
    request_id: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(40))
    noun: Mapped[str] = mapped_column(String(40))
    noun_id: Mapped[str | None] = mapped_column(String(36), index=True)
    container_id: Mapped[str | None] = mapped_column(String(36), index=True)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = ({"sqlite_autoincrement": True},)


class Answered(Base):
    """The answer to a create that carried an idempotency key, so that a repeat gets the same one."""

    __tablename__ = "answered_requests"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of caller, route and key."""
    body_digest: Mapped[str] = mapped_column(String(64))
    """Keyed with the studio's own secret, which is not in the database: a password may have been in the body."""
    status: Mapped[int]
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
