"""Settings and limits in force, the project's name, backups, and what was deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import htpy as h

from softprompt.storage.tables import Project
from softprompt.studio.backups import Kept
from softprompt.studio.settings import Setting
from softprompt.studio.trash import Deleted
from softprompt.ui.components import action, code, confirm, empty, field, folding, helped, outcome, size, until, when
from softprompt.ui.layout import Frame, csrf_field, page

HERE = "/admin/settings"


def settings(
    frame: Frame,
    project: Project,
    groups: Mapping[str, Sequence[Setting]],
    backups: Sequence[Kept],
    deleted: Sequence[Deleted],
    counts: Mapping[str, int],
    *,
    problem: str = "",
    done: str = "",
) -> str:
    return page(
        frame,
        "Settings",
        outcome(problem, done),
        h.div(".split")[_project(frame, project), _contents()],
        [_group(name, rows) for name, rows in groups.items()],
        _backups(frame, backups),
        _deleted(frame, deleted, counts),
        lead="What is in force, where it comes from, and how to change it.",
    )


def _project(frame: Frame, project: Project) -> h.Element:
    return h.form("#project.card.stack.tight", method="post", action=f"{HERE}/project", data_part="project")[
        csrf_field(frame),
        h.input(type="hidden", name="revision", value=str(project.revision)),
        h.h2["Project"],
        field("Name", h.input(name="name", value=project.name, required=True, maxlength="200")),
        helped(
            "Description",
            "What people work on here.",
            lambda tie: h.textarea(tie, name="description", maxlength="4000", rows="3")[project.description],
        ),
        h.div(".row")[
            h.button(".button.primary")["Save"], h.a(".button.quiet", href=f"/members/{project.id}")["Members"]
        ],
    ]


def _contents() -> h.Element:
    links = (("#places", "Places"), ("#limits", "Limits"), ("#backups", "Backups"), ("#deleted", "Deleted things"))
    words = "Nothing but the project can be changed while the studio runs: settings are read once, when it starts."
    return h.section(".card.stack.tight")[
        h.h2["On this page"],
        h.ul(".list-plain")[[h.li[h.a(href=anchor)[name]] for anchor, name in links]],
        h.p(".muted.small")[words],
    ]


NOTES = {
    "Places": "Given when the studio is started. To move the studio, make a backup and restore it there.",
    "Limits": "Set the variable where the studio is started, in its environment, and start it again.",
    "Part of this version": "These cannot be changed.",
}


def _group(name: str, rows: Sequence[Setting]) -> h.Element:
    changeable = any(row.change for row in rows)
    cells: list[list[h.Node]] = [
        [
            [h.strong[row.name], h.div(".sub")[row.help]],
            h.span(".wrap" if name == "Places" else "")[row.value],
            *(
                [h.span(".small")[row.source], h.code(".small.wrap" if name == "Places" else ".small")[row.change]]
                if changeable
                else []
            ),
        ]
        for row in rows
    ]
    head = [("Setting", False), ("In force", False)]
    head += [("Where from", False), ("How to change it", False)] if changeable else []
    anchor = name.lower().split()[0]
    return h.section(f"#{anchor}.card.flush", data_part=f"settings-{anchor}")[
        h.div(".title")[h.h2[name], h.span(".faint.small")[NOTES.get(name)]], folding(head, cells, name)
    ]


# --- backups ----------------------------------------------------------------------------------------------------------
def _backups(frame: Frame, backups: Sequence[Kept]) -> h.Element:
    rows = [
        [
            [h.a(href=f"{HERE}/backups/{kept.name}", download=kept.name)[kept.name]],
            size(kept.size),
            when(kept.made_at),
            confirm(
                frame, "Delete", f"{kept.name} is gone for good. Have you a copy elsewhere?", f"{HERE}/backups/delete",
                yes="Delete this backup", fields={"name": kept.name}, label=f"Delete {kept.name}",
            ),
        ]
        for kept in backups
    ]  # fmt: skip
    head = (("Backup", False), ("Size", True), ("Made", False), ("", False))
    words = (
        "Everything of the studio in one file, as of one moment; people can go on working. It holds digests of "
        "passwords and keys: keep it safe, and not only on this machine."
    )
    return h.section("#backups.card.flush", data_part="backups")[
        h.div(".title")[h.h2["Backups"], action(frame, "Back up now", f"{HERE}/backups", style="primary")],
        h.p(".pad.muted")[words],
        folding(head, rows, "Backups") if rows else None,
        h.details(".more")[
            h.summary["Bring one back"],
            h.p(".small.muted")["At the terminal, while the studio is stopped:"],
            code("softprompt restore FILE --replace"),
        ],
    ]


# --- deleted ----------------------------------------------------------------------------------------------------------
def _which(each: Deleted) -> dict[str, str]:
    return {"noun": each.noun, "id": each.id}


def _deleted(frame: Frame, deleted: Sequence[Deleted], counts: Mapping[str, int]) -> h.Element:
    whole = sum(counts.values())
    rows = [
        [
            [h.strong[each.name], h.div(".sub")[each.noun]],
            when(each.deleted_at),
            until(each.goes_at),
            h.div(".row.nowrap")[
                action(frame, "Bring back", f"{HERE}/deleted/back", style="small", fields=_which(each)),
                confirm(
                    frame, "Purge", f"“{each.name}” is gone for good.", f"{HERE}/deleted/purge", yes="Purge it",
                    fields=_which(each), label=f"Purge {each.name}",
                ),
            ],
        ]
        for each in deleted
    ]  # fmt: skip
    head = (("What", False), ("Deleted", False), ("Goes for good", False), ("", False))
    if not rows:
        return h.section("#deleted", data_part="deleted")[
            empty("Nothing waits for deletion", "What people delete stands here for 30 days and can be brought back.")
        ]
    told = ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items())
    everything = confirm(
        frame, "Purge all", f"All {whole:,} deleted things are gone for good, with their files at the next cleaning.",
        f"{HERE}/deleted/purge", yes=f"Purge all {whole:,}", fields={"all": "yes"},
    )  # fmt: skip
    more = whole - len(rows)
    return h.section("#deleted.card.flush", data_part="deleted")[
        h.div(".title")[h.h2["Deleted things"], everything],
        h.p(".pad.muted")[f"{told}. Each goes for good after 30 days, with its files."],
        folding(head, rows, "Deleted things"),
        h.p(".pad.faint.small")[f"and {more:,} more"] if more > 0 else None,
    ]
