"""`softprompt datasets`: labelled rows in a studio. Files on this machine are `softprompt data`'s."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli import new_app
from softprompt.cli.nouns import Noun, add_delete
from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir
from softprompt.cli.tables import print_facts, print_table

app = new_app(no_args_is_help=True, help="Datasets of a studio: list, show, upload, delete.")


@app.command()
def upload(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled rows: JSON lines, a JSON array or CSV.")],
    name: Annotated[str | None, typer.Option("--name", help="Of the dataset [default: FILE's name].")] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="P", help="Name or id [default: the sandbox].")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="What the outputs are; auto looks at them.")] = "auto",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring rows into a studio, where they are checked. Exit code 1 if they cannot be used."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        sent = studio.upload("/api/datasets", file=file, project=project, name=name or file.stem, task=task)
        report = studio.get("/api/datasets", sent["id"], "report") if sent["state"] == "invalid" else {}
    if as_json:
        print_json(sent)
    else:
        typer.echo(f"{sent['name']} version {sent['version']} is {sent['state']}, {sent['rows']} rows, id {sent['id']}")
        for problem in report.get("problems", [])[:20]:
            if not problem["repaired"]:
                place = f"line {problem['line']}" if problem["line"] else "the file"
                typer.echo(f"{place}: {problem['message']} {problem['fix']}", err=True)
    if sent["state"] == "invalid":
        raise typer.Exit(1)


@app.command()
def show(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="ID", help="Id of a dataset.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Everything about a dataset, and what was found in it."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.get("/api/datasets", dataset)
        report = studio.get("/api/datasets", dataset, "report") if found["sha256"] else None
    if as_json:
        print_json({**found, "report": report})
        return
    print_facts(found)
    for warning in (report or {}).get("warnings", []):
        typer.echo(f"- {warning}")


@app.command("list")
def list_datasets(
    context: typer.Context,
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Name or id [default: all].")] = None,
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="In the name.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Datasets at most.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Datasets, the newest first, every version."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.every("/api/datasets", most=limit, project=project, search=search)
    if as_json:
        print_json({"datasets": found})
        return
    rows = [(item["id"], item["name"], item["version"], item["state"], item["rows"], item["task"]) for item in found]
    print_table(
        ("ID", "NAME", "VERSION", "STATE", "ROWS", "TASK"), rows, "No datasets yet: softprompt datasets upload FILE"
    )


add_delete(app, Noun("/api/datasets", "datasets"))
