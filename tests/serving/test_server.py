"""The host over HTTP, in this process and as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
import uvicorn

from softprompt.errors import ArtifactInvalid, Busy, ParameterInvalid, Unauthenticated, Unavailable
from softprompt.params import GenerateConfig
from softprompt.serving.client import ServingClient
from softprompt.serving.host import Host
from softprompt.serving.protocol import Done, Event, Failed, Piece, Target, Work, dump, parse_event
from softprompt.serving.server import make_app

from .conftest import HostMaker, answered, failed
from .test_host import LONG, SHORT, until

pytestmark = pytest.mark.anyio
SECRET = "s3cret"


@pytest.fixture
async def served(hosts: HostMaker) -> AsyncIterator[tuple[Host, str]]:
    """A host behind a real socket, and its URL."""
    host = hosts(queue=8)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(host, SECRET, host.meters.page), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve([listener]))
    await until(lambda: server.started)
    yield host, f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task


@pytest.fixture
async def client(served: tuple[Host, str]) -> AsyncIterator[ServingClient]:
    made = ServingClient(served[1], SECRET)
    yield made
    await made.close()


async def test_an_answer_over_http_is_that_of_the_host(
    served: tuple[Host, str], client: ServingClient, model_id: str
) -> None:
    for key, way in ((None, "auto"), ("text-1", "text"), ("label-1", "auto"), ("text-2", "score")):
        work = Work(target=Target(model_id, key), text="lamp ✓", config=SHORT, way=way, details=2)  # type: ignore[arg-type]
        assert await answered(client, work) == await answered(served[0], work) == await client.answer(work)
        assert await client.tokenize(work.target, "lamp ✓") == await served[0].tokenize(work.target, "lamp ✓")


async def test_pieces_arrive_one_by_one(client: ServingClient, model_id: str) -> None:
    work = Work(target=Target(model_id), text="tell", config=GenerateConfig(max_new_tokens=30))
    told = [event async for event in client.generate(work)]
    assert sum(isinstance(event, Piece) for event in told) > 5
    assert isinstance(told[-1], Done)


async def test_errors_come_as_what_they_are(served: tuple[Host, str], client: ServingClient, model_id: str) -> None:
    with pytest.raises(ParameterInvalid, match="do not fit into the 2048"):
        await client.answer(Work(target=Target(model_id), text="x" * 3000))
    with pytest.raises(ArtifactInvalid, match="is no folder"):
        await client.answer(Work(target=Target(model_id, "nowhere"), text="x"))
    with pytest.raises(ArtifactInvalid, match="is no folder"):
        await client.tokenize(Target(model_id, "nowhere"), "x")


async def test_a_full_queue_is_busy(served: tuple[Host, str], client: ServingClient, model_id: str) -> None:
    work = Work(target=Target(model_id), text="x", config=LONG, time_limit=1.0)
    ends = await asyncio.gather(*(client.answer(work) for _ in range(120)), return_exceptions=True)
    busy = [end for end in ends if isinstance(end, Busy)]
    assert busy
    assert all(error.retry_after >= 0.5 for error in busy)
    assert any(isinstance(end, Done) for end in ends)


async def test_a_lost_connection_frees_the_row(served: tuple[Host, str], client: ServingClient, model_id: str) -> None:
    host, _ = served
    async with aclosing(client.generate(Work(target=Target(model_id), text="x", config=LONG))) as told:
        assert isinstance(await anext(told), Piece)
    await until(lambda: b'end="cancelled"' in host.meters.page())
    silent = asyncio.create_task(client.answer(Work(target=Target(model_id), text="x", config=LONG)))
    await until(lambda: any(batcher.running() for batcher in host._models.batchers()))
    silent.cancel()
    await until(lambda: not any(batcher.running() for batcher in host._models.batchers()))


async def test_nobody_is_served_without_the_secret(served: tuple[Host, str], model_id: str) -> None:
    stranger = ServingClient(served[1], "guess")
    with pytest.raises(Unauthenticated, match="wants its secret"):
        await stranger.answer(Work(target=Target(model_id), text="x"))
    with pytest.raises(Unauthenticated):
        await stranger.status()
    async with httpx.AsyncClient(base_url=served[1]) as bare:
        for method, path in (("POST", "/generate"), ("POST", "/tokenize"), ("GET", "/status"), ("GET", "/metrics")):
            assert (await bare.request(method, path)).status_code == 401
    await stranger.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The body is no JSON"),
        (b"[]", "The body is list; a JSON object is wanted."),
        (b'{"target":{"model_id":"m"},"text":"x","colour":1}', "Work has no field 'colour'"),
        (b'{"target":{"model_id":"m"}}', "Give either a text or the messages of a chat"),
        (b'{"target":{"model_id":"m"},"text":"x","config":{"top_p":7}}', "top_p: 7 is not between"),
    ],
)
async def test_requests_that_cannot_be_read(served: tuple[Host, str], body: bytes, message: str) -> None:
    async with httpx.AsyncClient(base_url=served[1], headers={"authorization": f"Bearer {SECRET}"}) as bare:
        response = await bare.post("/generate", content=body)
    assert response.status_code == 400
    assert message in response.json()["message"]


async def test_status_and_metrics_say_what_is_loaded(client: ServingClient, model_id: str) -> None:
    await client.answer(Work(target=Target(model_id, "label-1"), text="x"))
    status = await client.status()
    assert [(model["model_id"], model["state"]) for model in status["models"]] == [(model_id, "ready")]
    assert status["prompts"]["count"] == 1
    page = await client.metrics()
    assert f'softprompt_serving_requests_total{{end="label",model="{model_id}"}} 1.0' in page
    for name in ("queue_depth", "batch_rows_bucket", "tokens_total", "prompt_cache_total", 'bytes{kind="prompts"}'):
        assert f"softprompt_serving_{name}" in page


async def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    away = ServingClient("http://127.0.0.1:9", SECRET)
    refused = await failed(away, Work(target=Target("m"), text="x"))
    assert "The serving host at http://127.0.0.1:9 cannot be reached" in refused.message
    with pytest.raises(Unavailable, match="does not tell where the serving host is"):
        ServingClient.of(tmp_path / "serving.json")
    await away.close()


SCRIPT = """
import sys
from pathlib import Path
from softprompt.serving.host import HostSettings
from softprompt.serving.server import serve
store, data, model = sys.argv[1:]
serve(HostSettings(fetch=Path(store).joinpath, data_dir=Path(data), secret="s3cret", models=(model,)))
print("ended", flush=True)
"""


async def test_a_process_of_its_own_starts_serves_and_ends(store: Path, tmp_path: Path, model_id: str) -> None:
    note = tmp_path / "serving.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(store), str(tmp_path), model_id], stdout=subprocess.PIPE, text=True
    )
    try:
        async with asyncio.timeout(120):
            while not note.exists():
                assert process.poll() is None
                await asyncio.sleep(0.05)
        assert note.stat().st_mode & 0o077 == 0
        client = ServingClient.of(note)
        done = await client.answer(Work(target=Target(model_id, "label-2"), text="lamp"))
        assert done.stop_reason == "label"
        running = asyncio.create_task(client.answer(Work(target=Target(model_id), text="x", config=SHORT)))
        await running
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        out, _ = await asyncio.to_thread(process.communicate, timeout=20)
        assert time.monotonic() - begun < 10
        assert (process.returncode, out) == (0, "ended\n")
        assert not note.exists()
        await client.close()
    finally:
        process.kill()


def test_asking_needs_no_torch() -> None:
    code = (
        "import softprompt.serving.client, softprompt.serving.backend, softprompt.serving.protocol, sys; "
        "print([name for name in ('torch', 'transformers', 'starlette', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_a_fault_before_the_first_word_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty:
        async def generate(self, work: Work) -> AsyncIterator[Event]:
            raise ZeroDivisionError
            yield

    app = make_app(Faulty(), SECRET, lambda: b"")  # type: ignore[arg-type]
    headers = {"authorization": f"Bearer {SECRET}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host", headers=headers) as bare:
        answer = await bare.post("/generate", content=dump(Work(target=Target("m"), text="x")))
    told = parse_event(answer.content)
    assert isinstance(told, Failed)
    assert (told.status, told.code) == (500, "internal")
    assert "ZeroDivisionError" in told.message
    assert "a request failed" in caplog.text
