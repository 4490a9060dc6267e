"""What the pages of one deployment share: what is shown, its title, its tabs, which are addresses of their own."""

from __future__ import annotations

from dataclasses import dataclass

import htpy as h

from softprompt.storage.tables import Deployment, Project, PromptSession, Space, TunedPrompt
from softprompt.studio.standing import Standing
from softprompt.ui.components import action, badge, button, notice
from softprompt.ui.layout import Frame, page

TABS = (("", "Overview"), ("code", "Code"), ("test", "Test"), ("usage", "Usage"), ("history", "History"))
CRUMBS = (("/deployments", "Deployments"),)


@dataclass(frozen=True, slots=True)
class Shown:
    """A deployment and what belongs to it.

    Attributes:
        prompt: the tuned prompt that answers; None for a bare model, a prompt template, or if it was deleted.
        place: the space or project it stands in; None if that cannot be seen.
        who: name of whoever deployed it.
        may_edit: whether whoever looks may change it.
        standing: whether it can answer.
    """

    deployment: Deployment
    prompt: TunedPrompt | None
    session: PromptSession | None
    place: Space | Project | None
    who: str
    may_edit: bool
    standing: Standing

    @property
    def here(self) -> str:
        return f"/deployments/{self.deployment.id}"

    @property
    def online(self) -> bool:
        return self.deployment.state == "ready"


def deployment_page(
    frame: Frame, shown: Shown, tab: str, *content: h.Node, scripts: tuple[str, ...] = (), said: h.Node = None
) -> str:
    """A tab of a deployment.

    Args:
        said: what just happened, above everything.
    """
    found = shown.deployment
    lead = h.span(".row.tight")[
        badge(shown.standing.state),
        h.code[found.serving_name or found.id],
        h.span[place_words(shown.place)],
    ]
    return page(
        frame,
        found.name,
        tabs(shown.here, tab),
        said,
        _trouble(frame, shown),
        content,
        lead=lead,
        actions=_actions(frame, shown),
        crumbs=CRUMBS,
        scripts=scripts,
    )


def tabs(here: str, current: str) -> h.Element:
    """Links to the parts of a deployment."""
    links = [
        h.a(href=f"{here}/{name}".rstrip("/"), aria_current="page" if name == current else None)[words]
        for name, words in TABS
    ]
    return h.nav(".parts", aria_label="Parts of this deployment")[links]


def place_words(place: Space | Project | None) -> h.Node:
    if place is None:
        return "in a place you cannot see"
    if isinstance(place, Space):
        return ["in ", h.a(href=f"/spaces/{place.id}")[place.name], f", {place.stage}"]
    return f"in project {place.name}"


def _actions(frame: Frame, shown: Shown) -> h.Node:
    lab = button("Open in Prompt Lab", f"/lab?subject=deployment:{shown.deployment.id}")
    if not shown.may_edit:
        return lab
    return [lab, button("Promote", f"{shown.here}/promote"), button("Edit", f"{shown.here}/edit")]


def _trouble(frame: Frame, shown: Shown) -> h.Node:
    found = shown.deployment
    if found.tuned_prompt_id and shown.prompt is None:
        words = "Its tuned prompt was deleted, so requests are refused. Put another one behind the name."
        return notice("error", "Nothing answers here.", words)
    if shown.standing.problem:
        return notice("error", "It cannot answer.", shown.standing.problem["message"])
    if found.state == "offline":
        back = action(frame, "Bring online", f"{shown.here}/state", fields={"online": "1"}) if shown.may_edit else None
        return notice("warn", "It is offline.", "Clients that ask get an error (503) until it is back.", back)
    return None
