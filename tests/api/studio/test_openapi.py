"""The documented interface against the real one: whatever the document allows to send gets an answer it describes.

Looked for: answers of 500, statuses, types and shapes that the document does not know. A fixed seed and few examples a
route keep it quick; `examples` below can be raised for a long search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .conftest import MODEL, rows

EXAMPLES = 4
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    """A studio with a few things in it, whose admin stays one whatever is sent."""
    with live_studio(tmp_path_factory.mktemp("searched"), EchoBackend()) as running:
        running.add_model(MODEL, tiny_folder())
        running.deploy_model("Plain", MODEL, "plain")
        headers = {"authorization": f"Bearer {running.key}"}
        httpx.post(f"{running.url}/api/datasets?name=complaints", content=rows(), headers=headers).raise_for_status()
        yield running


@pytest.fixture(scope="module")
def document(searched: LiveStudio) -> dict[str, Any]:
    return dict(httpx.get(f"{searched.url}/api/openapi.json", timeout=120).json())


def ours(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        if path.startswith("/api/")
        for method, operation in methods.items()
    ]


def test_whatever_is_sent_gets_an_answer_that_the_document_describes(
    searched: LiveStudio, document: dict[str, Any]
) -> None:
    schema = schemathesis.openapi.from_dict(document).include(path_regex="^/api/")
    few = settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    problems: dict[str, str] = {}
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        # Disabling the admin or ending what the search runs on would end the search; a pull would ask the network.
        if "/users/" in operation.path or operation.label in ("POST /api/sign-out", "POST /api/pulls"):
            continue

        @few
        @given(case=operation.as_strategy())
        def search(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(
                base_url=searched.url, headers={"authorization": f"Bearer {searched.key}"}, checks=CHECKS, timeout=60
            )

        try:
            search()
        except (Exception, BaseExceptionGroup) as error:
            problems[operation.label] = str(error)[:1500]
    assert not problems, "\n\n".join(f"{name}: {text}" for name, text in problems.items())
    assert asked > 100


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
