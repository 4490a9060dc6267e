"""The frame around every page: head, navigation, title. One place for what all pages share."""

from __future__ import annotations

from dataclasses import dataclass

import htpy as h

from softprompt import __version__
from softprompt.ui import rendering
from softprompt.ui.icons import icon, logo

NAV = (
    ("/", "Home", "home"),
    ("/lab", "Prompt Lab", "lab"),
    ("/data", "Data", "data"),
    ("/tuning", "Tuning Studio", "tuning"),
    ("/tuning/evaluations", "Evaluations", "evaluate"),
    ("/deployments", "Deployments", "deploy"),
    ("/spaces", "Spaces", "spaces"),
    ("/models", "Models", "models"),
    ("/account", "Account", "account"),
)
ADMIN = (
    ("/admin/people", "People", "people"),
    ("/admin/jobs", "Jobs", "jobs"),
    ("/admin/health", "Health", "health"),
    ("/admin/settings", "Settings", "settings"),
    ("/admin/audit", "Audit log", "audit"),
)
"""For admins of the whole studio only."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page is shown in.

    Attributes:
        user: who is signed in.
        path: of this page, to mark it in the navigation.
        project: name of the project people work in.
        csrf: token that its forms carry.
        version: of the static files, so that browsers may keep them for ever.
        admin: whether the pages for admins of the whole studio are in the navigation.
    """

    user: str
    path: str
    project: str
    csrf: str
    version: str
    admin: bool = False


def page(
    frame: Frame,
    title: str,
    *content: h.Node,
    lead: h.Node = None,
    actions: h.Node = None,
    crumbs: tuple[tuple[str, str], ...] = (),
    scripts: tuple[str, ...] = (),
    refresh: int | None = None,
) -> str:
    """A whole page.

    Args:
        lead: a sentence under the title.
        actions: buttons beside the title.
        crumbs: (address, words) of the pages above.
        scripts: modules of `static/` that this page needs.
        refresh: seconds after which a browser without scripts loads the page again.
    """
    head = h.div(".head")[
        h.div[_crumbs(crumbs), h.h1[title], h.p(".lead")[lead] if lead else None],
        h.div(".row")[actions] if actions else None,
    ]
    body = h.div(".frame")[_side(frame), h.main("#main.main", tabindex="-1")[head, h.div(".stack")[content]]]
    return document(
        title, body, frame.version, csrf=frame.csrf, scripts=("studio.js", "palette.js", *scripts), refresh=refresh
    )


def document(
    title: str,
    body: h.Node,
    version: str,
    *,
    csrf: str = "",
    scripts: tuple[str, ...] = (),
    refresh: int | None = None,
) -> str:
    """The document around any body, with nothing inline in it but text."""
    head = [
        h.meta(charset="utf-8"),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(name="csrf", content=csrf) if csrf else None,
        h.title[f"{title} · Softprompt"],
        h.link(rel="stylesheet", href=f"/static/studio.css?v={version}"),
        h.link(rel="icon", href=f"/static/logo.svg?v={version}", type="image/svg+xml"),
        [h.script(type="module", src=f"/static/{name}?v={version}") for name in scripts],
        h.noscript[h.meta(http_equiv="refresh", content=str(refresh))] if refresh else None,
    ]
    skip = h.a(".skip", href="#main")["Skip to the content"]
    return rendering.text(h.html(lang="en")[h.head[head], h.body[skip, body]])


def _side(frame: Frame) -> h.Element:
    """Brand, search, navigation; on narrow screens the browser itself opens the last (a popover), without scripts."""
    search = h.a(
        ".find", href="/search", data_part="palette", aria_label="Search", aria_keyshortcuts="Control+K Meta+K"
    )[icon("search"), h.span["Search"], h.kbd(".js-only")["Ctrl K"]]
    groups = [h.div(".nav-group")[_links(frame, NAV)]]
    if frame.admin:
        groups.append(h.div(".nav-group", role="group", aria_label="Admin")[h.p["Admin"], _links(frame, ADMIN)])
    return h.header(".side")[
        h.a(".brand", href="/")[logo(), "Softprompt"],
        search,
        h.button(".button.menu-button", type="button", popovertarget="menu")[icon("menu"), "Menu"],
        h.div("#menu.menu", popover=True)[h.nav(".nav", aria_label="Main")[groups], _foot(frame)],
    ]


def _links(frame: Frame, entries: tuple[tuple[str, str, str], ...]) -> list[h.Element]:
    here = max((path for path, _, _ in (*NAV, *ADMIN) if _under(frame.path, path)), key=len, default="")
    return [
        h.a(href=path, aria_current="page" if path == here else None)[icon(sign), words]
        for path, words, sign in entries
    ]


def _foot(frame: Frame) -> h.Element:
    return h.div(".foot")[
        h.dl[
            h.dt["Project"] if frame.project else None,
            h.dd(title=frame.project)[frame.project] if frame.project else None,
            h.dt["Signed in as"],
            h.dd(title=frame.user)[frame.user],
        ],
        h.form(method="post", action="/sign-out")[csrf_field(frame), h.button(".button.quiet.small")["Sign out"]],
        h.span[f"Version {__version__}"],
    ]


def csrf_field(frame: Frame) -> h.VoidElement:
    """The hidden field that every form carries."""
    return h.input(type="hidden", name="csrf", value=frame.csrf)


def _crumbs(crumbs: tuple[tuple[str, str], ...]) -> h.Node:
    if not crumbs:
        return None
    links: list[h.Node] = []
    for number, (address, words) in enumerate(crumbs):
        links += [h.span(aria_hidden="true")["/"] if number else None, h.a(href=address)[words]]
    return h.nav(".crumbs", aria_label="Where you are")[links]


def _under(path: str, entry: str) -> bool:
    return path == entry or (entry != "/" and path.startswith(f"{entry}/"))
