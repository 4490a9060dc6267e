"""Counts of deployments: written behind, by any number of processes, on both databases; read as a curve."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from softprompt.errors import NotFound, Unavailable
from softprompt.storage import usage as stored
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Deployment, DeploymentUsage, Project
from softprompt.storage.types import now
from softprompt.storage.usage import Counted
from softprompt.studio import maintenance, usage
from softprompt.studio.access import SYSTEM, Actor, Office
from softprompt.studio.usage import Counter

AT = datetime(2026, 5, 4, 15, 42, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    input_tokens: int = 5
    virtual_tokens: int = 100
    generated_tokens: int = 2


@pytest.fixture
def deployed(office: Office) -> str:
    with office.unit() as unit:
        project = unit.rows.add(Project(name="P"))
        return unit.rows.add(Deployment(name="Router", project_id=project.id, model_id="m")).id


def add(office: Office, *counted: Counted) -> None:
    with office.database.write() as session:
        stored.add(session, counted)


def rows(database: Database) -> list[DeploymentUsage]:
    with database.read() as session:
        return Rows(session).all(DeploymentUsage, sort="at")


def test_counts_of_several_processes_add_up(office: Office, deployed: str) -> None:
    counters = [Counter(office.database, every=3600) for _ in range(4)]

    def work(counter: Counter) -> None:
        for number in range(25):
            tally = counter.begin(deployed)
            tally.add([Said()])
            tally.close()
            tally.close()  # counted once
            if number % 10 == 9:
                counter.flush()
        counter.begin(deployed).fail()
        counter.close()

    threads = [threading.Thread(target=work, args=[counter]) for counter in counters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with office.unit(write=False) as unit:
        whole = usage.of(unit, deployed, usage.span_of("hour")).whole
    assert (whole.requests, whole.errors) == (104, 4)
    assert (whole.input_tokens, whole.virtual_tokens, whole.generated_tokens) == (500, 10_000, 200)


def test_what_waits_is_written_by_itself(office: Office, deployed: str) -> None:
    counter = Counter(office.database, every=0.01)
    counter.begin(deployed).close()
    timer = counter._timer
    if timer is not None:
        timer.join(10)
    assert sum(row.requests for row in rows(office.database)) == 1
    counter.close()


def test_while_the_database_is_away_counts_wait(office: Office, deployed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(office.database, every=3600)
    counter.begin(deployed).close()

    def away(_: object) -> None:
        raise Unavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(office.database, "attempt", away)
        with pytest.raises(Unavailable):
            counter.flush()
    counter.begin(deployed).close()
    counter.flush()
    assert sum(row.requests for row in rows(office.database)) == 2
    counter.close()


def test_requests_of_no_deployment_are_not_written(office: Office) -> None:
    counter = Counter(office.database)
    counter.begin(None).close()
    counter.close()
    assert rows(office.database) == []


def test_percentiles_by_hand(office: Office, deployed: str) -> None:
    quick, slow = stored.latency_class(0.010), stored.latency_class(1.0)
    add(office, Counted(deployed, AT, quick, requests=90), Counted(deployed, AT, slow, requests=10))
    with office.unit(write=False) as unit:
        whole = usage.of(unit, deployed, usage.span_of("hour"), AT).whole
    assert whole.p50 == pytest.approx(0.010, rel=0.2)
    assert whole.p95 == pytest.approx(1.0, rel=0.2)
    assert usage.percentile([], 0.5) is None


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0123, 0.5, 7.0, 3600.0])
def test_a_class_holds_its_durations(seconds: float) -> None:
    low, high = stored.bounds(stored.latency_class(seconds))
    assert low <= max(seconds, 0.001) * 1.0000001
    assert seconds < high


def test_points_stand_at_round_times_and_end_now(office: Office, deployed: str) -> None:
    add(
        office,
        Counted(deployed, AT, 10, requests=3),
        Counted(deployed, AT - timedelta(hours=23), 10, requests=2, errors=0),
        Counted(deployed, AT - timedelta(days=2), stored.NO_ANSWER, requests=1, errors=1),
    )
    with office.unit(write=False) as unit:
        day = usage.of(unit, deployed, usage.span_of("day"), AT)
        week = usage.of(unit, deployed, usage.span_of("week"), AT)
        assert usage.span_of("nonsense").name == "day"
    assert len(day.points) == 48
    assert day.points[-1].at == AT.replace(minute=30)
    assert [point.requests for point in day.points if point.requests] == [2, 3]
    assert (week.whole.requests, week.whole.errors) == (6, 1)
    failed = [point for point in week.points if point.errors]
    assert [point.p50 for point in failed] == [None], "a request without an answer has no latency"


def test_a_stranger_sees_no_numbers(office: Office, deployed: str) -> None:
    with office.unit(Actor(user_id="u", name="stranger"), "viewer", write=False) as unit, pytest.raises(NotFound):
        usage.of(unit, deployed, usage.SPANS[0])


def test_old_minutes_become_hours_and_nothing_gets_lost(office: Office, deployed: str) -> None:
    young = now().replace(second=0, microsecond=0)
    old = young - timedelta(days=3)
    minutes = [old.replace(minute=minute) for minute in (0, 1, 30, 59)]
    add(
        office,
        *(Counted(deployed, minute, 12, requests=2, input_tokens=7) for minute in minutes),
        Counted(deployed, young, 12, requests=1),
        Counted(deployed, young - timedelta(days=500), 12, requests=1),
    )
    maintenance.purge(office)
    maintenance.purge(office)
    found = [(row.at, row.requests, row.input_tokens) for row in rows(office.database)]
    assert found == [(old.replace(minute=0), 8, 28), (young, 1, 0)]


def test_counts_go_with_their_deployment(office: Office, deployed: str) -> None:
    add(office, Counted(deployed, now(), 12, requests=2), Counted("other", now(), 12, requests=1))
    with office.unit(SYSTEM) as unit:
        unit.delete(unit.get(Deployment, deployed))
    maintenance.purge(office, timedelta(0))
    assert [row.deployment_id for row in rows(office.database)] == ["other"]
