"""`softprompt prompts`: tuned prompts of a studio, shown, carried away and promoted to spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli import new_app
from softprompt.cli.nouns import Noun, add_delete, told
from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir
from softprompt.cli.tables import print_facts, print_table
from softprompt.errors import UsageError

app = new_app(no_args_is_help=True, help="Tuned prompts of a studio: list, show, download, promote, delete.")

Prompt = Annotated[str, typer.Argument(metavar="ID", help="Id of a tuned prompt, or the newest of a name.")]


@app.command("list")
def list_prompts(
    context: typer.Context,
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Name or id of a project.")] = None,
    space: Annotated[str | None, typer.Option("--space", metavar="S", help="Name or id of a space.")] = None,
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="In the name.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Prompts at most.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Tuned prompts, the newest first."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.every("/api/prompts", most=limit, project=project, space=space, search=search)
    if as_json:
        print_json({"prompts": found})
        return
    rows = [(item["id"], item["name"], item["model_id"], item["task"], item["virtual_tokens"]) for item in found]
    print_table(
        ("ID", "NAME", "MODEL", "TASK", "VIRTUAL TOKENS"),
        rows,
        "No tuned prompts yet: softprompt runs start FILE --model ID",
    )


@app.command()
def show(context: typer.Context, prompt: Prompt, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Everything about a tuned prompt."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.get("/api/prompts", prompt)
    if as_json:
        print_json(found)
    else:
        print_facts({name: value for name, value in found.items() if name != "card"})


@app.command()
def download(
    context: typer.Context,
    prompt: Prompt,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New folder for the tuned prompt.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a tuned prompt as the folder that `softprompt generate`, our library and PEFT open."""
    import io
    import zipfile

    from softprompt.cli.remote import desk

    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UsageError(f"--out: {out} is there already and not empty. Name a new folder.")
    with desk(context, data_dir) as studio:
        found = studio.get("/api/prompts", prompt)
        packed = studio.download("/api/prompts", found["id"], "file")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(out)
    if as_json:
        print_json({"id": found["id"], "name": found["name"], "out": str(out)})
    else:
        typer.echo(f"{found['name']} is in {out}")


@app.command()
def promote(
    context: typer.Context,
    prompt: Prompt,
    space: Annotated[str, typer.Option("--space", metavar="S", help="Name or id of a space.")],
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a tuned prompt into a space; promoted twice, it is there once."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.get("/api/prompts", prompt)
        made = studio.post("/api/prompts", found["id"], "promote", body={"space": space, "description": description})
    print_json(made) if as_json else told(made, f"in the space {space}", as_json)


add_delete(app, Noun("/api/prompts", "prompts"))
