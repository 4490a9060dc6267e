"""What the pages of those who keep the studio share: the answer to everybody else."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request, Response

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import Again, frame_of, page_answer
from softprompt.studio import people
from softprompt.studio.access import Unit
from softprompt.ui.components import no_permission

Draw = Callable[[Unit], str]


def for_admins(request: Request, title: str, draw: Draw, status: int = 200) -> Response:
    """A page for admins of the studio; others hear what it needs and whom to ask."""
    with unit_of(request, write=False) as unit:
        if unit.actor.whole:
            return page_answer(request, draw(unit), status)
        words = f"{title} is for admins of the whole studio; you are signed in as {unit.actor.name}."
        if unit.actor.admin:
            words = f"{title} is for admins with all their rights, and this API key has less."
        return page_answer(request, no_permission(frame_of(request, unit), title, words, people.admins(unit.rows)), 403)


def again_for_admins(request: Request, title: str, draw: Callable[[str], Draw]) -> Again:
    """The page once more, with what did not work above it."""
    return lambda words, status: for_admins(request, title, draw(words), status)
