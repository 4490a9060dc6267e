"""What the pages of one dataset share: their head with its tabs, texts that may be long, marked places in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

import htpy as h

from softprompt.data.labels import labels_of
from softprompt.params import LABEL_TASKS, Task
from softprompt.storage.tables import Dataset
from softprompt.studio.datasets_index import Mark
from softprompt.ui.components import badge, size, when
from softprompt.ui.layout import Frame, page

SHORT, LONG = 320, 20_000
"""Characters of a text that are shown at once, and at all."""
TASKS = {
    "classification": "classification", "multilabel": "several labels a row", "generation": "free text",
    "summarization": "summaries",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A dataset as a page shows it.

    Attributes:
        versions: how many its name has.
        newest: number of the newest one.
        by: name of whoever brought it in.
        may_edit: whether the person may change things in its project.
    """

    dataset: Dataset
    versions: int = 1
    newest: int = 1
    newest_id: str = ""
    by: str | None = None
    may_edit: bool = True

    @property
    def path(self) -> str:
        return f"/data/{self.dataset.id}"


def dataset_page(
    frame: Frame,
    shown: Shown,
    tab: str,
    *content: h.Node,
    title: str = "",
    scripts: tuple[str, ...] = ("data.js",),
) -> str:
    """A page of one dataset under the head that all of them have."""
    found = shown.dataset
    name = found.name if shown.versions == 1 and found.version == 1 else f"{found.name} · version {found.version}"
    lead = h.span[
        badge(found.state),
        " ",
        f"{TASKS.get(found.task or '', 'labelled rows')}, {size(found.size)}, loaded ",
        when(found.created_at),
        f" by {shown.by}" if shown.by else None,
        ". ",
        h.a(href=f"/data/{shown.newest_id}")[f"Version {shown.newest} is newer."]
        if shown.newest > found.version and shown.newest_id
        else None,
    ]
    return page(
        frame,
        f"{title} · {name}" if title else name,
        _tabs(shown, tab),
        *content,
        lead=lead,
        actions=_actions(shown),
        crumbs=(("/data", "Data"), *(((shown.path, found.name),) if tab != "report" else ())),
        scripts=scripts,
    )


def _actions(shown: Shown) -> h.Node:
    if shown.dataset.key is None:
        return None
    download = h.details(".drop-menu")[
        h.summary(".button")["Download"],
        h.div(".sheet")[
            h.a(href=f"{shown.path}/download?form=jsonl")["JSON lines", h.span(".sub")["rows that can be used"]],
            h.a(href=f"{shown.path}/download?form=csv")["CSV", h.span(".sub")["the same, for a spreadsheet"]],
            h.a(href=f"{shown.path}/download?form=file")["The file", h.span(".sub")["byte by byte as it came"]],
        ],
    ]
    ready = shown.dataset.state == "ready" and shown.may_edit
    tune = h.a(".button.primary", href=f"/tuning/new?dataset={shown.dataset.id}")["Tune with it"] if ready else None
    return [download, tune]


def _tabs(shown: Shown, tab: str) -> h.Node:
    if shown.dataset.key is None:
        return None
    entries = [("report", "Report and rows", shown.path)]
    if shown.may_edit:
        entries += [("edit", "Edit rows", f"{shown.path}/edit")]
    entries += [("versions", f"Versions ({shown.versions})", f"{shown.path}/versions")]
    if shown.may_edit:
        entries += [("split", "Split", f"{shown.path}/split")]
    return h.nav(".data-tabs", aria_label="This dataset")[
        [h.a(href=href, aria_current="page" if key == tab else None)[words] for key, words, href in entries]
    ]


def address(path: str, fragment: str = "", **given: object) -> str:
    """A path with what is not empty of `given` as its query."""
    query = urlencode({name: str(value) for name, value in given.items() if value})
    return f"{path}{'?' if query else ''}{query}{'#' if fragment else ''}{fragment}"


def text(value: str, needle: str = "") -> h.Node:
    """A text of any length: its start, and all of it (up to a limit) on request."""
    if len(value) <= SHORT + 40:
        return h.div(".row-text")[highlighted(value, needle)]
    whole = highlighted(value[:LONG], needle)
    rest = h.p(".faint.small")[f"{len(value) - LONG:,} more characters"] if len(value) > LONG else None
    return h.details(".row-text.long")[
        h.summary[
            h.span(".start")[highlighted(value[:SHORT].rstrip(), needle), "… "], h.span(".faint.small")[_more(value)]
        ],
        h.div[whole, rest],
    ]


def _more(value: str) -> str:
    return f"{len(value):,} characters"


def highlighted(value: str, needle: str) -> h.Node:
    """The text with each place that holds `needle`, in any case, marked."""
    if not needle.strip():
        return value
    pieces = re.split(f"({re.escape(needle.strip())})", value, flags=re.IGNORECASE)
    return [h.mark[piece] if place % 2 else piece for place, piece in enumerate(pieces)]


def tags(output: str, task: Task | str | None, needle: str = "") -> h.Node:
    """An output: its labels as tags, free text as text."""
    labels = labels_of(output, task) if task in LABEL_TASKS else ()
    if not labels or len(output) > SHORT:
        return text(output, needle)
    return h.span(".tags")[[h.span(".tag")[highlighted(label, needle)] for label in labels]]


def marked(mark: Mark, *others: Mark) -> h.Element:
    """The line of the file with the place of the problem marked, and those of others in the same piece of it."""
    text = mark.text
    if not text:
        return h.code(".raw.faint")[mark.problem.seen or "–"]
    places = sorted({_place(each) for each in (mark, *others) if each.text == text})
    pieces: list[h.Node] = ["…"] if mark.cut[0] else []
    behind = 0
    for place in places:
        pieces += [text[behind:place], h.mark[text[place : place + 1] or "⏎"]]
        behind = place + 1
    return h.code(".raw")[pieces, text[behind:], "…" if mark.cut[1] else None]


def _place(mark: Mark) -> int:
    if mark.problem.kind in ("invalid_utf8", "half_character") and "\ufffd" in mark.text:
        return mark.text.index("\ufffd")
    return min(mark.at, len(mark.text))


def told(mark: Mark) -> h.Element:
    """Where a problem is, what it is, and what to do."""
    problem = mark.problem
    place = f"Line {problem.line:,}" if problem.line else "The file"
    column = f", column {problem.column:,}" if problem.column else ""
    return h.p(".told")[h.b[f"{place}{column}. "], problem.message, " ", h.span(".muted")[problem.fix]]


def pager(
    path: str, start: int, limit: int, count: int, total: int, /, *, exact: bool = True, **given: object
) -> h.Node:
    """From where to where, and the way to the pieces before and behind."""
    if not total:
        return None
    of = f"{total:,}" if exact else f"more than {total:,}"
    here = f"{start + 1:,}–{start + count:,} of {of}" if count else f"0 of {of}"
    earlier = address(path, "rows", **given, start=max(0, start - limit))
    further = address(path, "rows", **given, start=start + limit)
    return h.nav(".pager", aria_label="Pages of rows")[
        h.a(".button.small", href=earlier, rel="prev", data_rows="")["Earlier"] if start else None,
        h.span(".muted.small")[here],
        h.a(".button.small", href=further, rel="next", data_rows="")["Further"]
        if start + count < total or not exact
        else None,
    ]


def plural(count: int, word: str, many: str = "") -> str:
    return f"{count:,} {word if count == 1 else many or f'{word}s'}"


def listing(names: Iterable[str], most: int = 4) -> str:
    """A few names, and how many more there are."""
    found = list(names)
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{', '.join(found[:most])}{rest}"
