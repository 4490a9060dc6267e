"""Tuned prompts that come in as ZIP files: ours, PEFT's, caikit's.

The archive is unpacked here, with its sizes and names checked first; what lies in it is read by a process of its own,
which may load torch and is ended with the request. Nothing of a stranger's file is run in either.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from softprompt.api.answers import REPEATABLE, created
from softprompt.api.context import studio_of, unit_of
from softprompt.api.studio.shapes import Name, Project, Reference, new_router
from softprompt.api.studio.tuned_prompts import PromptShown, show_prompt
from softprompt.api.uploads import UPLOAD_BODY, Received, received
from softprompt.engine.artifact_card import CARD
from softprompt.errors import ArtifactInvalid, DeadlineExceeded, ParameterInvalid, SoftpromptError, TooLarge
from softprompt.storage.tables import Project as ProjectRow
from softprompt.studio import foundation_models, projects, tuned_prompts
from softprompt.studio.access import Unit

router = new_router("prompts")
MOST_FILES = 100
MOST_BYTES = 2 * 2**30
MOST_RATIO = 200
"""Unpacked bytes for each byte of the archive; vectors hardly shrink at all."""
SECONDS = 900.0
"""Given to the process that reads the folder: a large foundation model takes long to load."""
CHILD = "softprompt.worker.import_prompt"


class ImportFacts(BaseModel):
    """What stands in the address of an import."""

    model_config = ConfigDict(extra="forbid")
    project: Project = None
    name: Annotated[Name | None, Field(description="Of the tuned prompt; by default what its card says.")] = None
    model: Annotated[
        Reference | None, Field(description="The foundation model; a must for what PEFT and caikit wrote.")
    ] = None
    template: Annotated[str | None, Field(max_length=20_000, description="Text around {{input}}.")] = None


@router.post(
    "/api/prompts/import", status_code=201, response_model=PromptShown, openapi_extra={**UPLOAD_BODY, **REPEATABLE}
)
async def import_prompt(request: Request, query: Annotated[ImportFacts, Query()]) -> JSONResponse:
    """Bring in a tuned prompt: the ZIP file of a folder that this studio, PEFT or caikit wrote."""
    project_id, model = await run_in_threadpool(_check, request, query)
    uploads = studio_of(request).uploads
    with tempfile.TemporaryDirectory(dir=uploads, prefix="import-") as place:
        async with received(request, uploads) as got:
            folder = await run_in_threadpool(unpack, got, Path(place) / "in")
        out = Path(place) / "out"
        card = await _read(folder, out, model, query)
        return await run_in_threadpool(_store, request, query, project_id, out, card)


def unpack(got: Received, into: Path) -> Path:
    """The files of the archive in a folder; refused before a byte is written if its table says anything odd."""
    try:
        with zipfile.ZipFile(got.path) as archive:
            members = [item for item in archive.infolist() if not item.is_dir()]
            if problems := _odd(members, got.size):
                raise ArtifactInvalid(f"The ZIP file is refused: {'; '.join(problems)}.")
            for item in members:
                target = into / item.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(item) as source, target.open("xb") as file:
                    _copy(source, file, item.file_size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise ArtifactInvalid(f"The file is no ZIP file that can be read: {error}. Pack the folder again.") from error
    return _home(into)


def _odd(members: list[zipfile.ZipInfo], packed: int) -> list[str]:
    """All that is wrong with the table of an archive."""
    problems = []
    size = sum(item.file_size for item in members)
    if not members or len(members) > MOST_FILES:
        problems.append(f"it holds {len(members)} files, 1 to {MOST_FILES} are allowed")
    if size > MOST_BYTES or size > packed * MOST_RATIO:
        problems.append(f"its {packed:,} bytes would become {size:,}")
    for item in members:
        path = PurePosixPath(item.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\\" in item.filename or ":" in item.filename:
            problems.append(f"{item.filename[:80]!r} leads out of its folder")
        elif len(item.filename) > 200 or len(path.parts) > 4:
            problems.append(f"{item.filename[:80]!r} is too long a name")
        if stat.S_IFMT(item.external_attr >> 16) not in (0, stat.S_IFREG):
            problems.append(f"{item.filename[:80]!r} is no plain file")
        if item.flag_bits & 1:
            problems.append(f"{item.filename[:80]!r} is encrypted")
    if len({item.filename for item in members}) != len(members):
        problems.append("it holds a name twice")
    return problems[:10]


def _copy(source: Any, target: Any, promised: int) -> None:
    """As many bytes as the table promised, and not one more."""
    left = promised
    while data := source.read(min(2**20, left + 1)):
        left -= len(data)
        if left < 0:
            raise TooLarge("The ZIP file holds more bytes than its table says.")
        target.write(data)


def _home(folder: Path) -> Path:
    """The folder itself, or the one folder in it: people pack either."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _check(request: Request, query: ImportFacts) -> tuple[str, str | None]:
    """The project's id and what the engine opens; refused before anything is uploaded."""
    with unit_of(request, write=False) as unit:
        project = projects.find(unit, query.project)
        model = foundation_models.find(unit.rows, query.model).name if query.model else None
        return project.id, model


async def _read(folder: Path, out: Path, model: str | None, query: ImportFacts) -> dict[str, Any]:
    """The card of what lies in the folder, read and written to `out` by another process."""
    if model is None and not (folder / CARD).is_file():
        raise ParameterInvalid("model: name the foundation model on which these vectors were trained.")
    order = {"folder": str(folder), "out": str(out), "model": model, "name": query.name, "template": query.template}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        told, _ = await asyncio.wait_for(child.communicate(json.dumps(order).encode()), SECONDS)
    except TimeoutError:
        raise DeadlineExceeded(f"The import was not done after {SECONDS:.0f} seconds. Nothing was stored.") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    answer = _answer(told)
    if error := answer.get("error"):
        # The place where the files lay for a moment tells nobody anything.
        raise _error(error["code"], str(error["message"]).replace(f"{folder}/", "").replace(str(folder), "The folder"))
    return dict(answer["card"])


def _answer(told: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(told.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        raise ArtifactInvalid("The process that reads the folder broke off; the studio's log says why.") from None


def _error(code: str, message: str) -> SoftpromptError:
    waiting: list[type[SoftpromptError]] = [SoftpromptError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind(message)
        waiting += kind.__subclasses__()
    return ArtifactInvalid(message)


def _store(request: Request, query: ImportFacts, project_id: str, out: Path, card: dict[str, Any]) -> JSONResponse:
    def make(unit: Unit) -> PromptShown:
        wanted = query.model or (card.get("base") or {}).get("model_id") or ""
        model = foundation_models.find(unit.rows, wanted)
        name = query.name or card["name"]
        row = tuned_prompts.add(unit, unit.get(ProjectRow, project_id), name, out, card)
        row.model_id = model.id
        return show_prompt(row)

    try:
        return created(request, {**query.model_dump(), "card": card}, make)
    finally:
        shutil.rmtree(out, ignore_errors=True)
