"""`softprompt keys` on a data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Call
from softprompt.config import StudioSettings
from softprompt.errors import Unauthenticated
from softprompt.studio import people
from softprompt.studio.access import Actor
from softprompt.supervisor import first_start
from softprompt.supervisor.home import office_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a studio that was started once."""
    office = office_of(StudioSettings.of(tmp_path / "studio"))
    first_start.prepare(office)
    office.database.close()
    return tmp_path / "studio"


def actor(data: Path, secret: str) -> Actor:
    office = office_of(StudioSettings.of(data))
    with office.unit(write=False) as unit:
        found = people.actor_of_key(unit.rows, secret)[0]
    office.database.close()
    return found


def test_a_key_is_made_listed_and_revoked(call: Call, data: Path) -> None:
    made = json.loads(call("keys", "create", "ci", "--role", "viewer", "--json", "--data-dir", data).out)
    assert made["key"].startswith("sp-")
    assert actor(data, made["key"]).role == "viewer"
    (listed,) = json.loads(call("keys", "list", "--json", "--data-dir", data).out)["keys"]
    assert (listed["id"], listed["state"], listed["user"]) == (made["id"], "active", "admin")
    assert "key" not in listed
    assert "ci" in call("keys", "list", "--data-dir", data).out
    assert call("keys", "revoke", "ci", "--data-dir", data).out == "Key 'ci' is revoked.\n"
    with pytest.raises(Unauthenticated, match="was revoked"):
        actor(data, made["key"])


def test_the_secret_alone_goes_to_standard_output(call: Call, data: Path) -> None:
    done = call("keys", "create", "shell", "--data-dir", data)
    assert actor(data, done.out.strip()).name == "admin"
    assert "it is not shown again" in done.err


def test_a_key_for_one_project_that_expires(call: Call, data: Path) -> None:
    words = ("keys", "create", "x", "--project", "Sandbox", "--days", "3", "--json", "--data-dir", data)
    made = json.loads(call(*words).out)
    assert made["where"] == "Sandbox"
    assert made["expires"] > made["created"]
    assert actor(data, made["key"]).container_id is not None


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("create", "x", "--role", "boss", "--days", "0"),
            2,
            "--role: 'boss' is not one of viewer, editor, admin; --days",
        ),
        (("create", "x", "--project", "P", "--space", "S"), 2, "a key is for one of them; name one"),
        (("create", "x", "--project", "P"), 1, "--project: there is no project 'P'. There are: 'Sandbox'."),
        (("create", "x", "--space", "S"), 1, "--space: there is no space 'S'. There are: none."),
        (("create", "x", "--user", "eve"), 1, "--user: there is no user 'eve'. There are: admin."),
        (("revoke", "nothing"), 1, "There is no API key 'nothing'."),
    ],
)
def test_what_cannot_be_is_refused(call: Call, data: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = call("keys", *words, "--data-dir", data)
    assert (done.code, message in done.err) == (code, True), done.err


def test_two_keys_of_one_name_are_told_apart_by_id(call: Call, data: Path) -> None:
    ids = [json.loads(call("keys", "create", "x", "--json", "--data-dir", data).out)["id"] for _ in range(2)]
    done = call("keys", "revoke", "x", "--data-dir", data)
    assert done.code == 2
    assert all(each in done.err for each in ids)
    assert call("keys", "revoke", ids[0], "--data-dir", data).code == 0


def test_a_link_signs_in_once(call: Call, data: Path) -> None:
    link = json.loads(call("keys", "link", "--json", "--data-dir", data).out)["link"]
    address, _, secret = link.partition("?link=")
    assert address == "http://127.0.0.1:8440/sign-in"
    office = office_of(StudioSettings.of(data))
    with office.unit() as unit:
        assert people.follow_link(unit, secret).user.name == "admin"
    with office.unit() as unit, pytest.raises(Unauthenticated, match="used already"):
        people.follow_link(unit, secret)
    office.database.close()


def test_looking_does_not_begin_a_studio(call: Call, tmp_path: Path) -> None:
    done = call("keys", "list", "--data-dir", tmp_path / "typo")
    assert (done.code, "There is no studio in" in done.err) == (1, True)
    assert not (tmp_path / "typo").exists()


def test_the_folder_remembers_a_database_elsewhere(call: Call, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    office = office_of(StudioSettings.of(tmp_path / "studio", url))
    first_start.prepare(office)
    office.database.close()
    (tmp_path / "studio" / "studio.json").write_text(json.dumps({"elsewhere": {"database_url": url}}))
    made = json.loads(call("keys", "create", "x", "--json", "--data-dir", tmp_path / "studio").out)
    assert made["user"] == "admin"
    assert not (tmp_path / "studio" / "studio.db").exists()
