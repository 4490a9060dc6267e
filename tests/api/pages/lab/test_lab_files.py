"""A page of the Prompt Lab as code that is pasted and run, and as a file that goes out and comes in again."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.testing.live import LiveStudio

from ..lab_fixtures import MODEL, tuned

Send = Callable[..., httpx.Response]
SENT: dict[str, Any] = {
    "subject": MODEL,
    "instruction": 'Say "it\'s" {n} times: $HOME `date` \\',
    "input_prefix": "",
    "output_prefix": "",
    "try_input": ["one two", "three"],
    "variable_name": "n",
    "variable_value": "2",
    "max_new_tokens": "40",
    "stop": ["three"],
}
SAID = ['Say "it\'s" 2 times: $HOME `date` \\ one two', 'Say "it\'s" 2 times: $HOME `date` \\ three']
"""What the echo makes of it: the words of the prompt with single blanks between them."""


def code_of(page: str) -> dict[str, str]:
    """Code by client, of a page with one column."""
    found = re.findall(r"<summary>([\w-]+)</summary>.*?(?:<code>(.*?)</code>|</details>)", page, re.S)
    return {client: html.unescape(code) for client, code in found}


def pasted(studio: LiveStudio, tmp_path: Path, *command: str) -> str:
    environment = {**os.environ, "SOFTPROMPT_API_KEY": studio.key, "NO_PROXY": "localhost,127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


def test_curl_asks_what_stands_on_the_page(post: Send, studio: LiveStudio, tmp_path: Path) -> None:
    code = code_of(post("/lab/code", SENT).text)["curl"]
    told = json.loads(pasted(studio, tmp_path, "sh", "-c", code))
    assert [each["output"] for each in told["results"]] == SAID


def test_openai_asks_what_stands_on_the_page(post: Send, studio: LiveStudio, tmp_path: Path) -> None:
    code = code_of(post("/lab/code", {**SENT, "stop": ""}).text)["openai"]
    assert pasted(studio, tmp_path, sys.executable, "-c", code).splitlines() == SAID


def test_ibm_asks_what_stands_on_the_page(post: Send, studio: LiveStudio, tmp_path: Path) -> None:
    code = code_of(post("/lab/code", SENT).text)["ibm-watsonx-ai"]
    assert pasted(studio, tmp_path, sys.executable, "-W", "ignore", "-c", code) == str(SAID)


def test_our_library_has_the_same_prompt_and_parameters(post: Send, studio: LiveStudio) -> None:
    drawn = {"decoding": "sample", "temperature": "0.3", "seed": "5", "top_k": "0", "repetition_penalty": "1.2"}
    code = code_of(post("/lab/code", {**SENT, **drawn}).text)["softprompt"]
    compile(code, "library", "exec")
    for part in ("temperature=0.3", "top_k=0", "seed=5", "repetition_penalty=1.2", "stop=('three',)"):
        assert part in code
    assert 'load_model("HuggingFaceTB/SmolLM2-135M-Instruct")' in code


def test_our_library_names_the_folder_of_a_model_that_an_admin_added(
    post: Send, studio: LiveStudio, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    studio.add_model("own/llama", tiny_folder())
    sent = {"subject": "model:own/llama", "try_input": "it hums", "max_new_tokens": "3"}
    pasted(studio, tmp_path, sys.executable, "-c", code_of(post("/lab/code", sent).text)["softprompt"])
    prompt, _ = tuned(studio, model_id="own/llama")
    code = code_of(post("/lab/code", {"subject": prompt, "try_input": "it hums"}).text)
    assert f"generate(answerer, texts, config=config, base='{tiny_folder()}')" in code["softprompt"]


def test_a_tuned_prompt_is_asked_by_what_can_ask_it(post: Send, studio: LiveStudio, tmp_path: Path) -> None:
    prompt, deployment = tuned(studio, answers_by="readout", labels=["A", "B"])
    sent = {"subject": prompt, "way": "text", "try_input": "it hums"}
    page = post("/lab/code", sent).text
    told = json.loads(pasted(studio, tmp_path, "sh", "-c", code_of(page)["curl"]))
    assert told["results"][0]["output"] == "IT HUMS"
    assert studio.backend.works[-1].way == "text"
    assert "Deploy the tuned prompt" in page
    assert "prompts download" in page
    code = code_of(post("/lab/code", {**sent, "subject": deployment}).text)
    assert pasted(studio, tmp_path, sys.executable, "-c", code["openai"]) == "IT HUMS"
    assert studio.backend.works[-1].way == "text"


def test_each_column_has_its_code_and_the_key_stands_in_none(post: Send, studio: LiveStudio) -> None:
    page = post("/lab/code", {**SENT, "columns": "2", "subject.1": MODEL, "max_new_tokens.1": "77"}).text
    assert "Column B: SmolLM2-135M-Instruct" in page
    assert "77" in page.split("Column B")[1]
    assert studio.key not in page


def test_code_for_nobody_says_what_to_do(post: Send) -> None:
    page = post("/lab/code", {**SENT, "subject": "prompt:gone"})
    assert page.status_code == 404
    assert "There is no tuned prompt" in page.text


def test_a_page_goes_out_and_comes_in_again(post: Send) -> None:
    sent = {**SENT, "columns": "2", "subject.1": MODEL, "shots.1": "1", "decoding.1": "sample", "example_input": "a"}
    sent |= {"example_output": "A", "try_expected": ["", "three"], "mode": "freeform", "text": "T {input}"}
    file = post("/lab/export", {**sent, "name": "My page"})
    assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''My%20page.json"
    content = file.json()
    assert (content["kind"], content["mode"], content["columns"][1]["shots"]) == ("softprompt-lab", "freeform", 1)
    page = post("/lab/import", {"pasted": file.text})
    assert "The page is imported." in page.text
    assert "T {input}" in page.text
    assert 'name="subject.1"' in page.text
    uploaded = post("/lab/import", {}, files={"file": ("p.json", file.content)})
    assert "The page is imported." in uploaded.text


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "Choose a file, or paste its content."),
        ("{", "This is no JSON"),
        ("[]", "file: "),
        ('{"kind": "other", "version": 1}', "kind: Input should be"),
        ('{"kind": "softprompt-lab", "version": 1, "trys": [], "mode": "x"}', "trys: Extra inputs are not permitted"),
        ('{"kind": "softprompt-lab", "version": 1, "columns": [{"parameters": {"top_k": "many"}}]}', "top_k"),
    ],
)
def test_what_is_no_page_is_refused_with_everything_that_is_wrong(post: Send, written: str, told: str) -> None:
    page = post("/lab/import", {"pasted": written})
    assert page.status_code == 400
    assert told in html.unescape(page.text)


def test_numbers_that_are_none_stay_as_they_were_typed(post: Send) -> None:
    content = post("/lab/export", {**SENT, "temperature": "hot"}).json()
    assert content["columns"][0]["parameters"]["temperature"] == "hot"
