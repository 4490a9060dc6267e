"""Counts of runs out of indexes: of a project, an experiment, a model, by state"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tuning_runs") as batch_op:
        batch_op.drop_index("ix_tuning_runs_project_state")
        batch_op.drop_index("ix_tuning_runs_model_id")
        batch_op.drop_index("ix_tuning_runs_experiment_id")
        batch_op.create_index("ix_tuning_runs_project_state", ["project_id", "deleted_at", "state"])
        batch_op.create_index("ix_tuning_runs_experiment_state", ["experiment_id", "deleted_at", "state", "number"])
        batch_op.create_index("ix_tuning_runs_experiment_created", ["experiment_id", "created_at", "id"])
        batch_op.create_index("ix_tuning_runs_model_state", ["model_id", "state", "deleted_at"])
