"""`softprompt projects`: where data, runs and tuned prompts of one undertaking lie together."""

from __future__ import annotations

from typing import Annotated

import typer

from softprompt.cli import new_app
from softprompt.cli.nouns import Noun, add_delete, add_list, add_show, told
from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir

NOUN = Noun("/api/projects", "projects", ("id", "name", "description", "tags"), "No projects yet.")

app = new_app(no_args_is_help=True, help="Projects of a studio: create, list, show, delete.")


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="May stand more than once.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a project."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        made = studio.post(NOUN.address, body={"name": name, "description": description, "tags": tag or []})
    print_json(made) if as_json else told(made, "created", as_json)


add_list(app, NOUN)
add_show(app, NOUN)
add_delete(app, NOUN)
