"""How long a pulled model takes to open, in fresh processes: `load_model` against plain `from_pretrained`.

    python benchmarks/loading.py [--turns 5] [--model SmolLM2-135M-Instruct]

Imports are done before the clock starts, those of the model's own modules included, and reported apart. The files are
in the page cache: the first turn of each side is not counted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from common import begin, parser, record, table
from softprompt.engine.sources import locate

IMPORTS = """
import sys, time
began = time.perf_counter()
import json, torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers import logging
logging.set_verbosity_error()
logging.disable_progress_bar()
kind = type(AutoConfig.from_pretrained(sys.argv[2]))
opener = AutoModelForCausalLM if kind in AutoModelForCausalLM._model_mapping else AutoModelForSeq2SeqLM
opener._model_mapping[kind]
"""
SIDES = {
    "ours": """
from softprompt.engine import backbone, loading
from softprompt.engine import seq2seq
start = time.perf_counter()
model = loading.load_model(sys.argv[1])
end = time.perf_counter()
""",
    "transformers": """
start = time.perf_counter()
model = opener.from_pretrained(sys.argv[2], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
end = time.perf_counter()
""",
}
REPORT = """
print(json.dumps({"imports": start - began, "load": end - start}))
"""


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--turns", type=int, default=7)
    options = made.parse_args()
    facts = begin(options)
    turns = 2 if options.quick else options.turns
    path = str(locate(options.model).path)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for turn in range(turns + 1):
        for side, code in SIDES.items():
            command = [sys.executable, "-W", "ignore", "-c", IMPORTS + code + REPORT, str(options.model), path]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            if turn:
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
    result: dict[str, Any] = {
        side: {key: statistics.median(item[key] for item in items) for key in ("imports", "load")}
        for side, items in found.items()
    }
    ratio = statistics.median(
        theirs["load"] / ours["load"] for ours, theirs in zip(found["ours"], found["transformers"], strict=True)
    )
    print(f"\nloading {options.model} in fresh processes, median of {turns}; seconds")
    table(
        ["", "imports", "model and tokenizer", "transformers / it"],
        [
            ["ours", f"{result['ours']['imports']:.2f}", f"{result['ours']['load']:.3f}", f"{ratio:.2f}"],
            [
                "transformers",
                f"{result['transformers']['imports']:.2f}",
                f"{result['transformers']['load']:.3f}",
                "1.00",
            ],
        ],
    )
    record(options, "loading", facts, {"turns": turns, "seconds": result, "speedup": ratio})


if __name__ == "__main__":
    main()
