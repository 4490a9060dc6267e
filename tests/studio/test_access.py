"""What roles, keys and places let somebody do: for every combination, nobody gets more than both of them give."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softprompt.errors import Forbidden, NotFound, SoftpromptError, Unauthenticated
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.people import ApiKey, AuditEntry
from softprompt.storage.tables import Project
from softprompt.studio import audit, experiments, memberships, people, projects, search, spaces
from softprompt.studio.access import RANKS, SYSTEM, Actor, Office
from softprompt.studio.audit import Filters

ROLES = st.sampled_from(["viewer", "editor", "admin"])


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A studio without people."""
    folder = tmp_path_factory.mktemp("office")
    database = Database(f"sqlite:///{folder / 'studio.db'}")
    database.upgrade()
    yield Office(database, ArtifactStore(str(folder / "files"), folder / "cache"))
    database.close()


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    member=st.none() | ROLES,
    key=ROLES,
    bound=st.sampled_from(["nowhere", "here", "elsewhere"]),
    admin=st.booleans(),
    need=ROLES,
)
def test_nobody_gets_more_than_membership_key_and_place_give(
    inside: Office, member: str | None, key: str, bound: str, admin: bool, need: str
) -> None:
    with inside.unit(SYSTEM) as unit:
        name = f"u{unit.rows.count(Project)}"
        user = people.create_user(unit, f"{name} {member} {key} {bound} {admin} {need}", admin=admin)
        here, other = projects.create(unit, f"{name} here"), projects.create(unit, f"{name} other")
        memberships.set_member(unit, here, user.name, member)  # type: ignore[arg-type]
        experiment = experiments.create(unit, here, "E")
        place = {"nowhere": None, "here": here.id, "elsewhere": other.id}[bound]
        actor = Actor(user_id=user.id, name=user.name, role=key, container_id=place, admin=admin)
    own = 0 if bound == "elsewhere" else RANKS["admin"] if admin else RANKS.get(member or "", 0)
    rank = min(own, RANKS[key])
    with inside.unit(actor, need, write=False) as unit:  # type: ignore[arg-type]
        try:
            found = experiments.get(unit, experiment.id)
            assert rank >= RANKS[need]
            assert found.id == experiment.id
        except NotFound:
            assert rank == 0
        except Forbidden:
            assert 0 < rank < RANKS[need]
        seen = [row.id for row in projects.page(unit, search=name + " here").items]
        assert (here.id in seen) == (rank > 0)
        assert (here.id in [hit.id for hit in search.search(unit, name + " here")]) == (rank > 0)
        if not (admin and key == "admin" and bound == "nowhere"):
            with pytest.raises(Forbidden, match="needs an admin of the whole studio"):
                audit.page(unit, Filters())
            with pytest.raises(Forbidden, match="needs an admin of the whole studio"):
                people.users(unit)


@pytest.mark.parametrize("make", [projects.create, spaces.create])
def test_what_only_reads_or_is_bound_founds_nothing(inside: Office, make: object) -> None:
    assert callable(make)
    for actor in (
        Actor(user_id="u", name="u", role="viewer", admin=True),
        Actor(user_id="u", name="u", container_id="p", admin=True),
    ):
        with pytest.raises(Forbidden, match="it only reads, or is bound to one place"), inside.unit(actor) as unit:
            make(unit, "New")


def test_the_log_is_filtered_by_user_noun_and_time(office: Office) -> None:
    with office.unit(SYSTEM) as unit:
        kim = people.create_user(unit, "kim")
    with office.unit(Actor(user_id=kim.id, name="kim")) as unit:
        projects.create(unit, "One")
        spaces.create(unit, "Two")
    with office.unit(SYSTEM, write=False) as unit:
        assert [entry.noun for entry in audit.page(unit, Filters(user="kim"), sort="id").items] == ["project", "space"]
        assert [entry.noun for entry in audit.page(unit, Filters(user="kim", noun="space"), sort="id").items] == [
            "space"
        ]
        first = unit.rows.all(AuditEntry, sort="id")[0]
        later = audit.page(unit, Filters(since=first.at), sort="id")
        assert later.total == unit.rows.count(AuditEntry)
        assert audit.page(unit, Filters(until=first.at), sort="id").total == 0


def test_nothing_of_a_refused_unit_is_written(office: Office) -> None:
    def half() -> None:
        with office.unit(SYSTEM) as unit:
            projects.create(unit, "Half")
            projects.create(unit, "Half")

    with pytest.raises(SoftpromptError, match="already"):
        half()
    with office.unit(SYSTEM, write=False) as unit:
        assert unit.rows.count(Project) == 0


def test_a_key_makes_none_once_it_was_revoked_and_leaves_none(office: Office) -> None:
    """It is revoked while others make keys with it."""
    with office.unit(SYSTEM) as unit:
        user = people.create_user(unit, "kim")
        first, _ = people.create_key(unit, "first", user=user)
    refused: list[BaseException] = []
    several = threading.Event()

    def breed() -> None:
        actor = Actor(user_id=user.id, name="kim", role="editor", key_id=first.id)
        try:
            for turn in range(1_000_000):
                with office.unit(actor) as unit:
                    people.create_key(unit, "next")
                if turn == 2:
                    several.set()
        except BaseException as error:
            refused.append(error)

    threads = [threading.Thread(target=breed) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert several.wait(60)
    with office.unit(SYSTEM) as unit:
        people.revoke_key(unit, first.id)
    for thread in threads:
        thread.join(60)
    assert [type(error) for error in refused] == [Unauthenticated] * 3, refused
    with office.unit(SYSTEM, write=False) as unit:
        assert unit.rows.count(ApiKey) > 3
        assert unit.rows.count(ApiKey, revoked_at=None) == 0
