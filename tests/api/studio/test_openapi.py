"""The documented interfaces against the real ones: whatever the document allows to send gets an answer it describes.

Looked for: answers of 500, statuses, types and shapes that the document does not know. A fixed seed and few examples a
route keep it quick; `examples` below can be raised for a long search.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks

from api.strange import broken_form, changed
from api.zoo import ROUTES, Route, Sent, Zoo, zoo_of
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

EXAMPLES = 4
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LENIENT = [checks.not_a_server_error, checks.response_schema_conformance]
CHECKS = [*LENIENT, checks.status_code_conformance, checks.content_type_conformance]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[Zoo]:
    """A studio with one of each noun. Whoever can be disabled in it, or lose a key, is nobody who asks here."""
    with live_studio(tmp_path_factory.mktemp("searched"), EchoBackend()) as running, asking(running) as client:
        yield zoo_of(running, client, tiny_folder())


def asking(running: LiveStudio) -> httpx.Client:
    return httpx.Client(base_url=running.url, timeout=120)


@pytest.fixture(scope="module")
def document(searched: Zoo) -> dict[str, Any]:
    return dict(searched.client.get("/api/openapi.json").json())


def ours(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        if path.startswith("/api/")
        for method, operation in methods.items()
    ]


def test_whatever_is_sent_gets_an_answer_that_the_document_describes(searched: Zoo, document: dict[str, Any]) -> None:
    """All wires; those of the document that names every error are held to its statuses, too."""
    schema = schemathesis.openapi.from_dict(document)
    _with_what_is_there(schema, searched)
    problems: dict[str, str] = {}
    found: Counter[str] = Counter()
    # A pull would ask the network.
    operations = [each.ok() for each in schema.exclude(method="POST", path="/api/pulls").get_all_operations()]
    # What is deleted is deleted last, and comes back for the next one.
    for operation in sorted(operations, key=lambda each: each.method == "delete"):

        @FEW
        @given(case=operation.as_strategy())
        def search(case: Any) -> None:
            answer = case.call(
                base_url=searched.studio.url, headers={"authorization": f"Bearer {searched.studio.key}"}, timeout=60
            )
            found[f"{case.path.split('/')[1]} {answer.status_code // 100}"] += 1
            case.validate_response(answer, checks=CHECKS if case.path.startswith("/api/") else LENIENT)

        try:
            search()
        except (Exception, BaseExceptionGroup) as error:
            problems[operation.label] = str(error)[:1500]
        searched.revive()
    assert not problems, "\n\n".join(f"{name}: {text}" for name, text in problems.items())
    # A search that is refused everywhere looks at nothing.
    assert {f"{wire} {status}" for wire in ("api", "v1", "ml", "v2", "wx") for status in (2, 4)} <= set(found), found


def _with_what_is_there(schema: Any, zoo: Zoo) -> None:
    """Most addresses name something that is there, and bodies are near to those that do what they say."""
    valid = {re.sub(r":\w+}", "}", name): sent for name, sent in zoo.sent.items()}

    @schema.hook
    def flatmap_path_parameters(context: Any, path_parameters: Any) -> Any:
        known = {**zoo.ids, **getattr(valid.get(context.operation.label), "ids", {})}
        real = {name: known.get(name, value) for name, value in (path_parameters or {}).items()}
        return st.sampled_from([real, real, real, path_parameters])

    @schema.hook
    def flatmap_query(context: Any, query: Any) -> Any:
        sent = valid.get(context.operation.label)
        return st.sampled_from([query, {**(query or {}), **sent.query}]) if sent and sent.query else st.just(query)

    @schema.hook
    def flatmap_body(context: Any, body: Any) -> Any:
        sent = valid.get(context.operation.label)
        if sent is None or not sent.json:
            return st.just(body)
        return st.sampled_from([sent.json, body]) | changed(sent.json)


def test_nothing_strange_in_a_body_breaks_a_wire(searched: Zoo) -> None:
    """IBM's words and OpenAI's say little of what may stand in a body; here nearly all of it is right."""
    documents = [route for route in ROUTES if searched.sent.get(route.name, Sent()).json and not route.page]
    wires = [route for route in documents if not route.path.startswith("/api/")]
    assert len(wires) > 20
    for route in wires:
        _search(searched, route, searched.sent[route.name])
        searched.revive()


def _search(zoo: Zoo, route: Route, valid: Sent) -> None:
    @settings(FEW, max_examples=60)
    @given(body=changed(valid.json))
    def search(body: Any) -> None:
        sent = replace(valid, json=None, content=json.dumps(body).encode(), kind="application/json")
        answer = zoo.ask(route, "admin", sent)
        assert answer.status_code < 500, (route.name, body, answer.text)

    search()


NO_DOCUMENTS = [b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"NaN", b'"\\ud800"']


@pytest.mark.parametrize("kind", ["application/json", "", "text/plain", "application/json; charset=no"])
def test_what_is_no_document_is_refused_on_every_wire(searched: Zoo, kind: str) -> None:
    for route in ROUTES:
        valid = searched.sent.get(route.name, Sent())
        if route.page or not valid.json:
            continue
        for content in NO_DOCUMENTS + ([] if kind.startswith("application") else [json.dumps(valid.json).encode()]):
            answer = searched.ask(route, "admin", replace(valid, json=None, content=content, kind=kind))
            assert answer.status_code == 400, (route.name, content[:20], answer.text)


FORMS = [
    route.path
    for route in ROUTES
    if route.method == "POST" and (route.page or route.path in ("/api/datasets", "/api/prompts/import"))
]


@settings(FEW, max_examples=6 * len(FORMS))
@given(path=st.sampled_from(FORMS), form=broken_form(["file", "name", "pasted", "csrf", "draft", "try_input"]))
def test_forms_that_break_off_are_refused_and_nothing_breaks(searched: Zoo, path: str, form: tuple[str, bytes]) -> None:
    address = re.sub(r"{(\w+)(?::\w+)?}", lambda found: searched.ids[found.group(1)], path)
    headers = {"authorization": f"Bearer {searched.studio.key}", "content-type": form[0]}
    answer = searched.client.post(address, content=form[1], headers=headers)
    assert answer.status_code < 500, (path, form, answer.text)


def test_every_route_is_described_in_words_with_examples_for_what_is_sent(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    without = []
    for method, path, operation in ours(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content and "$ref" in content["schema"]:
            shape = schemas[content["schema"]["$ref"].split("/")[-1]]
            if not (shape.get("examples") or shape.get("example")):
                without.append(f"{method} {path}")
        assert operation["summary"], path
        assert "default" in operation["responses"], f"{method} {path} describes no errors"
    assert without == []


def test_routes_that_need_somebody_say_so(document: dict[str, Any]) -> None:
    silent = [f"{m} {p}" for m, p, operation in ours(document) if not operation.get("security")]
    assert [route for route in silent if "sign-in" not in route] == []
