"""A studio with something of everything in every state, made by the studio's own use cases and a real worker.

Every name and every text goes through `say`: as it is, with a payload behind it, or as long as it may be.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.config import StudioSettings
from softprompt.jobs import events
from softprompt.storage.tables import Deployment, Space, TunedPrompt, TuningRun
from softprompt.storage.types import now
from softprompt.studio import (
    datasets,
    deployments,
    evaluations,
    lab,
    lab_history,
    memberships,
    people,
    projects,
    prompt_sessions,
    runs,
    spaces,
)
from softprompt.studio.access import SYSTEM, Actor, Unit
from softprompt.testing.live import LiveStudio
from softprompt.worker.local import LocalRunner
from softprompt.worker.process import WorkerSettings, work

MODEL = "tiny/llama"
EXAMPLES = Path(__file__).parents[2] / "examples" / "complaints"
SMALL: dict[str, Any] = {"place": "prefix", "virtual_tokens": 4, "batch_size": 8, "epochs": 3, "readout": "off"}
BROKEN = '{"input": "no output"}\n{oops\n{"input": "two", "output": "A"} {"input": "in a line", "output": "B"}\n'
Say = Callable[[str], str]


@dataclass
class Seeded:
    """A studio that is full.

    Attributes:
        session: cookies of the admin.
        ids: of what is in it, by the words that `ADDRESSES` uses.
    """

    live: LiveStudio
    session: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.live.url

    def path(self, address: str) -> str:
        return address.format(**self.ids)


def plain(text: str) -> str:
    return text


def seed(
    live: LiveStudio,
    session: dict[str, str],
    model: Path,
    runner: LocalRunner,
    say: Say = plain,
    label: str = "Service",
) -> Seeded:
    """Fill a studio; three tuning runs and an evaluation are really made, with the model of that folder.

    Args:
        label: one of the answers; a byte of it is a token of the tiny model, so it should not be long.
    """
    made = Seeded(live, session)
    live.add_model(MODEL, model)
    made.ids |= {"model": MODEL, "project": live.project.id}
    _data(made, say, label)
    _finished(made, runner, say)
    with live.office.unit(SYSTEM) as unit:
        unit.actor = _admin(unit)
        _at_work(made, unit, say)
        _deployed(made, unit, say)
        _written(made, unit, say)
    return made


def _admin(unit: Unit) -> Actor:
    user, _ = people.first_admin(unit)
    return Actor(user_id=user.id, name=user.name, admin=True)


def _data(made: Seeded, say: Say, label: str) -> None:
    v1, v2 = (_examples(f"{name}.jsonl") for name in ("v1", "v2"))
    texts = {
        "data": ("Complaints", _lines(v1[:60], say, label)),
        "second": ("Complaints", _lines(v2[:60], say, label)),
        "test": ("Complaints, test", _lines(_examples("test.jsonl")[:12], say, label)),
        "bad": (
            "Broken file",
            _lines(v1[:12], say, label) + BROKEN + _lines([("one more", "Service")], say, say("Service")),
        ),
    }
    for key, (name, text) in texts.items():
        made.ids[key] = add_dataset(made.live, say(name), text)


def add_dataset(live: LiveStudio, name: str, text: str) -> str:
    """Load rows as an upload would; the dataset's id."""
    file = live.data_dir / "rows.jsonl"
    file.write_text(text, encoding="utf-8")
    found = datasets.examine(file, most_rows=100_000)
    datasets.keep(live.office.store, found)
    with live.office.unit(SYSTEM) as unit:
        return datasets.create(unit, projects.sandbox(unit), name, found, file_name="rows.jsonl").id


def _examples(name: str) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()]
    return [(row["input"], row["output"]) for row in rows]


def _lines(rows: Sequence[tuple[str, str]], say: Say, label: str) -> str:
    """The first ten inputs as `say` has them, and some answers replaced by a label."""
    told = [(say(i), label if n % 5 == 0 else o) if n < 10 else (i, o) for n, (i, o) in enumerate(rows)]
    return "".join(json.dumps({"input": i, "output": o}) + "\n" for i, o in told)


def start_run(live: LiveStudio, experiment: str, dataset: str, **more: Any) -> str:
    """Queue a run; its id."""
    config = {**SMALL, **more.pop("config", {})}
    with live.office.unit(SYSTEM) as unit:
        unit.actor = _admin(unit)
        plan = runs.Plan(experiment=experiment, model_id=MODEL, dataset_id=dataset, config=config, **more)
        return runs.start(unit, projects.sandbox(unit), plan).id


def do_jobs(live: LiveStudio, runner: LocalRunner, count: int) -> None:
    """A worker that does so many jobs, here."""
    settings = StudioSettings.of(live.data_dir)
    for _ in range(count):
        work(WorkerSettings(studio=settings, poll=0.02, once=True), runner, threading.Event())


def _finished(made: Seeded, runner: LocalRunner, say: Say) -> None:
    live, ids = made.live, made.ids
    held: dict[str, Any] = {"validation": {"share": 0.2}, "test_dataset_id": ids["test"], "description": say("Why")}
    ids["run"] = start_run(live, say("Routing"), ids["data"], **held)
    ids["again"] = start_run(live, say("Routing"), ids["second"], **held, config={"init_text": say("Route it.")})
    ids["readout"] = start_run(live, say("Routing by label"), ids["data"], config={"readout": "only"})
    do_jobs(live, runner, 3)
    with live.office.unit(SYSTEM) as unit:
        for key in ("run", "again", "readout"):
            run = unit.rows.get(TuningRun, ids[key])
            assert run is not None
            assert run.state == "completed", run.problem
            ids[f"prompt of {key}"] = str(run.tuned_prompt_id)
            ids["experiment"] = run.experiment_id if key == "run" else ids["experiment"]
        ids["prompt"] = ids["prompt of run"]
        ids["evaluation"] = evaluations.start(
            unit,
            projects.sandbox(unit),
            say("Proof"),
            model_id=MODEL,
            dataset_id=ids["test"],
            methods=["zero-shot", "baseline", ids["prompt"], ids["prompt of again"]],
            settings={"limit": 4, "examples_dataset_id": ids["data"]},
        ).id
    do_jobs(live, runner, 1)


def _at_work(made: Seeded, unit: Unit, say: Say) -> None:
    """Runs as they stand when one looks in: at work, waiting, failed, canceled."""
    for key, state in (("live", "running"), ("queued", "queued"), ("failed", "failed"), ("canceled", "canceled")):
        plan = runs.Plan(experiment=say("Titles"), model_id=MODEL, dataset_id=made.ids["data"], config=SMALL)
        run = runs.start(unit, projects.sandbox(unit), plan)
        made.ids[key] = run.id
        if state == "canceled":
            runs.cancel(unit, run.id)
        elif state != "queued":
            tell_updates(unit, run, 120, of=200)
            run.state, run.started_at = state, now()
        if state == "failed":
            run.problem = {"code": "out_of_memory", "message": say("The device is out of memory. Halve batch_size.")}
            run.finished_at = now()


def tell_updates(unit: Unit, run: TuningRun, count: int, *, of: int, first: int = 1) -> None:
    """What a worker tells while it is at work."""
    if first == 1:
        facts = {"updates": of, "rows": 60, "epochs": 20, "virtual_tokens": 4, "done": 0}
        events.tell(unit.rows, run.id, "state", {"state": "running"})
        events.tell(unit.rows, run.id, "Started", facts)
    for update in range(first, first + count):
        loss = 2.4 * 0.985**update + 0.3 + 0.08 * ((update * 7919) % 13 - 6) / 6
        rate = 0.02 * (1 - update / (of * 1.1))
        told = {"update": update, "epoch": (update - 1) // 10, "loss": loss, "learning_rate": rate}
        told |= {"tokens_per_second": 900.0, "eta_seconds": 3.0 * (of - update)}
        events.tell(unit.rows, run.id, "StepDone", told)
        if update % 10 == 0:
            epoch = {"epoch": update // 10 - 1, "loss": loss, "validation_loss": loss + 0.1, "best": True}
            events.tell(unit.rows, run.id, "EpochDone", epoch)
        run.progress = {**told, "updates": of}


def _deployed(made: Seeded, unit: Unit, say: Say) -> None:
    ids, project = made.ids, projects.sandbox(unit)
    space = spaces.create(unit, say("Production"), stage="production", description=say("What customers meet"))
    ids["space"] = space.id

    def deploy(where: Any, name: str, serving: str, **what: Any) -> Deployment:
        return deployments.create(unit, where, say(name), serving=serving, description=say("Routes mail"), **what)

    ids["deployment"] = deploy(project, "Router", "router", prompt_id=ids["prompt"]).id
    ids["plain deployment"] = deploy(project, "Tiny", "tiny", model_id=MODEL).id
    ids["offline"] = deploy(project, "Old router", "old-router", prompt_id=ids["prompt of again"]).id
    deployments.update(unit, ids["offline"], online=False)
    assert unit.rows.get(Space, space.id)
    assert unit.rows.get(TunedPrompt, ids["prompt"])


def _written(made: Seeded, unit: Unit, say: Say) -> None:
    """What people wrote: a prompt session, an answer in the lab, a key, a colleague."""
    content = {
        "input": [[say("Where is my order?"), ""]],
        "data": {
            "instruction": say("Classify the complaint."),
            "input_prefix": "Input:",
            "output_prefix": "Output:",
            "examples": [[say("Put on hold for hours"), say("Service")]],
        },
    }
    session = prompt_sessions.create(unit, projects.sandbox(unit), say("Three shots"), model_id=MODEL, content=content)
    made.ids["session"] = session.id
    tries = (lab.Try(say("Where is it?"), say("Warehouse")),)
    page = lab.LabPage(instruction=say("Route it."), tries=tries, columns=(lab.Column(subject=f"model:{MODEL}"),))
    generation = lab_history.begin(unit, projects.sandbox(unit), page)
    tokens = (lab_history.Token(text=say("Ware"), logprob=-0.2, top=((say("House"), -1.8),)),)
    told = lab_history.Answer(
        row=0, column=0, output=say("Warehouse"), input_tokens=9, generated_tokens=1, tokens=tokens
    )
    lab_history.finish(unit, generation.id, [told])
    made.ids["generation"] = generation.id
    made.ids["key"] = people.create_key(unit, say("Notebook")[:100])[0].id
    colleague = people.create_user(unit, say("Colleague")[:100])
    made.ids["user"] = colleague.id
    memberships.set_member(unit, projects.sandbox(unit), colleague.name, "editor")
