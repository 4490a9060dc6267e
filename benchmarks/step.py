"""One optimizer step of prompt tuning: ours against PEFT on padded batches, and against its own matrix products.

    python benchmarks/step.py [--long FILE] [--batch-size 16] [--virtual-tokens 100] [--turns 12] [--quick]

A step is forward, backward and AdamW on one batch; both sides see the same rows and start from the same vectors. The
floor are the bare products that prompt tuning cannot do without: forward and input gradient of every linear layer for
the tokens of the shared prefix (once) and of the rows (unpadded), and the output matrix at label positions. Where the
processor is made for bfloat16, ours and the floor are measured with such products as well (the output matrix, which
nothing rounds, stays float32): that is how `tune` works there.
`--long FILE`: rows of long inputs (JSON array of {"input", "output"}), cut at 256 tokens, measured as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common import alternate, batches, begin, encode, padded, parser, peft_model, plain_model, read_rows, record, table
from softprompt.engine.backbone import CausalBackbone
from softprompt.engine.init import Start, initial_prompt
from softprompt.engine.loading import load_model
from softprompt.engine.optim import clip, make_optimizer
from softprompt.engine.packing import Row, pack
from softprompt.engine.precision import products, rounds_fast
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.params import Precision

RATE = 0.003
Step = Callable[[int], float]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--long", type=Path, help="rows of long inputs to measure as well")
    made.add_argument("--long-tokens", type=int, default=256, help="where long inputs are cut")
    made.add_argument("--batch-size", type=int, default=16)
    made.add_argument("--virtual-tokens", type=int, default=100)
    made.add_argument("--turns", type=int, default=12, help="measured turns on short rows")
    made.add_argument("--long-turns", type=int, default=5, help="measured turns on long rows")
    options = made.parse_args()
    facts = begin(options)
    backbone = load_model(options.model)
    if not isinstance(backbone, CausalBackbone):
        raise SystemExit("This benchmark compares decoder-only models.")
    plain, _ = plain_model(options.model)
    result = {"short": compare(options, "short rows", backbone, plain, options.rows, options.turns)}
    if options.long:
        result["long"] = compare(options, "long rows", backbone, plain, options.long, options.long_turns)
    record(options, "step", facts, {"batch": options.batch_size, "virtual": options.virtual_tokens, **result})


def compare(
    options: argparse.Namespace, title: str, backbone: CausalBackbone, plain: Any, path: Path, turns: int
) -> dict[str, Any]:
    turns = min(turns, 3) if options.quick else turns
    encoder, rows = encode(backbone.tokenizer, read_rows(path), options.long_tokens)
    groups = batches(rows, options.batch_size)
    start = initial_prompt(
        backbone, Start("prompt_tuning", "prefix", "vocabulary", "", (), options.virtual_tokens, 0, 73)
    )
    ours = our_step(backbone, start, groups, encoder.head)
    peft = peft_step(plain, start, groups, encoder.head, encoder.end)
    prefix = options.virtual_tokens + len(encoder.head)
    sides = {"ours": ours, "peft": peft, "floor": Floor(backbone, prefix, groups)}
    if rounds_fast(backbone.lean):
        sides["ours, bfloat16"] = our_step(backbone, start, groups, encoder.head, "bfloat16")
        sides["floor, bfloat16"] = Floor(backbone, prefix, groups, torch.bfloat16)
    tokens = sum(len(row.prompt) + len(row.target) for row in rows) / len(rows)
    print(
        f"\n{title}: {path.name}, batch {options.batch_size}, {options.virtual_tokens} virtual tokens, "
        f"{tokens:.0f} tokens a row on average, {turns} turns"
    )
    print(f"loss of the first batch: ours {ours(0):.5f}, PEFT {peft(0):.5f}")
    times = alternate(sides, turns)
    table(
        ["", "seconds", "CPU s", "PEFT / it", "it / floor", "it / floor in bfloat16"],
        [
            [name, f"{t.median:.3f}", f"{sorted(t.cpu)[len(t.cpu) // 2]:.3f}"]
            + [f"{times['peft'].over(t):.2f}", f"{t.over(times['floor']):.2f}"]
            + [f"{t.over(times['floor, bfloat16']):.2f}" if "floor, bfloat16" in times else "-"]
            for name, t in times.items()
        ],
    )
    mine = [name for name in times if name.startswith("ours")]
    return {
        "turns": turns,
        "seconds": {name: t.median for name, t in times.items()},
        "wall": {name: t.wall for name, t in times.items()},
        "speedup": {name: times["peft"].over(times[name]) for name in mine},
        "speedup_cpu": {name: times["peft"].over(times[name], cpu=True) for name in mine},
        "over_floor": {name: times[name].over(times[name.replace("ours", "floor")]) for name in mine},
    }


def our_step(
    backbone: CausalBackbone,
    start: SoftPrompt,
    groups: Sequence[Sequence[Row]],
    head: Sequence[int],
    precision: Precision = "float32",
) -> Step:
    current = start.parameters()
    tensors = list(current.tensors().values())
    optimizer = make_optimizer("adamw", tensors, RATE, 0.0)
    copies: dict[int, Tensor] = {}  # made once, as in a run

    def step(turn: int) -> float:
        rows = groups[turn % len(groups)]
        with products(precision, copies):
            loss = float(backbone.add_gradient([rows], current, head))
        clip(tensors, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss / sum(len(row.target) for row in rows)

    return step


def peft_step(plain: Any, start: SoftPrompt, groups: Sequence[Sequence[Row]], head: Sequence[int], pad: int) -> Step:
    assert start.prefix is not None
    model = peft_model(plain, [start.prefix])
    model.train()  # as its users do; the model has no dropout
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)

    def step(turn: int) -> float:
        loss = model(**padded(groups[turn % len(groups)], head, pad)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss)

    return step


class Floor:
    """The matrix products of a step and nothing else, into buffers that are there already."""

    def __init__(
        self,
        backbone: CausalBackbone,
        prefix: int,
        groups: Sequence[Sequence[Row]],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        inner = backbone.model.base_model
        self._weights = [m.weight.detach().to(dtype) for m in inner.layers.modules() if isinstance(m, nn.Linear)]
        self._output = backbone.model.get_output_embeddings().weight
        packed = [pack(rows) for rows in groups]
        self._sizes = [(prefix, len(p.tokens), len(p.predict)) for p in packed]
        self._room: dict[tuple[int, str, torch.dtype], Tensor] = {}

    @torch.no_grad()
    def __call__(self, turn: int) -> float:
        prefix, rows, labels = self._sizes[turn % len(self._sizes)]
        for tokens in (prefix, rows):
            for weight in self._weights:
                self._forward(tokens, weight)
        self._forward(labels, self._output)
        self._backward(labels, self._output)
        for tokens in (rows, prefix):
            for weight in reversed(self._weights):
                self._backward(tokens, weight)
        return 0.0

    def _forward(self, tokens: int, weight: Tensor) -> None:
        wide, high = weight.shape[1], len(weight)
        torch.mm(self._buffer(tokens, wide, "in", weight), weight.t(), out=self._buffer(tokens, high, "y", weight))

    def _backward(self, tokens: int, weight: Tensor) -> None:
        wide, high = weight.shape[1], len(weight)
        torch.mm(self._buffer(tokens, high, "out", weight), weight, out=self._buffer(tokens, wide, "dx", weight))

    def _buffer(self, tokens: int, width: int, use: str, weight: Tensor) -> Tensor:
        """A piece of a buffer that all sizes of one width and use share: it stays as warm as a real step's tensors."""
        key = (width, use, weight.dtype)
        if key not in self._room:
            self._room[key] = torch.randn(max(max(sizes) for sizes in self._sizes), width).to(weight.dtype)
        return self._room[key][:tokens]


if __name__ == "__main__":
    main()
