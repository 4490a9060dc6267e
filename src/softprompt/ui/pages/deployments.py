"""Deployments: the list of what answers under which name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import htpy as h

from softprompt.storage.rows import Page
from softprompt.storage.tables import Deployment, Project, Space, TunedPrompt
from softprompt.studio.standing import Standing
from softprompt.ui.components import action, badge, button, empty, field, notice, select, table, when
from softprompt.ui.deployment_fields import tags_shown
from softprompt.ui.layout import Frame, page

SORTS = (("-created_at", "Newest first"), ("name", "By name"), ("-updated_at", "Changed last"))
STATES = (("", "Any state"), ("ready", "Online"), ("offline", "Offline"), ("deleted", "Deleted"))


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the list.

    Attributes:
        asked: what the list was narrowed by, as it stands in the address.
        places: projects and spaces by id.
        prompts: tuned prompts by id.
        standings: whether they can answer, by id.
        day: requests and errors of the last 24 hours by id.
        gone: what was deleted just now.
    """

    page: Page[Deployment]
    asked: Mapping[str, str]
    places: Mapping[str, Project | Space]
    prompts: Mapping[str, TunedPrompt]
    standings: Mapping[str, Standing]
    day: Mapping[str, tuple[int, int]]
    may_edit: Mapping[str, bool]
    gone: Deployment | None = None
    problem: str = ""


def deployments(frame: Frame, found: Found) -> str:
    narrowed = any(found.asked.get(name) for name in ("search", "place", "state", "tag"))
    if found.page.items:
        listed: h.Node = _listed(frame, found)
    elif narrowed or found.asked.get("cursor"):
        listed = empty("Nothing fits", "No deployment fits these filters.", button("Show all", "/deployments"))
    else:
        listed = empty(
            "Nothing answers yet",
            "Tune a prompt, then deploy it: it gets a serving name and an endpoint.",
            button("Tune a model", "/tuning/new", primary=True),
        )
    return page(
        frame,
        "Deployments",
        _said(frame, found),
        _filters(found) if found.page.items or narrowed else None,
        listed,
        lead="Tuned prompts behind serving names: programs ask them, people try them.",
        actions=button("Deploy", "/deployments/new", primary=True),
        scripts=("deployments.js",),
    )


def _said(frame: Frame, found: Found) -> h.Node:
    if found.problem and found.gone is not None:
        again = action(
            frame, "Bring it back without its serving name", f"/deployments/{found.gone.id}/restore",
            fields={"nameless": "1"},
        ) if found.gone.serving_name else None  # fmt: skip
        return notice("error", f"{found.gone.name} was not brought back.", found.problem, again)
    if found.gone is None:
        return None
    undo = action(frame, "Undo", f"/deployments/{found.gone.id}/restore")
    words = "It answers no longer. It can be brought back for 30 days."
    return notice("note", f"{found.gone.name} is deleted.", words, undo)


def _filters(found: Found) -> h.Element:
    asked = found.asked
    places = [("", "Any place"), *sorted(((key, _place(p)) for key, p in found.places.items()), key=lambda p: p[1])]
    return h.form(".narrowing", method="get", action="/deployments", role="search", data_filters="")[
        field("Search", h.input(name="search", type="search", value=asked.get("search", ""), placeholder="Name")),
        field("Place", select("place", places, asked.get("place", ""))),
        field("State", select("state", STATES, asked.get("state", ""))),
        field("Tag", h.input(name="tag", value=asked.get("tag", ""), placeholder="Any")),
        field("Order", select("sort", SORTS, asked.get("sort", ""))),
        h.button(".button", data_part="apply")["Show"],
    ]


def _listed(frame: Frame, found: Found) -> h.Element:
    deleted = found.asked.get("state") == "deleted"
    head = (
        ("Name", False),
        ("Serving name", False),
        ("State", False),
        ("Place", False),
        ("Answers", False),
        ("Deleted" if deleted else "In 24 hours", not deleted),
        ("Deployed", False),
    )
    rows = [_row(frame, found, each, deleted) for each in found.page.items]
    return h.section(".card.flush")[table(head, rows, "Deployments"), _pages(found)]


def _row(frame: Frame, found: Found, each: Deployment, deleted: bool) -> list[h.Node]:
    prompt = found.prompts.get(each.tuned_prompt_id or "")
    place = found.places.get(each.space_id or each.project_id or "")
    requests, errors = found.day.get(each.id, (0, 0))
    model = each.model_id.split("/")[-1]
    name = each.name if deleted else h.a(".strong", href=f"/deployments/{each.id}")[each.name]
    last: h.Node = [f"{requests:,}", h.div(".sub.bad")[f"{errors:,} without answer"] if errors else None]
    if deleted:
        back = action(frame, "Bring back", f"/deployments/{each.id}/restore", style="small")
        last = [when(each.deleted_at), back if found.may_edit.get(each.id) else None]
    return [
        [name, h.div(".sub")[tags_shown(each.tags)] if each.tags else None],
        h.code[each.serving_name] if each.serving_name else h.span(".faint")["–"],
        badge("deleted" if deleted else found.standings[each.id].state),
        _linked(place) if place is not None else "–",
        [prompt.name, h.div(".sub")[model]] if prompt is not None else model,
        last,
        when(each.created_at),
    ]


def _linked(place: Project | Space) -> h.Node:
    if isinstance(place, Space):
        return [h.a(href=f"/spaces/{place.id}")[place.name], h.div(".sub")[place.stage]]
    return [place.name, h.div(".sub")["project"]]


def _place(place: Project | Space) -> str:
    return f"{place.name} ({place.stage})" if isinstance(place, Space) else f"Project {place.name}"


def _pages(found: Found) -> h.Node:
    return pages("/deployments", found.asked, len(found.page.items), found.page.total, found.page.next)


def pages(path: str, asked: Mapping[str, str], here: int, total: int, following: str | None) -> h.Node:
    """Links to the first and the next page of a list."""
    if following is None and not asked.get("cursor"):
        return None
    kept = {name: value for name, value in asked.items() if value and name != "cursor"}
    links: Sequence[h.Node] = [
        h.a(".button.small", href=f"{path}?{urlencode(kept)}")["First page"] if asked.get("cursor") else None,
        h.a(".button.small", rel="next", href=f"{path}?{urlencode({**kept, 'cursor': following})}")["Next page"]
        if following
        else None,
    ]
    return h.nav(".pages", aria_label="Pages")[h.span(".faint.small")[f"{here} of {total:,}"], links]
