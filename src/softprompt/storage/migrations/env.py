"""What alembic runs: migrations on the connection that `Database.upgrade` hands in."""

from __future__ import annotations

from alembic import context

from softprompt.storage import people, tables, work  # noqa: F401  (they fill the metadata)
from softprompt.storage.types import Base


def run() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        render_as_batch=True,
        transactional_ddl=True,
        transaction_per_migration=False,
    )
    context.run_migrations()


run()
