"""`softprompt models`: what the catalogue knows, what lies on this machine, and fetching what does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt import catalogue
from softprompt.catalogue import ModelCard
from softprompt.cli import new_app
from softprompt.cli.output import print_json
from softprompt.engine.embedding_scale import embedding_rms
from softprompt.engine.sources import available, locate

app = new_app(no_args_is_help=True, help="Foundation models: list, show, pull.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ModelId = Annotated[
    str, typer.Argument(metavar="ID", help="An id of the catalogue, in any case, or another name of it.")
]
_UNITS = {"relative_learning_rate": " × the scale (RMS) of the model's embeddings"}


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """All foundation models of the catalogue, small ones first."""
    rows = [(card, available(card)) for card in catalogue.cards()]
    if as_json:
        print_json({"models": [_summary(card, path) for card, path in rows]})
        return
    width = max(len(card.id) for card, _ in rows)
    typer.echo(f"{'ID':{width}}  {'SIZE':>5}  {'TUNABLE':7}  {'HERE':4}  GOOD AT")
    for card, path in rows:
        marks = f"{_yes(card.tunable):7}  {_yes(path is not None):4}"
        typer.echo(f"{card.id:{width}}  {card.parameters:>5}  {marks}  {card.good_at}")


@app.command()
def show(model_id: ModelId, as_json: AsJson = False) -> None:
    """Everything known about one foundation model, and its folder once it is here."""
    card = catalogue.get(model_id)
    path = available(card)
    facts = _facts(card, path)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if value not in (None, "", []):
            typer.echo(f"{name.replace('_', ' '):22} {_words(value)}{_UNITS.get(name, '')}")
    if path is None and card.tunable:
        typer.echo(f"\nNot on this machine yet: softprompt models pull {card.id}")


@app.command()
def pull(model_id: ModelId, as_json: AsJson = False) -> None:
    """Fetch a foundation model, check every byte of it, and print its folder."""
    found = locate(model_id, verify=True, report=lambda step: typer.echo(f"{step} …", err=True))
    if as_json:
        print_json({"id": found.model_id, "path": str(found.path.absolute())})
    else:
        typer.echo(str(found.path.absolute()))


def _summary(card: ModelCard, path: Path | None) -> dict[str, Any]:
    names = ("id", "label", "provider", "parameters", "architecture", "context", "tunable", "good_at")
    return {name: getattr(card, name) for name in names} | {"available": path is not None}


def _facts(card: ModelCard, path: Path | None) -> dict[str, Any]:
    facts = dataclasses.asdict(card)
    if not card.reason:
        facts.pop("reason")
    if card.tunable and card.learning_rate is None:
        rms = embedding_rms(path) if path is not None else None
        facts["relative_learning_rate"] = catalogue.RELATIVE_LEARNING_RATE
        facts["learning_rate"] = None if rms is None else float(f"{catalogue.RELATIVE_LEARNING_RATE * rms:.3g}")
    return {**facts, "available": path is not None} | ({"path": str(path.absolute())} if path is not None else {})


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return _yes(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return f"{value['package']}=={value['version']}, {value['member']}"
    return f"{value:,}" if isinstance(value, int) else str(value)
