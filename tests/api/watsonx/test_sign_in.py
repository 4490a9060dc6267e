"""Three ways to sign in with IBM's client, and what a wrong key is told."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.watsonx.studio import Behind
from softprompt.studio import people
from softprompt.studio.access import Actor

WRONG = "sp-notakeyofthisstudio"


@pytest.fixture
def http(behind: Behind) -> Iterator[httpx.Client]:
    """Plain requests without a key."""
    trusted = ssl.create_default_context(cafile=str(behind.certificate))
    with httpx.Client(base_url=behind.url, verify=trusted) as made:
        yield made


def test_every_mode_reaches_the_project(client: Any, behind: Behind) -> None:
    assert client.default_project_id == behind.project_id
    assert client.CPD_version == 5.1 or client.CLOUD_PLATFORM_SPACES


@pytest.mark.filterwarnings("ignore:`verify=<str>` is deprecated:DeprecationWarning")
def test_a_certificate_of_ones_own_is_verified(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    from ibm_watsonx_ai import APIClient, Credentials

    monkeypatch.setenv("WX_CLIENT_VERIFY_REQUESTS", str(behind.certificate))  # the client sets it for good
    client = APIClient(Credentials(url=behind.url, token=behind.key, verify=str(behind.certificate)))
    assert client.set.default_project(behind.project_id) == "SUCCESS"


@pytest.mark.parametrize("mode", ["user", "cloud"])
def test_a_wrong_key_is_refused_when_signing_in(behind: Behind, mode: str, impatient: None) -> None:
    from ibm_watsonx_ai.wml_client_error import InvalidCredentialsError

    with pytest.raises(InvalidCredentialsError, match="not known.*softprompt keys create"):
        behind.client(mode, WRONG)


def test_a_wrong_token_is_refused_at_the_first_project(behind: Behind, impatient: None) -> None:
    from ibm_watsonx_ai.wml_client_error import CannotSetProjectOrSpace

    client = behind.client("token", WRONG)
    with pytest.raises(CannotSetProjectOrSpace, match="not known.*softprompt keys create"):
        client.set.default_project(behind.project_id)


def test_a_wrong_project_is_named(client: Any) -> None:
    from ibm_watsonx_ai.wml_client_error import WMLClientError

    with pytest.raises(WMLClientError, match="no project '00000000"):
        client.set.default_project("00000000-0000-0000-0000-000000000000")


def test_the_version_needs_no_key(http: httpx.Client) -> None:
    assert http.get("/ml/wml_services/v2/version").json()["version"] == "5.1.3"


@pytest.mark.parametrize("word", ["Basic", "Bearer", "bearer"])
def test_a_bare_key_stands_behind_either_word(http: httpx.Client, behind: Behind, word: str) -> None:
    answered = http.get(f"/v2/projects/{behind.project_id}", headers={"Authorization": f"{word} {behind.key}"})
    assert answered.status_code == 200, answered.text


def test_tokens_say_when_they_expire_and_end_with_their_key(http: httpx.Client, behind: Behind) -> None:
    with behind.office.unit() as unit:
        admin = unit.rows.first(people.User, name="admin")
        assert admin is not None
    with behind.office.unit(Actor(user_id=admin.id, name="admin", admin=True)) as unit:
        key, secret = people.create_key(unit, "short-lived")
    form = f"apikey={secret}&grant_type={urllib.parse.quote('urn:ibm:params:oauth:grant-type:apikey', safe='')}"
    answered = http.post("/identity/token", content=form).json()
    middle = answered["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert claims["exp"] == answered["expiration"]
    assert time.time() + 3000 < claims["exp"] <= time.time() + 3600
    headers = {"Authorization": f"Bearer {answered['access_token']}"}
    assert http.get(f"/v2/projects/{behind.project_id}", headers=headers).status_code == 200
    with behind.office.unit() as unit:
        people.revoke_key(unit, key.id)
    answered = http.get(f"/v2/projects/{behind.project_id}", headers=headers)
    assert answered.status_code == 401
    assert "was revoked" in answered.json()["errors"][0]["message"]


def test_passwords_open_as_well(http: httpx.Client, behind: Behind) -> None:
    with behind.office.unit() as unit:
        people.create_user(unit, "bob", password="a long password")
    fits = http.post("/icp4d-api/v1/authorize", json={"username": "bob", "password": "a long password"})
    assert fits.json()["token"].count(".") == 2
    wrong = http.post("/icp4d-api/v1/authorize", json={"username": "bob", "password": "another password"})
    assert wrong.status_code == 403
    assert "do not fit" in wrong.json()["errors"][0]["message"]


def test_a_token_by_password_ends_with_the_password(http: httpx.Client, behind: Behind) -> None:
    with behind.office.unit() as unit:
        user = people.create_user(unit, "ann", password="a long password")

    def status(token: str) -> int:
        return http.get("/v2/projects", headers={"Authorization": f"Bearer {token}"}).status_code

    def token(password: str) -> str:
        sent = {"username": "ann", "password": password}
        return str(http.post("/icp4d-api/v1/authorize", json=sent).json()["token"])

    first = token("a long password")
    assert status(first) == 200
    with behind.office.unit() as unit:
        people.set_password(unit, unit.rows.get(people.User, user.id) or user, "another password")
    refused = http.get("/v2/projects", headers={"Authorization": f"Bearer {first}"})
    assert refused.status_code == 401
    assert "password was changed" in refused.json()["errors"][0]["message"]
    second = token("another password")
    assert status(second) == 200, "in the same second as the old one, perhaps"
    with behind.office.unit() as unit:
        people.reset(unit, user.id)
    assert status(second) == 401


@pytest.mark.parametrize(
    ("path", "sent", "status", "words"),
    [
        ("/icp4d-api/v1/authorize", {"json": {"username": "admin"}}, 400, "api_key or password"),
        ("/icp4d-api/v1/authorize", {"json": {"api_key": "x"}}, 400, "username"),
        ("/icp4d-api/v1/authorize", {"json": {"username": "admin", "api_key": WRONG}}, 403, "not known"),
        ("/identity/token", {"content": "grant_type=password&apikey=x"}, 400, "grant_type"),
        ("/identity/token", {"content": b"\xff\xfe"}, 400, "apikey"),
    ],
)
def test_what_does_not_sign_in(http: httpx.Client, path: str, sent: dict[str, Any], status: int, words: str) -> None:
    answered = http.post(path, **sent)
    assert answered.status_code == status
    body = answered.json()
    assert body["status_code"] == status
    assert words in body["errors"][0]["message"]


def test_a_key_of_somebody_else_is_refused_by_name(http: httpx.Client, behind: Behind) -> None:
    answered = http.post("/icp4d-api/v1/authorize", json={"username": "eve", "api_key": behind.key})
    assert answered.status_code == 403
    assert "not one of 'eve'" in answered.json()["errors"][0]["message"]
