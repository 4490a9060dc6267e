"""Stored answers to idempotency keys begin anew: the digest of a body was one that a password could be guessed from"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if on_sqlite:  # else what is deleted stays readable in the file until something is written over it
        op.execute("PRAGMA secure_delete = ON")
    op.execute("DELETE FROM answered_requests")
    if on_sqlite:
        op.execute("PRAGMA secure_delete = OFF")
