"""Which workers live."""

from __future__ import annotations

from datetime import timedelta

from softprompt.jobs import workers
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.types import now
from softprompt.storage.work import WorkerRow


def test_present_are_those_that_gave_a_sign_and_did_not_leave(database: Database) -> None:
    with database.write() as session:
        rows = Rows(session)
        for name in ("lives", "silent", "left"):
            workers.arrive(rows, name, host="here", pid=7, device="cpu")
        workers.pulse(rows, "lives", "job")
        rows.change(WorkerRow, {"heartbeat_at": now() - timedelta(seconds=workers.SILENT + 1)}, id="silent")
        workers.leave(rows, "left")
    with database.read() as session:
        (present,) = workers.present(Rows(session))
    assert (present.id, present.job_id, present.device) == ("lives", "job", "cpu")
