"""`softprompt api`: any request to a studio's own interface, for the jobs that have no command of their own.

Fields are words on the command line, bodies and uploads are files; what comes back is the answer as it is. Signing in,
repeats and errors are those of all commands. Which addresses there are: `/api/docs` of a studio, and docs/api.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir
from softprompt.errors import UsageError

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


def command(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Such as /api/projects.")],
    method: Annotated[
        str, typer.Option("--method", "-X", metavar="METHOD", help="[default: POST with fields or a file, else GET]")
    ] = "",
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field", "-f", metavar="NAME=VALUE", help="Of the body; of the query with GET. JSON, else a text."
        ),
    ] = None,
    body: Annotated[Path | None, typer.Option("--body", metavar="FILE", help="The body, as JSON.")] = None,
    upload: Annotated[Path | None, typer.Option("--upload", metavar="FILE", help="A file that is the body.")] = None,
    if_match: Annotated[
        str | None, typer.Option("--if-match", metavar="ETAG", help="Change only what is still in this state.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where the answer goes.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send one request to a studio and print its answer, such as: softprompt api /api/projects --field name=Routing"""
    from softprompt.cli.remote import desk

    fields = dict(_field(text) for text in field or ())
    bodies = [given for given in (fields or None, body, upload) if given is not None]
    chosen = method.upper() or ("POST" if bodies else "GET")
    if not path.startswith("/api/"):
        raise UsageError(f"{path!r} is no address of a studio. They begin with /api/, such as /api/projects.")
    if chosen not in METHODS:
        raise UsageError(f"--method: {method!r} is none of {', '.join(METHODS)}.")
    if len(bodies) > 1 or (chosen == "GET" and (body or upload)):
        raise UsageError("--field, --body, --upload: a request has one body, GET has none. Leave the others out.")
    if upload is not None and not upload.is_file():
        raise UsageError(f"--upload: {upload} is no file.")
    if out is not None and out.exists():
        raise UsageError(f"--out: {out} is there already. Name a new file.")
    given = {"params": fields} if chosen == "GET" else {"json": _document(body) if body else fields}
    headers = {"if-match": if_match} if if_match else {}
    with desk(context, data_dir) as studio:
        answer = studio.call(chosen, path, headers, **({"file": upload} if upload else given))
    _show(answer.content, answer.headers.get("content-type", ""), out)


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--field: {text!r} has to be NAME=VALUE, such as name=Routing.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _document(file: Path) -> Any:
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--body: {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"--body: {file} is not JSON: {error}.") from error


def _show(content: bytes, kind: str, out: Path | None) -> None:
    if out is not None:
        out.write_bytes(content)
        typer.echo(f"{len(content):,} bytes are in {out}")
    elif kind.partition(";")[0] == "application/json":
        print_json(json.loads(content))
    elif kind.startswith("text/"):
        sys.stdout.write(content.decode("utf-8", "replace"))
    elif content:
        raise UsageError(f"The answer is a file ({kind or 'of no named kind'}). Say with --out where it goes.")
