"""`softprompt generate`: ask a foundation model or a tuned prompt, one text or a file of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from softprompt.cli.fields import chosen, options_of
from softprompt.cli.output import console, print_json
from softprompt.cli.places import Device
from softprompt.errors import DatasetUnreadable, ParameterInvalid, UsageError
from softprompt.params import GenerateConfig

if TYPE_CHECKING:
    from softprompt.data.records import Example
    from softprompt.engine.generate import Answer
    from softprompt.workbench.respond import Responder, Way

DRAWS = ("temperature", "top_p", "top_k", "seed")
"""Parameters that greedy decoding does not read."""
DECODES = (
    "decoding", *DRAWS, "repetition_penalty", "stop", "min_new_tokens", "max_new_tokens", "pattern",
)  # fmt: skip
"""Parameters that only decoding reads: a label that is read or scored comes without it."""
HELD = ("max_new_tokens", "pattern")
"""Parameters that the guard goes before."""


@options_of(GenerateConfig, unset="another one each time", names={"truncate_input_tokens": "truncate"})
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL_OR_PROMPT_DIR", help="A foundation model or a tuned prompt.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="What to answer.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help='One text a line, or a dataset with "input".')
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="MODEL", help="Foundation model of a tuned prompt, where the catalogue does not know it."
        ),
    ] = None,
    instruction: Annotated[
        str, typer.Option("--instruction", help="In front of the input; foundation models only.")
    ] = "",
    examples: Annotated[
        Path | None, typer.Option("--examples", metavar="FILE", help="Solved examples to show; foundation models only.")
    ] = None,
    shots: Annotated[
        int | None, typer.Option("--shots", metavar="K", min=0, help="Show the first K examples. [default: all]")
    ] = None,
    guard: Annotated[bool, typer.Option("--guard", help="The answer can only be a known one; as --as guard.")] = False,
    way: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="auto|text|guard|score|readout",
            help="How the answer is found; auto: the label readout where there is one, else text.",
        ),
    ] = "auto",
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", metavar="FILE|A,B,C", help="Known answers of a foundation model, for guard and score."
        ),
    ] = None,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    **given: Any,
) -> None:
    """Ask a foundation model or a tuned prompt."""
    config = GenerateConfig(**chosen(given))
    wanted = _way(way, guard)
    asked = _texts(texts or [], file)
    words = _Words(instruction, _shots(examples, shots), _labels(labels))
    responder = _open(model, base, device, words)
    _tell_idle(given, config, responder.taken(wanted))
    if as_json:
        print_json({"results": [_record(answer) for answer in _ask(responder, asked, config, wanted)]})
    elif len(asked) == 1:
        _tell_one(responder, asked[0], config, wanted)
    else:
        _tell_all(_ask(responder, asked, config, wanted))


@dataclass(frozen=True, slots=True)
class _Words:
    """What a foundation model is told beside the text."""

    instruction: str
    shots: Sequence[Example]
    labels: Sequence[str]


def _open(model: str, base: str | None, device: str, words: _Words) -> Responder:
    from softprompt.engine.artifact import is_tuned_prompt
    from softprompt.workbench.respond import open_responder

    if base and not is_tuned_prompt(model):
        raise UsageError(f"--base {base}: {model} is no folder of a tuned prompt, and answers by itself. Leave it out.")
    said = {"--instruction": words.instruction, "--examples": words.shots, "--labels": words.labels}
    useless = [name for name, value in said.items() if value]
    if useless and is_tuned_prompt(model):
        raise UsageError(
            f"{', '.join(useless)}: {model} is a tuned prompt; what it knows stands in its vectors. Leave it out, "
            "or ask the foundation model."
        )
    return open_responder(
        model, base=base, instruction=words.instruction, shots=words.shots, labels=words.labels, device=device
    )


def _ask(responder: Responder, texts: Sequence[str], config: GenerateConfig, way: Way) -> list[Answer]:
    from softprompt.workbench.respond import generate

    return generate(responder, texts, config=config, way=way)


def _record(answer: Answer) -> dict[str, Any]:
    names = (
        "input", "output", "input_tokens", "virtual_tokens", "generated_tokens", "stop_reason", "confidence", "cut",
        "seed",
    )  # fmt: skip
    return {name: getattr(answer, name) for name in names}


def _tell_idle(given: dict[str, Any], config: GenerateConfig, way: Way) -> None:
    """Options that do nothing here, in one line beside the answers."""
    names, reason = {
        "text": (DRAWS, "greedy decoding; add --decoding sample"),
        "guard": (HELD, "the guard, which only lets known answers through"),
    }.get(way, (DECODES, f"--as {way}, which decodes nothing; add --as text"))
    if way == "text" and config.decoding == "sample":
        return
    idle = [f"--{name.replace('_', '-')}" for name in names if given.get(name) not in (None, [])]
    if idle:
        typer.echo(f"{', '.join(idle)}: no effect on {reason}.", err=True)


def _tell_one(responder: Responder, text: str, config: GenerateConfig, way: Way) -> None:
    """The answer alone on standard output, letter by letter on a terminal; the count beside it."""
    from softprompt.workbench.report import printable
    from softprompt.workbench.respond import generate

    told: list[str] = []

    def show(_row: int, piece: str) -> None:
        told.append(piece)
        typer.echo(printable(piece), nl=False)
        sys.stdout.flush()

    live = sys.stdout.isatty()
    answer = generate(responder, text, config=config, way=way, on_text=show if live else None)[0]
    typer.echo("" if told else printable(answer.output) if live else answer.output)
    sure = f", confidence {answer.confidence:.2f}" if answer.stop_reason == "label" else f", {answer.stop_reason}"
    typer.echo(f"{_tokens([answer])}{sure}", err=True)
    if answer.cut:
        typer.echo("The input was too long and lost its end.", err=True)


def _tell_all(answers: Sequence[Answer]) -> None:
    from rich.table import Table
    from rich.text import Text

    from softprompt.workbench.report import printable

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("input", max_width=60, no_wrap=True, overflow="ellipsis")
    table.add_column("output", overflow="fold")
    table.add_column("sure", justify="right", no_wrap=True)
    table.add_column("stopped by", no_wrap=True)
    for answer in answers:
        text = Text(printable(" ".join(answer.input.split())))
        table.add_row(text, Text(printable(answer.output)), f"{answer.confidence:.2f}", answer.stop_reason)
    console().print(table)
    typer.echo(_tokens(answers), err=True)


def _tokens(answers: Sequence[Answer]) -> str:
    read, said = sum(a.input_tokens for a in answers), sum(a.generated_tokens for a in answers)
    virtual = sum(a.virtual_tokens for a in answers)
    return f"Tokens: {read:,} input + {said:,} generated" + (f" (+ {virtual:,} virtual)" if virtual else "")


# --- what was given ---------------------------------------------------------------------------------------------------
def _way(name: str, guard: bool) -> Way:
    from softprompt.workbench.respond import Way

    if guard and name not in ("auto", "guard"):
        raise UsageError(f"--guard and --as {name} exclude each other. Leave one out.")
    if name not in get_args(Way):
        raise ParameterInvalid(f"--as: {name!r} is not one of {', '.join(get_args(Way))}.")
    return "guard" if guard else name  # type: ignore[return-value]


def _texts(texts: Sequence[str], file: Path | None) -> list[str]:
    if file is not None and texts:
        raise UsageError("TEXT and --file exclude each other. Leave one out.")
    found = list(texts) if file is None else _read_texts(file)
    if not found:
        raise UsageError("Nothing to answer: give TEXT or --file FILE." if file is None else f"{file} holds no text.")
    return found


def _read_texts(file: Path) -> list[str]:
    """The inputs of a dataset, with or without outputs; of any other file its lines."""
    if file.suffix.lower() in (".json", ".csv"):
        from softprompt.data.read import read_examples

        return [example.input for example in read_examples(file)]
    lines = [(number, line) for number, line in enumerate(_lines(file), start=1) if line.strip()]
    if file.suffix.lower() == ".jsonl":
        return [_input(file, number, line) for number, line in lines]
    return [line for _, line in lines]


def _input(file: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DatasetUnreadable(f"{file}, line {number}: {error}. Write one JSON object a line.") from error
    text = row.get("input") if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise DatasetUnreadable(f'{file}, line {number}: no text under "input". Write {{"input": "…"}}.')
    return text


def _lines(file: Path) -> Iterator[str]:
    try:
        yield from file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetUnreadable(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DatasetUnreadable(f"{file} is no UTF-8 text (byte {error.start}). Save it as UTF-8.") from error


def _shots(examples: Path | None, count: int | None) -> list[Example]:
    from softprompt.data.read import read_examples

    if examples is None:
        if count:
            raise UsageError(f"--shots {count}: name the solved examples with --examples FILE.")
        return []
    rows = read_examples(examples)
    if count is not None and count > len(rows):
        raise ParameterInvalid(f"--shots {count}: {examples} holds {len(rows)} examples.")
    return rows[:count]


def _labels(given: str | None) -> list[str]:
    """Known answers: one a line, the outputs of a dataset, or words with commas between them."""
    if given is None:
        return []
    file = Path(given)
    if not file.is_file():
        found = [part.strip() for part in given.split(",")]
    elif file.suffix.lower() in (".jsonl", ".json", ".csv"):
        from softprompt.data.read import read_examples

        found = [example.output.strip() for example in read_examples(file)]
    else:
        found = [line.strip() for line in _lines(file)]
    return sorted({label for label in found if label})
