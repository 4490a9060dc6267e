"""`softprompt evaluate`: methods side by side on held-out rows, as a table, a report or JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.output import console, print_json
from softprompt.cli.places import Device
from softprompt.errors import UsageError

if TYPE_CHECKING:
    from softprompt.engine.artifact import TunedPrompt
    from softprompt.workbench.evaluate import Evaluation


Methods = Annotated[
    list[str],
    typer.Option(
        "--with",
        metavar="zero-shot|K-shot|baseline|DIR",
        help="A method, or the folder of a tuned prompt, which answers in every way it can. Give it several times.",
    ),
]
Guard = Annotated[
    bool,
    typer.Option(
        "--guard",
        help="Generated text can only say known answers: of --examples, else of a tuned prompt, else of TEST.",
    ),
]


def command(
    test: Annotated[Path, typer.Argument(metavar="TEST", help="Labelled rows that nothing was trained or chosen on.")],
    methods: Methods,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="ID", help="Foundation model: an id or a folder. [default: the prompts' own]"),
    ] = None,
    instruction: Annotated[str, typer.Option("--instruction", help="For zero-shot and K-shot.")] = "",
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="FILE", help="Labelled rows: the baseline learns them, K-shot shows them."),
    ] = None,
    guard: Guard = False,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Use the first N rows.")] = None,
    pattern: Annotated[
        str | None, typer.Option("--pattern", metavar="REGEX", help="House style: the share that keeps it is told.")
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max-new-tokens", min=1, help="Of generated text. [default: the longest right answer + 4]"),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE.md", help="Write a Markdown report.")] = None,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare prompting, a linear model and tuned prompts on held-out rows."""
    from softprompt.engine.artifact import TunedPrompt, is_tuned_prompt
    from softprompt.workbench.evaluate import evaluate

    tuned = {name: TunedPrompt.load(name) for name in methods if is_tuned_prompt(name)}
    base = model or next((prompt.base.model_id for prompt in tuned.values()), None)
    if base is None:
        raise UsageError("--model: name a foundation model; no --with names a tuned prompt that has one.")
    with ExitStack() as stack:
        result = evaluate(
            test,
            model=base,
            methods=[tuned.get(name, name) for name in methods],
            instruction=instruction,
            examples=examples,
            guard=guard,
            limit=limit,
            pattern=pattern,
            max_new_tokens=max_new_tokens,
            on_method=_status(stack),
            device=device,
        )
    if report is not None:
        _write(report, result, base, list(tuned.values()))
    if as_json:
        print_json(result.to_dict())
    else:
        _tell(result, report)


def _status(stack: ExitStack) -> Callable[[str], None]:
    """Says on a terminal which method runs."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        return lambda _name: None
    status = stack.enter_context(screen.status("Loading"))
    return lambda name: status.update(f"Asking: {name}")


def _write(report: Path, result: Evaluation, model: str, tuned: Sequence[TunedPrompt]) -> None:
    from softprompt.workbench.report import Curve, draw_curves, write_report

    records: dict[str, Any] = {prompt.name: prompt.metrics.get("epochs") for prompt in tuned}
    curves = [Curve(name, epochs) for name, epochs in records.items() if epochs]
    picture = draw_curves(report.with_suffix(".loss.png"), curves) if curves else None
    write_report(report, result, model=model, tuned=tuned, curves=picture)


def _tell(result: Evaluation, report: Path | None) -> None:
    from softprompt.cli.progress import sentence
    from softprompt.cli.results import print_figures

    print_figures(console(), result)
    typer.echo(f"\n{len(result.rows):,} rows, {result.task}.")
    for note in result.notes:
        typer.echo(sentence(note))
    if report is not None:
        typer.echo(f"Report: {report}")
