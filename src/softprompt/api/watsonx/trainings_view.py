"""A tuning run as IBM's client wants to read it: its document, states, metrics and log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from softprompt.api.watsonx import trainings_params
from softprompt.storage.tables import RunEvent, TuningRun
from softprompt.studio.access import Unit, iso

STATES = {"queued": "pending"}
"""IBM's states by ours, where they differ."""
OURS = {"pending": "queued", "error": "failed"}
ASSET_TAG = "wx_prompt_tune."
KIND_TAG = "prompt_tuning"
EPOCH = "EpochDone"


def document(run: TuningRun, metrics: list[dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """The whole answer about one run."""
    wire = run.wire
    name = wire.get("name") or run.name
    entity: dict[str, Any] = {
        "name": name,
        "description": run.description,
        "auto_update_model": run.keep_prompt,
        "prompt_tuning": parameters,
        "training_data_references": wire.get("training_data_references") or [_reference(run)],
        "results_reference": results_reference(run),
        "project_id": run.project_id,
        "status": status(run, metrics),
    }
    if run.tuned_prompt_id:
        entity["model_id"] = run.tuned_prompt_id
    meta = {"id": run.id, "name": name, "description": run.description, "project_id": run.project_id}
    meta |= {"created_at": iso(run.created_at), "modified_at": iso(run.updated_at)}
    # The client reads kind and asset from the first two tags, and breaks without them.
    tags = [KIND_TAG, f"{ASSET_TAG}{run.id}", *run.tags]
    return {"metadata": {**meta, "tags": tags}, "entity": entity}


def parameters_of(run: TuningRun) -> dict[str, Any]:
    """What the document says about the run's parameters without looking anything up."""
    told = run.wire.get("prompt_tuning")
    if isinstance(told, dict):
        return told
    return trainings_params.of_config(run.config, run.model_id, len(_history(run)))


def status(run: TuningRun, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    shown: dict[str, Any] = {"state": state(run.state), "message": _message(run), "metrics": metrics}
    if run.started_at:
        shown["running_at"] = iso(run.started_at)
    if run.finished_at:
        shown["completed_at"] = iso(run.finished_at)
    if run.state == "failed":
        problem = run.problem or {}
        told = {"code": problem.get("code", "failed"), "message": problem.get("message", "The run failed.")}
        shown["failure"] = {"trace": run.id, "errors": [told]}
    return shown


def state(ours: str) -> str:
    return STATES.get(ours, ours)


def metrics_of(unit: Unit, run: TuningRun) -> list[dict[str, Any]]:
    """The loss of each pass; of one that goes on, the newest."""
    if history := _history(run):
        return metrics(run, history)
    if run.started_at is None:
        return []
    told = unit.rows.all(RunEvent, run_id=run.id, kind=EPOCH, sort="id")
    return metrics(run, epochs_of(told), run.progress if run.state == "running" else None)


def epochs_of(told: Iterable[RunEvent]) -> list[dict[str, Any]]:
    """Passes in their order. After a restart one may have been told twice, with the same result."""
    newest = {int(event.data["epoch"]): event.data for event in told if event.kind == EPOCH}
    return [newest[epoch] for epoch in sorted(newest)]


def metrics(
    run: TuningRun, history: Sequence[dict[str, Any]], progress: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Two entries for each pass, at its beginning and its end: the client pairs them to know how long it took.

    Both have the pass's mean loss, and the client takes the mean of the two.
    """
    began = run.started_at or run.created_at
    found: list[dict[str, Any]] = []
    before = 0.0
    for number, record in enumerate(history):
        after = max(before, float(record.get("seconds") or 0.0))
        found += [_entry(2 * number, began, at, number, float(record["loss"])) for at in (before, after)]
        before = after
    going = progress.get("epoch") if progress else None
    if progress and going == len(history) and progress.get("loss") is not None:
        at = datetime.fromisoformat(str(progress["at"])) if progress.get("at") else began
        after = max(before, (at - began).total_seconds())
        found += [_entry(2 * len(history), began, s, len(history), float(progress["loss"])) for s in (before, after)]
    for number, entry in enumerate(found):
        entry["iteration"] = number
    return found


def results_reference(run: TuningRun) -> dict[str, Any]:
    """Where the client thinks that log and model request lie; `training_files` answers there."""
    sent = run.wire.get("results_reference")
    sent = sent if isinstance(sent, dict) else {}
    location = sent.get("location") if isinstance(sent.get("location"), dict) else {}
    kind, path = sent.get("type") or "fs", str((location or {}).get("path") or "")
    if kind == "fs" and "/assets/wx_prompt_tune" not in path:
        path = f"/projects/{run.project_id}/assets/wx_prompt_tune"
    place = f"{path}/{run.id}"
    files = {"training": place, "training_log": f"{place}/training.log"}
    files["model_request_path"] = f"{place}/assets/{run.id}/resources/wml_model/request.json"
    return {"type": kind, "connection": {}, "location": {**(location or {}), "path": path, **files}}


def log_line(event: RunEvent) -> str | None:
    """What an event says in a log; None if it says nothing that is worth a line."""
    words = _words(event.kind, event.data)
    return None if words is None else f"{iso(event.at)} {words}"


def _words(kind: str, data: dict[str, Any]) -> str | None:
    if kind == EPOCH:
        held = data.get("validation_loss")
        return f"epoch {data['epoch']}: loss {data['loss']:.5f}" + (f", validation loss {held:.5f}" if held else "")
    if kind == "ReadoutEpochDone":
        return f"pass {data['epoch']} through the readout: loss {data['loss']:.5f}"
    if kind == "state":
        problem = data.get("problem") or {}
        return f"{state(data['state'])}" + (f": {problem.get('message')}" if problem else "")
    if kind == "Note":
        return str(data.get("text"))
    if kind == "Started":
        return (
            f"{data.get('updates')} updates of {data.get('virtual_tokens')} virtual tokens on {data.get('rows')} rows"
        )
    return f"the end: {data.get('reason')} after update {data.get('update')}" if kind == "Finished" else None


def event_status(event: RunEvent, began: datetime) -> dict[str, Any] | None:
    """What a client that watches the run hears of an event."""
    words = _words(event.kind, event.data)
    if words is None:
        return None
    level = "error" if event.kind == "state" and event.data.get("state") == "failed" else "info"
    told: dict[str, Any] = {"state": "running", "message": {"level": level, "text": words}}
    if event.kind == "state":
        told["state"] = state(event.data["state"])
    if event.kind == EPOCH:
        number, seconds = int(event.data["epoch"]), (event.at - began).total_seconds()
        told["metrics"] = [_entry(number, began, seconds, number, float(event.data["loss"]))]
    return {"entity": {"status": told}}


def _message(run: TuningRun) -> dict[str, str]:
    problem = run.problem or {}
    if run.state == "failed":
        return {"level": "error", "text": str(problem.get("message", "The run failed."))}
    if run.state == "queued":
        text = "Waits for a worker." + (f" {problem['message']}" if problem.get("message") else "")
    elif run.state == "running":
        done, of = run.progress.get("update"), run.progress.get("updates")
        text = f"Update {done} of {of}." if of is not None else "The model is being loaded."
    else:
        text = {"completed": "The tuned prompt is ready.", "canceled": "Canceled."}.get(run.state, run.state)
    return {"level": "info", "text": text}


def _entry(iteration: int, began: datetime, seconds: float, epoch: int, loss: float) -> dict[str, Any]:
    moment = iso(began + timedelta(seconds=seconds))
    return {"iteration": iteration, "timestamp": moment, "ml_metrics": {"epoch": epoch, "loss": loss}}


def _history(run: TuningRun) -> list[dict[str, Any]]:
    found = run.results.get("epochs")
    return list(found) if isinstance(found, list) else []


def _reference(run: TuningRun) -> dict[str, Any]:
    href = f"/v2/assets/{run.dataset_id}?project_id={run.project_id}"
    return {"type": "data_asset", "connection": {}, "location": {"href": href, "id": run.dataset_id}}
