"""Prompt Lab: the page. Its parts stand in `lab_setup`, `lab_columns` and `lab_answers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import htpy as h

from softprompt.storage.tables import Dataset, LabGeneration, PromptSession
from softprompt.studio.lab import LabPage
from softprompt.studio.lab_subjects import Group, Subject
from softprompt.ui.components import field as labelled
from softprompt.ui.components import notice
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.pages.lab_answers import Answers, tests
from softprompt.ui.pages.lab_columns import add_column, panel, parameters
from softprompt.ui.pages.lab_lists import history_item
from softprompt.ui.pages.lab_setup import setup, variables

LEAD = "Ask in words first. What words cannot teach, tuning can."


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the page shows.

    Attributes:
        subjects: who stands in each column; None if nobody is chosen, or whoever was is gone.
        names: words of every value in the list.
        generation: id of the one whose answers are shown.
        session: the prompt session that is open.
        may_save: whether this person may change things in the project.
        resume: the newest generation, when the page is empty.
    """

    page: LabPage
    groups: Sequence[Group] = ()
    subjects: Sequence[Subject | None] = (None,)
    answers: Answers = field(default_factory=dict)
    generation: str = ""
    session: PromptSession | None = None
    history: Sequence[LabGeneration] = ()
    datasets: Sequence[Dataset] = ()
    may_save: bool = True
    problem: str = ""
    told: str = ""
    resume: LabGeneration | None = None

    @property
    def names(self) -> Mapping[str, str]:
        return {value: words for group in self.groups for value, words in group.items}


def lab(frame: Frame, view: View) -> str:
    many = len(view.page.columns)
    form = h.form("#lab", method="post", action="/lab", data_lab="", autocomplete="off")[
        # Enter in a field presses the first button of a form.
        h.button(".sr", name="do", value="generate", tabindex="-1", aria_hidden="true")["Generate"],
        csrf_field(frame),
        h.input(type="hidden", name="columns", value=str(many)),
        h.input(type="hidden", name="generation", value=view.generation),
        h.input(type="hidden", name="session", value=view.session.id) if view.session else None,
        _single(view) if many == 1 else _compared(view),
    ]
    title = view.session.name if view.session else "Prompt Lab"
    return page(
        frame,
        title,
        h.div(data_part="notices", class_="stack tight")[_notices(view)],
        _nobody() if not view.groups else form,
        h.div("#lab-tip.lab-tip", role="status", hidden=True),
        _dialog(),
        lead=None if view.session else LEAD,
        crumbs=(("/lab", "Prompt Lab"), ("/lab/sessions", "Prompt sessions")) if view.session else (),
        actions=_actions(view) if view.groups else None,
        scripts=("lab.js",),
    )


def _single(view: View) -> h.Element:
    page = view.page
    return h.div(".lab-split")[
        h.div(".stack")[
            setup(page, view.datasets, _resting(view)), variables(page), tests(page, view.subjects, view.answers)
        ],
        h.div(".stack")[
            _panels(view),
            parameters(page.columns[0]),
            h.div(".row.lab-compare")[
                add_column(1), h.span(".small.muted")["Models, examples and parameters side by side."]
            ],
            _history(view),
        ],
    ]


def _compared(view: View) -> h.Element:
    return h.div(".stack")[
        setup(view.page, view.datasets),
        variables(view.page),
        h.div(".row.apart")[
            h.p(".muted")["The same tests, answered by each column."], add_column(len(view.page.columns))
        ],
        h.div(class_=f"lab-columns columns-{len(view.page.columns)}")[_panels(view)],
        tests(view.page, view.subjects, view.answers),
        _history(view),
    ]


def _panels(view: View) -> list[h.Element]:
    words = _set_aside(view.page)
    many = len(view.page.columns)
    shots = [len(view.page.solved)] if view.page.mode == "structured" else []
    return [
        panel(column, number, many, list(view.groups), view.subjects[number], words, shots)
        for number, column in enumerate(view.page.columns)
    ]


def _set_aside(page: LabPage) -> str:
    """What a tuned prompt can do without, in words."""
    if not page.has_words:
        return ""
    if page.mode == "freeform":
        return "The prompt around the tests is"
    count = len(page.solved)
    examples = f"{count} example{'' if count == 1 else 's'}" if count else ""
    parts = [part for part in ("instruction" if page.instruction.strip() else "", examples) if part]
    verb = "are" if count > 1 or len(parts) > 1 else "is"
    return f"{' and '.join(parts)} {verb}".capitalize()


def _resting(view: View) -> bool:
    """Whether the prompt is set aside by the only one who is asked."""
    subject, column = view.subjects[0], view.page.columns[0]
    return bool(subject and (subject.takes == "template" or subject.takes == "input" and not column.words))


def _notices(view: View) -> list[h.Node]:
    found: list[h.Node] = [notice("error", "This did not work.", view.problem)] if view.problem else []
    if view.told:
        found.append(notice("note", view.told))
    if view.resume is not None:
        found.append(
            h.p(".small.muted")[
                "New here? ",
                h.a(href="/lab?start=example")["Start with an example"],
                ". Or ",
                h.a(href=f"/lab?generation={view.resume.id}")["go on where you left off"],
                ".",
            ]
        )
    elif not view.page.has_words and not view.generation and not view.session and view.groups and not view.history:
        found.append(
            h.p(".small.muted")[
                "New here? ", h.a(href="/lab?start=example")["Start with an example"], ": routing complaints."
            ]
        )
    return found


def _nobody() -> h.Element:
    return h.div(".card.empty")[
        h.h2["There is nobody to ask yet"],
        h.p["The lab needs a foundation model on this machine."],
        h.a(".button.primary", href="/models?for=lab")["Choose a foundation model"],
    ]


def _actions(view: View) -> h.Element:
    name = view.session.name if view.session else ""
    save = h.details(".lab-menu")[
        h.summary(".button")["Save"],
        h.div(".card.stack.tight")[
            labelled("Name", h.input(name="name", value=name, form="lab", maxlength="200", autocomplete="off")),
            h.p(".small.muted")["Everybody in the project can open it."],
            h.div(".row")[
                h.button(".button.primary", form="lab", formaction=f"/lab/sessions/{view.session.id}", data_whole="")[
                    "Save"
                ]
                if view.session
                else None,
                h.button(
                    class_="button" if view.session else "button primary",
                    form="lab",
                    formaction="/lab/sessions",
                    data_whole="",
                )["Save as a new session" if view.session else "Save as prompt session"],
            ],
        ],
    ]
    more = h.details(".lab-menu")[
        h.summary(".button.quiet")["More"],
        h.div(".card.stack.tight")[
            h.a(href="/lab")["New page"],
            h.a(href="/lab/history")["History"],
            h.button(".button.quiet.small", form="lab", formaction="/lab/export", data_plain="")["Export as JSON"],
            h.a(href="/lab/import")["Import JSON"],
        ],
    ]
    code = h.button(".button", form="lab", formaction="/lab/code", data_dialog="")["View code"]
    sessions = h.a(".button", href="/lab/sessions")["Sessions"]
    return h.div(".row.lab-actions")[code, sessions, save if view.may_save else None, more]


def _dialog() -> h.Element:
    close = h.form(method="dialog")[h.button(".button.quiet.small")["Close"]]
    return h.dialog("#lab-dialog.card", aria_labelledby="lab-dialog-title")[
        h.div(".lab-dialog-head")[h.h2("#lab-dialog-title")["Code for this page"], close],
        h.div(data_part="dialog"),
    ]


def _history(view: View) -> h.Element:
    names = view.names
    items = [history_item(row, names, row.id == view.generation) for row in view.history]
    where = f"/lab/history?session={view.session.id}" if view.session else "/lab/history"
    return h.section(".card.stack.tight", aria_label="History")[
        h.div(".row.apart")[h.h2["History"], h.a(".small", href=where)["All of it"] if items else None],
        h.p(".small.muted", data_part="no-history", hidden=bool(items))[
            "Each Generate is kept here with its settings and answers, and can be brought back."
        ],
        h.ol(".list-plain.lab-history", data_part="history")[items],
    ]
