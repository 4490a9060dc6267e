"""Runs side by side: what differs, what came out, what the data show, what they answer."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import httpx
import pytest

from softprompt.testing.live import LiveStudio

from .run_seed import Seed

Post = Callable[..., httpx.Response]
V1 = [("Warehouse", 3), ("Warehouse, Packaging", 16), ("Planning", 17), ("Planning, Warehouse", 12), ("Service", 9)]
V2 = [("Warehouse", 8), ("Warehouse, Packaging", 5), ("Planning", 16), ("Planning, Warehouse", 10), ("Service", 30)]


@pytest.fixture
def seed(studio: LiveStudio) -> Seed:
    return Seed(studio)


def rows(counts: list[tuple[str, int]]) -> str:
    return "\n".join(
        f'{{"input": "{answer} case {n}", "output": "{answer}"}}' for answer, count in counts for n in range(count)
    )


def text_of(part: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", part)).split())


def test_two_runs_side_by_side(browser: httpx.Client, seed: Seed) -> None:
    first, second = seed.done("Routing"), seed.done("Routing", config={"epochs": 10, "place": "both"})
    page = browser.get(f"/tuning/compare?runs={first},{second}").text
    assert "Routing (1)" in page
    assert "Routing (2)" in page
    settings = text_of(page.split('data-part="settings"')[1].split("</table>")[0])
    assert "Epochs 20 10" in settings
    assert "Place – both" in settings
    assert "Foundation model" not in settings, "what is alike is set aside"
    assert page.split('data-part="curves"')[1].count("<polyline") == 4
    assert "75.0\xa0%" in page.split('data-part="outcome"')[1]
    again = browser.get("/tuning/compare", params={"runs": [first, second]}).text
    assert "Routing (2)" in again, "as a form sends them"


def test_the_datasets_are_tabulated_as_the_lab_does(browser: httpx.Client, seed: Seed) -> None:
    runs = []
    for name, counts in (("Complaints", V1), ("Database", V2)):
        seed.data = seed.dataset(name, rows(counts))
        runs.append(seed.run("Routing"))
    page = browser.get(f"/tuning/compare?runs={','.join(runs)}&label=Warehouse").text
    table = text_of(page.split('data-part="counts"')[1].split("</section>")[0])
    assert "Warehouse 31 23 −8 alone 3 8 +5 with Packaging 16 5 −11 with Planning 12 10 −2" in table
    assert "49% of the rows of “Complaints, version 1” carry more than one label" in table
    assert "22%" in table


def test_a_run_can_be_added_and_left_out(browser: httpx.Client, seed: Seed) -> None:
    first, second, third = (seed.done("Routing") for _ in range(3))
    page = browser.get(f"/tuning/compare?runs={first},{second}").text
    assert f'<option value="{third}">Routing (3)</option>' in page
    assert f'href="/tuning/compare?runs={second}"' in page
    alone = browser.get(f"/tuning/compare?runs={second}")
    assert "One run alone." in alone.text
    assert "Choose runs to compare" in browser.get("/tuning/compare").text


def test_all_are_asked_the_same(post: Post, seed: Seed, studio: LiveStudio) -> None:
    first, second = seed.done("Routing"), seed.done("Routing")
    where = f"/tuning/compare?runs={first},{second}"
    page = post("/tuning/compare", {"runs": f"{first},{second}", "questions": "where is it\n\nit <b>hums"}, page=where)
    replies = page.text.split('data-part="replies"')[1].split("</table>")[0]
    assert replies.count("WHERE IS IT") == 2
    assert "IT &lt;B&gt;HUMS" in replies
    assert {work.target.prompt for work in studio.backend.works} == {f"prompts/{first}", f"prompts/{second}"}
    nothing = post("/tuning/compare", {"runs": first, "questions": " \n "}, page=where)
    assert nothing.status_code == 400
    assert "nothing was asked" in nothing.text


def test_a_serving_host_that_is_busy_is_said(post: Post, seed: Seed) -> None:
    run = seed.done("Routing")
    page = post("/tuning/compare", {"runs": run, "questions": "!busy"}, page=f"/tuning/compare?runs={run}")
    assert page.status_code == 429
    assert "The questions were not asked" in page.text
    assert "!busy" in page.text, "what was typed is still there"


def test_answers_to_the_same_test_rows_stand_beside_each_other(browser: httpx.Client, seed: Seed) -> None:
    runs = f"{seed.done('Routing')},{seed.done('Routing')}"
    page = browser.get(f"/tuning/compare?runs={runs}&show=all").text
    answers = page.split('data-part="answers"')[1]
    assert "Row 3 says" in answers
    assert "Routing (2)" in answers
    assert "No answer fits" in browser.get(f"/tuning/compare?runs={runs}").text, "they answer alike"


def test_too_many_runs_and_runs_that_are_not_there(browser: httpx.Client, studio: LiveStudio, seed: Seed) -> None:
    assert browser.get("/tuning/compare?runs=nope").status_code == 404
    many = ",".join(seed.run("Routing") for _ in range(7))
    refused = browser.get(f"/tuning/compare?runs={many}")
    assert refused.status_code == 400
    assert "at most 6" in refused.text
    headers = {"authorization": f"Bearer {studio.new_key('sam')}", "accept": "text/html"}
    assert httpx.get(f"{studio.url}/tuning/compare?runs={many[:36]}", headers=headers).status_code == 404
