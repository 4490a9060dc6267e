"""Evaluations: the list, and one of them: how far it is, its methods, labels and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import htpy as h

from softprompt.jobs.events import Told
from softprompt.storage.rows import Page
from softprompt.storage.tables import Dataset, Evaluation
from softprompt.studio.outcomes import Answers, Figures
from softprompt.ui.components import action, badge, button, code, confirm, empty, facts, lasting, meter, notice, when
from softprompt.ui.layout import Frame, page
from softprompt.ui.results import Asked, answers_card, labels_table, methods_table
from softprompt.ui.run_words import in_words

LIVE = ("queued", "running")
HOME = "/tuning/evaluations"
CRUMBS = (("/tuning", "Tuning Studio"),)


def evaluations(
    frame: Frame, found: Page[Evaluation], names: Mapping[str, str], next_page: str | None, *, editor: bool
) -> str:
    """The list.

    Args:
        names: of the datasets, by id.
    """
    new = button("New evaluation", f"{HOME}/new", primary=True) if editor else None
    lead = (
        "Methods against each other on rows that nothing was trained on: tuned prompts, prompting, a linear baseline."
    )
    if not found.items:
        nothing = empty(
            "No evaluation yet",
            "Choose rows with right answers, and what shall answer them. The table says what tuning is worth.",
            new,
        )
        return page(frame, "Evaluations", nothing, lead=lead, crumbs=CRUMBS)
    head = ("Evaluation", "State", "Methods", "Took", "Started")
    rows = [
        h.tr[
            h.td[
                h.a(".strong", href=f"{HOME}/{each.id}")[each.name],
                h.span(".sub.block")[f"{each.model_id.split('/')[-1]} on {names.get(each.dataset_id, 'deleted data')}"],
            ],
            h.td[badge(each.state)],
            h.td(".num")[f"{len(each.methods)}"],
            h.td(".num")[_took(each)],
            h.td[when(each.created_at)],
        ]
        for each in found.items
    ]
    card = h.section(".card.flush")[
        h.div(".title")[h.h2[f"{found.total:,} evaluation{'' if found.total == 1 else 's'}"]],
        h.div(".scroll", tabindex="0", role="region", aria_label="Evaluations")[
            h.table[
                h.caption(".sr")["Evaluations, the newest first"],
                h.thead[h.tr[[h.th(".num" if t in ("Methods", "Took") else "", scope="col")[t] for t in head]]],
                h.tbody[rows],
            ]
        ],
        h.div(".more")[h.a(".button.quiet", href=next_page)["Older evaluations"]] if next_page else None,
    ]
    live = any(each.state in LIVE for each in found.items)
    return page(frame, "Evaluations", card, lead=lead, actions=new, crumbs=CRUMBS, refresh=15 if live else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page of one evaluation shows.

    Attributes:
        methods: in words, with the id of a tuned prompt.
        asked_methods: those that were begun.
    """

    evaluation: Evaluation
    dataset: Dataset | None
    examples: Dataset | None
    methods: Sequence[tuple[str, str | None]]
    figures: Sequence[Figures]
    begun: Sequence[Told]
    answers: Answers | None
    asked: Asked
    editor: bool
    last: int


def evaluation(frame: Frame, shown: Shown) -> str:
    found = shown.evaluation
    live = found.state in LIVE
    names = [each.name for each in shown.figures]
    table = labels_table(shown.figures, "F1 by label")
    content = [
        _problem(found),
        _progress(shown) if live else None,
        _methods(shown) if shown.figures else None,
        h.section(".card.flush")[h.div(".title")[h.h2["F1 by label"]], table] if table is not None else None,
        answers_card(shown.answers, shown.asked, names, f"{HOME}/{found.id}") if shown.answers else None,
        h.div(".split")[_setup(shown), _files(shown)],
    ]
    rows = found.results.get("rows")
    source: h.Node = (
        h.a(href=f"/data/{shown.dataset.id}")[f"{shown.dataset.name}, version {shown.dataset.version}"]
        if shown.dataset
        else "deleted data"
    )
    count = f"{rows:,} rows of " if rows else ""
    lead = h.span[
        badge(found.state), "  ", found.model_id.split("/")[-1], " on ", count, source, ", ",
        when(found.finished_at or found.created_at),
    ]  # fmt: skip
    return page(
        frame,
        found.name,
        content,
        lead=lead,
        actions=_actions(frame, shown),
        crumbs=(*CRUMBS, (HOME, "Evaluations")),
        scripts=("run.js",),
        refresh=5 if live else None,
    )


def _actions(frame: Frame, shown: Shown) -> h.Node:
    found, here = shown.evaluation, f"{HOME}/{shown.evaluation.id}"
    if not shown.editor:
        return None
    if found.state in LIVE:
        return action(frame, "Cancel", f"{here}/cancel", style="danger")
    gone = confirm(
        frame,
        "Delete",
        "The figures and answers of this evaluation go from the lists.",
        f"{here}/delete",
        yes="Delete it",
    )
    return [button("Again with changes", f"{HOME}/new?again={found.id}"), gone]


def _problem(found: Evaluation) -> h.Node:
    if not found.problem:
        return None
    words = str(found.problem.get("message", ""))
    if found.state == "failed":
        return notice("error", "The evaluation failed.", words)
    return notice("warn", "The evaluation was interrupted and goes on by itself.", words)


def _progress(shown: Shown) -> h.Element:
    """How many methods were begun; how many there will be is only known to the worker, a tuned prompt has several."""
    found = shown.evaluation
    names = list(dict.fromkeys(str(event.data.get("name")) for event in shown.begun))
    total = max(len(shown.methods), len(names))
    done = max(0, len(names) - 1)
    now = f"Asking: {names[-1]}." if names else "The model is being loaded." if found.state == "running" else ""
    waiting = found.state == "queued"
    return h.section(
        ".card.stack",
        data_run=found.id,
        data_kind="evaluations",
        data_state=found.state,
        data_last=str(shown.last),
        data_total=str(len(shown.methods)),
        aria_label="Progress",
    )[
        facts(
            [
                ("methods done", h.span(data_part="methods-done")[f"{done} of {total}"]),
                ("state", "waiting for a worker" if waiting else "asking"),
            ]
        ),
        h.div(data_part="meter")[meter(done / max(1, total), "Methods done")],
        h.p(".muted", data_part="now", role="status")[now or "It begins as soon as a worker is free."],
        h.div(".log", data_part="log", role="log", tabindex="0", aria_label="What happened")[
            [
                h.div(data_method=str(e.data.get("name")))[
                    h.time(title=e.at.isoformat())[e.at.strftime("%H:%M:%S")], h.span[in_words(e.kind, e.data)]
                ]
                for e in shown.begun
            ]
        ],
    ]


def _methods(shown: Shown) -> h.Element:
    found = shown.evaluation.results
    notes = [h.li[note] for note in found.get("notes") or ()]
    return h.section(".card.flush", data_part="outcome")[
        h.div(".title")[
            h.h2["Methods"], h.span(".small.muted")[f"{found.get('rows', 0):,} rows, {found.get('task', '')}"]
        ],
        methods_table(shown.figures, "Methods side by side"),
        h.details(".more.small")[
            h.summary["What the columns mean"],
            h.p(".muted")[
                "Exact: the whole answer is right; the interval is Wilson's, the rest of chance in so few rows. "
                "Micro-F1 counts each label. Tokens are means per row: virtual ones are the trained vectors. "
                "Milliseconds are wall time of the whole method over its rows, batches included. "
                "A linear model reads no tokens."
            ],
        ],
        h.ul(".more.small.muted.list-plain")[notes] if notes else None,
    ]


def _setup(shown: Shown) -> h.Element:
    found = shown.evaluation
    pairs: list[h.Node] = [h.dt["Methods"], h.dd[h.ul(".list-plain")[[h.li[name] for name, _ in shown.methods]]]]
    if shown.examples is not None:
        link = h.a(href=f"/data/{shown.examples.id}")[f"{shown.examples.name}, version {shown.examples.version}"]
        pairs += [h.dt["Examples"], h.dd[link]]
    words: dict[str, Any] = {
        "Instruction": found.settings.get("instruction"),
        "Rows at most": found.settings.get("limit"),
        "Only known answers": "yes" if found.settings.get("guard") else None,
        "Took": _took(found) if found.finished_at else None,
    }
    for name, value in words.items():
        if value:
            pairs += [h.dt[name], h.dd[str(value)]]
    return h.section(".card.stack.tight")[h.h2["How it was asked"], h.dl(".pairs")[pairs]]


def _files(shown: Shown) -> h.Node:
    found = shown.evaluation
    if found.state != "completed":
        return None
    items = [(f"{HOME}/{found.id}/answers.csv", "Answers", "CSV: every row with what each method said")]
    if found.report:
        items.append((f"/api/evaluations/{found.id}/report", "Report", "Markdown, with recipes and the machine"))
    return h.section(".card.stack.tight", data_part="files")[
        h.h2["Files"],
        h.ul(".list-plain.downloads")[
            [h.li[h.a(href=where, download=True)[name], h.span(".small.muted")[words]] for where, name, words in items]
        ],
        h.details[h.summary["As a command"], code(_command(shown))],
    ]


def _command(shown: Shown) -> str:
    found = shown.evaluation
    parts = [f"softprompt evaluate {_file(shown.dataset, 'test.jsonl')}", f"--model {found.model_id}"]
    for method, (name, prompt) in zip(found.methods, shown.methods, strict=True):
        parts.append(f"--with {_quoted(name) if prompt else method}")
    if shown.examples:
        parts.append(f"--examples {_file(shown.examples, 'examples.jsonl')}")
    if found.settings.get("instruction"):
        parts.append(f"--instruction {_quoted(found.settings['instruction'])}")
    if found.settings.get("limit"):
        parts.append(f"--limit {found.settings['limit']}")
    if found.settings.get("guard"):
        parts.append("--guard")
    return " \\\n    ".join(parts)


def _file(dataset: Dataset | None, otherwise: str) -> str:
    return _quoted(dataset.file_name or f"{dataset.name}.jsonl") if dataset else otherwise


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _took(found: Evaluation) -> str:
    if found.started_at is None or found.finished_at is None:
        return "–"
    return lasting((found.finished_at - found.started_at).total_seconds())
