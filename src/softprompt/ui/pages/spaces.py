"""Spaces: places for deployments, with a stage and members of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.people import User
from softprompt.storage.rows import Page
from softprompt.storage.tables import Deployment, Space, TunedPrompt
from softprompt.studio.readiness import Readiness
from softprompt.studio.standing import Standing
from softprompt.ui.components import action, badge, button, empty, facts, field, helped, notice, select, table, when
from softprompt.ui.deployment_fields import STAGES, tags_field, tags_shown
from softprompt.ui.layout import Frame, csrf_field, page

CRUMBS = (("/spaces", "Spaces"),)
ROLES = (("viewer", "Viewer: look and ask"), ("editor", "Editor: deploy and change"), ("admin", "Admin: members too"))


@dataclass(frozen=True, slots=True)
class Inside:
    """What one space's page shows."""

    space: Space
    who: str
    ready: Readiness
    deployments: Sequence[Deployment]
    standings: Mapping[str, Standing]
    prompts: Mapping[str, TunedPrompt]
    members: Sequence[tuple[User, str]]
    may_admin: bool
    problem: str = ""
    made: bool = False


def spaces(
    frame: Frame, found: Page[Space], inside: Mapping[str, int], asked: Mapping[str, str], pages: h.Node,
    gone: Space | None = None,
) -> str:  # fmt: skip
    narrowed = bool(asked.get("search") or asked.get("stage"))
    rows: list[list[h.Node]] = [
        [
            [h.a(".strong", href=f"/spaces/{s.id}")[s.name], h.div(".sub")[tags_shown(s.tags)] if s.tags else None],
            stage(s.stage),
            h.span(".clip")[s.description or "–"],
            f"{inside.get(s.id, 0):,}",
            when(s.created_at),
        ]
        for s in found.items
    ]
    head = (("Name", False), ("Stage", False), ("Description", False), ("Deployments", True), ("Made", False))
    if rows:
        listed: h.Node = h.section(".card.flush")[table(head, rows, "Spaces"), pages]
    elif narrowed:
        listed = empty("Nothing fits", "No space fits these filters.", button("Show all", "/spaces"))
    else:
        listed = empty(
            "No space yet",
            "A space keeps what answers apart from what is tried: one for testing, one for production, "
            "each with members of its own.",
            button("Make a space", "/spaces/new", primary=True),
        )
    undo = action(frame, "Undo", f"/spaces/{gone.id}/restore") if gone else None
    return page(
        frame,
        "Spaces",
        notice("note", f"{gone.name} is deleted.", "It can be brought back for 30 days.", undo) if gone else None,
        _filters(asked) if rows or narrowed else None,
        listed,
        lead="Places for deployments, each with a stage.",
        actions=button("New space", "/spaces/new", primary=True),
        scripts=("deployments.js",),
    )


def _filters(asked: Mapping[str, str]) -> h.Element:
    stages = [("", "Any stage"), *((s, s.capitalize()) for s in STAGES)]
    return h.form(".narrowing", method="get", action="/spaces", role="search", data_filters="")[
        field("Search", h.input(name="search", type="search", value=asked.get("search", ""), placeholder="Name")),
        field("Stage", select("stage", stages, asked.get("stage", ""))),
        h.button(".button", data_part="apply")["Show"],
    ]


def space_form(
    frame: Frame, given: Mapping[str, str], ready: Readiness, space: Space | None = None, problem: str = ""
) -> str:
    """The form of a new space, or of one that is changed."""
    where = f"/spaces/{space.id}" if space else "/spaces"
    stages = [(s, s.capitalize()) for s in STAGES]
    form = h.form(".card.stack", method="post", action=f"{where}/edit" if space else "/spaces/new")[
        csrf_field(frame),
        notice("error", "Nothing was changed." if space else "It was not made.", problem) if problem else None,
        h.input(type="hidden", name="revision", value=given.get("revision", "")) if space else None,
        h.div(".fields.level")[
            field(
                "Name",
                h.input(name="name", value=given.get("name", ""), required=True, maxlength="200", placeholder="Live"),
            ),
            helped(
                "Stage",
                "What people may expect of it.",
                lambda tie: select("stage", stages, given.get("stage", ""), **tie),
            ),
        ],
        field("Description", h.textarea(name="description", rows="3", maxlength="4000")[given.get("description", "")]),
        tags_field(given.get("tags", "")),
        _parts(ready),
        h.div(".row")[
            h.button(".button.primary")["Save" if space else "Make the space"],
            h.a(".button.quiet", href=where)["Cancel"],
        ],
    ]
    crumbs = (*CRUMBS, (where, space.name)) if space else CRUMBS
    return page(frame, f"Edit {space.name}" if space else "New space", form, crumbs=crumbs)


def _parts(ready: Readiness) -> h.Element:
    rows = (("Storage", ready.storage), ("Serving host", ready.serving))
    return h.dl(".pairs.even", data_part="parts")[
        [[h.dt[name], h.dd[badge("ready" if fine else "waiting"), " ", words]] for name, (fine, words) in rows]
    ]


def space(frame: Frame, found: Inside) -> str:
    row = found.space
    here = f"/spaces/{row.id}"
    actions = [button("Deploy here", f"/deployments/new?space={row.id}", primary=True)]
    if found.may_admin:
        actions.append(button("Edit", f"{here}/edit"))
    return page(
        frame,
        row.name,
        notice("error", "Nothing was changed.", found.problem) if found.problem else None,
        _state(found),
        h.div(".split")[
            h.div(".stack")[_deployments(found), _members(frame, found)],
            h.div(".stack")[_about(found), _delete(frame, found) if found.may_admin else None],
        ],
        lead=h.span(".row.tight")[stage(row.stage), h.span[row.description] if row.description else None],
        actions=actions,
        crumbs=CRUMBS,
        scripts=("deployments.js",),
        refresh=None if found.ready.ready else 3,
    )


def stage(name: str) -> h.Element:
    return h.span(class_=f"badge stage-{name}")[name]


def _state(found: Inside) -> h.Node:
    if found.ready.ready and not found.made:
        return None
    waits = [words for fine, words in (found.ready.storage, found.ready.serving) if not fine]
    return h.div(class_="note" if found.ready.ready else "warn", role="status", data_space=found.space.id)[
        h.strong(data_part="space-state")[found.ready.words],
        h.span(data_part="space-words")[" ".join(waits) or "Deploy a tuned prompt into it."],
    ]


def _deployments(found: Inside) -> h.Element:
    rows: list[list[h.Node]] = [
        [
            h.a(".strong", href=f"/deployments/{d.id}")[d.name],
            h.code[d.serving_name or "–"],
            badge(found.standings[d.id].state),
            _answering(found, d),
        ]
        for d in found.deployments
    ]
    if not rows:
        return empty(
            "Nothing is deployed here yet",
            "Deploy a tuned prompt, or promote a deployment from another place.",
            button("Deploy here", f"/deployments/new?space={found.space.id}"),
        )
    head = (("Name", False), ("Serving name", False), ("State", False), ("Answers", False))
    return h.section(".card.flush")[
        h.div(".title")[
            h.h2["Deployments"], h.a(".small", href=f"/deployments?place={found.space.id}")["In the whole list"]
        ],
        table(head, rows, "Deployments in this space"),
    ]


def _answering(found: Inside, deployment: Deployment) -> str:
    prompt = found.prompts.get(deployment.tuned_prompt_id or "")
    return prompt.name if prompt is not None else deployment.model_id.split("/")[-1]


def _members(frame: Frame, found: Inside) -> h.Element:
    here = f"/spaces/{found.space.id}/members"
    rows: list[list[h.Node]] = [
        [
            user.name,
            role,
            action(frame, "Remove", f"{here}/{user.name}/remove", style="quiet small") if found.may_admin else None,
        ]
        for user, role in found.members
    ]
    listed = (
        table((("Name", False), ("Role", False), ("", True)), rows, "Members")
        if rows
        else h.p(".muted.pad")["Nobody was added yet. Admins of the studio see every space."]
    )
    form = h.form(".row.end.pad", method="post", action=here)[
        csrf_field(frame),
        field("User", h.input(name="user", required=True, maxlength="100", autocomplete="off")),
        field("Role", select("role", ROLES)),
        h.button(".button")["Add"],
    ]
    return h.section(".card.flush", data_part="members")[
        h.div(".title")[h.h2["Members"]], listed, form if found.may_admin else None
    ]


def _about(found: Inside) -> h.Element:
    row = found.space
    rows: list[tuple[str, h.Node]] = [
        ("Tags", tags_shown(row.tags) if row.tags else "none"),
        ("Made", [when(row.created_at), f" by {found.who}"]),
        ("Id", h.code[row.id]),
    ]
    return h.section(".card.stack.tight")[
        facts([_counted(found.deployments, "deployment"), _counted(found.members, "member")]),
        _parts(found.ready),
        h.dl(".pairs.even")[[[h.dt[name], h.dd[value]] for name, value in rows]],
    ]


def _counted(items: Sequence[object], word: str) -> tuple[str, str]:
    return word if len(items) == 1 else f"{word}s", f"{len(items)}"


def _delete(frame: Frame, found: Inside) -> h.Element:
    if found.deployments:
        names = ", ".join(d.name for d in found.deployments[:5]) + (" …" if len(found.deployments) > 5 else "")
        words = f"It cannot be deleted while something answers in it: {names}. Delete that first."
        return h.section(".card.stack.tight", data_part="delete")[h.h2["Delete"], h.p(".small.muted")[words]]
    return h.section(".card.stack.tight", data_part="delete")[
        h.h2["Delete"],
        h.p(".small.muted")["Its promoted prompts go with it. You can undo it for 30 days."],
        action(frame, "Delete this space", f"/spaces/{found.space.id}/delete", style="danger"),
    ]
