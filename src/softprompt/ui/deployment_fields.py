"""Fields that several forms of deployments and spaces have, and words for their numbers."""

from __future__ import annotations

import htpy as h

from softprompt.ui.components import helped, lasting

STAGES = ("development", "testing", "production")
SERVING_HELP = "The model's name for clients, and part of addresses: small letters, digits, - and _."


def serving_field(value: str, help: str = SERVING_HELP) -> h.Element:
    """A serving name, with a place where scripts say whether it is free."""
    return h.div(".field")[
        h.label(for_="serving_name")["Serving name"],
        h.input(
            "#serving_name",
            name="serving_name",
            value=value,
            maxlength="100",
            pattern="[a-z0-9][a-z0-9_\\-]*",
            autocomplete="off",
            spellcheck="false",
            aria_describedby="serving_help serving_told",
        ),
        h.span("#serving_help.help")[help],
        h.span("#serving_told.help", data_part="serving", role="status"),
    ]


def tags_field(value: str) -> h.Element:
    return helped(
        "Tags",
        "Separated by commas.",
        lambda tie: h.input(tie, name="tags", value=value, placeholder="routing, complaints"),
    )


def tags_shown(tags: list[str]) -> h.Node:
    return [[h.span(".tag")[tag], " "] for tag in tags]


def latency(seconds: float | None) -> str:
    """A duration as people who wait for it would say it."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else lasting(seconds)
