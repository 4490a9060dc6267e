"""A studio whose lab has somebody to ask, and forms of the lab as a browser sends them."""

from __future__ import annotations

import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from softprompt.storage.tables import TunedPrompt
from softprompt.studio import datasets, people, projects
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
MODEL = f"model:{MODEL_ID}"
_NUMBERS = count(1)


def tuned(studio: LiveStudio, model_id: str = MODEL_ID, **columns: Any) -> tuple[str, str]:
    """Values of a new tuned prompt and of its deployment."""
    name = f"router-{next(_NUMBERS)}"
    deployment = studio.deploy_prompt(name, model_id, name, **columns)
    with studio.office.unit(SYSTEM, write=False) as unit:
        prompt = unit.rows.first(TunedPrompt, name=name)
        assert prompt is not None
        return f"prompt:{prompt.id}", f"deployment:{deployment}"


def dataset(studio: LiveStudio, rows: str, folder: Path) -> str:
    """Id of a dataset with these rows."""
    path = folder / "rows.jsonl"
    path.write_text(rows, encoding="utf-8")
    found = datasets.examine(path, most_rows=1000)
    datasets.keep(studio.office.store, found)
    with studio.office.unit(SYSTEM) as unit:
        return datasets.create(unit, projects.find(unit, None), "Routing", found).id


def signed_in(studio: LiveStudio) -> httpx.Client:
    """A browser of the first admin."""
    with studio.office.unit(SYSTEM) as unit:
        _, link = people.first_admin(unit)
    client = httpx.Client(base_url=studio.url, follow_redirects=True, headers={"accept": "text/html"})
    assert client.get(f"/sign-in?link={link}").status_code == 200
    return client


def token_of(browser: httpx.Client) -> str:
    found = re.search(r'name="csrf" content="([^"]+)"', browser.get("/lab").text)
    assert found
    return found[1]


def streamed(browser: httpx.Client, sent: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one Generate."""
    answer = browser.post("/lab/stream", data=sent, headers={"x-csrf-token": token_of(browser)})
    assert answer.status_code == 200, answer.text
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def words(html: str) -> str:
    """What a page says, tags left out."""
    import html as entities

    return " ".join(entities.unescape(re.sub(r"<[^>]+>", " ", html)).split())
