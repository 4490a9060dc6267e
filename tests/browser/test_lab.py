"""The whole lab as a person clicks it, in a studio of real processes: from the first link to v1 and v2 side by side.

What the person does is written down in docs/lab.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from browser.person import Person
from browser.seed import EXAMPLES, MODEL
from supervisor.conftest import Up

Arrive = Callable[..., Person]
IBM_CLICKS = 103
"""Of the same way in IBM's lab, by the steps that it names: project, service and space 20, prompting 16, first run 15,
deployment and questions 20, second run with its deployment and questions 32."""
LONG = 90_000
"""Milliseconds that a run, or an answer of a model that has to be loaded, may take."""
QUESTIONS = [json.loads(line)["input"] for line in (EXAMPLES / "questions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[Up]:
    """`softprompt up` with a tiny model, as an admin would have added it."""
    running = Up(tmp_path_factory.mktemp("lab") / "studio")
    try:
        running.until_running()
        made = subprocess.run(
            [sys.executable, "-m", "softprompt", "keys", "create", "admin", "--role", "admin", "--json"]
            + ["--data-dir", str(running.data)],
            capture_output=True,
            text=True,
            check=True,
        )
        headers = {"authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        body = {"id": MODEL, "path": str(tiny_folder())}
        httpx.post(f"{running.state['web']}/api/models", json=body, headers=headers).raise_for_status()
        yield running
    finally:
        running.stop()


def test_the_whole_lab(up: Up, person: Arrive) -> None:
    me = person(Where(up.state["web"]), signed_in=False)
    link = re.search(r"/sign-in\?link=[\w-]+", up.text)
    assert link is not None
    me.go(link[0])
    took = {}
    for part in (try_a_prompt, tune_v1, deploy_it, tune_and_deploy_v2, compare_them):
        before = me.clicks
        part(me)
        took[part.__name__] = me.clicks - before
    print(f"{me.clicks} clicks where IBM's lab takes {IBM_CLICKS}: {took}")
    assert me.clicks <= IBM_CLICKS / 2


@dataclass(frozen=True)
class Where:
    """A studio that is known by its address alone."""

    url: str


def try_a_prompt(me: Person) -> None:
    """Zero-shot and few-shot, side by side, over one question."""
    me.press("Experiment with foundation models")
    me.press("Start with an example")
    me.choose("Foundation model, tuned prompt or deployment", "llama")
    me.press("Compare +")
    me.choose("Examples shown", "0", within=me.page.get_by_role("region", name="Column A"))
    me.press("Generate", exact=True, within=me.page.locator("main"))
    expect(me.page.locator("[data-part=told]").nth(1)).to_contain_text("Tokens:", timeout=LONG)


def tune_v1(me: Person) -> None:
    load(me, "v1")
    start(me)


def load(me: Person, name: str) -> None:
    """Sixty rows of a training set, through the file window."""
    rows = (EXAMPLES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:60]
    me.press("Data", exact=True)
    me.bring(f"Complaints {name}.jsonl", "".join(rows).encode())
    me.page.wait_for_url(re.compile(r"/data/[0-9a-f-]{36}"))
    expect(me.page.locator("h1")).to_contain_text(f"Complaints {name}")


def start(me: Person) -> None:
    """From the data to a run that is over."""
    me.press("Tune")
    me.write("Name", "Complaints")
    me.press("Start tuning")
    me.page.wait_for_url(re.compile(r"/tuning/runs/"))
    expect(me.page.locator(".badge").first).to_have_text("completed", timeout=LONG)


def deploy_it(me: Person) -> None:
    """Into a space made on the spot, and three questions."""
    me.press("Deploy", exact=True)
    form = me.page.locator("form[data-deploy]")
    me.choose("Where", "A new space", within=form)
    me.write("Its name", "Tuning space", within=form)
    me.press("Deploy", exact=True)
    me.page.wait_for_url(re.compile(r"/deployments/[0-9a-f-]{36}"))
    ask(me)


def ask(me: Person) -> None:
    me.press("Open in Prompt Lab")
    for number, question in enumerate(QUESTIONS):
        if number:
            me.press("New test +")
        me.clicks += 1
        me.page.locator("textarea[name=try_input]").nth(number).fill(question)
    me.press("Generate", exact=True, within=me.page.locator("main"))
    told = me.page.locator("[data-part=told]")
    for number in range(len(QUESTIONS)):
        expect(told.nth(number)).to_contain_text("Tokens:", timeout=LONG)


def tune_and_deploy_v2(me: Person) -> None:
    load(me, "v2")
    start(me)
    me.press("Deploy", exact=True)
    me.press("Deploy", exact=True)
    me.page.wait_for_url(re.compile(r"/deployments/[0-9a-f-]{36}"))
    ask(me)


def compare_them(me: Person) -> None:
    """Both runs side by side: what was set, the curves, the counts of their data."""
    me.press("Tuning Studio", exact=True)
    me.press("Complaints (2)")
    me.press("Compare", exact=True)
    page = me.page.locator("main")
    for words in ("Complaints (1)", "Complaints (2)", "Complaints v1", "Complaints v2", "with Packaging"):
        expect(page).to_contain_text(words)
