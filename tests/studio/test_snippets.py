"""Code to paste is pasted: each snippet runs in a process of its own against a studio on a real port."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.config import STATE_FILE
from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.params import GenerateConfig, TuneConfig
from softprompt.studio import deployments, prompt_sessions, snippets
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio
from softprompt.workbench.respond import Responder
from studio_fixtures import complaints

MODEL = "tiny/llama"
SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"


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


def snippet_of(studio: LiveStudio, deployment: str, client: str) -> dict[str, str]:
    headers = {"authorization": f"Bearer {studio.key}"}
    answer = httpx.get(f"{studio.url}/api/deployments/{deployment}/snippets", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict({each["client"]: each for each in answer.json()["snippets"]}[client])


def code_of(studio: LiveStudio, deployment: str, client: str) -> str:
    return snippet_of(studio, deployment, client)["code"]


def paste(studio: LiveStudio, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, where `softprompt` is on the path as after `pip install softprompt`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "SOFTPROMPT_API_KEY": studio.key, "NO_PROXY": "localhost,127.0.0.1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, **own}, check=False
    )


def pasted(studio: LiveStudio, tmp_path: Path, *command: str) -> str:
    done = paste(studio, tmp_path, *command)
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


@pytest.fixture(scope="module")
def carried(studio: LiveStudio, tiny_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A deployed prompt with its files, tuned on the model that an admin added; what it answers by itself."""
    from softprompt import generate, load_model, tune

    model = load_model(tiny_folder())
    rows = [Example(text, answer) for text, answer in complaints(18)]
    config = TuneConfig(place="prefix", virtual_tokens=3, epochs=1, batch_size=8)
    made = tune(rows, model=model, config=config).tuned
    made = dataclasses.replace(made, base=dataclasses.replace(made.base, model_id=MODEL))  # as a worker writes it
    folder = made.save(tmp_path_factory.mktemp("carried") / "prompt")
    studio.deploy_prompt("Carried", MODEL, "carried", folder)
    return generate(folder, snippets.SAMPLE, base=tiny_folder())[0].output


def test_the_command_line_takes_a_prompt_home_and_asks_it(studio: LiveStudio, carried: str, tmp_path: Path) -> None:
    told = pasted(studio, tmp_path, "sh", "-e", "-c", code_of(studio, "carried", "softprompt"))
    assert told.splitlines() == ["Carried is in prompt", carried]


def test_the_library_asks_a_prompt_taken_home(studio: LiveStudio, carried: str, tmp_path: Path) -> None:
    install, download = snippet_of(studio, "carried", "softprompt library")["install"].splitlines()
    assert install == "pip install softprompt"
    pasted(studio, tmp_path, "sh", "-c", download)
    assert pasted(studio, tmp_path, sys.executable, "-c", code_of(studio, "carried", "softprompt library")) == carried


def test_the_library_answers_in_place_of_a_bare_model(
    studio: LiveStudio, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    from softprompt import generate, load_model

    studio.deploy_model("Bare", MODEL, "bare")
    bare = Responder.prompted(load_model(tiny_folder()), template=Template("{{input}}"))
    said = generate(bare, snippets.SAMPLE, config=GenerateConfig(max_new_tokens=128))[0].output
    code = code_of(studio, "bare", "softprompt library")
    assert pasted(studio, tmp_path, sys.executable, "-c", code) == said.strip()


def test_without_the_added_folder_it_is_said_what_to_name(studio: LiveStudio, carried: str, tmp_path: Path) -> None:
    """On another machine: the comment tells of the folder, and so does whoever leaves it out."""
    code = code_of(studio, "carried", "softprompt")
    assert f"# The folder of {MODEL} on the studio's machine; elsewhere, name the one it has there." in code
    without = re.sub(r" --base \S+", "", code)
    done = paste(studio, tmp_path, "sh", "-e", "-c", without)
    assert done.returncode == 1
    words = " ".join(done.stderr.split())
    assert f"made for a model that is not of the catalogue: {MODEL}. Name the folder in which that model lies" in words


def test_models_of_the_catalogue_go_by_their_name_everywhere(studio: LiveStudio) -> None:
    studio.deploy_prompt("Known", SMOLLM2, "known")
    studio.deploy_model("Known bare", SMOLLM2, "known-bare")
    for client in ("softprompt", "softprompt library"):
        code = code_of(studio, "known", client)
        assert "base" not in code
        assert "#" not in code
    assert f'load_model("{SMOLLM2}")' in code_of(studio, "known-bare", "softprompt library")


def test_a_prompt_template_answers_in_the_studio_only(studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM, write=False) as unit:
        clients = [each["client"] for each in snippets.of(unit, "template", url="http://x/", secure_url="https://x/")]
    assert clients == ["curl", "openai", "ibm-watsonx-ai"]


def test_the_key_stands_in_no_snippet(studio: LiveStudio) -> None:
    for client in ("curl", "openai", "ibm-watsonx-ai", "softprompt", "softprompt library"):
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
