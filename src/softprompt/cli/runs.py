"""`softprompt runs`: tuning runs of a studio. Without `--url` those of this machine's data folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli import new_app
from softprompt.cli.fields import chosen, options_of
from softprompt.cli.nouns import Noun, add_delete
from softprompt.cli.output import print_json
from softprompt.cli.places import AsJson, DataDir
from softprompt.cli.tables import moment, print_facts, print_table
from softprompt.errors import UsageError
from softprompt.params import TuneConfig

if TYPE_CHECKING:
    from softprompt.cli.remote import Desk

app = new_app(no_args_is_help=True, help="Tuning runs of a studio: start, watch, compare, cancel, list, delete.")
LOOK_EVERY = 0.5
"""Seconds between two questions for news."""

RunId = Annotated[str, typer.Argument(metavar="ID", help="Id of a run, or the newest of a name.")]
Project = Annotated[str | None, typer.Option("--project", metavar="P", help="Name or id [default: the sandbox].")]


@app.command()
@options_of(TuneConfig, unset="follows model and data")
def start(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Labelled rows; or a dataset that is in the studio.")],
    model: Annotated[str, typer.Option("--model", metavar="ID", help="Foundation model.")],
    experiment: Annotated[
        str | None, typer.Option("--experiment", metavar="NAME", help="Folder of the run [default: FILE's name].")
    ] = None,
    project: Project = None,
    validation: Annotated[
        str | None,
        typer.Option("--validation", metavar="FILE|SHARE", help="Held-out rows; the best epoch by them is kept."),
    ] = None,
    test: Annotated[str | None, typer.Option("--test", metavar="FILE", help="Rows that measure the result.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="May stand more than once.")] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Upload rows and queue a tuning run on them; a worker of the studio does it."""
    from softprompt.cli.remote import desk

    config = chosen(given)
    TuneConfig(**config)  # what does not fit is told before anything is uploaded
    with desk(context, data_dir) as studio:
        body = {
            "experiment": experiment or Path(file).stem,
            "model": model,
            "dataset": _dataset(studio, file, project),
            "config": config,
            "description": description,
            "tags": tag or [],
            "validation": {},
        }
        if project:
            body["project"] = project
        if validation is not None:
            share = _share(validation)
            held = {"share": share} if share is not None else {"dataset": _dataset(studio, validation, project)}
            body["validation"] = held
        if test is not None:
            body["test_dataset"] = _dataset(studio, test, project)
        run = studio.post("/api/runs", body=body)
    if as_json:
        print_json(run)
        return
    typer.echo(f"{run['name']} is {run['state']}, id {run['id']}")
    typer.echo(f"Follow it:  softprompt {_address(context)}runs watch {run['id']}", err=True)


@app.command()
def show(context: typer.Context, run_id: RunId, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Everything about a run."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        run = studio.get("/api/runs", run_id)
    print_json(run) if as_json else print_facts(run)


@app.command("list")
def list_runs(
    context: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="queued, running, completed, failed or canceled.")
    ] = None,
    experiment: Annotated[str | None, typer.Option("--experiment", metavar="ID", help="Of this experiment.")] = None,
    project: Annotated[str | None, typer.Option("--project", metavar="P", help="Name or id [default: all].")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="All of these.")] = None,
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="In the name.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Runs at most.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Runs, the newest first."""
    from softprompt.cli.remote import desk

    query = {"state": state, "experiment": experiment, "project": project, "tag": tag, "search": search}
    with desk(context, data_dir) as studio:
        found = studio.every("/api/runs", most=limit, **query)
    if as_json:
        print_json({"runs": found})
        return
    rows = [(run["id"], run["name"], run["state"], run["model_id"], moment(run["created_at"])) for run in found]
    print_table(("ID", "NAME", "STATE", "MODEL", "STARTED"), rows, "No runs yet: softprompt runs start FILE --model ID")


@app.command()
def watch(context: typer.Context, run_id: RunId, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Tell what a run does until it is over. Exit code 1 if it did not complete."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        run_id = studio.get("/api/runs", run_id)["id"]
        last, over = 0, False
        while not over:
            page = studio.get("/api/runs", run_id, "events", after=last)
            last, over = page["last"], page["over"]
            for event in page["items"]:
                if not as_json and (words := _told(event["kind"], event["data"])):
                    typer.echo(f"{moment(event['at'], seconds=True)}  {words}")
            if not page["items"] and not over:
                time.sleep(LOOK_EVERY)
        run = studio.get("/api/runs", run_id)
    if as_json:
        print_json(run)
    if run["state"] != "completed":
        raise typer.Exit(1)


@app.command()
def compare(
    context: typer.Context,
    run_ids: Annotated[list[str], typer.Argument(metavar="ID …", help="Up to six runs.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Runs side by side: the settings that differ, and what came out."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.get("/api/comparisons", run=run_ids)
    if as_json:
        print_json(found)
        return
    sides = found["runs"]
    rows = [(each["name"], *each["values"]) for each in found["differing"]]
    ways = dict.fromkeys(_way(side, method) for side in sides for method in side["methods"])
    rows += [(way, *(_came_out(side, way) for side in sides)) for way in ways]
    print_table(("", *(side["name"] for side in sides)), rows, "These runs went by the same settings.")
    if found["counts"] and found["counts"]["remark"]:
        typer.echo(f"\n{found['counts']['remark']}")


@app.command()
def cancel(
    context: typer.Context,
    run_id: RunId,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the best so far; the run completes.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run: one that waits at once, one that is at work within two seconds."""
    from softprompt.cli.remote import desk

    with desk(context, data_dir) as studio:
        found = studio.get("/api/runs", run_id)
        run = studio.post("/api/runs", found["id"], "keep" if keep else "cancel")
    if as_json:
        print_json(run)
    else:
        going = "" if run["state"] == "canceled" else "; it was told to stop"
        typer.echo(f"{run['name']} is {run['state']}{going}")


add_delete(app, Noun("/api/runs", "runs"))


def _way(side: dict[str, Any], method: dict[str, Any]) -> str:
    """A method without the name of the run, and what its figure is."""
    return f"{method['name'].removeprefix(side['name'] + ' · ')}, {method['measure']}"


def _came_out(side: dict[str, Any], way: str) -> str:
    """What a run reached by that way, with its interval."""
    for method in side["methods"]:
        if _way(side, method) == way:
            low, high = method["interval"]
            return f"{method['share']:.3f} ({low:.2f} – {high:.2f})"
    return "–"


def _dataset(studio: Desk, file: str, project: str | None) -> str:
    """The id of a file that is uploaded now, or of a dataset that is there."""
    path = Path(file)
    if not path.is_file():
        where = {"project": project} if project else {"project": "Sandbox"}
        found = studio.every("/api/datasets", most=1, name=file, **where)
        if not found:
            raise UsageError(f"{file} is no file here and no dataset of the project.")
        return str(found[0]["id"])
    typer.echo(f"Uploading {path.name} …", err=True)
    sent = studio.upload("/api/datasets", file=path, project=project, name=path.stem)
    return str(sent["id"])


def _share(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _told(kind: str, data: dict[str, Any]) -> str:
    """An event in words; empty for what nobody wants to read."""
    if kind == "state":
        problem = data.get("problem") or {}
        return f"{data['state']}{': ' + problem['message'] if problem else ''}"
    if kind == "Note":
        return str(data.get("text", ""))
    if kind == "Started":
        return f"{data.get('rows')} rows, {data.get('virtual_tokens')} virtual tokens, {data.get('updates')} updates"
    if kind == "EpochDone":
        parts = [f"epoch {data.get('epoch', 0) + 1}", f"loss {data.get('loss', 0):.4f}"]
        if data.get("validation_loss") is not None:
            parts.append(f"validation loss {data['validation_loss']:.4f}")
        if data.get("metric") is not None:
            parts.append(f"metric {data['metric']:.3f}")
        return ", ".join(parts)
    if kind == "ReadoutEpochDone":
        return f"pass {data.get('epoch', 0) + 1} through the readout, loss {data.get('loss', 0):.4f}"
    return f"Finished: {data.get('reason', '')}" if kind == "Finished" else ""


def _address(context: typer.Context) -> str:
    url = (context.find_root().obj or {}).get("url")
    return f"--url {url} " if url else ""
