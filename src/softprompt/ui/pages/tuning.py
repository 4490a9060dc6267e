"""Tuning Studio: the list of experiments, and one experiment with its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import htpy as h

from softprompt.jobs.states import State
from softprompt.storage.rows import Page
from softprompt.storage.tables import TuningExperiment, TuningRun
from softprompt.studio import experiments
from softprompt.studio.experiments import Listed
from softprompt.ui.components import (
    action,
    badge,
    button,
    empty,
    field,
    helped,
    lasting,
    meter,
    notice,
    outcome,
    select,
    table,
    when,
)
from softprompt.ui.layout import Frame, csrf_field, page

STATES = tuple(State)
SETTINGS = ("epochs", "learning_rate", "batch_size", "accumulate", "virtual_tokens", "init", "readout", "method")
"""Settings that tell runs of one experiment apart, as far as a person set them."""


def listing(
    frame: Frame,
    shown: Sequence[Listed],
    found: Page[TuningExperiment],
    *,
    search: str,
    state: str,
    first: bool,
    editor: bool,
    problem: str = "",
    removed: TuningExperiment | None = None,
) -> str:
    """All experiments.

    Args:
        first: whether this is the first page of the list.
        editor: whether whoever looks may start runs.
        removed: an experiment that was deleted just now.
    """
    lead = "Each experiment holds the runs of one idea; each run learns a soft prompt for a frozen model."
    fresh = button("New experiment", "/tuning/new", primary=True) if editor else None
    told = [
        outcome(problem),
        _removed(frame, removed) if removed else None,
    ]
    if not shown and not (search or state):
        words = "A run learns vectors for a frozen model from your examples: minutes on a laptop."
        content: h.Node = empty("No experiment yet", words, fresh)
        return page(frame, "Tuning Studio", told, content, lead=lead)
    listed = h.div(".experiments")[[_listed(each) for each in shown]] if shown else _nothing()
    content = h.section(".card.flush")[
        h.div(".title")[_count(found.total), _filter(search, state)],
        listed,
        _pager(search, state, found.next, first),
    ]
    busy = any(each.counts.get("running") or each.counts.get("queued") for each in shown)
    links = [h.a(".button", href="/tuning/evaluations")["Evaluations"], fresh]
    return page(frame, "Tuning Studio", told, content, lead=lead, actions=links, refresh=15 if busy else None)


def _removed(frame: Frame, removed: TuningExperiment) -> h.Element:
    undo = action(frame, "Undo", f"/tuning/experiments/{removed.id}/undelete", style="small")
    return notice(
        "note", f"{removed.name} was deleted.", h.p["Its tuned prompts stay, and so does what is deployed."], undo
    )


def _count(total: int) -> h.Element:
    return h.h2[f"{total:,} experiment{'' if total == 1 else 's'}"]


def _filter(search: str, state: str) -> h.Element:
    states = [("", "In any state"), *((s, f"With {s} runs") for s in STATES)]
    return h.form(".row", method="get", action="/tuning", role="search")[
        h.input(type="search", name="search", value=search, placeholder="Find by name", aria_label="Find by name"),
        select("state", states, state, aria_label="State of the runs"),
        h.button(".button")["Show"],
    ]


def _nothing() -> h.Element:
    return h.div(".empty")[h.p["No experiment fits."], h.a(".button", href="/tuning")["Show all experiments"]]


def _listed(each: Listed) -> h.Element:
    experiment, last = each.experiment, each.last
    where = f"/tuning/experiments/{experiment.id}"
    return h.article(".experiment")[
        h.div[
            h.h3[h.a(".strong", href=where)[experiment.name]],
            h.p(".muted.small.clip")[experiment.description] if experiment.description else None,
            h.p(".row.states")[_states(each.counts, where)],
        ],
        h.div(".last")[
            h.a(".strong", href=f"/tuning/runs/{last.id}")[last.name] if last else h.span(".muted")["No run yet"],
            h.div(".small.muted")[_last(last)] if last else None,
        ],
        h.div(".figure")[_figure(each.best)],
    ]


def _states(counts: Mapping[str, int], where: str) -> h.Node:
    if not counts:
        return h.span(".faint.small")["no runs"]
    return [
        h.a(class_=f"badge {state}", href=f"{where}?state={state}")[f"{counts[state]:,} {state}"]
        for state in STATES
        if counts.get(state)
    ]


def _last(run: TuningRun) -> h.Node:
    if run.state == "running":
        done, all_of = run.progress.get("update", 0), run.progress.get("updates", 0)
        if all_of:
            return [meter(done / all_of, run.name), f"{done:,} of {all_of:,} updates"]
    return [f"{run.state}, started ", when(run.created_at), f", {run.model_id.split('/')[-1]}"]


def _figure(run: TuningRun | None) -> h.Node:
    found = experiments.result(run) if run else None
    if run is None or found is None:
        return h.span(".faint.small")["no result yet"]
    return [h.b[found[0]], h.span(".small.muted")[found[1], f", run {run.number}"]]


def _pager(search: str, state: str, cursor: str | None, first: bool) -> h.Node:
    kept = {name: value for name, value in (("search", search), ("state", state)) if value}
    links = []
    if not first:
        links.append(h.a(".button.quiet", href=f"/tuning?{urlencode(kept)}")["Back to the start"])
    if cursor:
        links.append(h.a(".button.quiet", href=f"/tuning?{urlencode({**kept, 'cursor': cursor})}")["Older experiments"])
    return h.div(".title")[links] if links else None


# --- one experiment ---------------------------------------------------------------------------------------------------
def experiment(
    frame: Frame,
    found: TuningExperiment,
    runs: Page[TuningRun],
    counts: Mapping[str, int],
    *,
    state: str,
    first: bool,
    editor: bool,
    problem: str = "",
) -> str:
    """One experiment with its runs, the newest first."""
    where = f"/tuning/experiments/{found.id}"
    fresh = button("New run", f"/tuning/new?experiment={found.id}", primary=True) if editor else None
    told = outcome(problem)
    total = sum(counts.values())
    shown: h.Node
    if not total:
        shown = empty("No run yet", "Its first run learns a soft prompt from your examples.", fresh)
    else:
        shown = h.form(".card.flush", method="get", action="/tuning/compare")[
            h.div(".title")[
                h.h2[f"{total:,} run{'' if total == 1 else 's'}"],
                h.div(".row")[
                    _state_links(where, counts, state),
                    h.button(".button", title="Tick two runs or more")["Compare ticked runs"] if total > 1 else None,
                ],
            ],
            table(_HEAD, [_run(run) for run in runs.items], f"Runs of {found.name}"),
            _more(where, state, runs.next, first),
        ]
    live = bool(counts.get("running") or counts.get("queued"))
    return page(
        frame,
        found.name,
        told,
        shown,
        _edit(frame, found, counts) if editor else None,
        lead=found.description or "Runs of one idea, side by side.",
        actions=fresh,
        crumbs=(("/tuning", "Tuning Studio"),),
        refresh=15 if live else None,
    )


_HEAD = (
    ("", False), ("Run", False), ("State", False), ("Model", False), ("Settings that were set", False),
    ("Result", True), ("Took", True), ("Started", False),
)  # fmt: skip


def _run(run: TuningRun) -> list[h.Node]:
    figure = experiments.result(run)
    done, all_of = run.progress.get("update", 0), run.progress.get("updates", 0)
    live = run.state == "running" and all_of
    return [
        h.input(type="checkbox", name="runs", value=run.id, aria_label=f"Compare {run.name}"),
        h.a(".strong", href=f"/tuning/runs/{run.id}")[run.name],
        [badge(run.state), h.div(".sub")[meter(done / all_of, run.name), f"{done:,} of {all_of:,}"] if live else None],
        run.model_id.split("/")[-1],
        _settings(run),
        h.span(title=figure[1])[figure[0], h.div(".sub")[figure[1]]] if figure else "–",
        _took(run),
        when(run.created_at),
    ]


def _settings(run: TuningRun) -> h.Node:
    told = [f"{name.replace('_', ' ')} {_short(run.config[name])}" for name in SETTINGS if name in run.config]
    return h.span(".small")[", ".join(told)] if told else h.span(".small.faint")["all left open"]


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _took(run: TuningRun) -> str:
    if run.started_at is None or run.finished_at is None:
        return "–"
    return lasting((run.finished_at - run.started_at).total_seconds())


def _state_links(where: str, counts: Mapping[str, int], state: str) -> h.Node:
    if len(counts) < 2 and not state:
        return None
    links = [h.a(".tag", href=where, aria_current=None if state else "true")["all"]]
    links += [
        h.a(".tag", href=f"{where}?state={name}", aria_current="true" if name == state else None)[
            f"{counts.get(name, 0):,} {name}"
        ]
        for name in STATES
        if counts.get(name) or name == state
    ]
    return h.nav(".row.tags", aria_label="Runs by state")[links]


def _more(where: str, state: str, cursor: str | None, first: bool) -> h.Node:
    kept = {"state": state} if state else {}
    links = [] if first else [h.a(".button.quiet", href=f"{where}?{urlencode(kept)}")["Newest runs"]]
    if cursor:
        links.append(h.a(".button.quiet", href=f"{where}?{urlencode({**kept, 'cursor': cursor})}")["Older runs"])
    return h.div(".title")[links] if links else None


def _edit(frame: Frame, found: TuningExperiment, counts: Mapping[str, int]) -> h.Element:
    where = f"/tuning/experiments/{found.id}"
    busy = counts.get("running", 0) + counts.get("queued", 0)
    remove = (
        h.p(".small.muted")["It can be deleted when none of its runs waits or is at work."]
        if busy
        else h.div(".row")[
            action(frame, "Delete this experiment", f"{where}/delete", style="danger"),
            h.span(".small.muted")["With its runs; tuned prompts and what is deployed stay. It can be undone."],
        ]
    )
    return h.details(".card")[
        h.summary["Name and description"],
        h.div(".stack.tight")[
            h.form(".stack.tight", method="post", action=where)[
                csrf_field(frame),
                h.input(type="hidden", name="revision", value=str(found.revision)),
                helped("Name", "Runs that exist keep their names.",
                       lambda tie: h.input(tie, name="name", value=found.name, required=True, maxlength="200")),
                field("Description", h.textarea(name="description", rows="2", maxlength="4000")[found.description]),
                h.div[h.button(".button")["Save"]],
            ],
            remove,
        ],
    ]  # fmt: skip
