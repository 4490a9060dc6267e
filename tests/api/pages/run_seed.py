"""Runs as a worker would have left them, for the tests of pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from softprompt.data.metrics import score
from softprompt.jobs import events
from softprompt.storage.tables import Evaluation, TunedPrompt, TuningRun
from softprompt.storage.types import now
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import ROWS

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
GOLD = ["Service", "Warehouse", "Service", "Warehouse"]
INPUTS = [f"Row {n} says <b>hello</b>" for n in range(1, 5)]


class Seed:
    """Makes runs in a studio."""

    def __init__(self, studio: LiveStudio) -> None:
        self.studio = studio
        self._headers = {"authorization": f"Bearer {studio.key}"}
        self.data = self.dataset("Rows", ROWS)

    def dataset(self, name: str, text: str) -> str:
        answer = httpx.post(
            f"{self.studio.url}/api/datasets", params={"name": name}, content=text.encode(), headers=self._headers
        )
        return str(answer.json()["id"])

    def run(self, experiment: str, **more: Any) -> str:
        """One that waits."""
        body = {"experiment": experiment, "model": MODEL, "dataset": self.data, "config": {"epochs": 20}, **more}
        answer = httpx.post(f"{self.studio.url}/api/runs", json=body, headers=self._headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def work(
        self, run_id: str, upto: int, *, of: int, begin: int = 1, validation: bool = False, rate: float = 0.93
    ) -> None:
        """Updates, ten to an epoch."""
        with self.studio.office.unit(SYSTEM) as unit:
            for update in range(begin, upto + 1):
                step = {"update": update, "epoch": (update - 1) // 10, "loss": 2 * rate**update + 0.2,
                        "learning_rate": 0.02, "tokens_per_second": 900.0,
                        "eta_seconds": 3.0 * (of - update)}  # fmt: skip
                events.tell(unit.rows, run_id, "StepDone", step)
                if update % 10 == 0:
                    held = 2 * rate**update + 0.5 if validation else None
                    end = {"epoch": update // 10 - 1, "loss": 2 * rate**update, "validation_loss": held,
                           "metric": None, "best": validation, "seconds": 1.0}  # fmt: skip
                    events.tell(unit.rows, run_id, "EpochDone", end)
            run = unit.rows.get(TuningRun, run_id)
            assert run is not None
            run.state = "running"
            run.progress = {"update": upto, "updates": of, "loss": 1.0, "learning_rate": 0.01,
                            "tokens_per_second": 900.0, "eta_seconds": 3.0 * (of - upto)}  # fmt: skip

    def done(self, experiment: str, *, still_falling: bool = False, folder: Path | None = None, **more: Any) -> str:
        """A run that is over, with a tuned prompt and a test."""
        run_id = self.run(experiment, **more)
        self.work(run_id, 80, of=80, validation=True, rate=0.985 if still_falling else 0.93)
        with self.studio.office.unit(SYSTEM) as unit:
            run = unit.rows.get(TuningRun, run_id)
            assert run is not None
            card = {"peft": {"covers": ["prefix"]}, "recipe": {"chosen": {"epochs": 20, "learning_rate": 0.02}}}
            prompt = TunedPrompt(project_id=run.project_id, run_id=run_id, name=run.name, model_id=MODEL, card=card,
                                 key=f"prompts/{run_id}", virtual_tokens=20, answers_by="readout")  # fmt: skip
            unit.rows.add(prompt)
            if folder is not None:
                for name in ("adapter_config.json", "README.md", "softprompt.json"):
                    (folder / name).write_text("{}", encoding="utf-8")
                prompt.size = unit.store.put_folder(prompt.key, folder)
            results = evaluation_results([(f"{run.name} · text", "Service"), (f"{run.name} · readout", None)])
            proof = Evaluation(project_id=run.project_id, name=f"{run.name} on Rows", state="completed",
                               model_id=MODEL, dataset_id=self.data, methods=[prompt.id], results=results)  # fmt: skip
            unit.rows.add(proof)
            run.tuned_prompt_id, run.test_dataset_id = prompt.id, self.data
            run.state, run.finished_at = "completed", now()
            figures = [{k: v for k, v in m.items() if k != "answers"} for m in results["methods"]]
            run.results = {"updates": 80, "seconds": 99.0, "epochs": [], "ledger": LEDGER,
                           "test": {**results, "methods": figures, "evaluation_id": proof.id}}  # fmt: skip
        return run_id

    def prompt_of(self, run_id: str) -> str:
        with self.studio.office.unit(SYSTEM, write=False) as unit:
            run = unit.rows.get(TuningRun, run_id)
            assert run is not None
            return str(run.tuned_prompt_id)


def evaluation_results(methods: Sequence[tuple[str, str | None]]) -> dict[str, Any]:
    """Each method says one thing to all rows; without one it is right in all rows but the last."""
    found = []
    for name, always in methods:
        said = [always] * 4 if always else [*GOLD[:3], "Service"]
        figures = score("classification", [str(text) for text in said], GOLD).to_dict()
        answers = [{"input": text, "output": out, "confidence": 0.5} for text, out in zip(INPUTS, said, strict=True)]
        found.append({"name": name, **figures, "input_tokens": 34.0, "virtual_tokens": 20, "generated_tokens": 3.0,
                      "ms_per_row": 12.5, "answers": answers})  # fmt: skip
    return {"task": "classification", "rows": 4, "right": GOLD, "notes": [], "methods": found}


def _line(way: str, read: float, virtual: int, said: float, *, instruction: bool) -> dict[str, Any]:
    return {"way": way, "instruction": instruction, "input_tokens": read, "virtual_tokens": virtual,
            "generated_tokens": said}  # fmt: skip


LEDGER = {
    "rows": 4,
    "context": 8192,
    "instruction": "Classify it.",
    "lines": [
        _line("zero-shot", 60, 0, 6, instruction=True),
        _line("3-shot", 150, 0, 6, instruction=True),
        _line("readout", 60, 0, 0, instruction=True),
        _line("readout", 34, 0, 0, instruction=False),
    ],
}
