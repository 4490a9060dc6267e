"""`softprompt evaluations`: methods against each other on held-out rows of a studio. On this machine: `evaluate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from softprompt.cli import new_app
from softprompt.cli.nouns import Noun, Which, add_delete, add_list, add_show, told
from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir

NOUN = Noun(
    "/api/evaluations",
    "evaluations",
    ("id", "name", "state", "model_id"),
    "No evaluations yet: softprompt evaluations start DATASET --model ID --with zero-shot",
)

app = new_app(no_args_is_help=True, help="Evaluations of a studio: start, list, show, cancel, delete.")


@app.command()
def start(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Held-out rows: id, or the newest of a name.")],
    model: Annotated[str, typer.Option("--model", metavar="ID", help="Foundation model.")],
    methods: Annotated[
        list[str],
        typer.Option("--with", metavar="METHOD", help="zero-shot, K-shot, baseline or a tuned prompt; repeatable."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="For people [default: the dataset's].")] = None,
    instruction: Annotated[str | None, typer.Option("--instruction", metavar="S", help="In front of shots.")] = None,
    examples: Annotated[
        str | None, typer.Option("--examples", metavar="DATASET", help="Rows that shots and baseline come from.")
    ] = None,
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Name or id of a project.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Queue an evaluation; a worker carries it out."""
    from softprompt.cli.remote import desk

    settings = {"instruction": instruction, "examples_dataset": examples}
    body: dict[str, Any] = {
        "name": name or dataset,
        "model": model,
        "dataset": dataset,
        "methods": methods,
        "settings": {field: value for field, value in settings.items() if value is not None},
    }
    with desk(context, data_dir) as studio:
        made = studio.post(NOUN.address, body=body if project is None else {**body, "project": project})
    print_json(made) if as_json else told(made, made["state"], as_json)


@app.command()
def cancel(context: typer.Context, which: Which, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop an evaluation."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.post(NOUN.address, which, "cancel")
    print_json(found) if as_json else told(found, found["state"], as_json)


add_list(app, NOUN)
add_show(app, NOUN)
add_delete(app, NOUN)
