"""How the studio is, for people: processes, whatever answers, workers, disks, versions, and what the checks say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import htpy as h

from softprompt.studio.health import Disk, Finding, Health, Process
from softprompt.studio.queue import Overview
from softprompt.ui.components import badge, code, empty, folding, meter, size, when
from softprompt.ui.layout import Frame, page

HERE = "/admin/health"
GIB = 2**30
WORDS = {"ok": "ready", "warning": "running", "wrong": "failed"}


@dataclass(frozen=True, slots=True)
class Serving:
    """What the serving host said; `problem` if it did not answer."""

    told: Mapping[str, Any]
    problem: str = ""


def health(frame: Frame, shown: Health, serving: Serving, queue: Overview, findings: Sequence[Finding] | None) -> str:
    return page(
        frame,
        "Health",
        live(shown, serving, queue),
        h.div(".split.even")[_machine(shown), _versions(shown)],
        _checks(findings),  # last, since a script fills it in: nothing may move
        lead="What runs, what it runs on, and what to do where something is wrong.",
        scripts=("admin.js",),
        refresh=30,
    )


def live(shown: Health, serving: Serving, queue: Overview) -> h.Element:
    return h.div(".stack", data_part="live", data_from=f"{HERE}/live", data_every="5000")[
        _verdict(shown, serving, queue),
        _serving(serving),
        h.div(".split.even")[_processes(shown), _workers(queue)],
    ]


def troubles(shown: Health, serving: Serving, queue: Overview) -> list[tuple[str, h.Node]]:
    """What needs somebody, each with what to do."""
    found: list[tuple[str, h.Node]] = []
    for process in shown.processes:
        if process.state not in ("running", "starting"):
            found.append(
                (
                    f"{process.name} is {process.state}",
                    f"{process.problem or 'It ended.'} Its log is in the data folder, under logs.",
                )
            )
    if serving.problem:
        found.append(("Nobody answers requests to models", serving.problem))
    if not queue.workers:
        words: h.Node = ["Tuning runs wait until one comes. Start one with ", h.code["softprompt worker"], "."]
        found.append(("No worker is alive", words))
    for disk in shown.disks:
        if disk.free < GIB:
            found.append(
                (
                    f"Little room at {disk.path}",
                    f"{size(disk.free)} are free. Delete old runs, or models that nobody uses.",
                )
            )
    if shown.revision != shown.newest_revision:
        found.append(
            (
                "The database's tables are of another version",
                "Make a backup, then start the studio again; it brings them up to date.",
            )
        )
    return found


def _verdict(shown: Health, serving: Serving, queue: Overview) -> h.Element:
    found = troubles(shown, serving, queue)
    if not found:
        return h.section(".card.row", data_part="verdict")[
            badge("ready"), h.strong["All is well."], h.span(".muted")["Everything that should run does."]
        ]
    title = "One thing needs you." if len(found) == 1 else f"{len(found)} things need you."
    return h.section(".warn.stack.tight", data_part="verdict")[
        h.h2[title], h.ul(".list-plain")[[h.li[h.strong[what], h.span[todo]] for what, todo in found]]
    ]


# --- what runs --------------------------------------------------------------------------------------------------------
def _processes(shown: Health) -> h.Element:
    rows: list[list[h.Node]] = [
        [_called(each), _state(each.state), str(each.restarts) if each.restarts else h.span(".faint")["–"]]
        for each in shown.processes
    ]
    alone = [
        "This studio was not started by ",
        h.code["softprompt up"],
        "; whoever started its processes watches over them.",
    ]
    head = (("Process", False), ("State", False), ("Restarts", True))
    return h.section(".card.flush", data_part="processes")[
        h.div(".title")[
            h.h2["Processes"], h.span(".faint.small")["up since ", when(shown.started)] if shown.started else None
        ],
        folding(head, rows, "Processes") if rows else h.p(".pad.muted")[alone],
    ]


def _called(process: Process) -> h.Node:
    words = {"web": "answers browsers and programs", "worker": "tunes", "serving": "runs the models"}
    pid = f" · process {process.pid}" if process.pid else ""
    return [h.strong[process.name], h.div(".sub")[words.get(process.kind, process.kind), pid]]


def _state(state: str) -> h.Element:
    kind = {"running": "ready", "starting": "running", "restarting": "running"}.get(state, "failed")
    return h.span(class_=f"badge {kind}")[state]


def _serving(serving: Serving) -> h.Element:
    told = serving.told
    title = h.div(".title")[
        h.h2["Serving host"],
        _state(str(told.get("state", "running"))) if not serving.problem else h.span(".badge.failed")["no answer"],
    ]
    if serving.problem:
        return h.section(".card.flush", data_part="serving")[title, h.p(".pad")[serving.problem]]
    # A vLLM server only names its models.
    models = [m if isinstance(m, Mapping) else {"model_id": m, "state": "ready"} for m in told.get("models") or []]
    rows = [
        [_model(each), f"{each.get('running', 0):,}", f"{each.get('waiting', 0):,}", _batch(each)] for each in models
    ]
    head = (("Loaded model", False), ("Running", True), ("Waiting", True), ("Rows a pass", True))
    none = "No model is loaded yet. One is loaded when it is asked for the first time; that takes a few seconds."
    return h.section(".card.flush", data_part="serving")[
        title, folding(head, rows, "Loaded models") if rows else h.p(".pad.muted")[none], _prompts(told.get("prompts"))
    ]


def _model(told: Mapping[str, Any]) -> h.Node:
    weights = f" · {size(told['weights'])}" if told.get("weights") else ""
    return [h.strong[str(told.get("model_id", ""))], h.div(".sub")[f"{told.get('state', '')}{weights}"]]


def _batch(told: Mapping[str, Any]) -> h.Node:
    """Rows that went through the model together."""
    batch = told.get("batch") or {}
    if not batch.get("passes"):
        return h.span(".faint")["–"]
    most = f"{batch['largest']:,} at most" if batch.get("largest") else None
    return [f"{batch['rows'] / batch['passes']:.1f}", h.div(".sub")[most] if most else None]


def _prompts(told: Any) -> h.Node:
    if not isinstance(told, Mapping):
        return None
    used, whole = int(told.get("bytes", 0)), int(told.get("budget", 0)) or 1
    count = int(told.get("count", 0))
    words = f"{count:,} tuned prompt{'' if count == 1 else 's'} in memory, {size(used)} of {size(whole)}"
    return h.div(".pad.stack.tight")[h.span(".small.muted")[words], meter(used / whole, "Memory of tuned prompts")]


def _workers(queue: Overview) -> h.Element:
    rows = [
        [
            [h.strong[worker.host], h.div(".sub")[f"process {worker.pid}"]],
            worker.device,
            job.name if job else h.span(".faint")["waits for work"],
            when(worker.heartbeat_at, queue.at),
        ]
        for worker, job in queue.workers
    ]
    head = (("Worker", False), ("Device", False), ("Does", False), ("Sign of life", False))
    waits = f"{queue.counts['queued']:,} waiting, {queue.counts['running']:,} at work"
    return h.section(".card.flush", data_part="workers")[
        h.div(".title")[h.h2["Workers"], h.a(".small", href="/admin/jobs")[waits]],
        folding(head, rows, "Workers") if rows else h.p(".pad.muted")["No worker is alive."],
    ]


# --- what it runs on --------------------------------------------------------------------------------------------------
def _checks(findings: Sequence[Finding] | None) -> h.Element:
    """The checks take a moment, so that a script asks for them; without one a link does."""
    if findings is None:
        where = f"{HERE}/checks"
        asked = h.p(".pad.muted")[
            "Checks disk, memory, database, file store, models and ports … ",
            h.noscript[h.a(href=f"{HERE}?checks=1#checks")["Make the checks"]],
        ]
        return h.section("#checks.card.flush", data_part="checks", data_from=where, data_once="")[
            h.div(".title")[h.h2["Checks"]], asked
        ]
    return checks(findings)


def checks(findings: Sequence[Finding]) -> h.Element:
    """What `softprompt doctor` says."""
    order = {"wrong": 0, "warning": 1, "ok": 2}
    rows = [
        [h.strong[each.check], h.span(class_=f"badge {WORDS[each.verdict]}")[each.verdict], h.span(".wrap")[each.words]]
        for each in sorted(findings, key=lambda each: order[each.verdict])
    ]
    bad = sum(each.verdict != "ok" for each in findings)
    told = "all is well" if not bad else f"{bad} to look at"
    head = (("Check", False), ("Verdict", False), ("What is, and what to do", False))
    if not rows:
        return h.section("#checks.card.flush", data_part="checks")[
            empty("No checks here", "Run them at the terminal of the machine:", code("softprompt doctor"))
        ]
    return h.section("#checks.card.flush", data_part="checks")[
        h.div(".title")[h.h2["Checks"], h.span(".faint.small")[f"{told}, as the command softprompt doctor finds it"]],
        folding(head, rows, "Checks"),
    ]


def _machine(shown: Health) -> h.Element:
    disks = [_disk(disk) for disk in shown.disks]
    return h.section(".card.stack", data_part="disks")[h.h2["Disks"], disks]


def _disk(disk: Disk) -> h.Element:
    used = 1 - disk.free / disk.whole if disk.whole else 0
    return h.div(".stack.tight")[
        h.div(".row.apart")[h.strong[", ".join(disk.holds)], h.span[f"{size(disk.free)} free of {size(disk.whole)}"]],
        meter(used, f"Used of the disk of {', '.join(disk.holds)}"),
        h.code(".faint.wrap")[disk.path],
    ]


def _versions(shown: Health) -> h.Element:
    base = shown.database + (f", {size(shown.database_bytes)}" if shown.database_bytes is not None else "")
    rows: list[tuple[str, h.Node]] = [
        ("Softprompt", shown.version),
        ("Database", [base, h.div(".faint.small.wrap")[shown.database_address]]),
        (
            "Tables",
            f"revision {shown.revision}"
            + ("" if shown.revision == shown.newest_revision else f"; this version has {shown.newest_revision}"),
        ),
        ("File store", h.span(".wrap")[shown.store]),
        ("Python", shown.python),
        ("System", shown.system),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in shown.packages.items())),
    ]
    return h.section(".card", data_part="versions")[
        h.h2["Versions and places"], h.dl(".pairs")[[[h.dt[name], h.dd[value]] for name, value in rows]]
    ]
