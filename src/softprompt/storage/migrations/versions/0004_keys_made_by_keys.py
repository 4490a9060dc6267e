"""Which key made a key: revoking one ends those that it made"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.add_column(sa.Column("made_by", sa.String(36), nullable=True))
        batch_op.create_index("ix_api_keys_made_by", ["made_by"])
    # The audit log knows it of the keys that are there.
    op.execute(
        "UPDATE api_keys SET made_by = (SELECT max(audit_log.key_id) FROM audit_log WHERE audit_log.noun = 'API key' "
        "AND audit_log.action = 'create' AND audit_log.noun_id = api_keys.id)"
    )
