"""From a claimed job to a task: reads what the studio knows and brings the files onto this machine.

Does not start anything and writes nothing to the database.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.errors import NotFound, StorageFull, Unavailable
from softprompt.jobs.queue import Claim
from softprompt.jobs.states import State
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, Evaluation, FoundationModel, TunedPrompt, TuningRun
from softprompt.storage.work import Job, Measurement
from softprompt.worker import checkpoints
from softprompt.worker.runner import EvaluateTask, MeasureTask, Task, TuneTask


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task, and what the paths in it are called.

    Attributes:
        resumed: behind what it goes on, in words; empty if it begins.
    """

    task: Task
    out: Path
    resumed: str
    called: dict[str, str] = field(default_factory=dict)

    def in_words(self, message: str) -> str:
        """A message with datasets and models by their names instead of paths of this machine."""
        for path, name in sorted(self.called.items(), key=lambda item: -len(item[0])):
            message = message.replace(path, name)
        return message


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares jobs for one worker.

    Attributes:
        scratch: folder for what is being worked on.
    """

    database: Database
    store: ArtifactStore
    scratch: Path
    device: str

    def prepare(self, claim: Claim) -> Prepared:
        """Read rows, then bring files.

        Raises:
            NotFound: a dataset, a tuned prompt or a file of them is gone.
            StorageFull, Unavailable: of the store, or of the disk that files are brought to.
        """
        desk = self.scratch / claim.subject_id
        place = desk / f"{claim.fence:06d}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            kinds = {"tune": self._tune, "evaluate": self._evaluate, "measure": self._measure}
            return kinds[claim.kind](claim, place)
        except OSError as error:
            words = f"The worker's folder {self.scratch} cannot be written: {error.strerror}."
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"{words} Make room there.") from error
            raise Unavailable(f"{words} Let the worker's user write there.") from error

    def forget(self, claim: Claim) -> None:
        """Delete what a job left in scratch."""
        shutil.rmtree(self.scratch / claim.subject_id, ignore_errors=True)

    def tidy(self) -> None:
        """Delete what jobs that are over left in scratch, on whatever worker they ended."""
        desks = [path for path in self.scratch.glob("*") if path.is_dir()] if self.scratch.is_dir() else []
        with self.database.read() as session:
            rows = Rows(session)
            waiting = {job.subject_id for job in rows.all(Job, state=[State.QUEUED, State.RUNNING])}
        for desk in desks:
            if desk.name not in waiting:
                shutil.rmtree(desk, ignore_errors=True)

    def _tune(self, claim: Claim, place: Path) -> Prepared:
        with self.database.read() as session:
            rows = Rows(session)
            run = rows.get(TuningRun, claim.subject_id, deleted=True)
            if run is None:
                raise NotFound("The tuning run is gone.")
            model = _model(rows, run.model_id)
            held_id = run.validation.get("dataset_id")
            train = _dataset(rows, run.dataset_id, "training")
            held = _dataset(rows, held_id, "validation") if held_id else None
            test = _dataset(rows, run.test_dataset_id, "test") if run.test_dataset_id else None
            begun = _prompt(rows, run.config)
        called = {model: run.model_id}
        out = place / "tuned"
        share = run.validation.get("share")
        task = TuneTask(
            model_id=run.model_id,
            model=model,
            device=self.device,
            name=run.name,
            train=self._bring(train, place / "train", called),
            out=str(out),
            config=self._config(run.config, begun, called),
            validation=self._bring(held, place / "validation", called) if held else share and float(share),
            test=self._bring(test, place / "test", called) if test else None,
        )
        update = checkpoints.bring(self.store, run.id, self.scratch / run.id, out)
        return Prepared(task, out, f"the checkpoint after update {update}" if update else "", called)

    def _evaluate(self, claim: Claim, place: Path) -> Prepared:
        with self.database.read() as session:
            rows = Rows(session)
            evaluation = rows.get(Evaluation, claim.subject_id, deleted=True)
            if evaluation is None:
                raise NotFound("The evaluation is gone.")
            settings: dict[str, Any] = dict(evaluation.settings)
            examples_id = settings.pop("examples_dataset_id", None)
            model = _model(rows, evaluation.model_id)
            test = _dataset(rows, evaluation.dataset_id, "test")
            examples = _dataset(rows, examples_id, "examples") if examples_id else None
            prompts = {prompt.id: prompt for prompt in rows.all(TunedPrompt, id=evaluation.methods)}
        called = {model: evaluation.model_id}
        out = place / "report"
        task = EvaluateTask(
            model_id=evaluation.model_id,
            model=model,
            device=self.device,
            title=evaluation.name,
            test=self._bring(test, place / "test", called),
            methods=[self._method(method, prompts, called) for method in evaluation.methods],
            examples=self._bring(examples, place / "examples", called) if examples else None,
            kept=str(checkpoints.answers_of(out)),
            settings={name: value for name, value in settings.items() if value is not None},
        )
        count = checkpoints.bring(self.store, evaluation.id, self.scratch / evaluation.id, out)
        return Prepared(task, out, f"{count} answers that are there" if count else "", called)

    def _measure(self, claim: Claim, place: Path) -> Prepared:
        with self.database.read() as session:
            rows = Rows(session)
            wanted = rows.get(Measurement, claim.subject_id)
            if wanted is None:
                raise NotFound("The measurement is gone.")
            settings = dict(wanted.config)
            test_id = settings.pop("test_dataset_id", None)
            model = _model(rows, wanted.model_id)
            train = _dataset(rows, wanted.dataset_id, "training")
            test = _dataset(rows, test_id, "test") if test_id else None
            begun = _prompt(rows, settings)
        called = {model: wanted.model_id}
        task = MeasureTask(
            model_id=wanted.model_id,
            model=model,
            device=self.device,
            train=self._bring(train, place / "train", called),
            validation=bool(settings.pop("validation", False)),
            test=self._bring(test, place / "test", called) if test else None,
            config=self._config(settings, begun, called),
        )
        return Prepared(task, place / "speed", "", called)

    def _method(self, method: str, prompts: dict[str, TunedPrompt], called: dict[str, str]) -> str:
        """A way to answer by its word, or the folder of a tuned prompt."""
        if method == "baseline" or method.endswith("-shot"):
            return method
        if method not in prompts:
            raise NotFound(f"The tuned prompt {method!r} is gone. Start an evaluation without it.")
        folder = str(self.store.folder(prompts[method].key).absolute())
        called[folder] = prompts[method].name
        return folder

    def _config(self, config: dict[str, Any], begun: TunedPrompt | None, called: dict[str, str]) -> dict[str, Any]:
        """The settings, with the tuned prompt that the vectors start from as a folder here."""
        if begun is None:
            return config
        folder = str(self.store.folder(begun.key).absolute())
        called[folder] = begun.name
        return {**config, "init_prompt": folder}

    def _bring(self, dataset: Dataset, folder: Path, called: dict[str, str]) -> str:
        """The dataset's file in this attempt's own folder, since what the store gives may be replaced at any time."""
        assert dataset.key is not None
        try:
            source = self.store.file(dataset.key)
        except NotFound as error:
            raise NotFound(f"The file of dataset {dataset.name!r} is gone from the store. Upload it again.") from error
        folder.mkdir(parents=True, exist_ok=True)
        path = (folder / "rows").absolute()
        shutil.copyfile(source, path)
        called[str(path)] = f"{dataset.name!r}"
        return str(path)


def _model(rows: Rows, model_id: str) -> str:
    """Where a model comes from: the folder that an admin registered, else the catalogue's id."""
    own = rows.first(FoundationModel, model_id=model_id)
    return model_id if own is None else own.path


def _dataset(rows: Rows, dataset_id: str, role: str) -> Dataset:
    found = rows.get(Dataset, dataset_id)
    if found is None or found.key is None:
        raise NotFound(f"The {role} dataset {dataset_id!r} was deleted. Start the run again with another one.")
    return found


def _prompt(rows: Rows, config: dict[str, Any]) -> TunedPrompt | None:
    """The tuned prompt that a run starts from."""
    if config.get("init") != "prompt":
        return None
    found = rows.get(TunedPrompt, config.get("init_prompt", ""))
    if found is None:
        raise NotFound("The tuned prompt to start from was deleted. Start the run again with another one.")
    return found
