"""Commands that several nouns of a studio have alike: list, show, delete. Others stand in the module of the noun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir
from softprompt.cli.tables import print_facts, print_table

Which = Annotated[str, typer.Argument(metavar="ID", help="Id or name.")]


@dataclass(frozen=True, slots=True)
class Noun:
    """What is told of a kind of things.

    Attributes:
        address: of its list.
        many: its plural, in JSON and in words.
        columns: fields of the list, the id first.
        nothing: what an empty list says.
    """

    address: str
    many: str
    columns: Sequence[str] = ()
    nothing: str = ""


def add_list(app: typer.Typer, noun: Noun) -> None:
    def listed(
        context: typer.Context,
        search: Annotated[str, typer.Option("--search", metavar="TEXT", help="In the name.")] = "",
        limit: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = 50,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        from softprompt.cli.remote import desk

        with desk(context, data_dir) as studio:
            found = studio.every(noun.address, most=limit, search=search)
        if as_json:
            print_json({noun.many: found})
            return
        heads = [name.upper().replace("_", " ") for name in noun.columns]
        print_table(heads, [[item.get(name) for name in noun.columns] for item in found], noun.nothing)

    app.command("list", help=f"{noun.many.capitalize()}, the newest first.")(listed)


def add_show(app: typer.Typer, noun: Noun) -> None:
    def show(context: typer.Context, which: Which, data_dir: DataDir = None, as_json: AsJson = False) -> None:
        from softprompt.cli.remote import desk

        with desk(context, data_dir) as studio:
            found = studio.get(noun.address, which)
        print_json(found) if as_json else print_facts(found)

    app.command("show", help="Everything about one of them.")(show)


def add_delete(app: typer.Typer, noun: Noun) -> None:
    def delete(context: typer.Context, which: Which, data_dir: DataDir = None, as_json: AsJson = False) -> None:
        from softprompt.cli.remote import desk

        with desk(context, data_dir) as studio:
            found = studio.get(noun.address, which)
            studio.delete(noun.address, found["id"])
        told(found, "deleted", as_json)

    app.command("delete", help="Into the trash for 30 days; what is in use stays.")(delete)


def told(document: dict[str, Any], done: str, as_json: bool) -> None:
    """What was done to a thing: its id and name."""
    if as_json:
        print_json({"id": document["id"], "name": document["name"], "state": done})
    else:
        typer.echo(f"{document['name']} is {done}, id {document['id']}")
