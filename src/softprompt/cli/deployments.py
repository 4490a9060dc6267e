"""`softprompt deployments`: what answers under which name. Without `--url` those of this machine's data folder."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from softprompt.cli import new_app
from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir
from softprompt.cli.tables import print_facts, print_table

app = new_app(no_args_is_help=True, help="What answers under which name: create, list, delete.")

Deployment = Annotated[str, typer.Argument(metavar="ID", help="Id or serving name.")]
Space = Annotated[str | None, typer.Option("--space", metavar="S", help="Name or id of a space.")]
Project = Annotated[str | None, typer.Option("--project", metavar="P", help="Name or id of a project.")]


@app.command()
def create(
    context: typer.Context,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="Tuned prompt: id, or the newest of a name.")
    ] = None,
    serving_name: Annotated[
        str | None, typer.Option("--serving-name", metavar="N", help="The model's name for clients.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="ID", help="A foundation model in place of a tuned prompt.")
    ] = None,
    space: Space = None,
    project: Project = None,
    name: Annotated[str | None, typer.Option("--name", help="For people [default: the prompt's].")] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="May stand more than once.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a tuned prompt behind a serving name; it answers at once. In a space it is promoted to it first."""
    from softprompt.cli.remote import desk

    wanted: dict[str, Any] = {
        "prompt": prompt, "model": model, "serving_name": serving_name, "space": space, "project": project,
        "name": name, "description": description, "tags": tag or [],
    }  # fmt: skip
    body = {field: value for field, value in wanted.items() if value is not None}
    with desk(context, data_dir) as studio:
        made = studio.post("/api/deployments", body=body)
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{made['name']} is {made['state']} as {made['serving_name'] or made['id']}, id {made['id']}")


@app.command()
def show(context: typer.Context, deployment: Deployment, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Everything about a deployment."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.get("/api/deployments", deployment)
    print_json(found) if as_json else print_facts(found)


@app.command("list")
def list_deployments(
    context: typer.Context,
    space: Space = None,
    project: Project = None,
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="In the name.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Deployments at most.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Deployments, the newest first."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.every("/api/deployments", most=limit, space=space, project=project, search=search)
    if as_json:
        print_json({"deployments": found})
        return
    rows = [(item["id"], item["serving_name"], item["name"], item["state"], item["model_id"]) for item in found]
    print_table(
        ("ID", "SERVING NAME", "NAME", "STATE", "MODEL"),
        rows,
        "No deployments yet: softprompt deployments create PROMPT --serving-name N",
    )


@app.command()
def delete(context: typer.Context, deployment: Deployment, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """From the next request on it does not answer; its serving name is free."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.get("/api/deployments", deployment)
        studio.delete("/api/deployments", found["id"])
    if as_json:
        print_json({"id": found["id"], "serving_name": found["serving_name"], "state": "deleted"})
    else:
        typer.echo(f"{found['name']} is deleted")
