"""Tuning beside another process that takes one core: what it costs that threads wait awake for each other.

    python benchmarks/neighbours.py [--turns 3] [--updates 10]

Each turn tunes in a fresh process, alone and beside a process that only counts on one core, with the `GOMP_SPINCOUNT`
of the library (300,000), that of `softprompt up`, and none. With fair halves of one of two cores, work beside the
neighbour could take 4/3 of its time alone at best.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from common import begin, parser, record, table
from softprompt.supervisor.run import SPINS

WORK = """
import sys, time
from softprompt import load_model, tune
from softprompt.data.read import read_examples
from softprompt.params import TuneConfig
model, rows, updates = sys.argv[1], sys.argv[2], int(sys.argv[3])
backbone, examples = load_model(model), read_examples(rows)[: 4 * updates]
config = TuneConfig(readout="off", init="text", virtual_tokens=30, epochs=1, batch_size=4, accumulate=1)
began = time.perf_counter()
tune(examples, model=backbone, config=config)
print(time.perf_counter() - began)
"""
COUNT = "import os\nos.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\nwhile True: pass"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--turns", type=int, default=3)
    made.add_argument("--updates", type=int, default=10)
    options = made.parse_args()
    facts = begin(options)
    turns = 1 if options.quick else options.turns
    spins = ("300000", SPINS, "0")
    seen: dict[tuple[str, bool], list[float]] = {}
    for _ in range(turns):
        for beside in (False, True):
            for spin in spins:
                line = [sys.executable, "-c", WORK, options.model, str(options.rows), str(options.updates)]
                environment = {**os.environ, "GOMP_SPINCOUNT": spin}
                with _neighbour(beside):
                    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
                seen.setdefault((spin, beside), []).append(float(done.stdout.split()[-1]))
    rows = []
    for spin in spins:
        alone, beside_it = seen[spin, False], seen[spin, True]
        ratio = statistics.median(b / a for a, b in zip(alone, beside_it, strict=True))
        rows.append([spin, *(f"{statistics.median(each):.1f}" for each in (alone, beside_it)), f"{ratio:.2f}"])
    table(["GOMP_SPINCOUNT", "alone, s", "beside, s", "beside / alone"], rows)
    record(options, "neighbours", facts, {f"{s}{' beside' if b else ''}": v for (s, b), v in seen.items()})


@contextmanager
def _neighbour(there: bool) -> Iterator[None]:
    if not there:
        yield
        return
    counting = subprocess.Popen([sys.executable, "-c", COUNT])
    try:
        yield
    finally:
        counting.kill()
        counting.wait()


if __name__ == "__main__":
    main()
