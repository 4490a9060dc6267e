"""What admins of the studio do with it as a whole: backups, the limits in force, its health."""

from __future__ import annotations

import io
import zipfile

import httpx

from softprompt.testing.live import LiveStudio

from .conftest import Clients, message, ok, rows, unique


def test_a_backup_is_made_carried_away_and_deleted(admin: httpx.Client, studio: LiveStudio) -> None:
    ok(admin.post("/api/datasets", params={"name": unique()}, content=rows()), 201)
    refused = admin.post("/api/backups", headers={"idempotency-key": "nightly"})
    assert "every backup is of another moment" in message(refused, 400)
    made = ok(admin.post("/api/backups"), 201)
    assert (made["rows"]["datasets"], made["missing"]) == (1, [])
    (found,) = ok(admin.get("/api/backups"))["items"]
    assert found == {name: made[name] for name in ("name", "bytes", "made_at")}
    answer = admin.get(f"/api/backups/{made['name']}/file")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert len(answer.content) == made["bytes"]
    assert "manifest.json" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    ok(admin.delete(f"/api/backups/{made['name']}"), 204)
    assert ok(admin.get("/api/backups"))["items"] == []
    for name in (made["name"], "studio.db", "..%2Fstudio.db"):
        message(admin.get(f"/api/backups/{name}/file"), 404)
        message(admin.delete(f"/api/backups/{name}"), 404)
    actions = [entry["action"] for entry in ok(admin.get("/api/audit", params={"noun": "backup"}))["items"]]
    assert actions == ["delete", "download"]


def test_limits_in_force_are_told_as_numbers_and_in_words(admin: httpx.Client, studio: LiveStudio) -> None:
    found = ok(admin.get("/api/settings"))
    assert found["limits"]["upload_bytes"] == 2 * 2**30
    upload = next(each for each in found["items"] if each["change"] == "SOFTPROMPT_MAX_UPLOAD_BYTES")
    assert (upload["group"], upload["value"], upload["source"]) == ("Limits", "2 GiB", "default")
    assert str(studio.data_dir) in [each["value"] for each in found["items"]]


def test_health_is_told_with_checks_if_they_are_asked_for(admin: httpx.Client, studio: LiveStudio) -> None:
    found = ok(admin.get("/api/health"))
    kind = "SQLite" if studio.office.database.sqlite else "PostgreSQL"
    assert (found["database"], found["supervised"], found["checks"]) == (kind, False, None)
    assert found["revision"] == found["newest_revision"]
    assert found["disks"][0]["free"] > 0
    checks = ok(admin.get("/api/health", params={"checks": True}))["checks"]
    assert {each["verdict"] for each in checks} <= {"ok", "warning", "wrong"}
    assert "check" in message(admin.get("/api/health", params={"check": True}), 400)


def test_the_studio_as_a_whole_is_for_its_admins(clients: Clients, studio: LiveStudio) -> None:
    member = clients(studio.new_key(unique(), "admin", member="admin"))
    refused = [member.get(f"/api/{word}") for word in ("backups", "settings", "health")]
    refused += [member.post("/api/backups"), member.delete("/api/backups/softprompt-20260102-030405.zip")]
    for answer in (*refused, member.get("/api/backups/softprompt-20260102-030405.zip/file")):
        assert "an admin of the whole studio" in message(answer, 403)
