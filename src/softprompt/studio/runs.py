"""Tuning runs: started, watched, canceled, kept early, deleted. The work itself is the worker's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from softprompt.data.template import Template
from softprompt.errors import InUse, NotFound, ParameterInvalid, SoftpromptError, TemplateInvalid
from softprompt.jobs import events, queue
from softprompt.params import TuneConfig
from softprompt.storage.rows import Page
from softprompt.storage.tables import Dataset, Project, RunEvent, TunedPrompt, TuningRun
from softprompt.storage.work import Job
from softprompt.studio import datasets, experiments, foundation_models, tuned_prompts
from softprompt.studio.access import Revision, Unit, check_revision
from softprompt.studio.names import changes, clean_tags, clean_text

FIELDS = {item.name for item in dataclasses.fields(TuneConfig)}
OVER = ("completed", "failed", "canceled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run shall do.

    Attributes:
        config: fields of `TuneConfig` that the person set.
        validation: {"share": 0.2}, {"dataset_id": ID} or nothing.
        wire: what a foreign interface sent and wants to see again.
    """

    experiment: str
    model_id: str
    dataset_id: str
    config: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    test_dataset_id: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    keep_prompt: bool = True
    priority: int = 0
    wire: dict[str, Any] = field(default_factory=dict)


def start(unit: Unit, project: Project, plan: Plan) -> TuningRun:
    """Queue a run "NAME (N)" of the experiment; everything that is wrong with the plan is named at once."""
    unit.require(project)
    if found := problems(unit, project, plan):
        raise _joined(found)
    experiment = experiments.named(unit, project, plan.experiment)
    unit.rows.lock(experiment)  # two runs at once must not get one number
    experiment.runs_made += 1
    run = TuningRun(
        project_id=project.id,
        experiment_id=experiment.id,
        number=experiment.runs_made,
        name=f"{experiment.name} ({experiment.runs_made})",
        description=clean_text(plan.description),
        tags=clean_tags(plan.tags),
        created_by=unit.actor.user_id,
        model_id=foundation_models.find(unit.rows, plan.model_id).id,
        dataset_id=plan.dataset_id,
        validation=plan.validation,
        test_dataset_id=plan.test_dataset_id,
        config=plan.config,
        wire=plan.wire,
        keep_prompt=plan.keep_prompt,
    )
    unit.rows.add(run)
    queue.enqueue(unit.rows, kind="tune", subject_id=run.id, project_id=project.id, priority=plan.priority)
    events.tell(unit.rows, run.id, events.STATE, {"state": run.state})
    unit.log("start", run, name=run.name)
    return run


def problems(unit: Unit, project: Project, plan: Plan) -> list[SoftpromptError]:
    """Everything that keeps a plan from being started."""
    found: list[SoftpromptError] = []
    for check in (_check_model, _check_config, _check_data):
        try:
            check(unit, project, plan)
        except SoftpromptError as error:
            found.append(error)
    return found


def next_name(unit: Unit, project: Project, experiment: str) -> str:
    """What the next run of an experiment will be called; empty for no name."""
    name = " ".join(experiment.split())
    if found := experiments.known(unit, project, name):
        return f"{found.name} ({found.runs_made + 1})"
    return f"{name} (1)" if name else ""


def again(unit: Unit, run_id: str, changes: dict[str, Any]) -> TuningRun:
    """The same run with other settings, as the next one of its experiment."""
    run = unit.get(TuningRun, run_id)
    experiment = experiments.get(unit, run.experiment_id)
    plan = Plan(
        experiment=experiment.name,
        model_id=run.model_id,
        dataset_id=run.dataset_id,
        config={**run.config, **changes},
        validation=run.validation,
        test_dataset_id=run.test_dataset_id,
        description=run.description,
        tags=tuple(run.tags),
        keep_prompt=run.keep_prompt,
    )
    return start(unit, unit.get(Project, run.project_id), plan)


def as_earlier(plan: Plan, run: TuningRun) -> Plan:
    """The plan, with all that no form shows as an earlier run had it."""
    return replace(plan, description=run.description, tags=tuple(run.tags), keep_prompt=run.keep_prompt)


def get(unit: Unit, run_id: str) -> TuningRun:
    return unit.get(TuningRun, run_id)


def find(unit: Unit, id_or_name: str) -> TuningRun:
    """By id, or the newest visible run of a name."""
    for run in unit.rows.all(TuningRun, name=id_or_name, sort="-created_at"):
        if unit.role_in(run):
            unit.require(run)
            return run
    return unit.get(TuningRun, id_or_name)


def page(
    unit: Unit,
    *,
    project_id: str | None = None,
    experiment_id: str | None = None,
    experiment_ids: list[str] | None = None,
    state: str | None = None,
    tags: list[str] | None = None,
    **paging: Any,
) -> Page[TuningRun]:
    """Runs, the newest first. A run has all of `tags` and belongs to one of `experiment_ids`."""
    equals: dict[str, Any] = {}
    if project_id:
        equals["project_id"] = unit.get(Project, project_id).id
    if experiment_id:
        equals["experiment_id"] = experiments.get(unit, experiment_id).id
    elif experiment_ids is not None:
        equals["experiment_id"] = experiment_ids
    if state:
        equals["state"] = state.split(",")
    return unit.rows.page(TuningRun, containers=unit.visible(), tagged=tags or (), **equals, **paging)


def cancel(unit: Unit, run_id: str, how: Literal["cancel", "keep"] = "cancel") -> TuningRun:
    """Stop a run; with "keep" it ends as completed, with the best prompt so far."""
    run = unit.get(TuningRun, run_id)
    queue.request_cancel(unit.rows, subject_id=run.id, how=how)
    unit.log(how, run, name=run.name)
    unit.rows.session.refresh(run)
    return run


def delete(unit: Unit, run_id: str, revision: Revision = None) -> None:
    """Refused while it is not over. Its tuned prompt stays."""
    run = unit.get(TuningRun, run_id)
    check_revision(run, revision)
    if run.state not in OVER:
        raise InUse(f"Run {run.name!r} is {run.state}. Cancel it first.")
    unit.delete(run)


def update(
    unit: Unit,
    run_id: str,
    *,
    description: str | None = None,
    tags: list[str] | None = None,
    revision: Revision = None,
) -> TuningRun:
    run = unit.get(TuningRun, run_id)
    unit.change(run, revision, **changes(description=description, tags=tags))
    return run


def events_after(unit: Unit, run_id: str, last_id: int = 0, limit: int = 500) -> list[RunEvent]:
    """What the run told since the event `last_id`."""
    run = unit.get(TuningRun, run_id)
    return list(events.after(unit.rows, run.id, last_id, limit))


def before(unit: Unit, run: TuningRun) -> int:
    """How many jobs have their turn before a run that waits."""
    job = unit.rows.first(Job, subject_id=run.id, state="queued")
    if job is None:
        return 0
    mine = (-job.priority, job.created_at)
    return sum((-other.priority, other.created_at) < mine for other in unit.rows.all(Job, state="queued"))


def beside(unit: Unit, run: TuningRun, limit: int = 8) -> list[tuple[str, str]]:
    """Ids and names of other runs that a comparison is likely to want: of the same experiment, the newest first."""
    found = page(unit, experiment_id=run.experiment_id, limit=limit + 1, without=("results", "progress", "wire")).items
    return [(other.id, other.name) for other in found if other.id != run.id][:limit]


def prompt_of(unit: Unit, run_id: str) -> TunedPrompt:
    """The tuned prompt of a completed run; made now if the run was told to leave that to a person."""
    run = unit.get(TuningRun, run_id)
    if run.tuned_prompt_id:
        return unit.get(TunedPrompt, run.tuned_prompt_id)
    if run.state != "completed" or "prompt_key" not in run.results:
        raise NotFound(f"Run {run.name!r} is {run.state} and has no tuned prompt.")
    prompt = tuned_prompts.from_run(unit, run, run.results["prompt_key"], run.results["card"])
    run.tuned_prompt_id = prompt.id
    return prompt


def _check_model(unit: Unit, project: Project, plan: Plan) -> None:
    foundation_models.tunable(unit.rows, plan.model_id)


def _check_config(unit: Unit, project: Project, plan: Plan) -> None:
    unknown = sorted(set(plan.config) - FIELDS)
    if unknown:
        raise ParameterInvalid(f"{', '.join(unknown)}: no such parameter. Known are {', '.join(sorted(FIELDS))}.")
    try:
        config = TuneConfig(**plan.config)
        Template(config.template, config.instruction)
        _check_start(unit, project, plan, config)
    except TypeError as error:
        raise ParameterInvalid(f"A parameter has a value of another kind: {error}.") from error
    except TemplateInvalid as error:
        raise ParameterInvalid(f"template: {error}") from error
    if set(plan.validation) - {"share", "dataset_id"} or len(plan.validation) > 1:
        raise ParameterInvalid('validation: use {"share": 0.2} or {"dataset_id": ID}.')
    if "share" in plan.validation:
        datasets.check_share(plan.validation["share"])


def _check_start(unit: Unit, project: Project, plan: Plan, config: TuneConfig) -> None:
    """A tuned prompt to start from has to be of the project and of the model."""
    if config.init != "prompt":
        return
    if not config.init_prompt:
        raise ParameterInvalid("init_prompt: none is named. Choose the tuned prompt to start from.")
    found = unit.rows.get(TunedPrompt, config.init_prompt)
    if found is None or found.project_id != project.id:
        raise ParameterInvalid(f"init_prompt: {config.init_prompt[:60]!r} is no tuned prompt of this project.")
    unit.hold(found)
    model = foundation_models.find(unit.rows, plan.model_id).id
    if found.model_id != model:
        raise ParameterInvalid(f"init_prompt: {found.name!r} was tuned for {found.model_id}, this run is for {model}.")
    if not found.virtual_tokens:
        raise ParameterInvalid(f"init_prompt: {found.name!r} has no vectors, only a label readout. Choose another one.")


def _check_data(unit: Unit, project: Project, plan: Plan) -> None:
    fields = {"dataset": plan.dataset_id, "validation": plan.validation.get("dataset_id"), "test": plan.test_dataset_id}
    for name, dataset_id in fields.items():
        if dataset_id is None:
            continue
        found: Dataset = datasets.usable(unit, dataset_id, name, need="viewer")
        if found.project_id != project.id:
            raise ParameterInvalid(f"{name}: dataset {found.name!r} is of another project. Upload it to this one.")


def _joined(problems: list[SoftpromptError]) -> SoftpromptError:
    if len(problems) == 1:
        return problems[0]
    joined = type(problems[0])(" ".join(str(p) for p in problems))
    return joined
