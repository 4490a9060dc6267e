"""The first page of a deployment: what answers, under which addresses, since when; and the form that changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.tables import TunedPrompt
from softprompt.studio.deployment_history import Earlier
from softprompt.studio.usage import Stretch
from softprompt.ui.components import action, button, code, facts, field, helped, notice, when
from softprompt.ui.deployment_fields import latency, serving_field, tags_field, tags_shown
from softprompt.ui.deployment_frame import CRUMBS, Shown, deployment_page
from softprompt.ui.layout import Frame, csrf_field, page


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one listener, by what they are for."""

    title: str
    help: str
    addresses: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows besides the deployment itself.

    Attributes:
        swappable: tuned prompts that may answer in its place, by group.
        earlier: those that answered before, the last one first.
        day: usage of the last 24 hours.
        swapped: what was swapped just now, and what for: the id and name of what answered before.
    """

    endpoints: Sequence[Endpoints]
    swappable: Sequence[tuple[str, Sequence[TunedPrompt]]]
    earlier: Sequence[Earlier]
    day: Stretch
    swapped: tuple[str, str] | None = None
    problem: str = ""
    deployed: bool = False


def overview(frame: Frame, shown: Shown, told: Overview) -> str:
    return deployment_page(
        frame,
        shown,
        "",
        _day(shown, told.day),
        h.div(".split")[
            h.div(".stack")[_endpoints(told.endpoints), _about(shown)],
            h.div(".stack")[_answers(frame, shown, told), _ending(frame, shown) if shown.may_edit else None],
        ],
        scripts=("deployments.js",),
        said=_said(frame, shown, told),
    )


def _said(frame: Frame, shown: Shown, told: Overview) -> h.Node:
    if told.problem:
        return notice("error", "Nothing was changed.", told.problem)
    if told.swapped is not None and shown.prompt is not None:
        key, name = told.swapped
        back = action(frame, f"Undo: put {name} back", f"{shown.here}/swap", fields={"prompt": key})
        words = f"{name} answers no longer. Requests that were under way got their answer from it."
        return notice("note", f"{shown.prompt.name} answers now.", words, back)
    if told.deployed:
        ways = h.div(".row")[button("Try it", f"{shown.here}/test"), button("See the code", f"{shown.here}/code")]
        return notice("note", "It is deployed.", "It answers from now on.", ways)
    return None


def _day(shown: Shown, day: Stretch) -> h.Element:
    shown_facts = facts(
        [
            ("requests in 24 hours", f"{day.requests:,}"),
            ("without an answer", f"{day.errors:,}"),
            ("half are answered within", latency(day.p50)),
            ("95 % within", latency(day.p95)),
        ]
    )
    return h.section(".card.row.apart", aria_label="Last 24 hours", data_part="day")[
        shown_facts, h.a(href=f"{shown.here}/usage")["Usage over time"]
    ]


def _endpoints(found: Sequence[Endpoints]) -> h.Element:
    groups = [
        h.div(".stack.tight")[
            h.div[h.h3[group.title], h.p(".faint.small")[group.help]],
            h.dl(".addresses")[[h.div[h.dt[name], h.dd[code(address)]] for name, address in group.addresses]],
        ]
        for group in found
    ]
    return h.section(".card.stack", data_part="endpoints")[h.h2["Endpoints"], groups]


def _about(shown: Shown) -> h.Element:
    found = shown.deployment
    rows: list[tuple[str, h.Node]] = [
        ("Serving name", h.code[found.serving_name] if found.serving_name else "none: clients use the id"),
        ("Id", h.code[found.id]),
        ("Tags", tags_shown(found.tags) if found.tags else "none"),
        ("Deployed", [when(found.created_at), f" by {shown.who}"]),
        ("Last changed", when(found.updated_at)),
    ]
    return h.section(".card.stack.tight")[
        h.h2["About"],
        h.p[found.description] if found.description else None,
        h.dl(".pairs")[[[h.dt[name], h.dd[value]] for name, value in rows]],
    ]


def _answers(frame: Frame, shown: Shown, told: Overview) -> h.Element:
    found, prompt = shown.deployment, shown.prompt
    rows: list[tuple[str, h.Node]] = [("Foundation model", found.model_id)]
    title: h.Node = found.model_id.split("/")[-1]
    if prompt is not None:
        title = h.a(href=f"/tuning/runs/{prompt.run_id}")[prompt.name] if prompt.run_id else prompt.name
        by = "label readout, text on demand" if prompt.answers_by == "readout" else "generated text"
        rows += [("Virtual tokens", str(prompt.virtual_tokens)), ("Answers by", by)]
        rows += [("Labels", f"{len(prompt.labels)}")] if prompt.labels else []
    elif shown.session is not None:
        title = shown.session.name
        rows.append(("Kind", "prompt template"))
    return h.section(".card.stack.tight", data_part="answers")[
        h.h2["What answers"],
        h.p(".large", data_part="answering")[title],
        h.dl(".pairs")[[[h.dt[name], h.dd[value]] for name, value in rows]],
        [_back(frame, shown, told.earlier), _swap(frame, shown, told)] if shown.may_edit else None,
    ]


def _back(frame: Frame, shown: Shown, earlier: Sequence[Earlier]) -> h.Node:
    there = next((each for each in earlier if each.prompt is not None), None)
    if there is None:
        return None
    return h.div(".row.apart.ruled")[
        h.span(".small")["Before: ", there.name, ", until ", when(there.until)],
        action(frame, "Put it back", f"{shown.here}/swap", style="small", fields={"prompt": there.id}),
    ]


def _swap(frame: Frame, shown: Shown, told: Overview) -> h.Node:
    groups = [(name, prompts) for name, prompts in told.swappable if prompts]
    if not groups:
        return h.p(".faint.small.ruled")["Tune another prompt to put it behind the same name."]
    options = [
        h.optgroup(label=name)[[h.option(value=p.id)[f"{p.name} · {p.virtual_tokens} virtual tokens"] for p in prompts]]
        for name, prompts in groups
    ]
    help = "It is asked once to see that it answers. Then it takes over from the next request on; no client notices."
    return h.form(".stack.tight.ruled", method="post", action=f"{shown.here}/swap", data_part="swap")[
        csrf_field(frame),
        helped("Put another tuned prompt behind this name", help, lambda tie: h.select(tie, name="prompt")[options]),
        h.div(".row")[h.button(".button")["Swap"]],
    ]


def _ending(frame: Frame, shown: Shown) -> h.Element:
    words = "From the next request on clients get an error (503). Nothing else changes."
    off = action(frame, "Take offline", f"{shown.here}/state") if shown.online else None
    gone = "Clients get an error (404), the serving name is free. You can undo it for 30 days."
    return h.section(".card.stack.tight", data_part="ending")[
        h.h2["End it"],
        [h.p(".small.muted")[words], off] if off is not None else None,
        h.p(".small.muted")[gone],
        action(frame, "Delete", f"{shown.here}/delete", style="danger"),
    ]


def edit(frame: Frame, shown: Shown, given: Mapping[str, str], problem: str = "") -> str:
    """The form for its names, words and tags."""
    found = shown.deployment
    help = "Clients use it. They have to be told when it changes: the old one answers no longer."
    form = h.form(".card.stack", method="post", action=f"{shown.here}/edit", data_own=found.id)[
        csrf_field(frame),
        notice("error", "It was not changed.", problem) if problem else None,
        h.input(type="hidden", name="revision", value=given["revision"]),
        h.div(".fields.level")[
            field("Name", h.input(name="name", value=given["name"], required=True, maxlength="200")),
            serving_field(given["serving_name"], help),
        ],
        field("Description", h.textarea(name="description", rows="3", maxlength="4000")[given["description"]]),
        tags_field(given["tags"]),
        h.div(".row")[h.button(".button.primary")["Save"], h.a(".button.quiet", href=shown.here)["Cancel"]],
    ]
    crumbs = (*CRUMBS, (shown.here, found.name))
    return page(frame, f"Edit {found.name}", form, crumbs=crumbs, scripts=("deployments.js",))
