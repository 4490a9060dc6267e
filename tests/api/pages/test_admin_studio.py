"""Health, settings, backups, deleted things, and the audit log, as pages."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from softprompt.config import Limits
from softprompt.storage.database import Database
from softprompt.storage.people import AuditEntry
from softprompt.storage.tables import Dataset, Project, TuningExperiment, TuningRun
from softprompt.storage.types import now
from softprompt.studio.access import SYSTEM
from softprompt.studio.settings import LIMITS, without_password
from softprompt.testing.live import EchoBackend, LiveStudio

from .conftest import Forms
from .test_account import words

Post = Callable[..., httpx.Response]


# --- health -----------------------------------------------------------------------------------------------------------
def test_health_says_what_is_missing_and_what_to_do(browser: httpx.Client) -> None:
    shown = words(browser.get("/admin/health"))
    assert "One thing needs you. No worker is alive" in shown
    assert "This studio was not started by softprompt up" in shown
    assert f"revision {Database.newest_revision()}" in shown


def test_processes_of_the_supervisor_are_shown(browser: httpx.Client, studio: LiveStudio) -> None:
    processes = [
        {"name": "web 1", "kind": "web", "state": "running", "pid": os.getpid(), "restarts": 0, "problem": None},
        {"name": "worker 1", "kind": "worker", "state": "failing", "pid": None, "restarts": 4, "problem": "No torch."},
    ]
    state = {"pid": os.getpid(), "started": now().isoformat(), "processes": processes}
    (studio.data_dir / "studio.json").write_text(json.dumps(state), encoding="utf-8")
    shown = words(browser.get("/admin/health/live"))
    assert "2 things need you." in shown
    assert "worker 1 is failing No torch." in shown
    assert f"web 1 answers browsers and programs · process {os.getpid()} running" in shown


def test_what_the_serving_host_holds_is_shown(browser: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def status(_self: EchoBackend) -> dict[str, object]:
        batch = {"passes": 10, "rows": 45, "largest": 9}
        models = [{"model_id": "m/<b>", "state": "ready", "running": 2, "waiting": 1, "batch": batch}]
        return {"state": "running", "models": models, "prompts": {"count": 3, "bytes": 5_000_000, "budget": 2**30}}

    monkeypatch.setattr(EchoBackend, "status", status)
    page = browser.get("/admin/health")
    assert "m/<b> ready 2 1 4.5 9 at most" in words(page)
    assert "3 tuned prompts in memory, 5.0 MB of 1.1 GB" in words(page)
    assert "m/<b>" not in page.text


def test_the_checks_of_the_doctor_are_made_on_demand(browser: httpx.Client) -> None:
    checks = words(browser.get("/admin/health/checks"))
    assert "file store ok" in checks
    assert "written, read and removed a file" in checks
    assert "file store ok" in words(browser.get("/admin/health?checks=1")), "without scripts a link does it"


# --- settings ---------------------------------------------------------------------------------------------------------
@pytest.mark.sqlite  # which is the default
def test_settings_say_where_they_come_from(browser: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_MAX_ROWS", "5")
    shown = words(browser.get("/admin/settings"))
    assert "default: in the data folder --database-url or SOFTPROMPT_DATABASE_URL" in shown
    assert "8 MiB default SOFTPROMPT_MAX_BODY_BYTES" in shown
    assert "the environment SOFTPROMPT_MAX_ROWS" in shown


def test_every_limit_is_explained() -> None:
    assert set(LIMITS) == set(Limits.__dataclass_fields__)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann:secret@db:5432/studio?sslmode=require", "postgresql://ann:…@db:5432/studio?sslmode=require"),
        ("sqlite:////data/studio.db", "sqlite:////data/studio.db"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_the_project_is_renamed_unless_somebody_else_did(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    revision = {"revision": "1"}
    page = post(
        "/admin/settings/project", {"name": "Support", "description": "Routing", **revision}, page="/admin/settings"
    )
    assert "The project was changed." in words(page)
    late = post("/admin/settings/project", {"name": "Other", **revision}, page="/admin/settings")
    assert "was changed since you read it" in words(late)
    with studio.office.unit(SYSTEM) as unit:
        project = unit.rows.get(Project, studio.project.id)
        assert project is not None
        assert (project.name, project.description) == ("Support", "Routing")


def test_a_backup_is_made_taken_away_and_removed(
    browser: httpx.Client, post: Post, studio: LiveStudio, tmp_path: Path
) -> None:
    page = post("/admin/settings/backups", page="/admin/settings")
    assert "The backup is made." in words(page)
    (link,) = [link for link in Forms.of(page.text).links if "/backups/" in link]
    (tmp_path / "b.zip").write_bytes(browser.get(link).content)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert json.loads(archive.read("manifest.json"))["rows"]["users"] == 1
    assert browser.get("/admin/settings/backups/studio.db").status_code == 404
    assert browser.get("/admin/settings/backups/..%2Fstudio.db").status_code == 404
    name = link.rsplit("/", 1)[-1]
    gone = post("/admin/settings/backups/delete", {"name": name}, page="/admin/settings")
    assert name not in gone.text
    assert not list((studio.data_dir / "backups").iterdir())


# --- deleted things ---------------------------------------------------------------------------------------------------
def deleted(studio: LiveStudio, name: str, days: float = 1) -> str:
    with studio.office.unit(SYSTEM) as unit:
        row = Dataset(project_id=studio.project.id, name=name, deleted_at=now() - timedelta(days=days))
        return unit.rows.add(row).id


def test_what_was_deleted_comes_back_or_goes(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    assert "Nothing waits for deletion" in words(browser.get("/admin/settings"))
    back, gone = deleted(studio, "Back <b>"), deleted(studio, "Gone", days=28)
    shown = words(browser.get("/admin/settings"))
    assert "2 datasets. Each goes for good after 30 days" in shown
    assert "Gone dataset 28 days ago in 2 days" in shown
    here = "/admin/settings"
    assert "It is back" in words(post(f"{here}/deleted/back", {"noun": "dataset", "id": back}, page=here))
    post(f"{here}/deleted/purge", {"noun": "dataset", "id": gone}, page=here)
    with studio.office.unit(SYSTEM) as unit:
        assert [row.name for row in unit.rows.all(Dataset)] == ["Back <b>"]
        assert unit.rows.get(Dataset, gone, deleted=True) is None
    assert "among what was deleted" in words(post(f"{here}/deleted/back", {"noun": "dataset", "id": gone}, page=here))
    assert "nothing that can be deleted" in words(post(f"{here}/deleted/back", {"noun": "user", "id": "x"}, page=here))


def test_nothing_comes_back_without_what_it_belongs_to(post: Post, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        folder = unit.rows.add(TuningExperiment(project_id=studio.project.id, name="Routing", deleted_at=now()))
        run = unit.rows.add(
            TuningRun(
                project_id=studio.project.id, experiment_id=folder.id, number=1, name="Routing (1)", model_id="m",
                dataset_id="d", deleted_at=now(),
            )
        )  # fmt: skip
    refused = post("/admin/settings/deleted/back", {"noun": "tuning run", "id": run.id}, page="/admin/settings")
    assert "'Routing (1)' needs the tuning experiment 'Routing'. Bring that back first." in words(refused)


def test_a_name_that_was_taken_meanwhile_is_not_taken_twice(post: Post, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        old = unit.rows.add(Project(name="Twice", deleted_at=now())).id
        unit.rows.add(Project(name="Twice"))
    refused = post("/admin/settings/deleted/back", {"noun": "project", "id": old}, page="/admin/settings")
    assert (refused.status_code, "another project has its name by now" in words(refused)) == (409, True)


def test_all_that_was_deleted_is_purged(post: Post, studio: LiveStudio) -> None:
    for number in range(3):
        deleted(studio, f"Old {number}")
    page = post("/admin/settings/deleted/purge", {"all": "yes"}, page="/admin/settings")
    assert "Nothing waits for deletion" in words(page)


# --- audit ------------------------------------------------------------------------------------------------------------
def test_the_log_tells_who_did_what(browser: httpx.Client, post: Post) -> None:
    post("/account/keys", {"name": "Note <b>"}, page="/account")
    post("/admin/people", {"name": "kim"}, page="/admin/people")
    page = browser.get("/admin/audit")
    shown = words(page)
    assert "admin created API key Note <b>" in shown
    assert "admin created user kim" in shown
    assert "admin signed in" in shown
    assert "Note <b>" not in page.text


def test_the_log_is_filtered_and_paged(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        for number in range(60):
            at = now() - timedelta(days=number)
            unit.rows.add(
                AuditEntry(at=at, action="create", noun="dataset", noun_id="d", data={"name": f"Rows {number}"})
            )
    found = browser.get("/admin/audit?noun=dataset&action=create")
    assert "60 entries" in words(found)
    following = next(link for link in Forms.of(found.text).links if "cursor=" in link)
    assert "noun=dataset" in following
    assert "60 entries" in words(browser.get(following))
    day = (now() - timedelta(days=5)).date()
    assert "1 entry" in words(browser.get(f"/admin/audit?noun=dataset&since={day}&until={day}"))
    assert "No entry has all of this." in words(browser.get("/admin/audit?user=nobody"))
    assert "since: 'soon' is no day" in words(browser.get("/admin/audit?since=soon"))


def test_the_log_is_taken_away_as_csv(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        for number in range(700):
            name = "=1+1" if number == 0 else f"Rows, {number}"
            unit.rows.add(AuditEntry(action="create", noun="dataset", data={"name": name, "version": number}))
    answer = browser.get("/admin/audit/log.csv?noun=dataset")
    assert "attachment; filename=" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 700
    assert (rows[0]["name"], json.loads(rows[0]["data"])) == ("Rows, 699", {"version": 699})
    assert rows[-1]["name"] == "'=1+1", "no table program takes it for a formula"
