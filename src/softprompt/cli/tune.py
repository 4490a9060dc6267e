"""`softprompt tune`: a tuned prompt from labelled rows. What a run does stands in `workbench.tune`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli.fields import chosen, options_of
from softprompt.cli.output import console, print_json
from softprompt.cli.places import Device
from softprompt.errors import ParameterInvalid, UsageError
from softprompt.params import TuneConfig

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone
    from softprompt.engine.events import Event, Listener
    from softprompt.workbench.tune_finished import Run


@options_of(TuneConfig, unset="follows model and data")
def command(
    train: Annotated[Path, typer.Argument(metavar="TRAIN", help="Labelled rows: JSON lines, a JSON array or CSV.")],
    model: Annotated[str, typer.Option("--model", metavar="ID", help="Foundation model: an id or a folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the tuned prompt goes.")],
    validation: Annotated[
        str | None,
        typer.Option("--validation", metavar="FILE|SHARE", help="Held-out rows; the best epoch by them is kept."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of the same run.")] = False,
    events: Annotated[
        Path | None, typer.Option("--events", metavar="FILE", help="Write what happens as JSON lines.")
    ] = None,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    **given: Any,
) -> None:
    """Tune a soft prompt on labelled rows. What is left open follows the model and the data, and is said."""
    config = TuneConfig(**chosen(given))
    held = None if validation is None else _validation(validation)
    _check_out(out)

    from softprompt.cli.progress import TuneProgress
    from softprompt.data.read import read_examples
    from softprompt.workbench.tune import tune
    from softprompt.workbench.tune_check import check_config
    from softprompt.workbench.tune_side import side_of

    screen = console(stderr=as_json)
    examples = read_examples(train)
    check_config(config)
    backbone = _open(model, device, config, quiet=as_json)
    shown = TuneProgress(screen) if not as_json or screen.is_terminal else None
    with _writer(events, append=resume) as write, shown or _nothing():
        try:
            run = tune(
                examples,
                model=backbone,
                out=out,
                config=config,
                validation=held,
                resume=resume,
                listener=_both(write, shown),
            )
        except KeyboardInterrupt:
            saved = side_of(out).exists()
            how = "the same command with --resume goes on" if saved else "no checkpoint was written yet; start again"
            typer.echo(f"Stopped: {how}.", err=True)
            raise
    if as_json:
        print_json(document(run))
    else:
        _tell(run, shown.first if shown else None, model)


def document(run: Run) -> dict[str, Any]:
    """A finished run as one JSON object."""
    tuned = run.tuned
    return {
        "out": None if run.out is None else str(run.out),
        "name": tuned.name,
        "task": tuned.task,
        "labels": list(tuned.labels),
        "updates": run.updates,
        "epochs": list(run.epochs),
        "seconds": run.seconds,
        "tokens": run.tokens,
        "virtual_tokens": tuned.virtual_tokens,
        "readout": tuned.metrics.get("readout"),
        "notes": list(run.notes),
    }


def _tell(run: Run, first: float | None, model: str) -> None:
    from softprompt.cli.progress import duration

    losses = [record["loss"] for record in run.epochs]
    fell = f", loss {losses[0] if first is None else first:.3f} → {losses[-1]:.3f}" if losses else ""
    typer.echo(f"{run.tuned.name}: {run.tuned.virtual_tokens} virtual tokens, {run.updates} updates{fell}, ", nl=False)
    typer.echo(f"{duration(run.seconds)}; in {run.out}")
    typer.echo(f'Ask it:    softprompt generate {run.out} "…"')
    typer.echo(f"Prove it:  softprompt evaluate TEST --model {model} --with zero-shot --with {run.out}")


def _open(model: str, device: str, config: TuneConfig, *, quiet: bool) -> Backbone:
    from softprompt.engine.loading import load_model
    from softprompt.engine.sources import locate

    locate(model, report=lambda step: typer.echo(f"{step} …", err=True))
    backbone = load_model(model, device=device)
    if config.learning_rate is not None and not quiet:
        relative = config.learning_rate / backbone.embedding_rms
        typer.echo(f"Learning rate {config.learning_rate:g} = {relative:.2f} × the RMS of the model's embeddings.")
    return backbone


def _validation(text: str) -> str | float:
    """A share of the training rows if it reads as a number, else a file."""
    try:
        share = float(text)
    except ValueError:
        return text
    if not 0 < share < 1:
        raise ParameterInvalid(f"--validation: {text} is no share between 0 and 1, such as 0.2 for one row in five.")
    return share


def _check_out(out: Path) -> None:
    """Refuse before the run what could not be saved after it."""
    from softprompt.engine.artifact import is_tuned_prompt

    if out.is_file():
        raise UsageError(f"--out: {out} is a file. Name a new folder.")
    if out.is_dir() and any(out.iterdir()) and not is_tuned_prompt(out):
        raise UsageError(
            f"--out: {out} holds files that are no tuned prompt; it will not be replaced. Name a new folder."
        )


@contextmanager
def _writer(path: Path | None, *, append: bool) -> Iterator[Listener | None]:
    """A listener that writes each event as a line of JSON, at once."""
    if path is None:
        yield None
        return
    from softprompt.engine.events import as_record

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a" if append else "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--events: {path} cannot be written: {error.strerror}. Name another file.") from error
    with stream:

        def write(event: Event) -> None:
            stream.write(json.dumps(as_record(event), ensure_ascii=False) + "\n")
            stream.flush()

        yield write


def _both(*listeners: Listener | None) -> Listener:
    wanted = [listener for listener in listeners if listener is not None]

    def tell(event: Event) -> None:
        for listener in wanted:
            listener(event)

    return tell


@contextmanager
def _nothing() -> Iterator[None]:
    yield
