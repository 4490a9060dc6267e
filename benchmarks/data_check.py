"""How long `check` takes on a large training file with a test file beside it, and how much memory.

    python benchmarks/data_check.py [--rows 1000000] [--test-rows 2000] [--words 20]

Rows are made up: a wrapper, random words, one or two labels; some are copies, leaks or broken. Each measurement runs in
a process of its own, so the peak is that of the check alone. The floor is reading without any analysis.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LABELS = ("Planning", "Development", "Service", "Warehouse", "L3", "Packaging", "Marketing")
MEASURES = {
    "read only": "import sys; from softprompt.data.read import stream; print(sum(1 for _ in stream(sys.argv[1])))",
    "check": "import sys; from softprompt import check; print(check(sys.argv[1]).rows)",
    "check with test set": (
        "import sys; from softprompt import check; r = check(sys.argv[1], test=sys.argv[2]); "
        "print(r.refused, 'refused,', r.duplicate_count + r.contradiction_count, 'copies,', r.leak_count, 'leaks')"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--test-rows", type=int, default=2_000)
    parser.add_argument("--words", type=int, default=20, help="words of one input")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train, test = Path(folder, "train.jsonl"), Path(folder, "test.jsonl")
        generate(train, test, options.rows, options.test_rows, options.words)
        print(f"{options.rows:,} rows, {train.stat().st_size / 1e6:,.0f} MB; test set of {options.test_rows:,} rows")
        print(f"{'':22} {'seconds':>8} {'CPU s':>8} {'rows/s':>10} {'peak MB':>8}  result")
        for name, code in MEASURES.items():
            seconds, cpu, peak, result = measure(code, train, test)
            print(f"{name:22} {seconds:8.1f} {cpu:8.1f} {options.rows / seconds:10,.0f} {peak:8,.0f}  {result}")


def generate(train: Path, test: Path, rows: int, test_rows: int, words: int) -> None:
    draw = random.Random(73)
    vocabulary = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 10))) for _ in range(20_000)]

    def text() -> str:
        return " ".join(draw.choices(vocabulary, k=words))

    tested = [text() for _ in range(test_rows)]
    with test.open("w") as file:
        for line in tested:
            file.write(json.dumps({"input": f"Comment: {line}\nAnswer:", "output": draw.choice(LABELS)}) + "\n")
    before = text()
    with train.open("w") as file:
        for number in range(rows):
            line = text()
            if number % 1000 == 1:
                line = before  # a copy
            elif number % 5000 == 2:
                line = draw.choice(tested)  # a leak
            before = line
            output = ", ".join(draw.sample(LABELS, draw.choice((1, 2))))
            row = json.dumps({"input": f"Complaint: {line}\nDepartments:", "output": output})
            file.write((row[:-1] if number % 10_000 == 3 else row) + "\n")


def measure(code: str, train: Path, test: Path) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, peak resident megabytes, output."""
    # The peak of all children only ever rises; so a runner of its own reports on its one child.
    runner = (
        "import resource, subprocess, sys, json; "
        "r = subprocess.run([sys.executable, '-c', *sys.argv[1:]], capture_output=True, text=True, check=True); "
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(json.dumps([u.ru_utime + u.ru_stime, u.ru_maxrss, r.stdout.strip()]))"
    )
    start = time.perf_counter()
    command = [sys.executable, "-c", runner, code, str(train), str(test)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    cpu, peak, result = json.loads(done.stdout)
    return seconds, cpu, peak / (1e6 if sys.platform == "darwin" else 1e3), result


if __name__ == "__main__":
    main()
