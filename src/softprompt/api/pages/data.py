"""Pages of datasets: the list, bringing one in, its report and rows. Changes stand in `data_changes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages import data_changes, data_upload
from softprompt.api.pages.data_store import LARGEST_NUMBER, coming, index_of, number, shown_of, stored, stored_lines
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, once_more, page_answer, project_of
from softprompt.api.tables import file_answer, table
from softprompt.errors import NotFound, SoftpromptError, UsageError
from softprompt.storage.tables import Dataset
from softprompt.studio import datasets, datasets_leaks, datasets_lengths
from softprompt.studio.access import RANKS, Unit
from softprompt.studio.datasets_find import GROUPED, Finding, Wanted, find, groups, problems
from softprompt.studio.datasets_fix import line_of
from softprompt.studio.datasets_index import RowIndex
from softprompt.studio.datasets_leaks import Leaks
from softprompt.studio.foundation_models import Model
from softprompt.ui.pages import data as pages
from softprompt.ui.pages import data_edit, data_report
from softprompt.ui.pages.data_parts import address
from softprompt.ui.pages.data_report import Compared, Measured
from softprompt.ui.pages.data_rows import Piece, Twin

router = APIRouter(include_in_schema=False)
router.include_router(data_upload.router)
LISTED, ROWS, CUT = 50, 25, 256
_PIECE = 2**20
_PASTED = 8 * 2**20


@router.get("/data")
def show_datasets(request: Request, search: str = "", start: int = 0, deleted: str = "") -> Response:
    return _listed(request, search=search[:200], start=start, deleted=deleted)


def _listed(
    request: Request,
    problem: str = "",
    status: int = 200,
    *,
    search: str = "",
    start: int = 0,
    deleted: str = "",
    pasted: str = "",
    name: str = "",
) -> Response:
    start = max(0, min(start, LARGEST_NUMBER))
    with unit_of(request, write=False, need="viewer") as unit:
        found, total = datasets.listed(unit, search=search, start=start, limit=LISTED)
        gone = unit.rows.get(Dataset, deleted, deleted=True) if deleted else None
        undo = (gone.id, _named(gone)) if gone and gone.deleted_at and unit.role_in(gone) else None
        listing = pages.Listing(
            items=found,
            total=total,
            start=start,
            limit=LISTED,
            search=search,
            deleted=undo,
            problem=problem,
            pasted=pasted,
            name=name,
            most_bytes=studio_of(request).settings.limits.upload_bytes,
            may_edit=unit.role_in(project_of(unit)) >= RANKS["editor"],
        )
        text = pages.datasets(frame_of(request, unit), listing)
    return page_answer(request, text, status)


def _named(found: Dataset) -> str:
    return f"{found.name}, version {found.version},"


@router.post("/data")
async def load(request: Request) -> Response:
    """A file or pasted rows, from browsers without scripts; with them `data_upload` does it."""
    await request.form(max_files=1, max_fields=20, max_part_size=_PASTED)
    form = await form_of(request, files=1)
    sent, pasted = form.get("file"), str(form.get("pasted", ""))
    given = str(form.get("name", "")).strip()
    try:
        with coming(request) as path:
            file_name = await _written(sent, pasted, path)
            name = given or Path(file_name).stem or "Pasted rows"
            found = await run_in_threadpool(stored, request, path, name, file_name)
    except SoftpromptError as error:
        return await once_more(
            lambda words, status: _listed(request, words, status, pasted=pasted[:_PASTED], name=given), error
        )
    finally:
        await form.close()
    return go(f"/data/{found.id}")


async def _written(sent: object, pasted: str, path: Path) -> str:
    """What was sent as a file, and its name."""
    with path.open("xb") as file:
        if isinstance(sent, UploadFile) and sent.filename:
            while piece := await sent.read(_PIECE):
                await run_in_threadpool(file.write, piece)
            return Path(sent.filename.replace("\\", "/")).name
        if pasted.strip():
            file.write(pasted.encode("utf-8", "replace"))
            return "Pasted rows.jsonl"
    raise UsageError("Choose a file, or paste rows.")


@router.get("/data/new")
def show_new(request: Request) -> Response:
    with unit_of(request, write=False) as unit:
        unit.require(project_of(unit))
        return page_answer(request, data_edit.new(frame_of(request, unit)))


@router.post("/data/new")
async def make_new(request: Request) -> Response:
    form = await form_of(request)
    name = str(form.get("name", "")).strip()
    pairs = zip(map(str, form.getlist("new_input")), map(str, form.getlist("new_output")), strict=False)
    rows = [(question.strip("\r\n"), answer.strip("\r\n")) for question, answer in pairs]
    rows = [row for row in rows if row[0].strip() or row[1].strip()]
    try:
        if not rows:
            raise UsageError("Type at least one row: an input and its output.")
        if half := [place + 1 for place, row in enumerate(rows) if not (row[0].strip() and row[1].strip())]:
            raise UsageError(f"Row {half[0]} has no input or no output. Write both texts, or empty the row.")
        found = await run_in_threadpool(lambda: stored_lines(request, (line_of(*row) for row in rows), name))
    except SoftpromptError as error:

        def again(words: str, status: int) -> Response:
            with unit_of(request, write=False, need="viewer") as unit:
                page = data_edit.new(frame_of(request, unit), name=name, rows=rows, problem=words)
            return page_answer(request, page, status)

        return await once_more(again, error)
    return go(f"/data/{found.id}")


@router.get("/data/{dataset_id}")
def show_dataset(
    request: Request,
    dataset_id: str,
    search: str = "",
    label: str = "",
    output: str = "",
    finding: str = "",
    start: int = 0,
    model: str = "",
    limit: int = CUT,
    test: str = "",
) -> Response:
    cut = max(1, min(limit, 32_768))
    wanted = Wanted(
        search=search[:500], label=label, output=output, finding=_finding(finding), over=cut,
        start=max(0, min(start, LARGEST_NUMBER)), limit=ROWS,
    )  # fmt: skip
    with unit_of(request, write=False, need="viewer") as unit:
        found = datasets.get(unit, dataset_id)
        shown, frame = shown_of(unit, found), frame_of(request, unit)
        models = datasets_lengths.models(unit.rows)
        others, _ = datasets.listed(unit, project_id=found.project_id, limit=100)
        held = _other(unit, test)
        uses = datasets.uses(unit, found)
    index = datasets.index(studio_of(request).office.store, found)
    others = [d for d in others if d.sha256 and d.sha256 != found.sha256]
    chosen = next((m for m in models if m.id == model), models[0] if models else None)
    if index is None:
        measured = Measured(models=models, model="", limit=cut, lengths=None)
        nothing = Piece(wanted=wanted, total=0)
        return page_answer(request, data_report.report(frame, shown, nothing, measured, Compared(), uses))
    measured = _measured(index, found, models, chosen, cut)
    leaks = _leaks(request, index, found, held)
    compared = Compared(others=others, leaks=leaks)
    if held is not None:
        compared = replace(compared, test=held.id, name=f"{held.name} · version {held.version}")
    of = {"model": model and measured.model, "limit": cut if cut != CUT else 0, "test": compared.test}
    piece = _piece(request, index, found, wanted, measured, leaks, held, of)
    return page_answer(request, data_report.report(frame, shown, piece, measured, compared, uses))


def _finding(name: str) -> Finding:
    return name if name in get_args(Finding) else ""  # type: ignore[return-value]


def _other(unit: Unit, test: str) -> Dataset | None:
    try:
        found = datasets.get(unit, test) if test else None
    except NotFound:
        return None
    return found if found and found.key else None


def _measured(
    index: RowIndex, found: Dataset, models: list[Model], chosen: Model | None, cut: int, *, now: bool = False
) -> Measured:
    """Lengths in tokens, if they are known or quickly counted."""
    if chosen is None:
        return Measured(models=models, model="", limit=cut, lengths=datasets_lengths.in_words(index))
    lengths = datasets_lengths.counted(index, chosen)
    if lengths is None and (now or len(index) <= datasets_lengths.AT_ONCE):
        lengths = datasets_lengths.count(index, chosen, found.report or {})
    return Measured(models=models, model=chosen.id, limit=cut, lengths=lengths)


def _leaks(
    request: Request, index: RowIndex, found: Dataset, held: Dataset | None, *, now: bool = False
) -> Leaks | None:
    if held is None:
        return None
    test = index_of(request, held)
    leaks = datasets_leaks.known(index, test)
    if leaks is None and (now or len(index) + len(test) <= datasets_leaks.AT_ONCE):
        leaks = datasets_leaks.look(index, found.report or {}, test, held.report or {})
    return leaks


def _piece(
    request: Request,
    index: RowIndex,
    found: Dataset,
    wanted: Wanted,
    measured: Measured,
    leaks: Leaks | None,
    held: Dataset | None,
    of: dict[str, object],
) -> Piece:
    """The rows that are asked for, in the form that the finding needs."""
    report, start = found.report or {}, wanted.start
    if wanted.finding in ("problems", "repaired"):
        marks, total = problems(index, repaired=wanted.finding == "repaired", start=start, limit=ROWS)
        return Piece(wanted=wanted, total=total, marks=marks, of=of)
    if wanted.finding in GROUPED:
        side_by_side = groups(index, wanted.finding, report, start, ROWS)
        return Piece(wanted=wanted, total=len(report.get(wanted.finding, ())), groups=side_by_side, of=of)
    if wanted.finding == "leaks":
        pairs = leaks.pairs if leaks else ()
        test = index_of(request, held) if held else index
        twins = [Twin(index.row(p.row), test.row(p.test_row), p.kind, p.overlap) for p in pairs[start : start + ROWS]]
        return Piece(wanted=wanted, total=len(pairs), twins=twins, of=of)
    lengths = measured.lengths
    tokens = lengths.per_row if lengths and lengths.unit == "tokens" else None
    rows = find(index, wanted, report, tokens)
    return Piece(wanted=wanted, total=rows.total, exact=rows.exact, found=rows, of=of)


@router.post("/data/{dataset_id}/lengths")
async def count_tokens(request: Request, dataset_id: str) -> Response:
    """Count tokens as a model does, however many rows there are; kept for the next time."""
    form = await form_of(request)
    model, limit, test = (str(form.get(name, "")) for name in ("model", "limit", "test"))

    def work() -> None:
        with unit_of(request, write=False) as unit:
            found = datasets.get(unit, dataset_id)
            chosen = next((m for m in datasets_lengths.models(unit.rows) if m.id == model), None)
        if chosen is None:
            raise NotFound(f"The tokenizer of {model!r} is not on this machine. Choose one that the page offers.")
        _measured(index_of(request, found), found, [], chosen, CUT, now=True)

    await run_in_threadpool(work)
    cut = number(limit, CUT, 1, 32_768)
    return go(address(f"/data/{dataset_id}", "lengths", model=model, limit=cut, test=test))


@router.post("/data/{dataset_id}/leaks")
async def look_for_leaks(request: Request, dataset_id: str) -> Response:
    """Compare with a test set, however many rows there are; kept for the next time."""
    form = await form_of(request)
    model, limit, test = (str(form.get(name, "")) for name in ("model", "limit", "test"))
    if not test:
        raise UsageError("test: choose the dataset that holds the test rows.")

    def work() -> None:
        with unit_of(request, write=False) as unit:
            found, held = datasets.get(unit, dataset_id), datasets.get(unit, test)
        _leaks(request, index_of(request, found), found, held, now=True)

    await run_in_threadpool(work)
    cut = number(limit, CUT, 1, 32_768)
    return go(address(f"/data/{dataset_id}", "leaks", model=model, limit=cut, test=test))


@router.get("/data/{dataset_id}/download")
def download(request: Request, dataset_id: str, form: Literal["jsonl", "csv", "file"] = "jsonl") -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = datasets.get(unit, dataset_id)
    index = index_of(request, found)
    if form == "file":
        path = studio_of(request).office.store.file(found.key or "")
        return FileResponse(path, filename=found.file_name or found.name, media_type="application/octet-stream")
    name = f"{found.name} v{found.version}" if found.version > 1 else found.name
    if form == "csv":
        return table(datasets.as_csv((row.input, row.output) for row in index.rows()), f"{name}.csv")
    lines = (line_of(row.input, row.output) for row in index.rows())
    return file_answer(_joined(lines), "application/jsonl", f"{name}.jsonl")


def _joined(lines: Iterator[bytes]) -> Iterator[bytes]:
    while batch := list(islice(lines, 1000)):
        yield b"".join(batch)


@router.post("/data/{dataset_id}/about")
async def say_about(request: Request, dataset_id: str) -> Response:
    form = await form_of(request)
    tags = [tag.strip() for tag in str(form.get("tags", "")).split(",") if tag.strip()]
    description = str(form.get("description", ""))
    await in_unit(request, lambda unit: datasets.update(unit, dataset_id, description=description, tags=tags))
    return go(f"/data/{dataset_id}")


router.include_router(data_changes.router)
