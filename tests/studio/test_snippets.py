"""Code to paste is pasted: each snippet runs in a process of its own against a studio on a real port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.config import STATE_FILE
from softprompt.studio import deployments, prompt_sessions, snippets
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

MODEL = "tiny/llama"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    """With TLS, and the deployments `routing`, one without a serving name, and `it's` a prompt template."""
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend(), tls=True) as running:
        running.add_model(MODEL, tiny_folder())
        running.deploy_prompt("Routing", MODEL, "routing")
        content: dict[str, Any] = {"input": [["{fault}", ""]], "data": {"input_prefix": "Broken:"}}
        with running.office.unit(SYSTEM) as unit:
            session = prompt_sessions.create(unit, running.project, "Template", model_id=MODEL, content=content)
            deployments.create(unit, running.project, "Template", serving="template", session_id=session.id)
        assert running.tls is not None
        (running.data_dir / STATE_FILE).write_text(json.dumps({"tls": running.tls}), encoding="utf-8")
        yield running


def code_of(studio: LiveStudio, deployment: str, client: str) -> str:
    headers = {"authorization": f"Bearer {studio.key}"}
    answer = httpx.get(f"{studio.url}/api/deployments/{deployment}/snippets", headers=headers)
    assert answer.status_code == 200, answer.text
    return str({each["client"]: each for each in answer.json()["snippets"]}[client]["code"])


def pasted(studio: LiveStudio, tmp_path: Path, *command: str) -> str:
    environment = {**os.environ, "SOFTPROMPT_API_KEY": studio.key, "NO_PROXY": "localhost,127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


SAID = snippets.SAMPLE.upper()


def test_curl(studio: LiveStudio, tmp_path: Path) -> None:
    told = json.loads(pasted(studio, tmp_path, "sh", "-c", code_of(studio, "routing", "curl")))
    assert told["choices"][0]["text"] == SAID
    told = json.loads(pasted(studio, tmp_path, "sh", "-c", code_of(studio, "template", "curl")))
    assert told["choices"][0]["text"] == f"Broken: {snippets.SAMPLE}"


@pytest.mark.parametrize(("deployment", "said"), [("routing", SAID), ("template", f"Broken: {snippets.SAMPLE}")])
def test_openai(studio: LiveStudio, tmp_path: Path, deployment: str, said: str) -> None:
    assert pasted(studio, tmp_path, sys.executable, "-c", code_of(studio, deployment, "openai")) == said


@pytest.mark.parametrize(("deployment", "said"), [("routing", SAID), ("template", f"Broken: {snippets.SAMPLE}")])
def test_ibm(studio: LiveStudio, tmp_path: Path, deployment: str, said: str) -> None:
    code = code_of(studio, deployment, "ibm-watsonx-ai")
    assert studio.tls is not None
    assert str(httpx.URL(studio.tls).port) in code
    assert pasted(studio, tmp_path, sys.executable, "-W", "ignore", "-c", code) == said


def test_without_a_serving_name_the_id_is_used(studio: LiveStudio, tmp_path: Path) -> None:
    made = studio.deploy_model("Nameless", MODEL)
    code = code_of(studio, made, "curl")
    assert json.loads(pasted(studio, tmp_path, "sh", "-c", code))["choices"][0]["text"] == snippets.SAMPLE


def test_a_prompt_can_be_taken_home_and_a_bare_model_cannot(studio: LiveStudio, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "card.json").write_text("{}", encoding="utf-8")
    studio.deploy_prompt("Carried", MODEL, "carried", folder)
    download = code_of(studio, "carried", "softprompt").splitlines()[0]
    assert download.endswith("--out prompt")
    command = f"{sys.executable} -m {download}"
    assert pasted(studio, tmp_path, "sh", "-c", command) == "Carried is in prompt"
    assert (tmp_path / "prompt" / "card.json").read_text(encoding="utf-8") == "{}"
    with studio.office.unit(SYSTEM, write=False) as unit:
        clients = [each["client"] for each in snippets.of(unit, "template", url="http://x/", secure_url="https://x/")]
    assert clients == ["curl", "openai", "ibm-watsonx-ai"]


def test_the_key_stands_in_no_snippet(studio: LiveStudio) -> None:
    for client in ("curl", "openai", "ibm-watsonx-ai", "softprompt"):
        assert studio.key not in code_of(studio, "routing", client)


def test_strange_addresses_are_quoted(studio: LiveStudio, tmp_path: Path) -> None:
    url = "http://host/a b'c\"$(touch spoiled)"
    with studio.office.unit(SYSTEM, write=False) as unit:
        made = {each["client"]: each["code"] for each in snippets.of(unit, "routing", url=url, secure_url=url)}
    for client in ("openai", "ibm-watsonx-ai"):
        compile(made[client], client, "exec")
    shown = subprocess.run(
        ["sh", "-c", "curl() { printf '%s\\n' \"$2\"; }; " + made["curl"]], capture_output=True, text=True, cwd=tmp_path
    )
    assert shown.stdout.strip() == f"{url}/v1/completions"
    assert not (tmp_path / "spoiled").exists()


@pytest.mark.parametrize(
    ("url", "port", "secure"),
    [
        ("http://localhost:8440/", None, "https://localhost:8443"),
        ("http://192.0.2.7:8440/", 9443, "https://192.0.2.7:9443"),
        ("http://[::1]:8440/", None, "https://[::1]:8443"),
        ("https://studio.example/", 9443, "https://studio.example"),
    ],
)
def test_the_address_with_tls(url: str, port: int | None, secure: str) -> None:
    assert snippets.tls_url(url, port) == secure
