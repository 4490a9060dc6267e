"""`softprompt demo`: the lab on the sample task, told on a terminal. What happens stands in `workbench.demo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softprompt.cli.output import console, print_json

if TYPE_CHECKING:
    from softprompt.workbench.demo import Outcome

QUICK_ROWS, QUICK_EPOCHS = 48, 3


def command(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything is written.")] = Path(
        "demo-output"
    ),
    model: Annotated[
        str | None, typer.Option("--model", metavar="ID", help="Another foundation model: an id or a folder.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=24, help="Use the first N rows of each file.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"Shortened: {QUICK_ROWS} rows of each file, {QUICK_EPOCHS} epochs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """The whole lab on the sample task: check the data, tune on two training sets, prove both on held-out rows.

    A second start uses again what lies in DIR, and goes on where an interrupted one stopped.
    """
    from softprompt.cli.demo_screen import Screen
    from softprompt.workbench.demo import CONFIG, MODEL, Plan, find_samples, run_demo

    plan = Plan(
        out=out,
        samples=find_samples(),
        model=model or MODEL,
        config=replace(CONFIG, epochs=QUICK_EPOCHS) if quick else CONFIG,
        limit=limit or (QUICK_ROWS if quick else None),
    )
    try:
        if as_json:
            outcome = run_demo(plan)
        else:
            with Screen(console()) as screen:
                outcome = run_demo(plan, screen)
    except KeyboardInterrupt:
        typer.echo("Stopped: the same command goes on where it was.", err=True)
        raise
    if as_json:
        print_json(outcome.to_dict())
    else:
        _tell(outcome)


def _tell(outcome: Outcome) -> None:
    from softprompt.cli.progress import duration

    width = max(len(name) for name in outcome.files)
    for name, path in outcome.files.items():
        typer.echo(f"  {name:{width}}  {path}")
    best = max(outcome.evaluation.methods, key=lambda method: method.score.exact)
    low, high = best.score.interval
    typer.echo(f"\nBest: {best.name}, {best.score.exact:.3f} exact (95 % interval {low:.2f}–{high:.2f}).")
    typer.echo(f"All in {outcome.out}, after {duration(outcome.seconds)}.")
    prompt = outcome.files[outcome.tuned[0].name]
    typer.echo(f'Go on:  softprompt generate {prompt} "My parcel came without the screws."')
