"""The numbers of the status view, read from the database now and then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softprompt.jobs import workers
from softprompt.jobs.states import State
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Evaluation, TuningRun
from softprompt.storage.work import Job
from softprompt.studio import standing
from softprompt.studio.access import Office


@dataclass(frozen=True, slots=True)
class Figures:
    """How much there is.

    Attributes:
        queued, running: jobs.
        runs: tuning runs by state.
        working: workers that live, on any machine.
    """

    queued: int = 0
    running: int = 0
    runs: Mapping[str, int] = field(default_factory=dict)
    deployments: int = 0
    working: tuple[Worker, ...] = ()

    @property
    def nobody_works(self) -> str:
        """That jobs wait or are left over and no worker lives, with what to do; empty while somebody lives."""
        count = self.queued + self.running
        if self.working or not count:
            return ""
        jobs = "1 job waits" if count == 1 else f"{count:,} jobs wait"
        return f"{jobs} and no worker runs. Start one: softprompt worker, or softprompt up with --workers 1 or more."


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that gave a sign of life, and what it does."""

    host: str
    pid: int
    device: str
    job: str = ""


def read(office: Office) -> Figures:
    """One look at the database.

    Raises:
        Unavailable: it does not answer.
    """
    with office.database.read() as session:
        rows = Rows(session)
        return Figures(
            queued=rows.count(Job, state=State.QUEUED),
            running=rows.count(Job, state=State.RUNNING),
            runs={str(state): rows.count(TuningRun, state=state) for state in State},
            deployments=standing.answering(rows, office.store),
            working=tuple(_worker(rows, row.host, row.pid, row.device, row.job_id) for row in workers.present(rows)),
        )


def _worker(rows: Rows, host: str, pid: int, device: str, job_id: str | None) -> Worker:
    job = rows.get(Job, job_id) if job_id else None
    if job is None:
        return Worker(host, pid, device)
    subject = rows.get(TuningRun, job.subject_id) or rows.get(Evaluation, job.subject_id)
    return Worker(host, pid, device, subject.name if subject is not None else job.kind)
