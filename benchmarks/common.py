"""What the benchmarks share: facts of the machine, alternating measurement, rows, PEFT's side, tables, results as JSON.

Not a benchmark itself. Both sides are measured in one process, turn by turn, so that a busy neighbour or a warm
processor touches both; ratios are medians of the ratios of single turns.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.data.template import Template
from softprompt.engine.loading import load_parts, quiet_transformers
from softprompt.engine.packing import Row
from softprompt.engine.tokens import Encoder

MODEL = "SmolLM2-135M-Instruct"
SHORT_ROWS = Path(__file__).parents[1] / "examples" / "complaints" / "v1.jsonl"
IGNORE = -100


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--model", default=MODEL, help="catalogue id or folder")
    made.add_argument("--rows", type=Path, default=SHORT_ROWS, help="training rows (JSON lines, or a JSON array)")
    made.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as it comes")
    made.add_argument("--quick", action="store_true", help="few repetitions: does it run, roughly how fast")
    made.add_argument("--json", type=Path, default=None, help="append the result to this file, one JSON line")
    return made


def begin(options: argparse.Namespace) -> dict[str, Any]:
    """Set threads and seeds, silence libraries, print where we are."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(73)
    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    facts = machine()
    print(
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads, load {facts['load']:.1f}; "
        f"torch {facts['torch']}, transformers {facts['transformers']}, peft {facts['peft']}"
    )
    return facts


def machine() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "none"

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{package: of(package) for package in ("torch", "transformers", "peft", "softprompt")},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


# --- measuring -------------------------------------------------------------------------------------------------------
@dataclass
class Times:
    """Wall and CPU seconds of each turn."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    def over(self, other: Times, *, cpu: bool = False) -> float:
        """How many times longer than `other`, turn by turn."""
        pairs = zip(self.cpu if cpu else self.wall, other.cpu if cpu else other.wall, strict=True)
        return statistics.median(a / b for a, b in pairs)


def alternate(measures: dict[str, Callable[[int], object]], turns: int, warmup: int = 1) -> dict[str, Times]:
    """Run each measure once a turn, in turn; each is told the number of the turn (warm-up turns count from 0 too)."""
    times = {name: Times() for name in measures}
    for turn in range(-warmup, turns):
        for name, measure in measures.items():
            wall, cpu = time.perf_counter(), time.process_time()
            measure(max(turn, 0))
            if turn >= 0:
                times[name].cpu.append(time.process_time() - cpu)
                times[name].wall.append(time.perf_counter() - wall)
    return times


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, *lines]:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells))


def record(options: argparse.Namespace, name: str, facts: dict[str, Any], result: dict[str, Any]) -> None:
    """Append the result to the file that was asked for."""
    if options.json is None:
        return
    line = {"benchmark": name, "quick": options.quick, "model": str(options.model), "machine": facts, **result}
    with options.json.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


# --- rows ------------------------------------------------------------------------------------------------------------
def read_rows(path: Path, count: int | None = None) -> list[tuple[str, str]]:
    """(input, output) pairs of a JSON-lines file or a JSON array."""
    text = path.read_text(encoding="utf-8")
    found = (
        json.loads(text) if text.lstrip().startswith("[") else [json.loads(t) for t in text.splitlines() if t.strip()]
    )
    return [(item["input"], item["output"]) for item in found][:count]


def encode(tokenizer: Any, pairs: Sequence[tuple[str, str]], longest: int = 256) -> tuple[Encoder, list[Row]]:
    encoder = Encoder(tokenizer, Template(), max_input_tokens=longest)
    return encoder, encoder.rows([text for text, _ in pairs], [target for _, target in pairs])


def batches(rows: Sequence[Row], size: int, seed: int = 73) -> list[list[Row]]:
    """Whole batches of rows in a fixed random order."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    return [[rows[i] for i in order[start : start + size]] for start in range(0, len(rows) - size + 1, size)]


# --- PEFT's side -----------------------------------------------------------------------------------------------------
def plain_model(model_id: str) -> tuple[Any, Any]:
    """The library's own model in float32, and its tokenizer."""
    parts = load_parts(model_id)
    if parts.tokenizer.pad_token_id is None:
        parts.tokenizer.pad_token = parts.tokenizer.eos_token
    return parts.model, parts.tokenizer


def peft_model(model: Any, prompts: Sequence[Tensor]) -> Any:
    """The model under PEFT prompt tuning, with the given `[P, H]` vectors as adapters p0, p1 …; p0 is active."""
    from peft import PromptTuningConfig, PromptTuningInit, get_peft_model

    def config(prompt: Tensor) -> Any:
        return PromptTuningConfig(
            task_type="CAUSAL_LM", prompt_tuning_init=PromptTuningInit.RANDOM, num_virtual_tokens=len(prompt)
        )

    with quiet_transformers():
        wrapped = get_peft_model(model, config(prompts[0]), adapter_name="p0")
        for number, prompt in enumerate(prompts[1:], 1):
            wrapped.add_adapter(f"p{number}", config(prompt))
    with torch.no_grad():
        for number, prompt in enumerate(prompts):
            wrapped.prompt_encoder[f"p{number}"].embedding.weight.copy_(prompt)
    return wrapped


def padded(rows: Sequence[Row], head: Sequence[int], pad: int, *, left: bool = False) -> dict[str, Tensor]:
    """The batch as users of PEFT build it: `[B, T]` ids with targets, attention mask, labels on the target alone."""
    whole = [[*head, *row.prompt, *row.target] for row in rows]
    width = max(map(len, whole))
    ids = torch.full((len(rows), width), pad)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
    for number, (line, row) in enumerate(zip(whole, rows, strict=True)):
        start = width - len(line) if left else 0
        end = start + len(line)
        ids[number, start:end] = torch.tensor(line)
        mask[number, start:end] = 1
        if row.target:
            labels[number, end - len(row.target) : end] = torch.tensor(row.target)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
