"""Files with mutated lines: no valid row is lost to them, and reading them stays quick."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from softprompt.data.read import read, stream
from softprompt.data.records import Example

Write = Callable[[list[Example], list[str]], str]
ROW = '{"input": "broken, one", "output": "B"}'


def _jsonl(valid: list[Example], broken: list[str]) -> str:
    lines = [json.dumps({"input": e.input, "output": e.output}, ensure_ascii=False) for e in valid]
    return "\n".join([broken[0], lines[0], broken[1], lines[1], broken[2]])


def _array(valid: list[Example], broken: list[str]) -> str:
    return "[\n" + _jsonl(valid, broken).replace("\n", ",\n") + "\n]"


def _csv(valid: list[Example], broken: list[str]) -> str:
    lines = [f'"{e.input.replace(chr(34), chr(34) * 2)}",{e.output}' for e in valid]
    return "\n".join(["input,output", "first,A", broken[0], lines[0], broken[1], lines[1], broken[2]])


@pytest.mark.parametrize(
    ("write", "broken", "files"),
    [
        (_jsonl, [ROW], 3000),
        (_jsonl, ['{"id": 7, "input": "b", "output": "B"}', '{"output":"B","input":"x\\n\\u00e9"}', "B", ROW], 2000),
        (_array, [ROW], 1500),
        (_csv, ["broken,B", '"broken, one",B', "{broken},A"], 2000),
    ],
)
def test_a_valid_line_is_never_lost_to_its_neighbours(
    tmp_path: Path, write: Write, broken: list[str], files: int
) -> None:
    """Files of three mutated lines beside two valid ones."""
    draw = random.Random(20)
    path = tmp_path / "mutated"
    texts = [r'whole {n}, {{x}} \ "y"', "it’s “whole” {n}", "whole {n},] and, B"]
    with path.open("wb", buffering=0) as file:  # one file for all: opening thousands costs more than reading them
        for number in range(files):
            valid = [Example(draw.choice(texts).format(n=i), "A") for i in range(2)]
            content = write(valid, [_mutate(draw, draw.choice(broken)) for _ in range(3)]).encode()
            file.seek(0)
            file.write(content)
            file.truncate()
            found = {example.input for example in stream(path) if isinstance(example, Example)}
            assert {e.input for e in valid} <= found, f"file {number}: {content!r}"


def test_broken_rows_take_no_longer_the_more_there_are(tmp_path: Path) -> None:
    """A million of them in less than a minute: here 20,000, with room for a busy machine."""
    broken = ['{"input": "row, "output": "A"}', '{"input": "row"}', "nonsense", '{"input": "row', '{"input": "a",}']
    path = tmp_path / "broken"
    path.write_text("\n".join(broken * 4000))
    started = time.process_time()
    assert not read(path).examples
    assert time.process_time() - started < 4


def _mutate(draw: random.Random, line: str) -> str:
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(line) + 1)
        match draw.randrange(5):
            case 0:
                line = line[:at] + line[at + 1 :]
            case 1 | 2:
                line = line[:at] + draw.choice("{}[]\",:\\\n\r\x00“”'#é\ufeff ") + line[at:]
            case 3:
                line = line[:at]
            case 4:
                line = line[:at] + line[at : at + 9] + line[at:]
    return line
