"""The limits and settings in force over HTTP. They are changed where the studio is started, not here."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import Field
from typing_extensions import TypedDict

from softprompt.api.answers import paged
from softprompt.api.context import studio_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Listed, new_router
from softprompt.studio import settings

router = new_router("settings")


class SettingShown(TypedDict):
    """`value` in words, where it comes from, and how it is changed; that is empty if it is part of this version."""

    group: str
    name: str
    value: str
    help: str
    source: str
    change: str


class SettingsPaging(Listed):
    sort: Annotated[Literal["name", "-name"] | None, Field(description="By default group by group.")] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 500


SETTINGS: Whole[SettingShown] = Whole(
    key=lambda found: f"{found['group']}\n{found['name']}",
    sorts={"name": lambda found: found["name"].casefold()},
    name=lambda found: found["name"],
)


class SettingsShown(TypedDict):
    """`limits` are numbers, by the names under which they are set as `SOFTPROMPT_MAX_…`."""

    limits: dict[str, int]
    items: list[SettingShown]
    total: int
    next: str | None


@router.get("/api/settings", response_model=SettingsShown)
def show_settings(request: Request, query: Annotated[SettingsPaging, Query()]) -> Any:
    """What is in force: places, limits, and what is part of this version."""
    given = studio_of(request).settings
    found: list[Any] = [
        {"group": group, **dataclasses.asdict(each)}
        for group, inside in settings.in_force(given).items()
        for each in inside
    ]
    page = SETTINGS.page(found, query)
    return {"limits": dataclasses.asdict(given.limits), **paged(request, page, lambda each: each)}
