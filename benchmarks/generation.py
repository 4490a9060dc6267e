"""Answers for 64 rows behind 8 different tuned prompts: ours in one batch against PEFT one prompt after the other.

    python benchmarks/generation.py [--rows FILE] [--count 64] [--prompts 8] [--new-tokens 16] [--updates 12] [--quick]

The prompts are tuned for a few updates first, so that answers end as real ones do. Ours gets all requests in mixed
order. PEFT switches adapters: row by row (the only way in which its decoders answer each row as if it were alone), and
in left-padded batches of one prompt's rows, where padding changes what it says. The table says how many texts agree.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from common import alternate, begin, encode, padded, parser, peft_model, plain_model, read_rows, record, table
from softprompt.engine.backbone import CausalBackbone
from softprompt.engine.generate import Request, generate, make_ready
from softprompt.engine.init import Start, initial_prompt
from softprompt.engine.loading import load_model
from softprompt.engine.packing import Row
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.engine.tune import Schedule, run
from softprompt.params import GenerateConfig


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--count", type=int, default=64, help="rows")
    made.add_argument("--prompts", type=int, default=8)
    made.add_argument("--virtual-tokens", type=int, default=100)
    made.add_argument("--new-tokens", type=int, default=16)
    made.add_argument("--updates", type=int, default=12, help="updates that each prompt is tuned before")
    made.add_argument("--turns", type=int, default=5)
    options = made.parse_args()
    facts = begin(options)
    turns, updates = (1, min(options.updates, 4)) if options.quick else (options.turns, options.updates)
    backbone = load_model(options.model)
    if not isinstance(backbone, CausalBackbone):
        raise SystemExit("This benchmark compares decoder-only models.")
    pairs = read_rows(options.rows)
    encoder, rows = encode(backbone.tokenizer, pairs)
    prompts = [tuned(backbone, rows, encoder, options.virtual_tokens, updates, seed) for seed in range(options.prompts)]
    texts = [text for text, _ in pairs[: options.count]]
    ours = our_side(backbone, encoder, prompts, texts, options.new_tokens)
    peft = Peft(options, encoder, prompts, texts)
    measures: dict[str, Callable[[int], list[str]]] = {
        "ours, one batch": ours,
        "PEFT, row by row": partial(peft, 1),
        f"PEFT, batches of {peft.each}": partial(peft, peft.each),
    }
    print(
        f"\n{len(texts)} rows, {len(prompts)} prompts of {options.virtual_tokens} virtual tokens, "
        f"{options.new_tokens} new tokens at most, median of {turns}"
    )
    report(options, facts, measures, turns)


def report(
    options: argparse.Namespace, facts: dict[str, Any], measures: dict[str, Callable[[int], list[str]]], turns: int
) -> None:
    said = {name: measure(0) for name, measure in measures.items()}  # also the warm-up
    times = alternate(measures, turns, warmup=0)
    base = next(iter(times))
    same = {name: sum(a == b for a, b in zip(said[base], said[name], strict=True)) for name in said}
    count = len(said[base])
    table(
        ["", "seconds", "rows/s", "it / ours", "same text as ours"],
        [
            [name, f"{t.median:.2f}", f"{count / t.median:.1f}", f"{t.over(times[base]):.2f}", f"{same[name]}/{count}"]
            for name, t in times.items()
        ],
    )
    result = {
        name: {"seconds": t.median, "over_ours": t.over(times[base]), "same_text": same[name]}
        for name, t in times.items()
    }
    record(options, "generation", facts, {"rows": count, "prompts": options.prompts, "turns": turns, "sides": result})


def tuned(
    backbone: CausalBackbone, rows: Sequence[Row], encoder: Encoder, virtual: int, updates: int, seed: int
) -> SoftPrompt:
    """A prompt of its own for each seed: tuned on other rows from another start."""
    start = initial_prompt(backbone, Start("prompt_tuning", "prefix", "vocabulary", "", (), virtual, 0, seed))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = [rows[i] for i in order[: 8 * updates]]
    if not chosen:
        return start
    schedule = Schedule(batch_size=8, accumulate=1, epochs=1, learning_rate=0.02, seed=seed)
    return run(backbone, start, chosen, encoder.head, schedule).prompt


def our_side(
    backbone: CausalBackbone, encoder: Encoder, prompts: Sequence[SoftPrompt], texts: Sequence[str], most: int
) -> Callable[[int], list[str]]:
    ready = [make_ready(backbone, encoder, prompt) for prompt in prompts]
    config = GenerateConfig(max_new_tokens=most)
    requests = [Request(text, ready[i % len(ready)], config) for i, text in enumerate(texts)]

    def answer(_turn: int) -> list[str]:
        return [found.output for found in generate(backbone, requests)]

    return answer


class Peft:
    """PEFT with an adapter for each prompt."""

    def __init__(
        self, options: argparse.Namespace, encoder: Encoder, prompts: Sequence[SoftPrompt], texts: Sequence[str]
    ) -> None:
        plain, tokenizer = plain_model(options.model)
        self._model = peft_model(plain, [p.prefix for p in prompts if p.prefix is not None]).eval()
        self._tokenizer, self._head = tokenizer, encoder.head
        self._rows = [encoder.row(text) for text in texts]
        self._most = options.new_tokens
        self._prompts = len(prompts)
        self.each = -(-len(texts) // len(prompts))

    @torch.inference_mode()
    def __call__(self, together: int, _turn: int) -> list[str]:
        """All answers, in order: adapter after adapter, that many rows at a time."""
        texts: dict[int, str] = {}
        for number in range(self._prompts):
            self._model.set_adapter(f"p{number}")
            mine = list(range(number, len(self._rows), self._prompts))
            for start in range(0, len(mine), together):
                chunk = mine[start : start + together]
                texts.update(zip(chunk, self._generate([self._rows[i] for i in chunk]), strict=True))
        return [texts[i] for i in range(len(self._rows))]

    def _generate(self, rows: Sequence[Row]) -> list[str]:
        tokenizer = self._tokenizer
        batch = padded(rows, self._head, tokenizer.pad_token_id, left=True)
        out = self._model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=self._most,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        width = batch["input_ids"].shape[1]
        fresh = out[:, width:] if out.shape[1] > width else out
        found: list[str] = tokenizer.batch_decode(fresh, skip_special_tokens=True)
        return [text.removeprefix(" ") for text in found]


if __name__ == "__main__":
    main()
