"""The queue: what runs and who holds it, what waits for its turn, who works, what ended and why. Live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import htpy as h

from softprompt.storage.work import WorkerRow
from softprompt.studio.queue import MOST_PRIORITY, Overview, Seen, waits_for
from softprompt.ui.components import (
    action,
    badge,
    confirm,
    empty,
    facts,
    folding,
    lasting,
    meter,
    notice,
    outcome,
    when,
)
from softprompt.ui.layout import Frame, csrf_field, page

HERE = "/admin/jobs"
KINDS = {"tune": "tuning run", "evaluate": "evaluation"}
ENDS = (("failed", "Failed"), ("canceled", "Canceled"), ("completed", "Completed"))


def jobs(
    frame: Frame,
    shown: Overview,
    over: Sequence[Seen],
    state: str,
    *,
    following: str | None = None,
    problem: str = "",
    done: str = "",
) -> str:
    return page(
        frame,
        "Jobs",
        outcome(problem, done),
        live(frame, shown),
        _over(over, state, shown.counts, following),
        lead="The queue of tuning runs and evaluations, and the workers that do them.",
        scripts=("admin.js",),
        refresh=10,
    )


def live(frame: Frame, shown: Overview) -> h.Element:
    """What changes while one looks; a script asks for it again and again."""
    return h.div(".stack", data_part="live", data_from=f"{HERE}/live")[
        _figures(shown),
        _nobody(shown),
        _running(frame, shown),
        _waiting(frame, shown),
        _workers(shown),
    ]


def _figures(shown: Overview) -> h.Element:
    return h.section(".card", aria_label="Figures")[
        facts(
            (
                ("at work", f"{shown.counts['running']:,}"),
                ("waiting", f"{shown.counts['queued']:,}"),
                ("workers alive", f"{len(shown.workers):,}"),
                ("failed, ever", f"{shown.counts['failed']:,}"),
                ("completed, ever", f"{shown.counts['completed']:,}"),
            )
        )
    ]


def _nobody(shown: Overview) -> h.Node:
    if shown.workers or not (shown.waiting or shown.running):
        return None
    words = [
        "Jobs wait until one comes. Start one with ",
        h.code["softprompt worker"],
        ", or look under ",
        h.a(href="/admin/health")["Health"],
        ".",
    ]
    return notice("warn", "No worker is alive.", h.p[words])


# --- at work ----------------------------------------------------------------------------------------------------------
def _running(frame: Frame, shown: Overview) -> h.Element:
    rows = [
        [_named(job), _progress(job), _holder(job, shown.at), when(job.started_at), _cancel(frame, job)]
        for job in shown.running
    ]
    head = (("Job", False), ("Progress", False), ("Held by", False), ("Began", False), ("", False))
    return h.section(".card.flush", data_part="running")[
        h.div(".title")[h.h2["At work"]],
        folding(head, rows, "Jobs at work") if rows else h.p(".pad.muted")["Nothing is at work."],
    ]


def _named(job: Seen) -> h.Node:
    words = KINDS.get(job.kind, job.kind)
    link = h.a(".strong", href=f"/tuning/runs/{job.subject_id}")[job.name] if job.kind == "tune" else h.strong[job.name]
    return [link, h.div(".sub")[f"{words} · {job.project}" if job.project else words]]


def _progress(job: Seen) -> h.Node:
    told = job.progress
    updates, whole = told.get("update"), told.get("updates")
    if job.cancel_requested:
        words = "keeps the best so far" if job.cancel_requested == "keep" else "is being canceled"
        return h.span(".badge.running")[words]
    if not updates or not whole:
        return h.span(".faint")["being prepared" if job.kind == "tune" else "asks the methods"]
    left = told.get("eta_seconds")
    words = f"{updates:,} of {whole:,} updates" + (f", {lasting(left)} left" if left is not None else "")
    return h.div(".stack.tight.least")[meter(updates / whole, f"Progress of {job.name}"), h.span(".small.muted")[words]]


def _holder(job: Seen, at: datetime) -> h.Node:
    if job.holder is None:
        return h.span(".faint")["nobody"]
    left = (job.lease_until - at).total_seconds() if job.lease_until else 0.0
    lease = f"lease for {left:.0f} s more" if left > 0 else "lease ran out; another worker takes over"
    return [f"{job.holder.host}, process {job.holder.pid}", h.div(".sub")[lease, _attempt(job)]]


def _attempt(job: Seen) -> str:
    return f" · attempt {job.attempts} of {job.most_attempts}" if job.attempts > 1 else ""


def _cancel(frame: Frame, job: Seen) -> h.Element:
    words = f"“{job.name}” ends without a result."
    words += " Its work so far is thrown away." if job.state == "running" else " It has not begun."
    where = f"{HERE}/{job.id}/cancel"
    return confirm(frame, "Cancel", words, where, yes="Cancel this job", label=f"Cancel {job.name}")


# --- waiting ----------------------------------------------------------------------------------------------------------
def _waiting(frame: Frame, shown: Overview) -> h.Element:
    rows = [
        [
            _named(job),
            str(turn),
            [when(job.created_at), _why(frame, job, shown.at)],
            _priority(frame, job),
            _cancel(frame, job),
        ]
        for turn, job in enumerate(shown.waiting, 1)
    ]
    more = shown.counts["queued"] - len(shown.waiting)
    head = (("Job", False), ("Turn", False), ("Waits since", False), ("Priority", False), ("", False))
    return h.section(".card.flush", data_part="waiting")[
        h.div(".title")[
            h.h2["Waiting"],
            h.span(".faint.small")["Larger priority first, then the project that has least at work, then age"],
        ],
        folding(head, rows, "Jobs that wait") if rows else h.p(".pad.muted")["Nothing waits."],
        h.p(".pad.faint.small")[f"and {more:,} more"] if more > 0 else None,
    ]


def _why(frame: Frame, job: Seen, at: datetime) -> h.Node:
    """Of one that was tried before: when again, and what went wrong."""
    if not job.attempts:
        return None
    seconds = waits_for(job, at)
    told = f"attempt {job.attempts + 1} of {job.most_attempts}" + (
        f" in {lasting(seconds)}" if seconds >= 1 else " next"
    )
    cause = str((job.problem or {}).get("message", ""))
    now = action(frame, "Try now", f"{HERE}/{job.id}/retry", style="quiet small") if seconds >= 1 else None
    return h.div(".sub")[told, ": " if cause else None, cause, now]


def _priority(frame: Frame, job: Seen) -> h.Element:
    return h.form(".row.nowrap", method="post", action=f"{HERE}/{job.id}/priority")[
        csrf_field(frame),
        h.input(
            ".short", type="number", name="priority", value=str(job.priority), min=str(-MOST_PRIORITY),
            max=str(MOST_PRIORITY), aria_label=f"Priority of {job.name}", id=f"priority-{job.id}", required=True,
        ),
        h.button(".button.small", id=f"set-{job.id}")["Set"],
    ]  # fmt: skip


# --- workers ----------------------------------------------------------------------------------------------------------
def _workers(shown: Overview) -> h.Element:
    rows = [
        [
            _process(worker),
            worker.device,
            _doing(worker, job),
            when(worker.heartbeat_at, shown.at),
            when(worker.created_at),
        ]
        for worker, job in shown.workers
    ]
    head = (("Worker", False), ("Device", False), ("Does", False), ("Sign of life", False), ("Since", False))
    return h.section(".card.flush", data_part="workers")[
        h.div(".title")[h.h2["Workers"]],
        folding(head, rows, "Workers that are alive") if rows else h.p(".pad.muted")["No worker is alive."],
    ]


def _process(worker: WorkerRow) -> h.Node:
    return [h.strong[worker.host], h.div(".sub")[f"process {worker.pid}"]]


def _doing(worker: WorkerRow, job: Seen | None) -> h.Node:
    if job is not None:
        return h.a(href=f"/tuning/runs/{job.subject_id}")[job.name] if job.kind == "tune" else job.name
    return h.span(".faint")["has a job in hand" if worker.job_id else "waits for work"]


# --- over -------------------------------------------------------------------------------------------------------------
def _over(over: Sequence[Seen], state: str, counts: dict[str, int], following: str | None) -> h.Element:
    tabs = [
        h.a(href=f"{HERE}?state={name}#over", aria_current="true" if name == state else None)[
            f"{words} {counts[name]:,}"
        ]
        for name, words in ENDS
    ]
    rows = [[_named(job), badge(job.state), when(job.finished_at), _took(job), _cause(job)] for job in over]
    head = (("Job", False), ("State", False), ("Ended", False), ("Took", True), ("Cause", False))
    nothing = (
        empty("None failed", "When a run or an evaluation fails, its cause stands here.")
        if state == "failed"
        else h.p(".pad.muted")[f"None {state}."]
    )
    return h.section("#over.card.flush", data_part="over")[
        h.div(".title")[h.h2["Over"], h.nav(".tabs", aria_label="Which")[tabs]],
        folding(head, rows, "Jobs that are over") if rows else nothing,
        h.p(".pad")[h.a(href=following)["Older ones"]] if following else None,
    ]


def _took(job: Seen) -> str:
    if job.started_at is None or job.finished_at is None:
        return "–"
    return lasting((job.finished_at - job.started_at).total_seconds())


def _cause(job: Seen) -> h.Node:
    if job.problem:
        return [
            h.span(".wrap")[str(job.problem.get("message", ""))],
            h.div(".sub")[h.code[str(job.problem.get("code", ""))]],
        ]
    return h.span(".faint")["a person ended it" if job.state == "canceled" else "–"]
