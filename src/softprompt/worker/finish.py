"""From a result to rows: the tuned prompt in the store, what the run found in the database, both or neither."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.config import Limits
from softprompt.jobs.queue import Claim, Held, Queue
from softprompt.jobs.states import State
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.tables import Dataset, Evaluation, TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Measurement
from softprompt.studio import measurements, tuned_prompts
from softprompt.studio.access import SYSTEM, Unit

_KEPT = ("metrics", "epochs", "updates", "seconds", "tokens", "notes", "ledger", "test")


@dataclass(frozen=True, slots=True)
class Stored:
    """A tuned prompt's folder in the store."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Finisher:
    """Writes results of one worker's jobs."""

    queue: Queue
    store: ArtifactStore
    limits: Limits
    host: str = ""
    device: str = ""

    def store_prompt(self, claim: Claim, out: Path) -> Stored:
        """Put the folder into the store, under a key of this claim alone: a late worker cannot replace it."""
        key = f"prompts/{claim.subject_id}-{claim.fence}"
        return Stored(key, self.store.put_folder(key, out))

    def tuned(self, claim: Claim, result: dict[str, Any], stored: Stored) -> State:
        """Complete a tuning run."""

        def change(held: Held) -> None:
            run = held.subject
            assert isinstance(run, TuningRun)
            run.results = {name: result[name] for name in _KEPT if name in result}
            if run.keep_prompt:
                unit = Unit(held.rows, SYSTEM, "editor", self.store, self.limits)
                prompt = tuned_prompts.from_run(unit, run, stored.key, result["card"])
                prompt.size = stored.size
                run.tuned_prompt_id = prompt.id
            else:
                run.results |= {"prompt_key": stored.key, "card": result["card"], "size": stored.size}
            if "methods" in run.results.get("test", {}):
                run.results = {**run.results, "test": _tested(held, run)}
            if "speed" in result:
                measurements.learn(held.rows, run, result["speed"], host=self.host, device=self.device)

        return self.queue.complete(claim, change)

    def evaluated(self, claim: Claim, result: dict[str, Any]) -> State:
        """Complete an evaluation."""

        def change(held: Held) -> None:
            assert isinstance(held.subject, Evaluation)
            held.subject.results = result["evaluation"]
            held.subject.report = result["report"]

        return self.queue.complete(claim, change)

    def measured(self, claim: Claim, result: dict[str, Any]) -> State:
        """Complete a measurement."""

        def change(held: Held) -> None:
            assert isinstance(held.subject, Measurement)
            held.subject.found = result["speed"]
            held.subject.host, held.subject.device = self.host, self.device

        return self.queue.complete(claim, change)

    def clean(self, claim: Claim, kept: Stored | None) -> None:
        """Delete from the store what only served to get this far."""
        self.store.remove(f"checkpoints/{claim.subject_id}")
        for fence in range(1, claim.fence + 1):
            key = f"prompts/{claim.subject_id}-{fence}"
            if (kept is None or key != kept.key) and self.store.exists(key):
                self.store.remove(key)


def _tested(held: Held, run: TuningRun) -> dict[str, Any]:
    """The test of a run is an evaluation like any other, with every answer; the run keeps the figures."""
    test = run.results["test"]
    dataset = held.rows.get(Dataset, run.test_dataset_id, deleted=True)
    evaluation = Evaluation(
        project_id=run.project_id,
        name=f"{run.name} on {dataset.name if dataset else 'its test rows'}"[:200],
        state=State.COMPLETED,
        model_id=run.model_id,
        dataset_id=run.test_dataset_id,
        methods=[run.tuned_prompt_id] if run.tuned_prompt_id else [],
        results=test,
        created_by=run.created_by,
        started_at=run.started_at,
        finished_at=now(),
    )
    held.rows.add(evaluation)
    figures = [{name: value for name, value in method.items() if name != "answers"} for method in test["methods"]]
    kept = {name: value for name, value in test.items() if name != "right"}
    return {**kept, "methods": figures, "evaluation_id": evaluation.id}
