"""Rows in pages: nothing twice, nothing left out, whatever is deleted meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softprompt.errors import ParameterInvalid
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, TunedPrompt
from softprompt.storage.types import now

SORTS = ("created_at", "-created_at", "updated_at", "-updated_at", "name", "-name", "version", "-version")
NAMES = st.text("abAB äß_%'\\é中", min_size=1, max_size=3)
BEGAN = now()


def filled(database: Database, made: list[tuple[str, int, int]], project: str = "p") -> None:
    with database.write() as session:
        rows = Rows(session)
        rows.remove(Dataset)
        for number, (name, created, updated) in enumerate(made):
            moments = {"created_at": BEGAN + timedelta(hours=created), "updated_at": BEGAN + timedelta(hours=updated)}
            rows.add(Dataset(name=name, project_id=project, version=number, size=number, **moments))


@given(
    made=st.lists(st.tuples(NAMES, st.integers(0, 2), st.integers(0, 2)), max_size=12),
    sort=st.sampled_from(SORTS),
    limit=st.integers(1, 5),
    doomed=st.lists(st.integers(0, 11), max_size=6),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_in_a_row_are_the_whole_list(
    database: Database, made: list[tuple[str, int, int]], sort: str, limit: int, doomed: list[int]
) -> None:
    """With a row deleted after every page: those that stay come once and in order, those seen before may be gone."""
    filled(database, made)
    with database.read() as session:
        whole = [row.id for row in Rows(session).page(Dataset, sort=sort, limit=500).items]
    assert len(whole) == len(made)
    seen: list[str] = []
    gone: set[str] = set()
    cursor, first = None, True
    while first or cursor:
        with database.read() as session:
            page = Rows(session).page(Dataset, sort=sort, limit=limit, cursor=cursor)
        assert page.total == len(made) - len(gone)
        assert not gone & {row.id for row in page.items}
        seen += [row.id for row in page.items]
        cursor, first = page.next, False
        if doomed and (number := doomed.pop()) < len(whole):
            gone.add(whole[number])
            with database.write() as session:
                Rows(session).change(Dataset, {"deleted_at": now()}, id=whole[number])
    assert len(seen) == len(set(seen))
    assert [key for key in seen if key not in gone] == [key for key in whole if key not in gone]
    assert [key for key in whole if key in seen] == seen


def test_a_page_holds_what_may_be_seen(database: Database) -> None:
    with database.write() as session:
        rows = Rows(session)
        rows.add(TunedPrompt(name="in a project", project_id="p", model_id="m", key="k"))
        rows.add(TunedPrompt(name="in a space", space_id="s", model_id="m", key="k"))
        rows.add(TunedPrompt(name="elsewhere", project_id="q", model_id="m", key="k"))
    with database.read() as session:
        rows = Rows(session)
        names = lambda **options: {row.name for row in rows.page(TunedPrompt, **options).items}  # noqa: E731
        assert names(containers=["p", "s"]) == {"in a project", "in a space"}
        assert names(containers=[]) == set()
        assert names(search="IN A") == {"in a project", "in a space"}
        assert names(search="_") == names(search="%") == set()
        assert names(project_id=None) == {"in a space"}
        assert names(project_id=["p", "q"]) == {"in a project", "elsewhere"}


def test_tags_are_compared_whole(database: Database) -> None:
    with database.write() as session:
        for name, tags in (("a", ["red", "large"]), ("b", ["red_"]), ("c", ['say "red"']), ("d", ["größe"])):
            Rows(session).add(Dataset(name=name, project_id="p", tags=tags))
    with database.read() as session:
        rows = Rows(session)
        found = lambda *tags: [row.name for row in rows.page(Dataset, tagged=tags, sort="name").items]  # noqa: E731
        assert found("red") == ["a"]
        assert found("red", "large") == ["a"]
        assert found('say "red"') == ["c"]
        assert found("größe") == ["d"]


@pytest.mark.parametrize("sort", ["report", "-nothing", "sha256", "tags", ""])
def test_what_cannot_be_sorted_by_is_refused(database: Database, sort: str) -> None:
    with database.read() as session, pytest.raises(ParameterInvalid, match="sort: "):
        Rows(session).page(Dataset, sort=sort)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA", "W3sidCI6ICJub3cifSwgImEiXQ", "[[[[", "é"])
def test_a_cursor_that_nobody_gave_out_is_refused(database: Database, cursor: str) -> None:
    with database.read() as session, pytest.raises(ParameterInvalid, match="cursor: "):
        Rows(session).page(Dataset, cursor=cursor)


def test_deleted_rows_are_hidden_unless_asked_for(database: Database) -> None:
    filled(database, [("here", 0, 0), ("gone", 0, 0)])
    with database.write() as session:
        rows = Rows(session)
        gone = rows.first(Dataset, name="gone")
        assert gone is not None
        gone.deleted_at = now()
    with database.read() as session:
        rows = Rows(session)
        seen: list[Any] = [rows.get(Dataset, gone.id), rows.first(Dataset, name="gone"), rows.count(Dataset)]
        assert seen == [None, None, 1]
        assert [row.name for row in rows.all(Dataset)] == ["here"]
        assert rows.get(Dataset, gone.id, deleted=True) is not None
        assert rows.count(Dataset, deleted=True) == 2
