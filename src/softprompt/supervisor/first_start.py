"""Before a studio answers: tables of this version, somebody who may sign in, a project to work in, sample data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from softprompt.data import sample
from softprompt.errors import NameTaken, SoftpromptError
from softprompt.studio import datasets, people, projects
from softprompt.studio.access import Office, Unit
from softprompt.studio.people import LINK_LIFE

SAMPLES = (
    ("Complaints test", "test.jsonl", "16 rows of every answer to measure on; none stands in the training rows."),
    ("Complaints v2", "v2.jsonl", "The same task as a database has it: mostly single departments."),
    ("Complaints v1", "v1.jsonl", "Customer complaints and the departments that must act: the better training rows."),
)
"""Name, file of the sample task, description; what one starts with comes last, so that it stands first in lists."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What was made.

    Attributes:
        secret: of a link that signs the admin in, once.
        hours: that the link works.
    """

    admin: str
    secret: str
    hours: int


def prepare(office: Office) -> Ready:
    """The tables' newest form, an admin with a fresh link, the sandbox."""
    office.database.upgrade()
    try:
        return _prepare(office)
    except NameTaken:  # a second machine starts on the same database at this moment
        return _prepare(office)


def _prepare(office: Office) -> Ready:
    with office.unit() as unit:
        admin, secret = people.first_admin(unit)
        projects.sandbox(unit)
        return Ready(admin.name, secret, int(LINK_LIFE.total_seconds() // 3600))


def add_samples(office: Office, folder: Path) -> list[str]:
    """The sample datasets in the sandbox; names of those that were not there yet."""
    added = []
    for name, file, description in SAMPLES:
        found = datasets.examine(folder / file, most_rows=office.limits.rows)
        with office.unit(write=False) as unit:
            if _there(unit, found.sha256):
                continue
        datasets.keep(office.store, found)
        with office.unit() as unit:
            dataset = datasets.create(
                unit, projects.sandbox(unit), name, found, description=description, file_name=file, tags=["sample"]
            )
            added.append(f"{dataset.name} ({dataset.rows} rows)")
    return added


def _there(unit: Unit, sha256: str) -> bool:
    from softprompt.storage.tables import Dataset

    # Deleted ones count: who threw the samples away does not want them back at the next start.
    return unit.rows.first(Dataset, deleted=True, project_id=projects.sandbox(unit).id, sha256=sha256) is not None


def sample_or_reason(office: Office) -> str:
    """Bring the samples in; what came of it, in a sentence."""
    folder = sample.folder()
    if folder is None:
        return "The sample data does not lie beside this installation; upload rows of your own."
    try:
        added = add_samples(office, folder)
    except SoftpromptError as error:
        return f"The sample data could not be brought in: {error}"
    return f"Sample data in the sandbox: {', '.join(added)}." if added else "The sample data is in the sandbox already."
