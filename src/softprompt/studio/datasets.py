"""Datasets: labelled examples, checked when they come in, immutable afterwards, known by the digest of their bytes.

A file is examined outside of any unit of work (it may be large); what was found is then stored in one.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from softprompt.data.read import stream
from softprompt.data.records import Example
from softprompt.data.report import DataReport, check
from softprompt.errors import (
    DatasetInvalid,
    DatasetUnreadable,
    Forbidden,
    NotFound,
    ParameterInvalid,
    TooLarge,
    WrongState,
)
from softprompt.params import Task
from softprompt.storage import datasets as queries
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.datasets import Listed, Use
from softprompt.storage.rows import Page
from softprompt.storage.tables import Dataset, Project
from softprompt.studio.access import Revision, Unit, check_revision
from softprompt.studio.datasets_index import RowIndex, build, open_index
from softprompt.studio.in_use import refuse_if_used
from softprompt.studio.names import changes, clean_name, clean_tags, clean_text, free_name
from softprompt.studio.secrets import digest, new_secret

NAMED = 20
"""Problems that a refusal names; the rest is counted."""
_NO_DATASET = ("format", "header", "empty")
"""Kinds of problems with a file as a whole, in which there is nothing to show or to repair."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found out about a file."""

    path: Path
    size: int
    sha256: str
    report: DataReport

    @property
    def key(self) -> str:
        return f"datasets/{self.sha256}"


def examine(path: Path, *, most_rows: int, task: Task = "auto") -> Examined:
    """Digest and report of a file; refuses one with too many rows."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    report = check(path, task=task)
    if report.rows > most_rows:
        raise TooLarge(f"The file has {report.rows:,} rows; at most {most_rows:,} are allowed here.")
    return Examined(path, path.stat().st_size, sha256, report)


def refuse_no_dataset(found: Examined) -> None:
    """Say what is wrong with a file that is no dataset at all: a picture, an archive, nothing."""
    told = [problem for problem in found.report.problems if problem.kind in _NO_DATASET and not problem.repaired]
    if told and not found.report.valid:
        raise DatasetUnreadable(" ".join(f"{problem.message} {problem.fix}" for problem in told[:3]))


def keep(store: ArtifactStore, found: Examined) -> None:
    """Put the file into the store, where it lies under its digest, and lay out its rows on this machine."""
    if not store.exists(found.key):
        store.put_file(found.key, found.path)
    build(store.cache / "rows", found.sha256, found.path)


def index(store: ArtifactStore, dataset: Dataset) -> RowIndex | None:
    """The rows of a stored dataset; None while it has no file."""
    if dataset.key is None or dataset.sha256 is None:
        return None
    return open_index(store.cache / "rows", dataset.sha256, lambda: store.file(str(dataset.key)))


def create(
    unit: Unit,
    project: Project,
    name: str,
    found: Examined | None = None,
    *,
    description: str = "",
    tags: list[str] | None = None,
    file_name: str = "",
    media_type: str = "application/octet-stream",
) -> Dataset:
    """A new dataset, or a new version of the one with this name. Without `found` its file is put later.

    The same bytes under the same name are the same dataset: the one that is there is given back.
    """
    unit.require(project)
    name = clean_name(name)
    unit.rows.lock(project)  # two uploads at once must not get one version
    older = unit.rows.all(Dataset, project_id=project.id, name=name, deleted=True, sort="-version", limit=1)
    if found is not None:
        same = unit.rows.first(Dataset, project_id=project.id, name=name, sha256=found.sha256)
        if same is not None:
            return same
    dataset = Dataset(
        project_id=project.id,
        name=name,
        version=older[0].version + 1 if older else 1,
        description=clean_text(description),
        tags=clean_tags(tags),
        file_name=clean_text(file_name, "file_name", most=300),
        media_type=clean_text(media_type, "media_type", most=100),
        created_by=unit.actor.user_id,
    )
    unit.rows.add(dataset)
    if found is not None:
        _fill(unit, dataset, found)
    unit.log("create", dataset, name=name, version=dataset.version)
    return dataset


def open_upload(
    unit: Unit, dataset_id: str, *, attachment_id: str, file_name: str, media_type: str
) -> tuple[Dataset, str]:
    """Get ready for a file; whoever has the secret may put it. Put again, it must be the same: answers get lost."""
    dataset = unit.get(Dataset, dataset_id)
    if dataset.state != "uploading":
        raise WrongState(f"Dataset {dataset.name!r} has its file already. Make a new version.")
    secret = new_secret()
    dataset.attachment_id, dataset.upload_digest = attachment_id, digest(secret)
    dataset.file_name = clean_text(file_name, "name", most=300) or dataset.file_name
    dataset.media_type = clean_text(media_type, "mime", most=100) or dataset.media_type
    return dataset, secret


def uploading(unit: Unit, dataset_id: str, secret: str) -> Dataset:
    """The dataset whose upload this secret opens (nobody needs to be signed in)."""
    dataset = unit.rows.get(Dataset, dataset_id)
    if dataset is None or not dataset.upload_digest or not hmac.compare_digest(dataset.upload_digest, digest(secret)):
        raise Forbidden("This upload address is not valid. Ask for a new attachment.")
    return dataset


def receive(unit: Unit, dataset_id: str, found: Examined) -> Dataset:
    """The uploaded file of a dataset that was waiting for it."""
    dataset = unit.rows.get(Dataset, dataset_id)
    if dataset is None:
        raise NotFound(f"There is no dataset {dataset_id!r} here.")
    if dataset.state not in ("uploading",) and dataset.sha256 != found.sha256:
        raise WrongState(f"Dataset {dataset.name!r} has its file already, with other content. Make a new version.")
    _fill(unit, dataset, found)
    return dataset


def get(unit: Unit, dataset_id: str) -> Dataset:
    return unit.get(Dataset, dataset_id)


def id_of(unit: Unit, project_id: str, id_or_name: str) -> str:
    """Of the newest version of a name; what is no name is taken for an id, which the use case checks."""
    named = unit.rows.all(Dataset, project_id=project_id, name=id_or_name, sort="-version", limit=1)
    return named[0].id if named else id_or_name


def page(unit: Unit, *, project_id: str | None = None, **paging: Any) -> Page[Dataset]:
    inside: dict[str, Any] = {"project_id": unit.get(Project, project_id).id} if project_id else {}
    return unit.rows.page(Dataset, containers=unit.visible(), **inside, **paging)


def listed(
    unit: Unit, *, project_id: str | None = None, search: str = "", start: int = 0, limit: int = 50
) -> tuple[list[Listed], int]:
    """The newest version of each name, the newest first, and how many names there are."""
    inside = unit.get(Project, project_id).id if project_id else None
    return queries.newest(
        unit.rows.session, containers=unit.visible(), project_id=inside, search=search, start=start, limit=limit
    )


def history(unit: Unit, dataset: Dataset) -> list[Listed]:
    """All versions of its name without their reports, the newest first."""
    return queries.versions(unit.rows.session, dataset.project_id, dataset.name)


def uses(unit: Unit, dataset: Dataset) -> list[Use]:
    """Runs and evaluations that work, or worked, with this version; the newest ones."""
    return queries.uses(unit.rows.session, dataset.id, dataset.project_id)


def restore(unit: Unit, dataset_id: str) -> Dataset:
    """A new version with what an older one holds."""
    old = unit.get(Dataset, dataset_id)
    unit.rows.lock(unit.get(Project, old.project_id))
    same: dict[str, Any] = {"project_id": old.project_id, "name": old.name, "sort": "-version", "limit": 1}
    newest = unit.rows.all(Dataset, **same)[0]
    if newest.sha256 == old.sha256:
        return newest
    if old.key is None:
        raise WrongState(f"Version {old.version} of {old.name!r} has no file, so it cannot be restored.")
    kept = ("project_id", "name", "description", "tags", "state", "file_name", "media_type", "size", "sha256", "key")
    values = {column: getattr(old, column) for column in (*kept, "rows", "task", "report")}
    version = unit.rows.all(Dataset, deleted=True, **same)[0].version + 1
    dataset = unit.rows.add(Dataset(**values, version=version, created_by=unit.actor.user_id))
    unit.log("restore", dataset, name=dataset.name, version=version, from_version=old.version)
    return dataset


def split_of(whole: Dataset) -> str:
    """How the description of its parts begins."""
    return f"Split of {whole.name},"


def name_of_part(unit: Unit, whole: Dataset, part: str) -> str:
    """What a part of a split is called: never the name of something that is no part of the same dataset."""

    def taken(name: str) -> bool:
        there: dict[str, Any] = {"project_id": whole.project_id, "name": name, "sort": "-version", "limit": 1}
        return any(not each.description.startswith(split_of(whole)) for each in unit.rows.all(Dataset, **there))

    return free_name(f"{whole.name[:180]} {part}", taken)


def versions(unit: Unit, dataset_id: str) -> list[Dataset]:
    """All versions of the dataset's name, the newest first."""
    dataset = unit.get(Dataset, dataset_id)
    return unit.rows.all(Dataset, project_id=dataset.project_id, name=dataset.name, sort="-version")


def update(
    unit: Unit,
    dataset_id: str,
    *,
    description: str | None = None,
    tags: list[str] | None = None,
    revision: Revision = None,
) -> Dataset:
    """What is said about the data can change, the data cannot."""
    dataset = unit.get(Dataset, dataset_id)
    unit.change(dataset, revision, **changes(description=description, tags=tags))
    return dataset


def delete(unit: Unit, dataset_id: str, revision: Revision = None) -> None:
    """Refused while a run or an evaluation that is not over needs it."""
    dataset = unit.get(Dataset, dataset_id)
    check_revision(dataset, revision)
    refuse_if_used(unit, dataset)
    unit.delete(dataset)


def usable(unit: Unit, dataset_id: str, field: str, *, need: Any = None) -> Dataset:
    """A dataset that a run can be given; else every reason why not, with lines."""
    dataset = unit.hold(unit.get(Dataset, dataset_id, need=need))
    if dataset.state == "uploading":
        raise WrongState(f"{field}: dataset {dataset.name!r} has no file yet. Upload it first.")
    if dataset.state != "ready":
        raise DatasetInvalid(f"{field}: {describe_problems(dataset)}")
    return dataset


def _place(problem: dict[str, Any]) -> str:
    return f"line {problem['line']}" if problem["line"] else "the file"


def describe_problems(dataset: Dataset) -> str:
    """Why a dataset cannot be used, in one line."""
    report = dataset.report or {}
    refused = [p for p in report.get("problems", ()) if not p["repaired"]]
    told = "; ".join(f"{_place(p)}: {p['message'].rstrip('.')}. {p['fix'].rstrip('.')}" for p in refused[:NAMED])
    more = max(0, int(report.get("refused", 0)) - NAMED)
    tail = f"; and {more} more" if more else ""
    if not refused:
        told = "it holds no rows"
    return f"dataset {dataset.name!r} cannot be used: {told}{tail}."


def rows(path: Path, *, start: int = 0, limit: int = 50, search: str = "") -> list[dict[str, Any]]:
    """Examples of a stored file, from a number on, with the ones that contain a text."""
    return [
        {"number": number, "input": item.input, "output": item.output}
        for number, item in islice(examples(path, search), start, start + limit)
    ]


def examples(path: Path, search: str = "") -> Iterator[tuple[int, Example]]:
    """Examples of a stored file with their numbers; those that contain a text."""
    needle = search.casefold()
    found = enumerate(item for item in stream(path) if isinstance(item, Example))
    return (
        (number, item)
        for number, item in found
        if not needle or needle in item.input.casefold() or needle in item.output.casefold()
    )


def as_csv(pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Inputs with their outputs as a table that loads again, a thousand rows at a time."""
    head = [("input", "output")]
    while batch := head or list(islice(pairs, 1000)):
        head = []
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(batch)
        yield text.getvalue()


def _fill(unit: Unit, dataset: Dataset, found: Examined) -> None:
    report = found.report
    keep(unit.store, found)  # it may have been cleaned up since it was kept: the last row with these bytes was purged
    dataset.size, dataset.sha256, dataset.key = found.size, found.sha256, found.key
    dataset.rows, dataset.task, dataset.report = report.valid, report.task, report.to_dict()
    dataset.state = "ready" if report.ok else "invalid"


def check_share(share: float) -> float:
    if not 0 < share < 1:
        raise ParameterInvalid(f"validation: the share {share} is not between 0 and 1.")
    return share
