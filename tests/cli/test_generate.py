"""`softprompt generate`: answers for people and for programs, from files and arguments."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Call = Callable[..., SimpleNamespace]
FIELDS = {
    "input", "output", "input_tokens", "virtual_tokens", "generated_tokens", "stop_reason", "confidence", "cut",
    "seed",
}  # fmt: skip


def results(done: SimpleNamespace) -> list[dict[str, Any]]:
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert list(found) == ["results"]
    return list(found["results"])


def test_a_foundation_model_answers(call: Call, tiny_folder: Callable[..., Path]) -> None:
    first, second = results(call("generate", tiny_folder(), "lamp broke", "desk", "--max-new-tokens", 3, "--json"))
    assert set(first) == FIELDS
    assert (first["input"], second["input"]) == ("lamp broke", "desk")
    assert first["input_tokens"] == len("Input: lamp broke Output:")
    assert (first["virtual_tokens"], first["generated_tokens"], first["stop_reason"]) == (0, 3, "max_tokens")
    assert 0 <= first["confidence"] <= 1


def test_instruction_and_examples_are_read(call: Call, tiny_folder: Callable[..., Path], rows: Path) -> None:
    given = ("generate", tiny_folder(), "lamp", "--max-new-tokens", 1, "--json")
    plain, told, shown = (
        results(call(*given, *extra))[0]["input_tokens"]
        for extra in ((), ("--instruction", "Sort it."), ("--examples", rows, "--shots", 2))
    )
    assert told == plain + len("Sort it.\n")
    assert shown > told


def test_a_tuned_prompt_answers_in_every_way(call: Call, tuned: Path) -> None:
    ways = ("auto", "text", "guard", "score", "readout")
    found = {way: results(call("generate", tuned, "lamp broke", "--as", way, "--json"))[0] for way in ways}
    assert found["auto"] == found["readout"]
    assert found["text"]["virtual_tokens"] == 3
    assert found["readout"]["generated_tokens"] == found["score"]["generated_tokens"] == 0
    for way in ("guard", "score", "readout"):
        assert found[way]["output"] in ("Service", "Warehouse", "Marketing")
    assert results(call("generate", tuned, "lamp broke", "--guard", "--json"))[0] == found["guard"]


def test_a_tuned_prompt_answers_on_a_model_that_is_named(
    call: Call, tuned: Path, tiny_folder: Callable[..., Path]
) -> None:
    there = results(call("generate", tuned, "lamp broke", "--base", tiny_folder(), "--json"))
    assert there == results(call("generate", tuned, "lamp broke", "--json"))
    done = call("generate", tuned, "lamp broke", "--base", tiny_folder("llama", 1))
    assert (done.code, done.out) == (1, "")
    assert "where its vectors mean nothing" in " ".join(done.err.split())
    done = call("generate", tiny_folder(), "lamp", "--base", tiny_folder())
    assert done.code == 2
    assert "is no folder of a tuned prompt, and answers by itself. Leave it out." in " ".join(done.err.split())


def test_text_keeps_a_pattern(call: Call, tuned: Path, tiny_folder: Callable[..., Path]) -> None:
    for model in (tuned, tiny_folder()):
        given = ("generate", model, "lamp", "--as", "text", "--pattern", "L[0-9]{3}", "--json")
        assert re.fullmatch("L[0-9]{3}", results(call(*given))[0]["output"])


def test_one_answer_stands_alone_on_standard_output(call: Call, tuned: Path) -> None:
    done = call("generate", tuned, "lamp broke")
    assert done.out.strip() in ("Service", "Warehouse", "Marketing")
    assert re.fullmatch(r"Tokens: 25 input \+ 0 generated, confidence [01]\.\d\d\n", done.err)
    done = call("generate", tuned, "lamp broke", "--guard")
    assert "generated (+ 3 virtual), eos_token" in done.err


def test_text_streams_on_a_terminal(
    call: Call, tiny_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("generate", tiny_folder(), "lamp", "--max-new-tokens", 4)
    plain = call(*given).out
    pieces: list[str] = []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "flush", lambda: pieces.append("flushed"))
    streamed = call(*given).out
    assert len(streamed) == len(plain)
    assert "\x13" not in streamed
    assert len(pieces) >= 2


def test_many_answers_are_a_table(call: Call, tuned: Path) -> None:
    done = call("generate", tuned, "lamp broke", "desk [bold] is late")
    lines = done.out.splitlines()
    assert lines[0].split() == ["input", "output", "sure", "stopped", "by"]
    assert "desk [bold] is late" in lines[2]
    assert "\x1b" not in done.out
    assert "input + 0 generated" in done.err


def test_files_of_lines_and_datasets(call: Call, tuned: Path, rows: Path, tmp_path: Path) -> None:
    lines = tmp_path / "texts.txt"
    lines.write_text("lamp broke\n\nthe desk\n", encoding="utf-8")
    assert [r["input"] for r in results(call("generate", tuned, "--file", lines, "--json"))] == [
        "lamp broke",
        "the desk",
    ]
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"input": "lamp"}\n{"input": "desk", "output": "Service"}\n')
    assert [r["input"] for r in results(call("generate", tuned, "--file", bare, "--json"))] == ["lamp", "desk"]
    assert len(results(call("generate", tuned, "--file", rows, "--json"))) == 18
    table = tmp_path / "rows.csv"
    table.write_text("input,output\nlamp,Service\n")
    assert [r["input"] for r in results(call("generate", tuned, "--file", table, "--json"))] == ["lamp"]


def test_known_answers_for_a_bare_model(
    call: Call, tiny_folder: Callable[..., Path], rows: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "labels.txt"
    listed.write_text("Service, L3\nMarketing\n")
    for labels, known in (("yes, no", {"yes", "no"}), (listed, {"Service, L3", "Marketing"}), (rows, None)):
        answer = results(call("generate", tiny_folder(), "lamp", "--guard", "--labels", labels, "--json"))[0]
        assert answer["output"] in (known or {"Service", "Warehouse", "Marketing"})


def test_draws_repeat_with_a_seed_and_say_when_they_are_idle(call: Call, tiny_folder: Callable[..., Path]) -> None:
    drawn = ("--decoding", "sample", "--temperature", 1.5, "--top-k", 0, "--max-new-tokens", 6)
    outputs = {
        seed: [results(call("generate", tiny_folder(), "x", *drawn, "--seed", seed, "--json")) for _ in range(2)]
        for seed in (1, 2)
    }
    assert outputs[1][0] == outputs[1][1]
    assert outputs[1][0] != outputs[2][0]
    (first,) = results(call("generate", tiny_folder(), "x", *drawn, "--json"))
    (again,) = results(call("generate", tiny_folder(), "x", *drawn, "--seed", first["seed"], "--json"))
    assert again == first
    done = call("generate", tiny_folder(), "x", "--temperature", 1.5, "--seed", 3, "--max-new-tokens", 1)
    assert "--temperature, --seed: no effect on greedy decoding; add --decoding sample." in done.err


def test_options_that_do_nothing_for_a_way_are_named(call: Call, tuned: Path) -> None:
    done = call("generate", tuned, "lamp", "--stop", "x", "--pattern", "a+", "--decoding", "sample", "--json")
    assert (
        done.err == "--decoding, --stop, --pattern: no effect on --as readout, which decodes nothing; add --as text.\n"
    )
    assert json.loads(done.out)["results"][0]["seed"] is None
    assert (
        "--max-new-tokens: no effect on --as score"
        in call("generate", tuned, "lamp", "--as", "score", "--max-new-tokens", 3).err
    )
    assert (
        "--max-new-tokens: no effect on the guard"
        in call("generate", tuned, "lamp", "--guard", "--max-new-tokens", 3).err
    )
    assert "no effect" not in call("generate", tuned, "lamp", "--truncate", 32).err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "Nothing to answer: give TEXT or --file FILE."),
        (("x", "--temperature", 3, "--top-p", 0), "temperature: 3.0 is not between 0.0 and 2.0; top_p: 0.0"),
        (("x", "--stop", ""), "up to six texts that are not empty"),
        (("x", "--as", "guess"), "--as: 'guess' is not one of auto, text, guard, score, readout."),
        (("x", "--guard", "--as", "readout"), "exclude each other"),
        (("x", "--instruction", "Sort."), "--instruction: "),
        (("x", "--labels", "a,b"), "is a tuned prompt; what it knows stands in its vectors"),
        (("x", "--shots", 2), "name the solved examples with --examples FILE"),
        (("x", "--pattern", "[a"), "pattern: '[a' is no regular expression: "),
        (("x", "--file", "y"), "TEXT and --file exclude each other"),
    ],
)
def test_wrong_usage(call: Call, tuned: Path, given: tuple[Any, ...], words: str) -> None:
    done = call("generate", tuned, *given)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_what_cannot_be_had(call: Call, tuned: Path, tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    assert call("generate", "no/such", "x").code == 1
    assert "knows no set of answers" in call("generate", tiny_folder(), "x", "--guard").err
    assert "cannot be read" in call("generate", tuned, "--file", tmp_path / "gone.txt").err
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"input": "x"}\n{"text": "y"}\n')
    done = call("generate", tuned, "--file", broken)
    assert done.code == 1
    assert f'{broken}, line 2: no text under "input"' in done.err
    latin = tmp_path / "latin.txt"
    latin.write_bytes("Grün".encode("latin-1"))
    assert "is no UTF-8 text (byte 2)" in call("generate", tuned, "--file", latin).err
