"""What a plan for a run means, told before it starts: numbers, where they come from, what will hurt.

Reads rows and counts tokens in this process, without torch. The numbers are those that the run will take itself, since
both come from `engine.plans`; what needs the model is said to be left to the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from softprompt import catalogue
from softprompt.data.records import Example
from softprompt.data.starts import instruction_of, solved_rows
from softprompt.data.template import Template
from softprompt.engine.embedding_scale import embedding_rms
from softprompt.engine.plans import EXAMPLE_TOKENS, Pace, Schedule, Shape, pace_of, rate_share, schedule_of, shape_of
from softprompt.errors import NotFound, SoftpromptError
from softprompt.jobs import workers
from softprompt.params import LABEL_TASKS, Task, TuneConfig
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.tables import Dataset, Project, TunedPrompt
from softprompt.storage.work import Job, Measurement
from softprompt.studio import counting, foundation_models, measurements, outlook_words, runs
from softprompt.studio.access import Unit
from softprompt.studio.counting import Lengths
from softprompt.studio.estimates import Estimate, Size, estimate
from softprompt.studio.foundation_models import Model
from softprompt.studio.measurements import Waiting
from softprompt.studio.outlook_words import Default, Facts, Remark
from softprompt.studio.runs import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database says about a plan.

    Attributes:
        name: the run will have.
        measured: of the model, the newest first.
        begun: the tuned prompt that vectors start from.
        waiting: a measurement that is on its way.
        queue: runs and evaluations that wait or are at work.
    """

    plan: Plan
    name: str = ""
    problems: tuple[str, ...] = ()
    model: Model | None = None
    train: Dataset | None = None
    held: Dataset | None = None
    test: Dataset | None = None
    measured: Sequence[Measurement] = ()
    begun: TunedPrompt | None = None
    waiting: Waiting | None = None
    workers: int = 0
    queue: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What will happen.

    Attributes:
        task, labels: that the run will take.
        size: None while model or data are missing, and so is all below.
        cut: rows whose input is too long; None: unknown here.
        rms: scale of the model's embeddings; None: unknown here.
        start_text, start_tokens: what the vectors begin from, and its tokens (None: unknown here).
        defaults: by the name of the field.
        measure: the configuration that `measurements.ask` wants.
    """

    known: Known
    remarks: tuple[Remark, ...]
    task: Task = "generation"
    labels: tuple[str, ...] = ()
    size: Size | None = None
    lengths: Lengths | None = None
    cut: int | None = None
    learning_rate: float | None = None
    rms: float | None = None
    start_text: str = ""
    start_tokens: tuple[str, ...] | None = None
    defaults: dict[str, Default] = field(default_factory=dict)
    estimate: Estimate | None = None
    measure: dict[str, Any] = field(default_factory=dict)

    @property
    def startable(self) -> bool:
        return not any(remark.kind == "error" for remark in self.remarks)


def ask(unit: Unit, project: Project, plan: Plan, problems: Sequence[str] = ()) -> Known:
    """Everything that has to be read from the database; `problems` are known already."""
    model = None
    with suppress(SoftpromptError):  # the problems name it
        model = foundation_models.find(unit.rows, plan.model_id)

    def dataset(key: str | None) -> Dataset | None:
        row = unit.rows.get(Dataset, key) if key else None
        return row if row is not None and row.project_id == project.id and row.key else None

    return Known(
        plan=plan,
        name=runs.next_name(unit, project, plan.experiment),
        problems=(*problems, *map(str, runs.problems(unit, project, plan))),
        model=model,
        train=dataset(plan.dataset_id),
        held=dataset(plan.validation.get("dataset_id")),
        test=dataset(plan.test_dataset_id),
        measured=measurements.of_model(unit, model.id) if model else (),
        waiting=measurements.pending(unit, project, model.id) if model else None,
        begun=_begun(unit, project, plan),
        workers=len(workers.present(unit.rows)),
        queue=unit.rows.count(Job, state=["queued", "running"], kind=["tune", "evaluate"]),
    )


def _begun(unit: Unit, project: Project, plan: Plan) -> TunedPrompt | None:
    key = plan.config.get("init_prompt") if plan.config.get("init") == "prompt" else None
    found = unit.rows.get(TunedPrompt, key) if key else None
    return found if found is not None and found.project_id == project.id else None


def look(store: ArtifactStore, known: Known) -> Outlook:
    """What follows from it. Reads files; the first time takes as long as counting their tokens does."""
    try:
        config = TuneConfig(**known.plan.config)
        Template(config.template, config.instruction)
    except (SoftpromptError, TypeError):
        config = TuneConfig()  # the problems name what is wrong; the rest is shown nevertheless
    told = list(outlook_words.problems(known.problems))
    if known.model is None or known.train is None or known.train.state != "ready":
        return Outlook(known=known, remarks=tuple(told))
    return _Look(store, known, config, known.model, known.train, told).outlook()


@dataclass(slots=True)
class _Look:
    """One look at a plan whose model and data are there."""

    store: ArtifactStore
    known: Known
    config: TuneConfig
    model: Model
    train: Dataset
    told: list[Remark]
    rows: tuple[Example, ...] = ()
    held: int = 0
    overlap: int = 0
    lengths: Lengths | None = None

    @property
    def causal(self) -> bool:
        return self.model.architecture == "causal"

    @property
    def task(self) -> Task:
        seen: Any = self.train.task or "generation"
        return seen if self.config.task == "auto" else self.config.task

    def outlook(self) -> Outlook:
        self._read()
        labels = tuple(sorted({row.output for row in self.rows})) if self.task in LABEL_TASKS else ()
        examples, counted = self._examples(labels)
        given = self._given()
        shape = shape_of(self.config, causal=self.causal, labels=bool(labels), example_tokens=counted, given=given)
        pace = pace_of(shape.init, causal=self.causal)
        rms, usual, why = self._rate(pace)
        rate = self.config.learning_rate or usual
        schedule = None
        if self.config.readout != "only":
            schedule = schedule_of(self.config, max(self._count(), 1), pace, rate or 0.0)
        size = self._size(schedule, shape)
        facts = Facts(
            config=self.config,
            model=self.model,
            task=self.task,
            size=size,
            pace=pace,
            dataset_id=self.train.id,
            report=self.train.report or {},
            lengths=self.lengths,
            cut=self.lengths.cut(self.config.max_input_tokens) if self.lengths else None,
            usual_rate=usual,
            why_rate=why,
            overlap=self.overlap,
            workers=self.known.workers,
        )
        text = self._start_text(shape, labels, examples)
        pieces = counting.tokens_of(self.model.path, text) if self.model.path and text else None
        return Outlook(
            known=self.known,
            remarks=(*self.told, *outlook_words.remarks(facts)),
            task=self.task,
            labels=labels,
            size=size,
            lengths=self.lengths,
            cut=facts.cut,
            learning_rate=rate,
            rms=rms,
            start_text=text,
            start_tokens=None if pieces is None else tuple(pieces),
            defaults=outlook_words.defaults(facts),
            estimate=estimate(size, self.config, self.known.measured),
            measure=self._measure(schedule),
        )

    # --- what is read -------------------------------------------------------------------------------------------------
    def _read(self) -> None:
        share = self.known.plan.validation.get("share")
        usable = share if isinstance(share, float) and 0 < share < 1 else None
        try:
            self.rows, held = counting.rows_of(self._file(self.train), usable, self.config.seed, self.task)
            self.held = len(held) if usable else (self.known.held.rows or 0) if self.known.held else 0
            if self.model.path is not None:
                self.lengths = counting.lengths(self.model.path, self.rows, self.config.template, self.causal)
            test = self.known.test
            if test is not None and test.sha256 == self.train.sha256:
                self.overlap = -1
            elif test is not None:
                self.overlap = counting.shared(self.rows, counting.rows_of(self._file(test), None, 0, self.task)[0])
        except NotFound as error:
            self.told.append(Remark("error", str(error), "dataset"))
        except SoftpromptError as error:
            self.told.append(Remark("warn", str(error), "dataset"))

    def _file(self, dataset: Dataset) -> Any:
        try:
            return self.store.file(dataset.key or "")
        except NotFound as error:
            raise NotFound(f"The file of dataset {dataset.name!r} is gone from the store. Load it again.") from error

    def _count(self) -> int:
        return len(self.rows) or self.train.rows or 0

    def _examples(self, labels: tuple[str, ...]) -> tuple[str, int]:
        """Solved rows to start from, and how many tokens they have; as the run chooses them."""
        model = self.model.path
        if self.config.init not in (None, "examples") or not self.causal or model is None or not self.rows:
            return "", 0

        def count(text: str) -> int:
            return counting.count(model, text) or 0

        room = self.config.virtual_tokens or min(EXAMPLE_TOKENS, self.model.context // 4)
        asked = self.config.init == "examples"
        template = Template(self.config.template)
        text = solved_rows(self.rows, labels, template, self.config.seed, room, count, asked=asked)
        return text, count(text) if text else 0

    def _given(self) -> tuple[int, int]:
        """Vectors in front and after the cue of the tuned prompt to start from."""
        tensors = (self.known.begun.card.get("tensors") or {}) if self.known.begun else {}
        deep, front, behind = (tensors.get(name) for name in ("deep", "prefix", "suffix"))
        return int(deep[3]) if deep else int(front[0]) if front else 0, int(behind[0]) if behind else 0

    # --- what follows -------------------------------------------------------------------------------------------------
    def _rate(self, pace: Pace) -> tuple[float | None, float | None, str]:
        """Scale of the embeddings, the learning rate that would be taken, and why; None where only the run can know."""
        rms = embedding_rms(self.model.path) if self.model.path else None
        card, part, lower = self.model.card, rate_share(self.config, pace), ""
        if part < 1:
            deep = self.config.method == "prefix_tuning"
            lower = f", a third of it: {'every layer moves' if deep else 'the start is near an answer'}"
        if card is not None and card.learning_rate is not None:
            return rms, card.learning_rate * part, f"suits {self.model.label}{lower}"
        if not self.causal:
            return rms, catalogue.SEQ2SEQ_LEARNING_RATE * part, f"IBM’s for T5{lower}"
        if rms is None:
            return None, None, "follows the scale of the model’s embeddings; the run says it"
        usual = catalogue.default_learning_rate(card, architecture="causal", embedding_rms=rms) * part
        share = f"{catalogue.RELATIVE_LEARNING_RATE:g} × the scale of the model’s embeddings, {rms:.3f}"
        return rms, usual, f"{share}{lower}"

    def _size(self, schedule: Schedule | None, shape: Shape) -> Size:
        tokens = None
        if self.lengths is not None:
            tokens = self.lengths.tokens(self.config.max_input_tokens, self.config.max_output_tokens)
        return Size(
            rows=self._count(),
            held=self.held,
            test=(self.known.test.rows or 0) if self.known.test else 0,
            row_tokens=tokens,
            schedule=schedule,
            shape=shape,
            causal=self.causal,
        )

    def _start_text(self, shape: Shape, labels: tuple[str, ...], examples: str) -> str:
        if self.config.readout == "only" or shape.init in ("vocabulary", "random", "prompt"):
            return ""
        if shape.init == "examples":
            return examples
        if shape.init == "labels":
            return "".join(f" {label}" for label in labels)
        return self.config.init_text or self.config.instruction or instruction_of(self.task, labels)

    def _measure(self, schedule: Schedule | None) -> dict[str, Any]:
        """The plan's own settings with the numbers that a few rows alone would not give."""
        config = {name: value for name, value in self.known.plan.config.items() if name != "epochs"}
        config["task"] = self.task
        if schedule is not None:
            config |= {"batch_size": schedule.batch_size, "accumulate": schedule.accumulate}
        return config
