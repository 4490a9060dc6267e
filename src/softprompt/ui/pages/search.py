"""Search over everything by name: the page, and what the command palette lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict
from urllib.parse import quote

import htpy as h

from softprompt.studio.home import Work
from softprompt.studio.search import Group, Hit
from softprompt.ui.components import ago, when
from softprompt.ui.icons import icon
from softprompt.ui.layout import ADMIN, NAV, Frame, page
from softprompt.ui.nouns import NOUNS, where

Entry = tuple[str, str, str]
"""Address, words, icon."""


ACTIONS: tuple[Entry, ...] = (
    ("/lab", "Write a prompt", "lab"),
    ("/data/new", "Load labelled examples", "data"),
    ("/tuning/new", "Start a tuning run", "tuning"),
    ("/tuning/compare", "Compare tuning runs", "tuning"),
    ("/tuning/evaluations/new", "Evaluate against prompting", "evaluate"),
    ("/deployments/new", "Deploy a tuned prompt", "deploy"),
    ("/spaces/new", "Make a space", "spaces"),
    ("/models?here=1", "Models on this machine", "models"),
    ("/account", "Make an API key", "account"),
)


class Item(TypedDict):
    """A line of the palette."""

    group: str
    words: str
    detail: str
    href: str


def places(frame: Frame) -> list[Item]:
    """Pages and actions, for the palette."""
    pages = [*NAV, *(ADMIN if frame.admin else ())]
    return [
        Item(group=group, words=words, detail="", href=href)
        for group, entries in (("Pages", pages), ("Actions", ACTIONS))
        for href, words, _ in entries
    ]


def items(groups: Sequence[Group], containers: dict[str, str]) -> list[Item]:
    """Things by name, for the palette.

    Args:
        containers: names of projects and spaces by id.
    """
    return [
        Item(
            group=NOUNS[group.noun].many, words=hit.name, detail=_detail(hit, containers), href=where(hit.noun, hit.id)
        )
        for group in groups
        for hit in group.hits
    ]


def recent(work: Sequence[Work]) -> list[Item]:
    """What was worked on last, for the palette."""
    return [
        Item(group="Recent", words=w.name, detail=f"{NOUNS[w.noun].one} · {ago(w.at)}", href=where(w.noun, w.id))
        for w in work
    ]


def search(frame: Frame, text: str, groups: Sequence[Group], containers: dict[str, str], *, all_of: str = "") -> str:
    """The page; without a text, all pages and actions."""
    form = h.form(".search-form", method="get", role="search", action="/search")[
        h.input(
            type="search", name="q", value=text, aria_label="Search by name", placeholder="A name, or a part of one",
            autofocus=not text, maxlength="200", autocomplete="off",
        ),
        h.button(".button.primary")["Search"],
    ]  # fmt: skip
    if text:
        content = [_group(group, containers, text, all_of) for group in groups] or [_nothing(text)]
    else:
        pages = [*NAV, *(ADMIN if frame.admin else ())]
        content = [h.div(".split.even")[_entries("Pages", pages), _entries("Actions", ACTIONS)]]
    total = sum(group.total for group in groups)
    lead = (
        f"{total:,} {'thing' if total == 1 else 'things'} with “{text}” in the name." if text and total
        else "Everything you may see, by name. Ctrl K (⌘ K) opens the same search on any page."
    )  # fmt: skip
    return page(frame, "Search", form, *content, lead=lead)


def _group(group: Group, containers: dict[str, str], text: str, all_of: str) -> h.Element:
    noun = NOUNS[group.noun]
    rest = group.total - len(group.hits)
    more = (
        h.a(href=f"/search?q={quote(text)}&all={group.noun}")[f"Show all {group.total:,}"]
        if rest and all_of != group.noun
        else h.span(".faint.small")[f"The newest {len(group.hits)} of {group.total:,}" if rest else f"{group.total:,}"]
    )
    lines = [
        h.li[
            icon(noun.sign),
            h.a(href=where(hit.noun, hit.id))[hit.name],
            h.span(".faint.small")[
                containers.get(hit.container_id or "", ""), " · " if hit.container_id and hit.updated_at else None,
                when(hit.updated_at) if hit.updated_at else hit.id,
            ],
        ]
        for hit in group.hits
    ]  # fmt: skip
    return h.section(".card.flush", data_part=f"found-{group.noun}")[
        h.div(".title")[h.h2[noun.many], more], h.ul(".found")[lines]
    ]


def _entries(title: str, entries: Sequence[Entry]) -> h.Element:
    lines = [h.li[icon(sign), h.a(href=href)[words]] for href, words, sign in entries]
    return h.section(".card.flush")[h.div(".title")[h.h2[title]], h.ul(".found")[lines]]


def _nothing(text: str) -> h.Element:
    return h.div(".card.empty", data_part="nothing")[
        h.h2[f"Nothing has “{text}” in its name"],
        h.p["Try a shorter part of the name, or look in one of the lists."],
        h.div(".row")[
            h.a(".button", href="/tuning")["Tuning runs"],
            h.a(".button", href="/data")["Datasets"],
            h.a(".button", href="/deployments")["Deployments"],
            h.a(".button", href="/models")["Foundation models"],
        ],
    ]


def _detail(hit: Hit, containers: dict[str, str]) -> str:
    told = [containers.get(hit.container_id or "", ""), ago(hit.updated_at) if hit.updated_at else ""]
    return " · ".join(part for part in told if part)
