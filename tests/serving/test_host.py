"""The host inside its process: every way to answer, mixed and at once; limits, deadlines, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from softprompt import logs
from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.generate import Request, generate, make_ready
from softprompt.engine.loading import load_model
from softprompt.engine.tokens import Encoder
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import Done, Failed, Message, Piece, Target, Way, Work
from softprompt.workbench.respond import Responder

from .conftest import LABELS, HostMaker, answered, events, failed, tuned_prompt

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

pytestmark = pytest.mark.anyio
SHORT = GenerateConfig(max_new_tokens=6)
LONG = GenerateConfig(max_new_tokens=1500)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


# --- answers ----------------------------------------------------------------------------------------------------------
async def test_a_foundation_model_reads_the_text_as_it_stands(hosts: HostMaker, model_id: str, backbone: Any) -> None:
    ready = make_ready(backbone, Encoder(backbone.tokenizer, Template("{{input}}")))
    (wanted,) = generate(backbone, [Request("the {{input}} box", ready, SHORT)])
    done = await answered(hosts(), Work(target=Target(model_id), text="the {{input}} box", config=SHORT))
    assert (done.output, done.input_tokens, done.generated_tokens) == (wanted.output, wanted.input_tokens, 6)
    assert (done.virtual_tokens, done.stop_reason, done.way) == (0, "max_tokens", "text")


@pytest.mark.parametrize("key", ["text-1", "text-2", "label-1", "label-2"])
@pytest.mark.parametrize("way", ["auto", "text", "guard", "score"])
async def test_a_tuned_prompt_answers_as_it_does_without_a_host(
    hosts: HostMaker, model_id: str, backbone: Backbone, store: Path, key: str, way: Way
) -> None:
    responder = Responder.of(backbone, TunedPrompt.load(store / key))
    (wanted,) = responder.answer(["the lamp broke"], SHORT, way=way)
    done = await answered(hosts(), Work(target=Target(model_id, key), text="the lamp broke", config=SHORT, way=way))
    assert (done.output, done.stop_reason) == (wanted.output, wanted.stop_reason)
    assert (done.input_tokens, done.virtual_tokens) == (wanted.input_tokens, wanted.virtual_tokens)
    assert done.confidence == pytest.approx(wanted.confidence, rel=1e-4)
    if wanted.stop_reason == "label":
        assert [label for label, _ in done.labels][0] == done.output
        assert {label for label, _ in done.labels} == set(LABELS)
        assert sum(share for _, share in done.labels) == pytest.approx(1.0)


async def test_many_at_once_get_what_they_get_alone(hosts: HostMaker, model_id: str) -> None:
    host = hosts()
    keys: list[tuple[str | None, Way]] = [
        (None, "text"), ("text-1", "auto"), ("text-2", "guard"), ("label-1", "auto"), ("label-2", "auto"),
        ("text-3", "score"), ("label-1", "text"), ("text-1", "text"),
    ]  # fmt: skip
    works = [
        Work(
            target=Target(model_id, keys[n % len(keys)][0]),
            text="abc" * (1 + n * 5 % 11) + str(n),
            way=keys[n % len(keys)][1],
            config=GenerateConfig(
                max_new_tokens=3 + n % 9, decoding="sample" if n % 3 == 0 else "greedy", seed=n, temperature=1.3
            ),
            tenant=str(n % 3),
        )
        for n in range(40)
    ]
    together = await asyncio.gather(*(answered(host, work) for work in works))
    for work, done in zip(works, together, strict=True):
        alone = await answered(host, work)
        assert replace(done, confidence=None, labels=()) == replace(alone, confidence=None, labels=())
        assert done.confidence == pytest.approx(alone.confidence, rel=1e-3)


async def test_text_keeps_the_pattern_of_the_request(hosts: HostMaker, model_id: str) -> None:
    config = GenerateConfig(max_new_tokens=9, pattern="[0-9]{2}-(yes|no)")
    for key in (None, "text-1"):
        done = await answered(hosts(), Work(target=Target(model_id, key), text="lamp", config=config, way="text"))
        assert re.fullmatch(config.pattern, done.output)


async def test_a_chat_goes_through_the_template_and_a_tuned_prompt_takes_the_last_question(
    hosts: HostMaker, model_id: str
) -> None:
    host = hosts()
    chat = (
        Message("system", "Be kind."),
        Message("user", "first"),
        Message("assistant", "ok"),
        Message("user", "lamp"),
    )
    plain = await answered(host, Work(target=Target(model_id), messages=chat, config=SHORT))
    text = "system: Be kind.\nuser: first\nassistant: ok\nuser: lamp\nassistant:"
    assert plain == await answered(host, Work(target=Target(model_id), text=text, config=SHORT))
    tuned = await answered(host, Work(target=Target(model_id, "text-1"), messages=chat, config=SHORT))
    assert tuned == await answered(host, Work(target=Target(model_id, "text-1"), text="lamp", config=SHORT))


async def test_pieces_come_while_the_answer_is_made(hosts: HostMaker, model_id: str) -> None:
    work = Work(target=Target(model_id), text="tell", config=GenerateConfig(max_new_tokens=30))
    told = await events(hosts(), work)
    assert sum(isinstance(event, Piece) for event in told) > 5
    assert [type(event) for event in await events(hosts(), replace(work, stream=False))] == [Done]


async def test_details_and_seed_of_draws_are_told(hosts: HostMaker, model_id: str) -> None:
    config = GenerateConfig(max_new_tokens=5, decoding="sample", temperature=1.5)
    done = await answered(hosts(), Work(target=Target(model_id), text="tell", config=config, details=3))
    assert done.seed is not None
    assert len(done.tokens) == done.generated_tokens
    for token in done.tokens:
        assert len(token.top) == 3
        assert token.rank > 3 or (token.text, token.logprob) in token.top
    again = replace(config, seed=done.seed)
    assert (await answered(hosts(), Work(target=Target(model_id), text="tell", config=again))).output == done.output


async def test_tokens_are_counted_as_answers_count_them(hosts: HostMaker, model_id: str) -> None:
    host = hosts()
    for key in (None, "text-2"):
        target = Target(model_id, key)
        done = await answered(host, Work(target=target, text="the lamp", config=SHORT))
        counted = await host.tokenize(target, "the lamp")
        assert (counted.count, counted.virtual_tokens) == (done.input_tokens, done.virtual_tokens)
        assert len(counted.tokens) == counted.count


# --- limits -----------------------------------------------------------------------------------------------------------
async def test_a_full_queue_says_when_to_come_back(hosts: HostMaker, model_id: str) -> None:
    host, work = hosts(queue=3, load=(gate := Gate())), Work(target=Target(model_id), text="x", config=SHORT)
    asked = [asyncio.create_task(answered(host, work)) for _ in range(3)]
    await until(lambda: host_waiting(host) == 3)
    refused = await failed(host, work)
    assert (refused.code, refused.status) == ("busy", 429)
    assert refused.message.startswith("3 requests wait for ")
    assert refused.retry_after is not None
    gate.open.set()
    assert len({done.output for done in await asyncio.gather(*asked)}) == 1


async def test_a_full_queue_has_room_for_a_tenant_with_less(hosts: HostMaker, model_id: str) -> None:
    host, work = (
        hosts(queue=8, load=(gate := Gate())),
        Work(target=Target(model_id), text="x", config=SHORT, tenant="a"),
    )
    flood = [asyncio.create_task(events(host, work)) for _ in range(8)]
    await until(lambda: host_waiting(host) == 8)
    other = asyncio.create_task(answered(host, replace(work, tenant="b")))
    done, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = next(iter(done)).result()
    assert isinstance(refused, Failed)
    assert (refused.code, refused.status) == ("busy", 429)
    assert refused.retry_after is not None
    gate.open.set()
    assert (await other).generated_tokens == 6
    assert [type(told[-1]) for told in await asyncio.gather(*flood)].count(Done) == 7


async def test_time_is_up_with_the_text_so_far(hosts: HostMaker, model_id: str) -> None:
    host = hosts()
    await answered(host, Work(target=Target(model_id), text="warm", config=SHORT))
    done = await answered(host, Work(target=Target(model_id), text="x", config=LONG, time_limit=0.3))
    assert done.stop_reason == "time_limit"
    assert 0 < done.generated_tokens < 1500


async def test_time_that_is_up_in_the_queue_is_an_error(hosts: HostMaker, model_id: str) -> None:
    host = hosts(load=(gate := Gate()))
    work = Work(target=Target(model_id), text="x", config=SHORT, time_limit=0.01)
    asked = asyncio.create_task(failed(host, work))
    await until(lambda: host_waiting(host) == 1)
    begun = time.monotonic()
    await until(lambda: time.monotonic() > begun + 0.01)
    gate.open.set()
    refused = await asked
    assert (refused.code, refused.status) == ("deadline_exceeded", 504)
    assert "time limit of 0.01 s was over before" in refused.message


async def test_whoever_leaves_frees_the_place(hosts: HostMaker, model_id: str) -> None:
    host = hosts(max_rows=1)
    async with aclosing(host.generate(Work(target=Target(model_id), text="x", config=LONG))) as told:
        assert isinstance(await anext(told), Piece)
    done = await answered(host, Work(target=Target(model_id), text="y", config=SHORT))
    assert done.generated_tokens == 6
    await until(lambda: b'end="cancelled"' in host.meters.page())


async def test_tenants_take_turns(hosts: HostMaker, model_id: str) -> None:
    host, order = hosts(max_rows=1, load=(gate := Gate())), []

    async def ask(tenant: str, number: int) -> None:
        await answered(host, Work(target=Target(model_id), text="x", config=SHORT, tenant=tenant))
        order.append(f"{tenant}{number}")

    tasks = []
    for number, tenant in enumerate("aaaaab"):
        tasks.append(asyncio.create_task(ask(tenant, number)))
        await until(lambda: host_waiting(host) == len(tasks))
    gate.open.set()
    await asyncio.gather(*tasks)
    assert order.index("b5") == 1


async def test_rows_share_the_room_that_there_is(hosts: HostMaker, model_id: str) -> None:
    host = hosts(places=120)
    work = Work(target=Target(model_id), text="x" * 30, config=GenerateConfig(max_new_tokens=20))
    done = await asyncio.gather(*(answered(host, work) for _ in range(6)))
    assert len({one.output for one in done}) == 1
    page = host.meters.page().decode()
    assert f'batch_rows_bucket{{le="2.0",model="{model_id}",part="step"}}' in page


# --- what goes wrong --------------------------------------------------------------------------------------------------
async def test_a_bad_request_fails_alone(hosts: HostMaker, model_id: str, store: Path, backbone: Backbone) -> None:
    host, good = hosts(), Work(target=Target(model_id, "text-1"), text="lamp", config=SHORT)
    broken = store / "broken"
    tuned_prompt(backbone, 5).save(broken)
    (broken / "prompt.safetensors").write_bytes(b"not this")
    bad = {
        "artifact_invalid": replace(good, target=Target(model_id, "broken")),
        "invalid_parameter": replace(good, text="x" * 3000),
    }
    *fine, first, second = await asyncio.gather(
        *(answered(host, good) for _ in range(4)), *(failed(host, work) for work in bad.values())
    )
    assert len({one.output for one in fine}) == 1
    assert [first.code, second.code] == list(bad)
    assert "bytes, the card says" in first.message
    assert "do not fit into the 2048" in second.message


@pytest.mark.parametrize(
    ("key", "way", "message"),
    [
        (None, "guard", "'guard' needs a tuned prompt"),
        ("text-1", "readout", "'prompt 1' has no label readout. Ask for text or guard."),
        ("nowhere", "auto", "is no folder"),
    ],
)
async def test_what_cannot_be_asked(hosts: HostMaker, model_id: str, key: str | None, way: Way, message: str) -> None:
    assert message in (await failed(hosts(), Work(target=Target(model_id, key), text="x", way=way))).message


async def test_a_prompt_of_another_model_is_refused(hosts: HostMaker, tiny_folder: Callable[..., Path]) -> None:
    other = str(tiny_folder("llama", seed=9))
    refused = await failed(hosts(), Work(target=Target(other, "text-1"), text="x"))
    assert (refused.code, refused.status) == ("wrong_base", 409)


async def test_a_model_that_is_not_here_is_named(hosts: HostMaker) -> None:
    refused = await failed(hosts(), Work(target=Target("no-such-model"), text="x"))
    assert (refused.code, refused.status) == ("model_unknown", 404)
    assert "no-such-model" in refused.message


async def test_a_new_prompt_is_live_at_once(hosts: HostMaker, model_id: str, store: Path, backbone: Backbone) -> None:
    host = hosts()
    assert (await failed(host, Work(target=Target(model_id, "new"), text="x"))).code == "artifact_invalid"
    tuned_prompt(backbone, 7).save(store / "new")
    await answered(host, Work(target=Target(model_id, "new"), text="x", config=SHORT))


async def test_prompts_keep_within_their_bytes(hosts: HostMaker, model_id: str) -> None:
    host = hosts(prompt_bytes=1)
    for key in ("text-1", "text-2", "text-1"):
        await answered(host, Work(target=Target(model_id, key), text="x", config=SHORT))
    assert (await host.status())["prompts"]["count"] == 1
    assert b'prompt_cache_total{result="miss"} 3.0' in host.meters.page()


async def test_idle_models_make_room(hosts: HostMaker, tiny_folder: Callable[..., Path]) -> None:
    host = hosts(model_bytes=100_000)
    ids = [str(tiny_folder("llama")), str(tiny_folder("gpt2")), str(tiny_folder("t5"))]
    for model_id in [*ids, *ids]:
        await answered(host, Work(target=Target(model_id), text="x", config=SHORT))
        ready = [model["model_id"] for model in (await host.status())["models"] if model["state"] == "ready"]
        assert ready == [model_id]


@pytest.mark.parametrize("error", [MemoryError("full"), RuntimeError("a kernel failed")])
async def test_the_host_outlives_a_pass_that_fails(
    hosts: HostMaker, model_id: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    host, work = hosts(load=load_model), Work(target=Target(model_id), text="lamp", config=SHORT)
    wanted = await answered(host, work)
    from softprompt.engine.backbone import CausalBackbone

    whole = CausalBackbone.prefill

    def failing(self: Any, rows: Any, *others: Any) -> Any:
        if len(rows) > 1 or len(rows[0].prompt) > 50:
            raise error
        return whole(self, rows, *others)

    monkeypatch.setattr(CausalBackbone, "prefill", failing)
    culprit = replace(work, text="x" * 60)
    *fine, bad = await asyncio.gather(*(answered(host, work) for _ in range(5)), failed(host, culprit))
    assert {one.output for one in fine} == {wanted.output}
    assert bad.code == ("out_of_memory" if isinstance(error, MemoryError) else "error")
    assert bad.status == 500


async def test_the_trace_of_a_pass_that_fails_names_the_request(
    hosts: HostMaker, model_id: str, monkeypatch: pytest.MonkeyPatch, log_file: Path
) -> None:
    """The model's thread serves many at once; the web's id comes along with the call."""
    from softprompt.engine.backbone import CausalBackbone

    def failing(*_: object) -> Any:
        raise RuntimeError("a kernel failed")

    monkeypatch.setattr(CausalBackbone, "prefill", failing)
    logs.setup(file=log_file, stderr=False)
    with logs.bound(request_id="q-17"):
        await failed(hosts(load=load_model), Work(target=Target(model_id), text="lamp", config=SHORT))
    lines = [json.loads(line) for line in log_file.read_text(encoding="utf-8").splitlines()]
    (broken,) = [line for line in lines if "trace" in line]
    assert broken["request_id"] == "q-17"
    assert broken["trace"].endswith("RuntimeError: a kernel failed")


async def test_steps_that_need_too_much_memory_are_done_in_parts(
    hosts: HostMaker, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, work = hosts(), Work(target=Target(model_id, "text-1"), text="lamp", config=SHORT)
    wanted = await answered(host, work)
    from softprompt.engine.backbone import CausalBackbone

    whole = CausalBackbone.step

    def failing(self: Any, tokens: Any, *others: Any) -> Any:
        if len(tokens) > 2:
            raise MemoryError
        return whole(self, tokens, *others)

    monkeypatch.setattr(CausalBackbone, "step", failing)
    done = await asyncio.gather(*(answered(host, work) for _ in range(7)))
    assert {one.output for one in done} == {wanted.output}


async def test_a_stop_ends_what_runs_and_refuses_what_comes(hosts: HostMaker, model_id: str) -> None:
    host = hosts()
    long = asyncio.create_task(events(host, Work(target=Target(model_id), text="x", config=LONG)))
    short = asyncio.create_task(events(host, Work(target=Target(model_id), text="y", config=SHORT)))
    await until(lambda: host_running(host) + short.done() == 2)  # the short one may be over before anybody looks
    await host.close(0.2)
    ends = [(await task)[-1] for task in (long, short)]
    assert isinstance(ends[1], Done)
    assert isinstance(ends[0], Done | Failed)
    refused = await failed(host, Work(target=Target(model_id), text="z"))
    assert (refused.code, refused.status) == ("unavailable", 503)


class Gate:
    """Loads a model once it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, model_id: str) -> Backbone:
        assert self.open.wait(30)
        return load_model(model_id)


def host_waiting(host: Any) -> int:
    return sum(batcher.waiting() for batcher in host._models.batchers())


def host_running(host: Any) -> int:
    return sum(batcher.running() for batcher in host._models.batchers())
