"""Answers a second for 32 clients and 64 tuned prompts: our serving host against a FastAPI loop over PEFT's generate.

    python benchmarks/serving.py [--prompts 64] [--clients 32] [--requests 192] [--new-tokens 12] [--quick]

Both are processes of their own, started here one after the other, asked the same things over HTTP by the same client.
First all requests want a label: ours reads it by the prompt's label readout, PEFT says it in words. Then every second
one wants a short text. The prompts are random vectors of equal size on both sides: what they say does not matter here,
how long it takes does. The PEFT server is the usual one: a lock, an adapter switch, `generate`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import torch

from common import begin, parser, peft_model, plain_model, read_rows, record, table
from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt, base_of
from softprompt.engine.loading import load_model
from softprompt.engine.readout import LabelReadout
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.params import GenerateConfig
from softprompt.serving.client import ServingClient
from softprompt.serving.protocol import Target, Work

LABELS = ("Planning", "Development", "Service", "Warehouse", "L3", "Packaging", "Marketing")
LABEL_TOKENS = 4


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--prompts", type=int, default=64)
    made.add_argument("--virtual-tokens", type=int, default=100)
    made.add_argument("--clients", type=int, default=32)
    made.add_argument("--requests", type=int, default=192, help="asked of our host")
    made.add_argument("--peft-requests", type=int, default=48, help="asked of PEFT's server, which takes longer")
    made.add_argument("--new-tokens", type=int, default=12)
    made.add_argument("--serve", choices=["ours", "peft"], default=None, help=argparse.SUPPRESS)
    made.add_argument("--home", type=Path, default=None, help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.quick:
        options.prompts, options.requests, options.peft_requests = 8, 48, 12
    if options.serve:
        {"ours": serve_ours, "peft": serve_peft}[options.serve](options)
        return
    facts = begin(options)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_prompts(options, home)
        ours = measured(options, home, "ours", options.requests)
        peft = measured(options, home, "peft", options.peft_requests)
    report(options, facts, ours, peft)


def report(options: argparse.Namespace, facts: dict[str, Any], ours: dict[str, float], peft: dict[str, float]) -> None:
    print(
        f"\n{options.clients} clients, {options.prompts} prompts of {options.virtual_tokens} virtual tokens, "
        f"labels alone, and mixed with as many texts of {options.new_tokens} tokens"
    )
    keys = ["labels/s", "labels p50", "labels p95", "mixed/s", "mixed p50", "mixed p95"]
    table(["", *keys], [[name, *(f"{side[k]:.2f}" for k in keys)] for name, side in (("ours", ours), ("PEFT", peft))])
    for kind in ("labels", "mixed"):
        print(f"{kind}: {ours[f'{kind}/s'] / peft[f'{kind}/s']:.1f} times PEFT's requests/s")
    print(f"HTTP and queue alone (one token count at a time): p95 {ours['overhead p95'] * 1000:.1f} ms")
    record(options, "serving", facts, {"ours": ours, "peft": peft, "clients": options.clients})


def make_prompts(options: argparse.Namespace, home: Path) -> None:
    """Tuned prompts p0, p1 …, each with a readout behind an instruction."""
    backbone = load_model(options.model)
    size, layers = backbone.hidden_size, (backbone.depth // 2, 3 * backbone.depth // 4)
    width = len(layers) * 2 * size
    for number in range(options.prompts):
        chance = torch.Generator().manual_seed(number)
        readout = LabelReadout(
            LABELS, layers, ("mean", "last"), torch.zeros(width), torch.ones(width),
            torch.randn(len(LABELS), width, generator=chance), torch.zeros(len(LABELS)),
            Template(instruction="Which department takes care of this complaint?"),
        )  # fmt: skip
        vectors = backbone.embedding_rms * torch.randn(options.virtual_tokens, size, generator=chance)
        TunedPrompt(
            name=f"p{number}", base=base_of(backbone), task="classification", prompt=SoftPrompt(prefix=vectors),
            template=Template(), labels=LABELS, readout=readout,
        ).save(home / f"p{number}")  # fmt: skip


# --- measuring -------------------------------------------------------------------------------------------------------
def measured(options: argparse.Namespace, home: Path, side: str, count: int) -> dict[str, float]:
    """Start a server, warm it up with every prompt, ask, end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--serve", side, "--home", str(home), "--model", str(options.model)]
    command += ["--prompts", str(options.prompts), "--threads", str(options.threads)]
    process = subprocess.Popen(command, env={**os.environ, "BENCHMARK_PORT": str(port)})
    try:
        return asyncio.run(asked(options, port, side, count))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


async def asked(options: argparse.Namespace, port: int, side: str, count: int) -> dict[str, float]:
    texts = [text for text, _ in read_rows(options.rows)]
    ask, close = (our_client if side == "ours" else peft_client)(options, port)
    await patiently(lambda: ask(0, texts[0], True))
    if side == "ours":  # PEFT's prompts need no preparation
        await asyncio.gather(*(ask(n, texts[0], True) for n in range(options.prompts)))
    found: dict[str, float] = {}
    for kind, labels in (("labels", (True,)), ("mixed", (True, False))):
        took: list[float] = []
        numbers = iter(range(count))

        async def client(
            numbers: Iterator[int] = numbers, labels: tuple[bool, ...] = labels, took: list[float] = took
        ) -> None:
            for number in numbers:
                begun = time.perf_counter()
                label = labels[number % len(labels)]
                await ask(number * 7 % options.prompts, texts[number % len(texts)], label)
                took.append(time.perf_counter() - begun)

        begun = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(options.clients)))
        found[f"{kind}/s"] = count / (time.perf_counter() - begun)
        found |= {f"{kind} p50": share(took, 0.5), f"{kind} p95": share(took, 0.95)}
    if side == "ours":
        found["overhead p95"] = await overhead(options, port)
    await close()
    return found


async def overhead(options: argparse.Namespace, port: int) -> float:
    client, took = ServingClient(f"http://127.0.0.1:{port}", "secret"), []
    await client.tokenize(Target(str(options.model)), "warm")
    for _ in range(50):
        begun = time.perf_counter()
        await client.tokenize(Target(str(options.model)), "one two three")
        took.append(time.perf_counter() - begun)
    await client.close()
    return share(took, 0.95)


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


async def patiently(ask: Callable[[], Awaitable[Any]], seconds: float = 300.0) -> None:
    """Until the server is there."""
    end = time.monotonic() + seconds
    while True:
        try:
            await ask()
            return
        except Exception:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.5)


Ask = Callable[[int, str, bool], Awaitable[Any]]


def our_client(options: argparse.Namespace, port: int) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    client = ServingClient(f"http://127.0.0.1:{port}", "secret")
    config = GenerateConfig(max_new_tokens=options.new_tokens, min_new_tokens=options.new_tokens)

    async def ask(prompt: int, text: str, label: bool) -> Any:
        way = "readout" if label else "text"
        target = Target(str(options.model), f"p{prompt}")
        return await client.answer(Work(target=target, text=text, config=config, way=way))  # type: ignore[arg-type]

    return ask, client.close


def peft_client(options: argparse.Namespace, port: int) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=None)

    async def ask(prompt: int, text: str, label: bool) -> Any:
        tokens = LABEL_TOKENS if label else options.new_tokens
        response = await client.post("/generate", json={"prompt": prompt, "text": text, "tokens": tokens})
        return response.raise_for_status().json()

    return ask, client.aclose


# --- servers ---------------------------------------------------------------------------------------------------------
def serve_ours(options: argparse.Namespace) -> None:
    from softprompt.serving.host import HostSettings
    from softprompt.serving.server import serve

    begin(options)
    home: Path = options.home
    port = int(os.environ["BENCHMARK_PORT"])
    serve(
        HostSettings(
            fetch=home.joinpath, data_dir=home, secret="secret", port=port, models=(str(options.model),),
            prompt_bytes=4 * 2**30,
        )
    )  # fmt: skip


def serve_peft(options: argparse.Namespace) -> None:
    """The server that people write first."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    begin(options)
    plain, tokenizer = plain_model(options.model)
    vectors = [TunedPrompt.load(options.home / f"p{n}").prompt.prefix for n in range(options.prompts)]
    model = peft_model(plain, [v for v in vectors if v is not None]).eval()
    lock = asyncio.Lock()
    app = FastAPI()

    class Asked(BaseModel):
        prompt: int
        text: str
        tokens: int

    @torch.inference_mode()
    def generated(asked: Asked) -> str:
        model.set_adapter(f"p{asked.prompt}")
        batch = tokenizer(Template().render(asked.text), return_tensors="pt")
        out = model.generate(
            **batch, max_new_tokens=asked.tokens, min_new_tokens=asked.tokens, do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        width = batch["input_ids"].shape[1]
        return str(tokenizer.decode(out[0, width:], skip_special_tokens=True))

    async def generate(asked: Asked) -> dict[str, str]:
        async with lock:
            return {"text": await asyncio.to_thread(generated, asked)}

    generate.__annotations__["asked"] = Asked  # annotations are texts in this file; FastAPI has to find the class
    app.post("/generate")(generate)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["BENCHMARK_PORT"]), log_level="error")


if __name__ == "__main__":
    main()
