"""What a run told, read back in pieces."""

from __future__ import annotations

from datetime import timedelta

from softprompt.jobs import events
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.types import now


def test_a_reader_goes_on_behind_the_last_event_it_saw(database: Database) -> None:
    began = now()
    with database.write() as session:
        rows = Rows(session)
        for run in ("a", "b"):
            told = [(began + timedelta(seconds=i), "StepDone", {"update": i}) for i in range(7)]
            events.tell_all(rows, run, told)
        events.tell(rows, "a", "state", {"state": "completed"})
    with database.read() as session:
        rows = Rows(session)
        seen, last = [], 0
        while piece := events.after(rows, "a", last, limit=3):
            assert len(piece) <= 3
            seen += [(event.kind, event.data.get("update")) for event in piece]
            last = piece[-1].id
        assert seen == [*(("StepDone", i) for i in range(7)), ("state", None)]
        assert events.newest_id(rows, "a") == last
        assert events.newest_id(rows, "nobody") == 0
        assert [event.at for event in events.after(rows, "b")] == [began + timedelta(seconds=i) for i in range(7)]
