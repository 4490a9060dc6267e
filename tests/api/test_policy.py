"""Every route of the application, asked by nobody, by a stranger, by a reader, by an editor and with a key that only
reads.

What must never happen: data for those who may not see it, a change by those who may not make it, a route that the
policy does not know. Each walk sends what is valid (`zoo`), so that a refusal is one of the role and of nothing else.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.zoo import GUARDED, MARK, ROUTES, WRITES, Route, Zoo, zoo_of
from softprompt.api import policy
from softprompt.api.policy import POLICY
from softprompt.app import routers
from softprompt.storage import tables
from softprompt.storage.types import now
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, live_studio

OWN = {
    *("POST /api/projects", "POST /api/spaces", "POST /transactional/v2/projects", "POST /v2/spaces"),
    *("POST /api/keys", "POST /account/keys", "POST /api/sign-out", "POST /sign-out", "POST /home/checklist"),
    "POST /spaces/new",
}
"""What everybody may change who is signed in: things of one's own."""
SENDING = {"GET /data/uploads/{token}", "PUT /data/uploads/{token}", "DELETE /data/uploads/{token}"}
"""A file on its way belongs to whoever sends it, whatever becomes of their role; making a dataset of it is refused."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[Zoo]:
    with (
        live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as studio,
        httpx.Client(base_url=studio.url, timeout=60) as client,
    ):
        yield zoo_of(studio, client, tiny_folder())


def test_the_policy_knows_every_route_and_no_other() -> None:
    known = {route.name for route in ROUTES} | {"GET /api/openapi.json"}
    assert {route.name for route in ROUTES if route.rule is None} == set()
    assert set(POLICY) - known == set()


def test_no_rule_is_written_twice() -> None:
    source = Path(policy.__file__).read_text(encoding="utf-8")
    lines = re.findall(r"^(?:public|signed_\w+|viewer|editor|admin|studio_admin) +(\S+) +(/\S*)$", source, re.MULTILINE)
    rules = [f"{method} {path}" for methods, path in lines for method in methods.split(",")]
    assert sorted(rules) == sorted(set(rules))
    assert set(rules) == set(POLICY)


def test_every_parameter_of_a_route_has_a_value_here(zoo: Zoo) -> None:
    assert {field for route in GUARDED for field in route.fields} - set(zoo.ids) == set()


def test_nobody_gets_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        answer = zoo.ask(route, None)
        if answer.status_code != 401 or MARK in answer.text:
            wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_public_routes_tell_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    for route in ROUTES:
        if route.rule in ("public", "signed_link") and set(route.fields) <= set(zoo.ids):
            answer = zoo.ask(route, None)
            assert answer.status_code < 500 or route.path == "/readyz", route.name
            assert MARK not in answer.text, route.name
    assert zoo.everything() == before


def test_a_stranger_sees_and_changes_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        if route.name in OWN:
            continue
        answer = zoo.ask(route, "stranger")
        refused = answer.status_code in (403, 404)
        touches = route.rule in WRITES or (route.fields and route.rule != "signed_in")
        lists = not touches and (answer.status_code < 400 or (route.page and answer.status_code < 500))
        told = answer.text.replace(zoo.ids["serving"], "")  # messages repeat what was asked for
        if MARK in told or not (refused or lists):
            wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_a_stranger_cannot_tell_what_is_there_from_what_is_not(zoo: Zoo) -> None:
    differ, places = {}, list(_there(zoo))
    for route in GUARDED:
        if route.rule in ("signed_in", "studio_admin") or not set(route.fields) & set(zoo.ids):
            continue
        told = [_told(zoo, route, ids) for ids in places]
        if len(set(told)) > 1:
            differ[route.name] = told
    assert not differ, json.dumps(differ, indent=1)


def _there(zoo: Zoo) -> Iterator[dict[str, str]]:
    """Nothing, then everything, then one kind after the other for what has no kind in its name."""
    nothing = dict.fromkeys(zoo.ids, missing := str(uuid.uuid4()))
    nothing |= {"token": missing.replace("-", ""), "path": f"wx_prompt_tune/{missing}/training.log"}
    yield nothing
    yield zoo.ids
    with zoo.studio.office.unit(SYSTEM) as unit:
        run = unit.get(tables.TuningRun, zoo.ids["run_id"])
        values = {"project_id": run.project_id, "experiment_id": run.experiment_id, "model_id": run.model_id}
        gone = tables.TuningRun(
            number=2, name=f"{MARK} (2)", state="canceled", dataset_id=run.dataset_id, deleted_at=now(), **values
        )
        deleted = unit.rows.add(gone).id
    for asset in (zoo.ids["prompt_id"], zoo.ids["session_id"], zoo.ids["run_id"], deleted):
        yield {**nothing, **dict.fromkeys(("asset_id", "prompt_id", "session_id", "model_id"), asset)}


def _told(zoo: Zoo, route: Route, ids: dict[str, str]) -> str:
    answer = replace(zoo, ids=ids).ask(route, "stranger")
    text = answer.text.replace(answer.headers["x-request-id"], "")
    for word in sorted({*ids.values(), *zoo.ids.values()}, key=len, reverse=True):  # bodies name them as well
        text = text.replace(word, "ID")
    return f"{answer.status_code} {text}"


def test_a_reader_changes_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        if route.name not in OWN | SENDING and route.rule in WRITES:
            answer = zoo.ask(route, "viewer")
            if answer.status_code != 403:
                wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_an_editor_does_nothing_that_needs_an_admin(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        if route.rule in ("admin", "studio_admin"):
            answer = zoo.ask(route, "editor")
            if answer.status_code != 403:
                wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_an_admin_of_a_project_is_none_of_the_studio(zoo: Zoo) -> None:
    before = zoo.everything()
    studio_wide = [route for route in GUARDED if route.rule == "studio_admin"]
    assert {zoo.ask(route, "owner").status_code for route in studio_wide} == {403}
    assert zoo.everything() == before


def test_a_key_that_only_reads_changes_nothing_although_its_user_is_an_admin(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        if route.rule in ("editor", "admin", "studio_admin"):
            answer = zoo.ask(route, "reading key")
            if answer.status_code != 403:
                wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_a_reader_reads(zoo: Zoo) -> None:
    """The walks above would pass on a studio that answers nobody."""
    missing = []
    for route in GUARDED:
        if route.rule == "viewer" and not route.page:
            answer = zoo.ask(route, "viewer")
            if answer.status_code != 200:
                missing.append((route.name, answer.status_code, answer.text[:200]))
    assert missing == []


def test_documents_that_do_not_fit_are_not_read_for_strangers(zoo: Zoo) -> None:
    answer = httpx.post(f"{zoo.studio.url}/api/projects", json={"name": 1})
    assert answer.status_code == 401
    assert json.loads(answer.text)["error"]["code"] == "unauthenticated"


def socket_of(zoo: Zoo, path: str, key: str | None) -> Any:
    address = zoo.studio.url.replace("http", "ws") + re.sub(r"{(\w+)}", lambda found: zoo.ids[found.group(1)], path)
    return connect(address, additional_headers={"authorization": f"Bearer {zoo.keys[key]}"} if key else {})


SOCKETS = [route.path for router in routers() for route in router.routes if isinstance(route, WebSocketRoute)]


@pytest.mark.parametrize("path", SOCKETS)
def test_through_a_web_socket_only_a_reader_hears(zoo: Zoo, path: str) -> None:
    for key in (None, "stranger"):
        with pytest.raises(InvalidStatus, match="403") as refused, socket_of(zoo, path, key):
            pass
        assert MARK.encode() not in refused.value.response.body
    for key in ("viewer", "reading key"):
        with socket_of(zoo, path, key) as socket:
            assert MARK in "".join(map(str, socket))


def test_whoever_has_the_role_makes_each_change(zoo: Zoo) -> None:
    """Last, as it leaves nothing as it was: refused above was the role, and not what was sent."""
    asker = {"editor": "editor", "admin": "owner", "studio_admin": "admin"}
    wrong = {}
    # What is inside goes before what it is in.
    for route in sorted(GUARDED, key=lambda route: (route.method == "DELETE", not route.fields)):
        if route.rule not in WRITES or route.page:
            continue
        answer = zoo.ask(route, asker[route.rule])
        # 409: allowed, and not possible as things stand, such as ending what is over.
        if answer.status_code >= 400 and answer.status_code not in (409, REFUSED_TO_ALL.get(route.name)):
            wrong[route.name] = (answer.status_code, answer.text[:200])
        zoo.revive()
    assert not wrong, json.dumps(wrong, indent=1)


REFUSED_TO_ALL = {
    "POST /api/prompts/import": 422,
    "POST /api/pulls": 404,
    "DELETE /api/pulls/{model_id:path}": 404,
    "DELETE /api/model-files/{model_id:path}": 404,
}
"""A file that is no tuned prompt, and models that are not there: nothing is fetched here or taken off the disk."""
