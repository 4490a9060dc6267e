"""Deployments: what answers behind which name, how to call it, and a place to try it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import htpy as h

from softprompt.storage.rows import Page
from softprompt.storage.tables import Deployment, Space, TunedPrompt
from softprompt.ui.components import action, badge, bars, button, code, empty, field, notice, select, table, when
from softprompt.ui.layout import Frame, csrf_field, page


def deployments(frame: Frame, found: Page[Deployment], places: Mapping[str, str]) -> str:
    rows = [
        [
            h.a(".strong", href=f"/deployments/{d.id}")[d.name],
            h.code[d.serving_name or "–"],
            badge(d.state),
            places.get(d.space_id or d.project_id or "", "–"),
            d.model_id.split("/")[-1],
            when(d.created_at),
        ]
        for d in found.items
    ]
    head = (
        ("Name", False),
        ("Serving name", False),
        ("State", False),
        ("Where", False),
        ("Model", False),
        ("Deployed", False),
    )
    listed = (
        h.section(".card.flush")[table(head, rows, "Deployments")]
        if rows
        else empty(
            "Nothing answers yet",
            "Tune a prompt, then deploy it: it gets a serving name and an endpoint.",
            button("Tune a model", "/tuning/new", primary=True),
        )
    )
    return page(
        frame,
        "Deployments",
        listed,
        lead="Tuned prompts behind serving names.",
        actions=button("Deploy", "/deployments/new", primary=True),
    )


def new_deployment(
    frame: Frame, prompts: Sequence[TunedPrompt], spaces: Sequence[Space], given: Mapping[str, str], problem: str = ""
) -> str:
    crumbs = (("/deployments", "Deployments"),)
    if not prompts:
        ask = empty(
            "First, a tuned prompt", "A completed run leaves one.", button("Tune a model", "/tuning/new", primary=True)
        )
        return page(frame, "Deploy", ask, crumbs=crumbs)
    where = [
        ("", f"Project {frame.project}"),
        *((s.id, f"Space {s.name} ({s.stage})") for s in spaces),
        ("new", "A new space …"),
    ]
    stages = [(s, s) for s in ("development", "testing", "production")]
    form = h.form(".card.stack", method="post", action="/deployments/new")[
        csrf_field(frame),
        notice("error", "It was not deployed.", problem) if problem else None,
        h.div(".fields")[
            field("Tuned prompt", select("prompt", [(p.id, p.name) for p in prompts], given.get("prompt", ""))),
            field("Where", select("space", where, given.get("space", ""))),
        ],
        h.div(".fields")[
            field(
                "Name",
                h.input(name="name", value=given.get("name", ""), required=True, placeholder="Complaints router"),
            ),
            field(
                "Serving name",
                h.input(
                    name="serving_name",
                    value=given.get("serving_name", ""),
                    placeholder="complaints_router",
                    pattern="[a-z0-9][a-z0-9_\\-]*",
                ),
                "Stands in addresses and in clients: small letters, digits, - and _.",
            ),
        ],
        field("Description", h.input(name="description", value=given.get("description", ""))),
        h.details(open=given.get("space") == "new")[
            h.summary["A new space"],
            h.div(".fields")[
                field("Its name", h.input(name="space_name", value=given.get("space_name", ""))),
                field("Stage", select("stage", stages, given.get("stage", ""))),
            ],
        ],
        h.div(".row")[h.button(".button.primary")["Deploy"]],
    ]
    return page(frame, "Deploy", form, lead="It answers at once.", crumbs=crumbs)


def deployment(
    frame: Frame,
    found: Deployment,
    prompt: TunedPrompt | None,
    addresses: Mapping[str, str],
    snippets: Mapping[str, str],
    test: Mapping[str, object] | None = None,
) -> str:
    here = f"/deployments/{found.id}"
    online = found.state == "ready"
    actions = [
        action(
            frame,
            "Take offline" if online else "Bring online",
            f"{here}/state",
            fields={"online": "" if online else "1"},
        ),
        action(frame, "Delete", f"{here}/delete", style="danger"),
    ]
    what = h.span[
        badge(found.state),
        "  ",
        h.code[found.serving_name or found.id],
        f" on {found.model_id.split('/')[-1]}, deployed ",
        when(found.created_at),
    ]
    return page(
        frame,
        found.name,
        h.div(".split")[_test(frame, found, test), _about(found, prompt, addresses)],
        _snippets(snippets),
        lead=what,
        actions=actions,
        crumbs=(("/deployments", "Deployments"),),
        scripts=("try.js",),
    )


def _test(frame: Frame, found: Deployment, test: Mapping[str, object] | None) -> h.Element:
    answer = test or {}
    labels = answer.get("labels")
    return h.section(".card.stack.tight")[
        h.h2["Try it"],
        h.form(".stack.tight", method="post", action=f"/deployments/{found.id}/test", data_try=found.id)[
            csrf_field(frame),
            field("Input", h.textarea(name="input", required=True)[str(answer.get("input", ""))]),
            h.div(".row")[
                h.button(".button.primary")["Ask"],
                h.span(".faint.small", data_part="told")[str(answer.get("told", ""))],
            ],
        ],
        h.output(".answer", data_part="answer", data_empty="The answer appears here.", aria_live="polite")[
            str(answer.get("output", ""))
        ],
        h.div(data_part="labels")[bars(labels, share=True, most=5) if isinstance(labels, dict) and labels else None],
        notice("error", "No answer.", str(answer["problem"])) if answer.get("problem") else None,
    ]


def _about(found: Deployment, prompt: TunedPrompt | None, addresses: Mapping[str, str]) -> h.Element:
    about: list[tuple[str, h.Node]] = []
    if prompt is not None:
        about = [
            ("tuned prompt", prompt.name),
            ("virtual tokens", str(prompt.virtual_tokens)),
            ("answers by", "label readout" if prompt.answers_by == "readout" else "generated text"),
        ]
    about += [(name, h.code[address]) for name, address in addresses.items()]
    return h.section(".card.stack.tight")[
        h.h2["Endpoints"],
        h.p(".muted")[found.description] if found.description else None,
        h.dl(".pairs")[[[h.dt[name], h.dd[value]] for name, value in about]],
    ]


def _snippets(snippets: Mapping[str, str]) -> h.Element:
    blocks = [
        h.details(open=number == 0)[h.summary[name], code(text)] for number, (name, text) in enumerate(snippets.items())
    ]
    return h.section(".card.stack.tight")[
        h.h2["Call it"],
        h.p(".muted")["The key is read from SOFTPROMPT_API_KEY; ", h.a(href="/account")["make one here"], "."],
        blocks,
    ]
