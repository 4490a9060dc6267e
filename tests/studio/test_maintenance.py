"""Cleaning up: what was deleted long ago goes, with its files; what is needed stays, and what is young."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from softprompt.storage.people import Answered, ApiKey, BrowserSession, Membership, SignInLink
from softprompt.storage.tables import Dataset, Evaluation, Project, RunEvent, TunedPrompt, TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Job, WorkerRow
from softprompt.studio import datasets, maintenance
from softprompt.studio.access import Office

LONG_AGO = now() - timedelta(days=31)
RECENTLY = now() - timedelta(days=29)


def put(office: Office, place: Path, key: str, *, old: bool = True) -> None:
    """A file (or, under prompts, a folder) in the store, put there days ago."""
    source = place / "source"
    source.mkdir(exist_ok=True)
    (source / "content").write_text(key)
    if key.startswith("prompts/"):
        office.store.put_folder(key, source)
    else:
        office.store.put_file(key, source / "content")
    if old:
        then = time.time() - 3 * 86400
        path = Path(office.store.url, key)
        for each in [path, *path.rglob("*")]:
            os.utime(each, (then, then))


def run(**values: object) -> TuningRun:
    return TuningRun(
        project_id="p", experiment_id="e", name="r", model_id="m", dataset_id="d", state="completed", **values
    )


def test_what_was_deleted_long_ago_goes_with_all_that_belongs_to_it(office: Office) -> None:
    with office.unit() as unit:
        old, fresh = (unit.rows.add(run(number=n, deleted_at=at)).id for n, at in ((1, LONG_AGO), (2, RECENTLY)))
        alive = unit.rows.add(run(number=3)).id
        for run_id in (old, fresh, alive):
            unit.rows.add(RunEvent(run_id=run_id, at=now(), kind="Note"))
            unit.rows.add(Job(kind="tune", subject_id=run_id, project_id="p", state="completed"))
        project = unit.rows.add(Project(name="Gone", deleted_at=LONG_AGO))
        unit.rows.add(Membership(user_id="u", container_id=project.id, role="admin"))
        unit.rows.add(ApiKey(user_id="u", name="k", prefix="p", digest="d", role="viewer", project_id=project.id))
        unit.rows.add(ApiKey(user_id="u", name="other", prefix="p", digest="e", role="viewer"))
        unit.rows.add(Evaluation(project_id="p", name="e", model_id="m", dataset_id="d", deleted_at=LONG_AGO))
    gone = maintenance.purge(office)
    assert gone.rows == {"tuning run": 1, "project": 1, "evaluation": 1}
    assert gone.in_words() == "1 of evaluation, 1 of tuning run, 1 of project"
    with office.unit() as unit:
        assert {r.id for r in unit.rows.all(TuningRun, deleted=True)} == {fresh, alive}
        assert {e.run_id for e in unit.rows.all(RunEvent, sort="id")} == {fresh, alive}
        assert {j.subject_id for j in unit.rows.all(Job)} == {fresh, alive}
        assert unit.rows.count(Membership) == 0
        assert [key.name for key in unit.rows.all(ApiKey)] == ["other"]
    assert maintenance.purge(office).in_words() == "nothing to do"


def test_more_than_one_batch_goes(office: Office) -> None:
    with office.unit() as unit:
        for number in range(maintenance._ROWS + 7):
            unit.rows.add(run(number=number, deleted_at=LONG_AGO))
    assert maintenance.purge(office).rows == {"tuning run": maintenance._ROWS + 7}


def test_files_go_when_the_last_row_that_shares_them_went(office: Office, tmp_path: Path) -> None:
    for key in ("datasets/shared", "datasets/gone", "prompts/shared", "prompts/gone", "prompts/hidden"):
        put(office, tmp_path, key)
    with office.unit() as unit:
        for name, key, at in (("a", "shared", None), ("b", "shared", LONG_AGO), ("c", "gone", LONG_AGO)):
            unit.rows.add(Dataset(project_id="p", name=name, key=f"datasets/{key}", deleted_at=at))
            unit.rows.add(TunedPrompt(name=name, model_id="m", key=f"prompts/{key}", deleted_at=at))
        unit.rows.add(TunedPrompt(name="h", model_id="m", key="prompts/hidden", deleted_at=RECENTLY))
    assert sorted(maintenance.purge(office).files) == ["datasets/gone", "prompts/gone"]
    assert list(office.store.keys("")) == ["datasets/shared", "prompts/hidden/content", "prompts/shared/content"]


def test_files_without_a_row_stay_while_they_are_young(office: Office, tmp_path: Path) -> None:
    put(office, tmp_path, "datasets/uploading", old=False)
    put(office, tmp_path, "prompts/run-1", old=False)
    assert maintenance.purge(office).files == []
    assert maintenance.purge(office, at=now() + timedelta(days=3)).files == ["datasets/uploading", "prompts/run-1"]


def test_checkpoints_stay_while_their_run_is_not_over(office: Office, tmp_path: Path) -> None:
    for run_id in ("over", "waits"):
        put(office, tmp_path, f"checkpoints/{run_id}/000001-00000020.safetensors")
    with office.unit() as unit:
        unit.rows.add(Job(kind="tune", subject_id="over", project_id="p", state="failed"))
        unit.rows.add(Job(kind="tune", subject_id="waits", project_id="p", state="queued"))
    assert maintenance.purge(office).files == ["checkpoints/over"]


def test_what_opens_nothing_any_more_goes(office: Office) -> None:
    at, ago = now(), now() - timedelta(days=8)
    with office.unit() as unit:
        for digest, expires in (("old", ago), ("new", at + timedelta(days=1))):
            unit.rows.add(BrowserSession(digest=digest, user_id="u", csrf="c", expires_at=expires))
            unit.rows.add(SignInLink(digest=digest, user_id="u", expires_at=expires))
            unit.rows.add(Answered(digest=digest, body_digest="b", status=201, body="{}", created_at=expires))
        unit.rows.add(WorkerRow(host="h", pid=1, heartbeat_at=LONG_AGO))
        unit.rows.add(WorkerRow(host="h", pid=2, heartbeat_at=at))
    assert maintenance.purge(office).expired == 4
    with office.unit() as unit:
        assert unit.rows.get(BrowserSession, "new")
        assert unit.rows.get(SignInLink, "new")
        assert unit.rows.get(Answered, "new")
        assert [row.pid for row in unit.rows.all(WorkerRow)] == [2]


def test_uploads_that_came_to_nothing_go(office: Office, tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    for name, days in (("old", 3), ("new", 0)):
        (uploads / name).write_text("x")
        os.utime(uploads / name, (time.time() - days * 86400,) * 2)
    assert maintenance.purge(office, uploads=uploads).files == ["uploads/old"]
    assert maintenance.purge(office, uploads=tmp_path / "none").files == []


def test_bytes_that_are_brought_in_just_as_their_file_goes_are_put_again(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"input": "a", "output": "b"}\n' * 2)
    found = datasets.examine(path, most_rows=10)
    datasets.keep(office.store, found)
    office.store.remove(found.key)  # the cleaning comes between
    with office.unit() as unit:
        project = unit.rows.add(Project(name="P"))
        datasets.create(unit, project, "rows", found)
    assert office.store.file(found.key).read_bytes() == path.read_bytes()
