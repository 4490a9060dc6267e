"""Peak memory of a step of prompt tuning: ours against PEFT on padded batches, each in a process of its own.

    python benchmarks/memory.py [--batch-size 16] [--virtual-tokens 100] [--long FILE] [--steps 3]

The peak is that of the resident set (`ru_maxrss`, or `VmHWM` where the kernel can set it back before the steps, so
that a peak while loading hides nothing). "step" is the peak over what was resident with the model loaded; products in
bfloat16 hold a rounded copy of the weights beside it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import batches, begin, encode, parser, plain_model, read_rows, record, table
from softprompt.engine.backbone import CausalBackbone
from softprompt.engine.init import Start, initial_prompt
from softprompt.engine.loading import load_model
from softprompt.engine.precision import rounds_fast
from softprompt.params import Precision
from step import our_step, peft_step

MB = 1024 * 1024
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--long", type=Path, help="rows of long inputs to measure as well")
    made.add_argument("--long-tokens", type=int, default=256, help="where long inputs are cut")
    made.add_argument("--batch-size", type=int, default=16)
    made.add_argument("--virtual-tokens", type=int, default=100)
    made.add_argument("--steps", type=int, default=3, help="optimizer steps in each process")
    made.add_argument("--side", choices=("ours", "ours, bfloat16", "peft"), help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.side:
        print(json.dumps(measure(options)))
        return
    facts = begin(options)
    options.steps = 1 if options.quick else options.steps
    result = {"short rows": compare(options, options.rows, "short rows")}
    if options.long:
        result["long rows"] = compare(options, options.long, "long rows")
    record(options, "memory", facts, {"batch": options.batch_size, "virtual": options.virtual_tokens, **result})


def compare(options: argparse.Namespace, path: Path, title: str) -> dict[str, Any]:
    sides = ["ours", "ours, bfloat16", "peft"] if rounds_fast(lean=True) else ["ours", "peft"]
    found = {side: in_process(options, path, side) for side in sides}
    print(f"\n{title}: {path.name}, batch {options.batch_size}, {options.virtual_tokens} virtual tokens; MB")
    table(
        ["", "loaded", "peak", "step", "PEFT / it (step)", "PEFT / it (peak)"],
        [
            [side, f"{m['loaded']:.0f}", f"{m['peak']:.0f}", f"{m['step']:.0f}"]
            + [f"{found['peft']['step'] / m['step']:.2f}", f"{found['peft']['peak'] / m['peak']:.2f}"]
            for side, m in found.items()
        ],
    )
    return {**found, "ratio": {side: found["peft"]["step"] / found[side]["step"] for side in sides[:-1]}}


def in_process(options: argparse.Namespace, path: Path, side: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--rows", str(path), "--model", str(options.model)]
    for name in ("threads", "batch_size", "virtual_tokens", "steps", "long_tokens"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(options: argparse.Namespace) -> dict[str, float]:
    """One side, in this process: resident with the model loaded, and the peak over some steps."""
    begin(options)
    backbone: Any = None
    if options.side != "peft":
        backbone = load_model(options.model)
        assert isinstance(backbone, CausalBackbone)
        tokenizer = backbone.tokenizer
    else:
        plain, tokenizer = plain_model(options.model)
    encoder, rows = encode(tokenizer, read_rows(options.rows), options.long_tokens)
    groups = batches(rows, options.batch_size)
    # The fullest batches decide the peak.
    groups.sort(key=lambda group: -max(len(row.prompt) + len(row.target) for row in group))
    if backbone is None:
        step = peft_step(plain, vectors(plain, options.virtual_tokens), groups, encoder.head, encoder.end)
    else:
        start = initial_prompt(
            backbone, Start("prompt_tuning", "prefix", "vocabulary", "", (), options.virtual_tokens, 0, 73)
        )
        precision: Precision = "bfloat16" if options.side.endswith("bfloat16") else "float32"
        step = our_step(backbone, start, groups, encoder.head, precision)
    resettable = reset_peak()
    loaded = resident()
    for turn in range(options.steps):
        step(turn)
    peak = high_water() if resettable else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    return {"loaded": loaded, "peak": peak, "step": peak - loaded}


def vectors(plain: Any, count: int) -> Any:
    """A start for PEFT, made without our backbone."""
    from softprompt.engine.soft_prompt import SoftPrompt

    return SoftPrompt(prefix=plain.get_input_embeddings().weight[:count].detach().clone())


def reset_peak() -> bool:
    """Set the kernel's high-water mark back to what is resident now, where it lets us."""
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def resident() -> float:
    return _status("VmRSS") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def high_water() -> float:
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def _status(name: str) -> float:
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 / MB for line in lines if line.startswith(name + ":")), 0.0)


if __name__ == "__main__":
    main()
