"""The queue with many workers at once: properties that hold in whatever order they come."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softprompt.config import Limits
from softprompt.errors import LeaseLost, WrongState
from softprompt.jobs.queue import Claim, Queue, Timing, enqueue, request_cancel
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import RunEvent, TuningRun
from softprompt.storage.work import Job

SHARED = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Waiting:
    """A job of the model that the queue is compared with."""

    run_id: str
    project: str
    priority: int
    age: int
    running: bool = False


def emptied(database: Database) -> None:
    with database.write() as session:
        rows = Rows(session)
        for table in (Job, TuningRun, RunEvent):
            rows.remove(table)


def queued(database: Database, projects: list[tuple[str, int]]) -> list[Waiting]:
    """One run for each project and priority, in this order of age."""
    made = []
    with database.write() as session:
        rows = Rows(session)
        for number, (project, priority) in enumerate(projects):
            run = TuningRun(
                name=f"{number}", project_id=project, experiment_id="e", number=number, model_id="m", dataset_id="d"
            )
            rows.add(run)
            enqueue(rows, kind="tune", subject_id=run.id, project_id=project, priority=priority)
            made.append(Waiting(run.id, project, priority, number))
    return made


def together(*work: Callable[[], None]) -> None:
    """Do all at once; an error of one is an error."""
    gate, errors = threading.Barrier(len(work)), []

    def guarded(each: Callable[[], None]) -> None:
        gate.wait()
        try:
            each()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors


jobs = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=9)


@given(jobs=jobs, most=st.integers(1, 3), ends=st.lists(st.booleans(), min_size=30, max_size=30))
@SHARED
def test_turns_are_those_of_the_model(
    database: Database, jobs: list[tuple[str, int]], most: int, ends: list[bool]
) -> None:
    """Priority, the project with the fewest running, who was served longest ago, age; never more than `most` of one."""
    emptied(database)
    queue, model = Queue(database, Limits(concurrent_runs=most)), queued(database, jobs)
    held: list[tuple[Claim, Waiting]] = []
    served = dict.fromkeys("abc", -1)
    for moment, end in enumerate(ends):
        if end and held:
            claim, each = held.pop(0)
            queue.complete(claim)
            model.remove(each)
            continue
        running = Counter(each.project for each in model if each.running)
        ready = [each for each in model if not each.running and running[each.project] < most]
        turns = [(-each.priority, running[each.project], served[each.project], each.age) for each in ready]
        due = ready[turns.index(min(turns))] if ready else None
        taken = queue.claim("w")
        assert (taken and taken.subject_id) == (due and due.run_id)
        if taken and due:
            due.running, served[due.project] = True, moment
            held.append((taken, due))


@given(jobs=jobs, most=st.integers(1, 3))
@SHARED
def test_three_claimers_never_hold_one_job(database: Database, jobs: list[tuple[str, int]], most: int) -> None:
    emptied(database)
    model = queued(database, jobs)
    project_of = {each.run_id: each.project for each in model}
    queue = Queue(database, Limits(concurrent_runs=most))
    lock, done, running, most_seen = threading.Lock(), Counter[str](), Counter[str](), defaultdict[str, int](int)

    def worker() -> None:
        while sum(done.values()) < len(model):
            claim = queue.claim("w")
            if claim is None:
                continue
            project = project_of[claim.subject_id]
            with lock:
                running[project] += 1
                most_seen[project] = max(most_seen[project], running[project])
            queue.beat(claim)
            with lock:  # before it is over in the queue, where the next one may be claimed at once
                running[project] -= 1
            queue.complete(claim)
            with lock:
                done[claim.subject_id] += 1

    together(worker, worker, worker)
    assert done == Counter(each.run_id for each in model)
    assert all(count <= most for count in most_seen.values())


def test_of_two_that_hold_a_claim_one_writes(database: Database) -> None:
    """The first worker's lease runs out while it works; both try to finish at the same moment."""
    for _ in range(5):
        emptied(database)
        (run,) = queued(database, [("a", 0)])
        dead, queue = Queue(database, timing=Timing(lease=-1, backoff=0)), Queue(database)
        late = dead.claim("late")
        dead.sweep()
        new = queue.claim("new")
        assert late
        assert new
        wrote: list[str] = []

        def finish(claim: Claim, name: str, queue: Queue = queue, wrote: list[str] = wrote) -> None:
            try:
                queue.complete(claim, lambda held: held.tell("Note", {"text": name}))
                wrote.append(name)
            except LeaseLost:
                pass

        together(lambda late=late: finish(late, "late"), lambda new=new: finish(new, "new"))  # type: ignore[misc]
        assert wrote == ["new"]
        with database.read() as session:
            notes = [e.data["text"] for e in Rows(session).all(RunEvent, sort="id") if e.kind == "Note"]
        assert notes == ["new"]
        assert run.run_id


@pytest.mark.parametrize("turn", range(3))
def test_a_cancel_and_a_claim_at_once_agree(database: Database, turn: int) -> None:
    """Either it never ran, or its worker hears of it."""
    runs = queued(database, [(project, 0) for project in "abcdef"])
    queue = Queue(database)
    claims: list[Claim] = []

    def claim_all() -> None:
        for _ in range(12):
            if claim := queue.claim("w"):
                claims.append(claim)

    def cancel_all() -> None:
        for run in runs:
            with database.write() as session:
                request_cancel(Rows(session), subject_id=run.run_id)

    together(claim_all, cancel_all)
    heard = {claim.subject_id for claim in claims if queue.beat(claim) == "cancel"}
    with database.read() as session:
        canceled = {row.id for row in Rows(session).all(TuningRun, state="canceled")}
    assert heard == {claim.subject_id for claim in claims}
    assert heard | canceled == {run.run_id for run in runs}
    assert not heard & canceled


def test_a_sweep_and_a_finish_at_once_agree(database: Database) -> None:
    """A worker whose lease has run out finishes in the moment it is declared dead: one of both happens."""
    for _ in range(8):
        emptied(database)
        (run,) = queued(database, [("a", 0)])
        queue = Queue(database, timing=Timing(lease=-1, backoff=0))
        claim = queue.claim("w")
        assert claim
        lost = threading.Event()

        def finish(claim: Claim = claim, queue: Queue = queue, lost: threading.Event = lost) -> None:
            try:
                queue.complete(claim)
            except LeaseLost:
                lost.set()

        def sweep(queue: Queue = queue) -> None:
            queue.sweep()

        together(finish, sweep)
        with database.read() as session:
            row = Rows(session).get(TuningRun, run.run_id)
        assert row is not None
        assert row.state == ("queued" if lost.is_set() else "completed")


def test_what_is_over_stays_over(database: Database) -> None:
    (run,) = queued(database, [("a", 0)])
    queue = Queue(database)
    claim = queue.claim("w")
    assert claim
    queue.complete(claim)
    with database.write() as session, pytest.raises(WrongState, match="Job already completed with state completed"):
        request_cancel(Rows(session), subject_id=run.run_id)
    assert queue.sweep() == 0
