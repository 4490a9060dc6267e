"""`softprompt data`: check a dataset, write a repaired copy, split it. How the report looks stands in `data_report`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from softprompt.cli import new_app
from softprompt.cli.output import console, print_json
from softprompt.errors import ParameterInvalid, UsageError
from softprompt.params import Task

_ENOUGH = 0.8
"""Share of the rows asked for, below which a held-out part is worth a word."""

app = new_app(no_args_is_help=True, help="Datasets: check, repair, split.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, a JSON array or CSV; told apart by content.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TaskName = Annotated[str, typer.Option("--task", metavar="TASK", help=f"One of: {', '.join(get_args(Task))}.")]


@app.command("check")
def check_file(
    file: File,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="Test set: looked through for leaks.")] = None,
    model: Annotated[str | None, typer.Option(metavar="ID", help="Count tokens as this foundation model does.")] = None,
    task: TaskName = "auto",
    fix: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the repaired rows to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a dataset and what is wrong with it. Exit code 1 if rows of it cannot be used."""
    from softprompt.data.report import check

    if fix is not None:
        for source in filter(None, (file, test)):
            _refuse_same(fix, source)
    report = check(file, test=test, task=_task(task), count_tokens=_token_counter(model) if model else None)
    changes = _write_fixed(file, fix, report) if fix is not None else None
    if as_json:
        print_json(report.to_dict() | ({"fix": changes} if changes else {}))
    else:
        from softprompt.cli.data_report import print_changes, print_report

        print_report(console(), report)
        if changes:
            print_changes(console(), changes)
    if not report.ok:
        raise typer.Exit(1)


@app.command("split")
def split_file(
    file: File,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for train.jsonl and test.jsonl.")],
    test: Annotated[float, typer.Option(metavar="SHARE", help="Share of the rows held out, between 0 and 1.")] = 0.2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same split.")] = 73,
    task: TaskName = "auto",
    as_json: AsJson = False,
) -> None:
    """Part a dataset into training and test rows, by output in equal shares; copies of a row stay together."""
    from softprompt.data.labels import detect_task
    from softprompt.data.read import read_examples, write_jsonl
    from softprompt.data.split import split

    wanted = _task(task)
    if not 0 < test < 1:
        raise ParameterInvalid(f"--test: {test} is not between 0 and 1. Take 0.2 for one row in five.")
    paths = {"train": out / "train.jsonl", "test": out / "test.jsonl"}
    for path in paths.values():
        _refuse_same(path, file)
    examples = read_examples(file)
    found = detect_task(examples) if wanted == "auto" else wanted
    parts = dict(zip(paths, split(examples, test, seed, task=found), strict=True))
    rows = {name: write_jsonl(part, paths[name]) for name, part in parts.items()}
    note = _too_few_held(rows["test"], round(test * len(examples)))
    if as_json:
        files = {name: {"path": str(paths[name]), "rows": rows[name]} for name in paths}
        print_json({"task": found, "seed": seed, **files, "note": note})
        return
    for name, path in paths.items():
        typer.echo(f"{name:5}  {rows[name]:>7,} rows  {path}")
    if note:
        typer.echo(f"! {note}")


def _too_few_held(held: int, asked: int) -> str:
    """What to say of a held-out part that is much smaller than asked."""
    if held >= _ENOUGH * asked:
        return ""
    return (
        f"Only {held:,} rows are held out instead of {asked:,}: rows that are copies of each other, as they are or "
        "nearly, stay together on one side. Take out the copies, or write more different rows."
    )


def _task(name: str) -> Task:
    for task in get_args(Task):
        if name == task:
            return task  # type: ignore[no-any-return]
    raise ParameterInvalid(f"--task: {name!r} is not one of {', '.join(get_args(Task))}.")


def _token_counter(model: str) -> Callable[[str], int]:
    from softprompt.engine.loading import load_tokenizer

    tokenizer = load_tokenizer(model)
    return lambda text: len(tokenizer(text, verbose=False)["input_ids"])


def _refuse_same(out: Path, source: Path) -> None:
    same = out.exists() and source.exists() and os.path.samefile(out, source)
    if same or out.absolute() == source.absolute():
        raise UsageError(f"{out} is the file that is read; it is never overwritten. Name another file.")


def _write_fixed(file: Path, out: Path, report: Any) -> dict[str, Any]:
    """Write the valid and repaired rows, bared and with one spelling per label; say what became different."""
    from softprompt.data.labels import unifier
    from softprompt.data.read import stream, write_jsonl
    from softprompt.data.records import Example
    from softprompt.data.wrapper import Wrapper

    wrapper = report.wrapper or Wrapper()
    renamed = unifier(report.combinations, report.task)
    used: Counter[str] = Counter()
    repaired: Counter[str] = Counter()

    def rows() -> Iterator[Example]:
        for item in stream(file):
            if not isinstance(item, Example):
                repaired[item.kind] += item.repaired
                continue
            used[item.output] += item.output in renamed
            yield Example(wrapper.strip(item.input), renamed.get(item.output, item.output), item.line)

    written = write_jsonl(rows(), out)
    return {
        "path": str(out),
        "rows": written,
        "dropped": report.refused,
        "repaired": {kind: count for kind, count in repaired.items() if count},
        "wrapper": {"prefix": wrapper.prefix, "suffix": wrapper.suffix} if wrapper else None,
        "spellings": [{"from": old, "to": new, "rows": used[old]} for old, new in renamed.items()],
    }
