"""Which files of the store are still needed."""

from __future__ import annotations

from softprompt.storage import cleaning
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.storage.types import now


def test_files_of_rows_are_needed_hidden_rows_and_unmade_prompts_too(database: Database) -> None:
    with database.write() as session:
        rows = Rows(session)
        rows.add(Dataset(name="d", project_id="p", key="datasets/1"))
        rows.add(Dataset(name="hidden", project_id="p", key="datasets/2", deleted_at=now()))
        rows.add(TunedPrompt(name="t", project_id="p", model_id="m", key="prompts/run-1"))
        run = {"experiment_id": "e", "project_id": "p", "model_id": "m", "dataset_id": "d"}
        rows.add(TuningRun(name="r", number=1, results={"prompt_key": "prompts/run-2", "card": {}}, **run))
        rows.add(TuningRun(name="r", number=2, results={"metrics": {}}, **run))
    asked = [f"datasets/{i}" for i in (1, 2, 3)] + [f"prompts/run-{i}" for i in (1, 2, 3)]
    with database.read() as session:
        assert cleaning.needed(session, asked) == {"datasets/1", "datasets/2", "prompts/run-1", "prompts/run-2"}
