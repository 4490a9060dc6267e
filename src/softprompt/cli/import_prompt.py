"""`softprompt import`: a prompt that PEFT or caikit trained becomes a tuned prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli.output import print_json
from softprompt.data.template import Template


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What PEFT's save_pretrained or caikit wrote.")],
    model: Annotated[
        str, typer.Option("--model", metavar="ID", help="The model it was trained on: an id or a folder.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the tuned prompt goes.")],
    template: Annotated[
        str | None, typer.Option("--template", help="Text around {{input}}; default: the folder's own, else none.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the tuned prompt; default: the name of DIR.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a tuned prompt of a PEFT adapter (prompt tuning, prefix tuning) or of caikit's vectors."""
    from softprompt.engine.import_prompt import check_foreign, import_prompt
    from softprompt.engine.loading import load_model

    # Loading the model may take minutes: what can be refused without it is refused first.
    chosen = None if template is None else Template(text=template)
    check_foreign(folder)
    found = import_prompt(folder, load_model(model), name=name or out.resolve().name, template=chosen)
    place = found.tuned.save(out)
    summary = {
        "out": str(place),
        "name": found.tuned.name,
        "format": found.format,
        "model": found.tuned.base.model_id,
        "virtual_tokens": found.tuned.virtual_tokens,
        "template": found.tuned.template.text,
        "left_out": list(found.left_out),
    }
    if as_json:
        print_json(summary)
        return
    typer.echo(f"{found.tuned.name}: {found.tuned.virtual_tokens} virtual tokens from {found.format}, in {place}")
    typer.echo(f"Template: {found.tuned.template.text!r}")
    for item in found.left_out:
        typer.echo(f"Left out: {item}")
