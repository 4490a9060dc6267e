"""What the parent does beside the processes, where no worker does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from softprompt.jobs.queue import Queue, Timing, request_cancel
from softprompt.storage.rows import Rows
from softprompt.storage.tables import TuningRun
from softprompt.studio.access import Office
from softprompt.supervisor import chores
from studio_fixtures import Lab
from supervisor.conftest import wait_for


@pytest.mark.parametrize(("wish", "end"), [(None, "queued"), ("cancel", "canceled")])
def test_runs_of_dead_workers_do_not_stay_running_without_any_worker(
    lab: Lab, office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str | None, end: str
) -> None:
    monkeypatch.setattr(chores, "LOOK_EVERY", 0.01)
    run = lab.run("d")
    assert Queue(lab.database, timing=Timing(lease=-1.0)).claim("killed") is not None
    if wish:
        with lab.database.write() as session:
            request_cancel(Rows(session), subject_id=run)
    made = chores.Chores(office, tmp_path / "uploads", watched=False)
    made.start()
    wait_for(f"the run is {end}", lambda: lab.get(TuningRun, run).state == end)
    made.stop()
    made._thread.join(10)
