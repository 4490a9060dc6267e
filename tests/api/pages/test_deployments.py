"""Deployments as a browser without scripts sees them: made, swapped under clients that go on asking, brought back."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from softprompt.serving.protocol import Event, Failed, Work
from softprompt.storage.people import ApiKey
from softprompt.storage.tables import Deployment, Space, TunedPrompt
from softprompt.studio import deployments, memberships, people
from softprompt.studio.access import SYSTEM, Actor
from softprompt.testing.live import EchoBackend, LiveStudio, wait_until

from .conftest import Forms

Post = Callable[..., httpx.Response]
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


class NamingBackend(EchoBackend):
    """Says which tuned prompt answered; one of them is broken."""

    async def _events(self, work: Work, text: str) -> AsyncIterator[Event]:
        if work.target.prompt == "prompts/broken":
            yield Failed(code="artifact_invalid", status=422, message="The vectors are not finite.")
            return
        async for event in super()._events(work, f"{work.target.prompt} {text}" if text[:1] != "!" else text):
            yield event


@pytest.fixture
def backend() -> NamingBackend:
    return NamingBackend()


@pytest.fixture
def prompts(studio: LiveStudio) -> dict[str, str]:
    """Ids of tuned prompts by the end of their keys."""
    with studio.office.unit(SYSTEM) as unit:
        made = {}
        for name in ("one", "two", "broken"):
            row = TunedPrompt(
                project_id=studio.project.id, name=f"Prompt {name}", model_id=MODEL, key=f"prompts/{name}",
                virtual_tokens=100, answers_by="readout" if name == "two" else "text",
            )  # fmt: skip
            made[name] = unit.rows.add(row).id
        return made


@pytest.fixture
def deployed(post: Post, prompts: dict[str, str]) -> str:
    """The address of the page of a deployment."""
    data = {"prompt": prompts["one"], "name": "Router", "serving_name": "router", "tags": "routing, parcels"}
    return post("/deployments/new", data, page="/deployments/new").url.path


def words(answer: httpx.Response) -> str:
    """What a page says, without its tags."""
    text = re.sub(r"<(script|title|svg)\b.*?</\1>", "", answer.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def ask(studio: LiveStudio, text: str = "hello", name: str = "router") -> httpx.Response:
    body = {"model": name, "prompt": text}
    return httpx.post(f"{studio.url}/v1/completions", json=body, headers={"authorization": f"Bearer {studio.key}"})


# --- deploying --------------------------------------------------------------------------------------------------------
def test_what_is_deployed_says_how_to_reach_it(browser: httpx.Client, deployed: str, studio: LiveStudio) -> None:
    page = words(browser.get(f"{deployed}?deployed=1"))
    assert "It is deployed." in page
    assert f"{studio.url}/ml/v1/deployments/router/text/generation" in page
    assert "https://127.0.0.1:8443/ml/v1/deployments/router/text/generation_stream" in page
    assert "routing" in page
    assert "100" in page
    assert "by admin" in page
    assert ask(studio).json()["choices"][0]["text"] == "PROMPTS/ONE HELLO"


def test_every_tab_is_an_address_and_says_where_one_is(browser: httpx.Client, deployed: str) -> None:
    for tab in ("", "/code", "/test", "/test?wire=openai", "/usage", "/history", "/edit", "/promote"):
        answer = browser.get(deployed + tab)
        assert answer.status_code == 200, tab
        seen = Forms.of(answer.text)
        assert not seen.handlers
        assert all((script.get("src") or "").startswith("/static/") for script in seen.scripts)
    assert 'aria-current="page">Usage' in browser.get(f"{deployed}/usage").text


def test_a_name_is_checked_while_it_is_typed(browser: httpx.Client, deployed: str) -> None:
    def check(**query: str) -> Any:
        return browser.get("/deployments/check", params=query).json()

    assert check(serving_name="other") == {"free": True, "words": "other is free."}
    assert check(serving_name="router") == {
        "free": False,
        "words": "'router' is in use by another deployment. Choose another one.",
    }
    assert "cannot stand in an address" in check(serving_name="Röuter 1")["words"]
    assert check(serving_name="router", own=deployed.rsplit("/", 1)[-1])["free"]
    assert check(name="Router")["suggested"] == "router_2"
    assert check(name="Käufe (1)")["suggested"] == "kaufe_1"


def test_a_form_that_is_refused_keeps_what_was_typed(post: Post, deployed: str, prompts: dict[str, str]) -> None:
    given = {"prompt": prompts["two"], "name": "Second <b>", "serving_name": "router", "tags": "a, b"}
    answer = post("/deployments/new", given, page="/deployments/new")
    assert answer.status_code == 409
    assert "in use by another deployment" in words(answer)
    assert 'value="Second &lt;b&gt;"' in answer.text
    assert 'value="a, b"' in answer.text


def test_a_space_is_made_while_deploying(
    browser: httpx.Client, post: Post, prompts: dict[str, str], studio: LiveStudio
) -> None:
    given = {
        "prompt": prompts["one"],
        "name": "Live router",
        "space": "new",
        "space_name": "Live",
        "stage": "production",
    }
    page = words(post("/deployments/new", given, page="/deployments/new"))
    assert "in Live , production" in page
    refused = post("/deployments/new", {**given, "name": "x"}, page="/deployments/new")
    assert "There is a space 'Live' already" in words(refused)
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert unit.rows.count(Space) == 1


# --- the list ---------------------------------------------------------------------------------------------------------
def test_the_list_is_searched_filtered_and_paged(browser: httpx.Client, studio: LiveStudio) -> None:
    for number in range(60):
        studio.deploy_prompt(f"Number {number:02}", MODEL, f"n{number}")
    first = browser.get("/deployments?sort=name")
    assert "Number 00" in first.text
    assert "Number 59" not in first.text
    following = re.search(r'rel="next" href="([^"]+)"', first.text) or re.search(
        r'href="([^"]+)" rel="next"', first.text
    )
    assert following
    second = browser.get(html.unescape(following[1]))
    assert "Number 59" in second.text
    assert "10 of 60" in words(second)
    assert "Number 07" in browser.get("/deployments?search=07").text
    assert "Number 08" not in browser.get("/deployments?search=07").text
    assert "Nothing fits" in browser.get("/deployments?state=offline").text
    assert "Nothing fits" in browser.get("/deployments?tag=none").text
    assert browser.get("/deployments?sort=nonsense").status_code == 400
    assert "Number" in browser.get(f"/deployments?place={studio.project.id}").text


# --- swapping ---------------------------------------------------------------------------------------------------------
def test_a_swap_and_the_way_back_under_clients_that_go_on_asking(
    browser: httpx.Client, post: Post, deployed: str, prompts: dict[str, str], studio: LiveStudio
) -> None:
    said: list[str] = []
    wrong: list[object] = []
    stop = threading.Event()

    def client(number: int) -> None:
        headers = {"authorization": f"Bearer {studio.key}"}
        with httpx.Client(base_url=studio.url, headers=headers, timeout=60) as http:
            while not stop.is_set():
                try:
                    if number % 2:
                        body: dict[str, Any] = {"model": "router", "prompt": "hello", "stream": True}
                        lines = http.post("/v1/completions", json=body).raise_for_status().text.splitlines()
                        chunks = [json.loads(each[6:]) for each in lines if each.startswith("data: {")]
                        said.append("".join(chunk["choices"][0]["text"] for chunk in chunks))
                    else:
                        path = "/ml/v1/deployments/router/text/generation?version=2024-01-01"
                        answer = http.post(path, json={"input": "hello"}).raise_for_status()
                        said.append(answer.json()["results"][0]["generated_text"])
                except (httpx.HTTPError, KeyError, ValueError) as error:
                    wrong.append(error)

    clients = [threading.Thread(target=client, args=[number]) for number in range(4)]
    for each in clients:
        each.start()
    try:
        for turn, name in enumerate(("two", "one") * 3):
            before = len(said)
            wait_until(lambda count=before: len(said) >= count + 8 or wrong, "nobody is answered")  # type: ignore[misc]
            assert post(f"{deployed}/swap", {"prompt": prompts[name]}, page=deployed).status_code == 200, turn
            assert ask(studio).json()["choices"][0]["text"] == f"PROMPTS/{name.upper()} HELLO"
    finally:
        stop.set()
        for each in clients:
            each.join()
    assert not wrong
    assert set(said) == {"PROMPTS/ONE HELLO", "PROMPTS/TWO HELLO"}


def test_the_way_back_is_one_click_and_stands_in_the_history(
    browser: httpx.Client, post: Post, deployed: str, prompts: dict[str, str], studio: LiveStudio
) -> None:
    swapped = post(f"{deployed}/swap", {"prompt": prompts["two"]}, page=deployed)
    assert "Prompt two answers now." in words(swapped)
    assert "Undo: put Prompt one back" in words(swapped)
    history = words(browser.get(f"{deployed}/history"))
    assert "Swapped Prompt one for Prompt two" in history
    assert "Earlier tuned prompts" in history
    back = post(f"{deployed}/swap", {"prompt": prompts["one"]}, page=deployed)
    assert "Prompt one answers now." in words(back)
    assert "Before: Prompt two" in words(browser.get(deployed))
    assert ask(studio).json()["choices"][0]["text"] == "PROMPTS/ONE HELLO"


def test_a_prompt_that_cannot_answer_takes_nobodys_place(
    post: Post, deployed: str, prompts: dict[str, str], studio: LiveStudio
) -> None:
    refused = post(f"{deployed}/swap", {"prompt": prompts["broken"]}, page=deployed)
    assert refused.status_code == 422
    assert "What answers now goes on. The vectors are not finite." in words(refused)
    assert ask(studio).json()["choices"][0]["text"] == "PROMPTS/ONE HELLO"


def test_in_a_space_the_swapped_prompt_is_promoted(post: Post, prompts: dict[str, str], studio: LiveStudio) -> None:
    given = {"prompt": prompts["one"], "name": "Live", "serving_name": "live", "space": "new", "space_name": "Live"}
    here = post("/deployments/new", given, page="/deployments/new").url.path
    assert post(f"{here}/swap", {"prompt": prompts["two"]}, page=here).status_code == 200
    with studio.office.unit(SYSTEM, write=False) as unit:
        row = deployments.find(unit, "live")
        prompt = unit.rows.get(TunedPrompt, row.tuned_prompt_id or "")
        assert prompt is not None
        assert (prompt.space_id, prompt.source_id) == (row.space_id, prompts["two"])


# --- promoting, editing, ending ---------------------------------------------------------------------------------------
def test_a_promotion_may_take_the_serving_name_along(
    browser: httpx.Client, post: Post, deployed: str, studio: LiveStudio
) -> None:
    given = {"space": "new", "space_name": "Production", "stage": "production", "move": "1"}
    page = post(f"{deployed}/promote", given, page=deployed)
    assert "in Production , production" in words(page)
    assert "router" in words(page)
    assert ask(studio).json()["choices"][0]["text"] == "PROMPTS/ONE HELLO"
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert deployments.find(unit, "router").id == page.url.path.rsplit("/", 1)[-1]
    assert "Promoted to space Production , its serving name went along" in words(browser.get(f"{deployed}/history"))
    assert "Promoted from Router" in words(browser.get(f"{page.url.path}/history"))


def test_a_promotion_with_a_name_that_is_taken_changes_nothing(post: Post, deployed: str, studio: LiveStudio) -> None:
    given = {"space": "new", "space_name": "Production", "serving_name": "router"}
    refused = post(f"{deployed}/promote", given, page=deployed)
    assert refused.status_code == 409
    assert "in use by another deployment" in words(refused)
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert (unit.rows.count(Deployment), unit.rows.count(Space)) == (1, 0)


def test_changes_of_two_people_do_not_overwrite_each_other(browser: httpx.Client, post: Post, deployed: str) -> None:
    revision = re.search(r'name="revision" value="(\d+)"', browser.get(f"{deployed}/edit").text)
    assert revision
    given = {"name": "Router A", "serving_name": "router", "revision": revision[1]}
    assert "Router A" in words(post(f"{deployed}/edit", given, page=deployed))
    late = post(f"{deployed}/edit", {**given, "name": "Router B"}, page=deployed)
    assert late.status_code == 412
    assert "was changed since you read it" in words(late)
    assert 'value="Router B"' in late.text


def test_offline_and_online_again(browser: httpx.Client, post: Post, deployed: str, studio: LiveStudio) -> None:
    assert "It is offline." in words(post(f"{deployed}/state", page=deployed))
    assert ask(studio).status_code == 503
    assert "It is offline." not in words(post(f"{deployed}/state", {"online": "1"}, page=deployed))
    assert ask(studio).status_code == 200
    history = words(browser.get(f"{deployed}/history"))
    assert "Brought online" in history
    assert "Taken offline" in history


def test_deleting_is_undone(browser: httpx.Client, post: Post, deployed: str, studio: LiveStudio) -> None:
    gone = post(f"{deployed}/delete", page=deployed)
    assert "Router is deleted." in words(gone)
    assert ask(studio).status_code == 404
    assert "Bring back" in words(browser.get("/deployments?state=deleted"))
    assert browser.get(deployed).status_code == 404
    assert "Router" in words(post(f"{deployed}/restore"))
    assert ask(studio).status_code == 200


def test_a_name_taken_meanwhile_is_told_and_the_rest_comes_back(
    browser: httpx.Client, post: Post, deployed: str, studio: LiveStudio
) -> None:
    post(f"{deployed}/delete", page=deployed)
    studio.deploy_prompt("Thief", MODEL, "router")
    refused = post(f"{deployed}/restore")
    assert refused.status_code == 409
    assert "Bring it back without its serving name" in words(refused)
    assert "none: clients use the id" in words(post(f"{deployed}/restore", {"nameless": "1"}))


# --- code, test, usage ------------------------------------------------------------------------------------------------
def test_a_key_made_on_the_spot_is_shown_once_and_may_only_ask_here(
    browser: httpx.Client, post: Post, deployed: str, studio: LiveStudio
) -> None:
    page = post(f"{deployed}/key", {"name": "Notebook", "days": "30"}, page=deployed)
    secret = re.search(r"export SOFTPROMPT_API_KEY=(\S+?)<", page.text)
    assert secret
    assert secret[1] not in browser.get(f"{deployed}/code").text
    headers = {"authorization": f"Bearer {secret[1]}"}
    body = {"model": "router", "prompt": "hello"}
    assert httpx.post(f"{studio.url}/v1/completions", json=body, headers=headers).status_code == 200
    assert httpx.post(f"{studio.url}/api/spaces", json={"name": "x"}, headers=headers).status_code == 403
    with studio.office.unit(SYSTEM, write=False) as unit:
        (key,) = unit.rows.all(ApiKey, name="Notebook")
        assert (key.role, key.project_id) == ("viewer", studio.project.id)
        assert key.expires_at is not None


def test_the_form_shows_numbers_and_labels(post: Post, deployed: str) -> None:
    page = words(post(f"{deployed}/test", {"input": "where is it", "most": "2"}, page=deployed))
    assert "PROMPTS/ONE WHERE" in page
    assert "3 virtual tokens" in page
    assert "max tokens why it ended" in page
    labels = words(post(f"{deployed}/test", {"input": "!label"}, page=deployed))
    assert "Warehouse 25%" in labels
    assert "75% sure of it" in labels
    assert "The queue is full" in words(post(f"{deployed}/test", {"input": "!busy"}, page=deployed))


@pytest.mark.parametrize("wire", ["watsonx", "openai", "studio"])
def test_json_goes_the_way_of_a_program(browser: httpx.Client, post: Post, deployed: str, wire: str) -> None:
    shown = browser.get(f"{deployed}/test?wire={wire}").text
    example = re.search(r"<textarea[^>]*name=\"body\"[^>]*>(.*?)</textarea>", shown, re.DOTALL)
    assert example
    page = words(post(f"{deployed}/test?wire={wire}", {"body": html.unescape(example[1])}, page=deployed))
    assert "PROMPTS/ONE MY PARCEL CAME WITHOUT THE SCREWS." in page
    assert "200," in page
    refused = words(post(f"{deployed}/test?wire={wire}", {"body": "{oops"}, page=deployed))
    assert "This is no JSON" in refused


def test_what_was_asked_is_counted(browser: httpx.Client, post: Post, deployed: str, studio: LiveStudio) -> None:
    assert "Nobody asked in this time" in words(browser.get(f"{deployed}/usage"))
    for _ in range(3):
        ask(studio)
    assert ask(studio, "!busy").status_code == 429
    with httpx.stream(
        "POST", f"{studio.url}/v1/completions", json={"model": "router", "prompt": "a b", "stream": True},
        headers={"authorization": f"Bearer {studio.key}"},
    ) as answer:  # fmt: skip
        answer.read()
    page = words(browser.get(f"{deployed}/usage?span=hour"))
    assert "5 requests 1 without an answer 9 input tokens 12 virtual tokens" in page
    assert "The numbers as a table" in page
    assert "5 requests in 24 hours 1 without an answer" in words(browser.get(deployed))
    assert "1 without answer" in words(browser.get("/deployments"))


def test_who_may_only_look_sees_no_button_that_changes(studio: LiveStudio, deployed: str) -> None:
    with studio.office.unit(Actor(user_id=None, name="studio", admin=True)) as unit:
        reader = people.create_user(unit, "reader")
        memberships.set_member(unit, studio.project, "reader", "viewer")
        link = people.sign_in_link(unit, reader)
    with httpx.Client(base_url=studio.url, follow_redirects=True, headers={"accept": "text/html"}) as other:
        other.get(f"/sign-in?link={link}")
        page = other.get(deployed)
        assert page.status_code == 200
        for path in ("swap", "delete", "state", "edit", "promote"):
            assert f"{deployed}/{path}" not in page.text
        assert other.get(f"{deployed}/edit").status_code == 403
        token = Forms.of(page.text).token
        assert other.post(f"{deployed}/delete", data={"csrf": token}).status_code == 403
        assert "Make a key" in other.get(f"{deployed}/code").text
