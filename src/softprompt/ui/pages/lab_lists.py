"""Prompt Lab: its lists (history, prompt sessions), the code of a page, and the import of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import htpy as h

from softprompt.storage.rows import Page
from softprompt.storage.tables import LabGeneration, PromptSession
from softprompt.studio.lab import LETTERS
from softprompt.studio.snippets import Snippet
from softprompt.ui.components import action, button, code, empty, field, notice, when
from softprompt.ui.layout import Frame, csrf_field, page

CRUMBS = (("/lab", "Prompt Lab"),)
_MOST = 90
"""Letters of a test that a list shows."""


def history_item(row: LabGeneration, names: Mapping[str, str], here: bool = False) -> h.Element:
    """One generation: its first test leads back to it."""
    tries = [str(each.get("input", "")) for each in row.page.get("tries") or ()]
    asked = [text for text in tries if text.strip()] or [str(row.page.get("text", ""))]
    subjects = [str(each.get("subject", "")) for each in row.page.get("columns") or ()]
    who = ", ".join(dict.fromkeys(names.get(value, "no longer there") for value in subjects if value))
    more = f", {len(asked)} tests" if len(asked) > 1 else ""
    return h.li(".lab-past")[
        h.a(href=f"/lab?generation={row.id}", aria_current="true" if here else None)[_short(asked[0]) or "(empty)"],
        h.span(".small.faint")[who, more, ", ", when(row.created_at)],
    ]


def history(frame: Frame, found: Page[LabGeneration], names: Mapping[str, str], session: PromptSession | None) -> str:
    title = f"History of {session.name}" if session else "History"
    if not found.items:
        body: h.Node = empty(
            "Nothing was generated yet", "Each Generate is kept here.", button("Prompt Lab", "/lab", primary=True)
        )
    else:
        body = h.section(".card")[h.ol(".list-plain.lab-history")[[history_item(row, names) for row in found.items]]]
    where = f"session={session.id}&" if session else ""
    more = h.a(".button", href=f"/lab/history?{where}cursor={found.next}")["Older ones"] if found.next else None
    lead = "What stood on the page at each Generate, with the answers."
    return page(frame, title, body, more, lead=lead, crumbs=CRUMBS)


def sessions(
    frame: Frame,
    found: Page[PromptSession],
    people: Mapping[str, str],
    search: str,
    *,
    may_change: bool,
    deleted: PromptSession | None,
) -> str:
    """Saved pages of the project."""
    undo = None
    if deleted is not None:
        undo = h.div(".note.row.apart", role="status")[
            h.span[h.strong[f"“{deleted.name}” is deleted."]],
            action(frame, "Undo", f"/lab/sessions/{deleted.id}/restore", style="small"),
        ]
    if not found.items and not search:
        body: h.Node = empty(
            "No prompt sessions yet",
            "Save a page of the Prompt Lab, and everybody in the project can open it here.",
            button("Prompt Lab", "/lab", primary=True),
        )
    else:
        rows = [_session(frame, row, people, may_change) for row in found.items]
        none = h.p(".muted")["No session has this in its name."] if not rows else None
        body = h.div(".stack")[_search(search), h.div(".grid.lab-sessions")[rows], none]
    more = h.a(".button", href=f"/lab/sessions?cursor={found.next}")["More"] if found.next else None
    lead = "Pages of the Prompt Lab that were saved, for everybody in the project."
    return page(
        frame, "Prompt sessions", undo, body, more, lead=lead, crumbs=CRUMBS, actions=button("New page", "/lab")
    )


def _search(search: str) -> h.Element:
    return h.form(".row", method="get", role="search")[
        h.input(
            name="search",
            value=search,
            aria_label="Search by name",
            placeholder="Search by name",
            style="max-width:320px",
        ),
        h.button(".button")["Search"],
    ]


def _session(frame: Frame, row: PromptSession, people: Mapping[str, str], may_change: bool) -> h.Element:
    tries = [t for t in (row.content.get("lab") or {}).get("tries") or () if t.get("input")]
    who = people.get(row.created_by or "", "")
    facts = [
        row.mode,
        f"{len(tries)} test{'' if len(tries) == 1 else 's'}" if tries else "",
        f"by {who}" if who else "",
    ]
    change = h.details[
        h.summary(".small")["Rename or delete"],
        h.div(".stack.tight")[
            h.form(".row", method="post", action=f"/lab/sessions/{row.id}/rename")[
                csrf_field(frame),
                h.input(
                    name="name", value=row.name, aria_label=f"New name of {row.name}", maxlength="200", required=True
                ),
                h.button(".button.small")["Rename"],
            ],
            action(frame, "Delete", f"/lab/sessions/{row.id}/delete", style="danger small"),
        ],
    ]
    return h.article(".card.stack.tight")[
        h.h2[h.a(href=f"/lab?session={row.id}")[row.name]],
        h.p(".small.muted")[_preview(row)],
        h.p(".small.faint")[", ".join(part for part in facts if part), ", ", when(row.updated_at)],
        change if may_change else None,
    ]


def _preview(row: PromptSession) -> str:
    data = row.content.get("data") or {}
    return _short(str(row.content.get("text") or data.get("instruction") or "")) or "No instruction"


def code_page(frame: Frame, found: Sequence[tuple[str, Sequence[Snippet]]]) -> str:
    """Code for each column: (name of its subject, snippets)."""
    many = len(found) > 1
    parts = [
        h.section(".stack.tight")[
            h.h2[f"Column {LETTERS[number]}: {name}" if many else name], [_snippet(each) for each in snippets]
        ]
        for number, (name, snippets) in enumerate(found)
    ]
    body = h.div(".stack", data_part="code")[parts]
    return page(frame, "Code", body, lead="Asks exactly what stands on the page.", crumbs=CRUMBS)


def _snippet(snippet: Snippet) -> h.Element:
    return h.details(".lab-code", open=snippet["client"] == "curl")[
        h.summary[snippet["client"]],
        h.div(".stack.tight")[
            h.p(".small.muted")[snippet["note"], f" Needs: {snippet['install']}." if snippet["install"] else None],
            code(snippet["code"]) if snippet["code"] else None,
        ],
    ]


def import_page(frame: Frame, problem: str = "", pasted: str = "") -> str:
    form = h.form(".card.stack", method="post", action="/lab/import", enctype="multipart/form-data")[
        csrf_field(frame),
        notice("error", "This is no page of the Prompt Lab.", problem) if problem else None,
        field("File", h.input(type="file", name="file", accept=".json,application/json")),
        field("Or paste it", h.textarea(".mono", name="pasted", rows="10", spellcheck="false")[pasted]),
        h.div(".row")[h.button(".button.primary")["Open it in the lab"]],
    ]
    return page(frame, "Import a page", form, lead="What “Export as JSON” has written.", crumbs=CRUMBS)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"
