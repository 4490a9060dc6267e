"""The limits and settings in force over HTTP. They are changed where the studio is started, not here."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import Request
from typing_extensions import TypedDict

from softprompt.api.context import studio_of
from softprompt.api.studio.shapes import new_router
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


class SettingsShown(TypedDict):
    """`limits` are numbers, by the names under which they are set as `SOFTPROMPT_MAX_…`."""

    limits: dict[str, int]
    items: list[SettingShown]
    total: int
    next: str | None


@router.get("/api/settings", response_model=SettingsShown)
def show_settings(request: Request) -> Any:
    """What is in force: places, limits, and what is part of this version."""
    given = studio_of(request).settings
    found = [
        {"group": group, **dataclasses.asdict(each)}
        for group, inside in settings.in_force(given).items()
        for each in inside
    ]
    return {"limits": dataclasses.asdict(given.limits), "items": found, "total": len(found), "next": None}
