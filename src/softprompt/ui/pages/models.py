"""Foundation models as cards: searched and narrowed by a form, at once with scripts, and with room for a download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import htpy as h

from softprompt.studio.foundation_models import Model
from softprompt.studio.model_choice import SIZES, TASKS, Wish, fits, licence_of, size_of, tasks_of, told
from softprompt.studio.model_pulls import Pull, pullable
from softprompt.studio.model_use import Disk
from softprompt.ui.components import field, outcome, select, size
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.model_parts import REFRESH, address, order, progress, state_badge

Purpose = Literal["", "lab", "tuning"]
"""What somebody chooses a model for; empty: they only look."""
LEADS = {
    "": "Frozen models that prompts are tuned for. One model serves any number of tuned prompts.",
    "lab": "Choose the model that answers in the Prompt Lab. What you have written there is kept.",
    "tuning": "Choose the model that a prompt is tuned for.",
}
ABOVE = {"lab": (("/lab", "Prompt Lab"),), "tuning": (("/tuning/new", "New tuning run"),)}


@dataclass(frozen=True, slots=True)
class Shelf:
    """All models, and what is known of the disk.

    Attributes:
        pulls: the newest one of each model.
        licences: all there are.
    """

    models: Sequence[Model]
    pulls: dict[str, Pull]
    disk: Disk
    licences: Sequence[str]


def models(
    frame: Frame, shelf: Shelf, wish: Wish, *, purpose: Purpose = "", problem: str = "", done: str = ""
) -> str:  # fmt: skip
    ordered = sorted(shelf.models, key=lambda model: (not model.available, not _under_way(shelf.pulls.get(model.id))))
    cards = [_card(frame, model, shelf.pulls.get(model.id), wish, purpose) for model in ordered]
    count = sum(fits(model, wish) for model in shelf.models)
    running = any(_under_way(pull) for pull in shelf.pulls.values())
    return page(
        frame,
        "Foundation models",
        outcome(problem, done),
        _filters(shelf, wish, purpose, count),
        h.div(".grid.models", data_part="models")[cards],
        h.div(".card.empty", data_part="none", hidden=count > 0)[
            h.h2["No model fits all of that"],
            h.p["Take a filter away, or add a folder of your own below."],
            h.a(".button", href=f"/models?for={purpose}" if purpose else "/models", data_part="clear")[
                "Show all models"
            ],
        ],
        _add(frame) if frame.admin else None,
        lead=LEADS[purpose],
        crumbs=ABOVE.get(purpose, ()),
        actions=_room(shelf),
        scripts=("models.js",),
        refresh=REFRESH if running else None,
    )


def _filters(shelf: Shelf, wish: Wish, purpose: Purpose, count: int) -> h.Element:
    return h.form(".card.filters", method="get", action="/models", role="search", data_part="filters")[
        field(
            "Search",
            h.input(type="search", name="search", value=wish.search, placeholder="Name or task", maxlength="99"),
        ),
        field("Task", select("task", [("", "Any"), *TASKS.items()], wish.task)),
        field("Parameters", select("size", [("", "Any"), *((k, v[0]) for k, v in SIZES.items())], wish.size)),
        field("Licence", select("licence", [("", "Any"), *((name, name) for name in shelf.licences)], wish.licence)),
        h.fieldset(".checks")[
            h.legend(".sr")["Only"],
            h.label[h.input(type="checkbox", name="tunable", value="1", checked=wish.tunable), "Tunable"],
            h.label[h.input(type="checkbox", name="here", value="1", checked=wish.here), "On this machine"],
        ],
        h.div(".row.filter-end")[
            h.p(".small.muted", role="status", data_part="count")[f"{count} of {len(shelf.models)} models"],
            h.input(type="hidden", name="for", value=purpose) if purpose else None,
            h.button(".button.small.no-js")["Show"],
            h.a(".small", href=_everything(purpose), data_part="clear", hidden=wish == Wish())["Clear all"],
        ],
    ]  # fmt: skip


def _card(frame: Frame, model: Model, pull: Pull | None, wish: Wish, purpose: Purpose) -> h.Element:
    card = model.card
    facts = {
        "data_told": told(model), "data_task": " ".join(tasks_of(model)), "data_size": size_of(model),
        "data_licence": licence_of(model), "data_tunable": model.tunable and "1", "data_here": model.available and "1",
    }  # fmt: skip
    return h.article(".card.model", hidden=not fits(model, wish), data_part="model", **facts)[
        h.div(".model-name")[
            h.p(".faint.small")[card.provider if card else "Added here"],
            h.h2[h.a(href=address(model.id))[model.label]],
        ],
        h.p(".muted")[card.short_description if card else "A folder of this server."],
        h.p(".small")[h.span(".faint")["Good at "], card.good_at] if card else None,
        h.dl(".specs")[
            _spec("Parameters", card.parameters if card else "–"),
            _spec("Context", f"{model.context:,}"),
            _spec("Licence", card.licence if card else "–"),
        ],
        progress(pull) if pull and _under_way(pull) else None,
        h.div(".row.apart.model-end")[_ends(frame, model, pull, purpose)],
    ]


def _ends(frame: Frame, model: Model, pull: Pull | None, purpose: Purpose) -> list[h.Node]:
    """Where the model is, and what to do with it."""
    state = state_badge(model, pull) or h.span(".faint.small")["Not on this machine"]
    if model.available and purpose == "lab":
        return [state, _use("Use it", f"/lab?subject=model:{quote(model.id)}", f"Use {model.label} in the Prompt Lab")]
    if not model.tunable:
        return [state, h.span(".badge.warn-badge", title=model.reason)["not tunable"]]
    if model.available:
        return [state, _use("Tune it", f"/tuning/new?model={quote(model.id)}", f"Tune {model.label}")]
    if not frame.admin or model.card is None or not pullable(model.card) or _under_way(pull):
        return [state]
    return [state, order(frame, "Go on" if pull and pull.done else "Fetch it", "pull", model.id, "small")]


def _everything(purpose: Purpose) -> str:
    return f"/models?for={purpose}" if purpose else "/models"


def _use(words: str, href: str, label: str) -> h.Element:
    return h.a(".button.small", href=href, aria_label=f"{words}: {label}")[words]


def _room(shelf: Shelf) -> h.Element:
    here = len(shelf.disk.prints)
    return h.dl(".room", data_part="disk")[
        h.div[h.dt["On this machine"], h.dd[f"{here} {'model' if here == 1 else 'models'}"]],
        h.div[h.dt["Disk used"], h.dd[size(shelf.disk.used)]],
        h.div[h.dt["Free"], h.dd[size(shelf.disk.free)]],
    ]


def _add(frame: Frame) -> h.Element:
    return h.details(".card.add-model")[
        h.summary["Add a model of your own"],
        h.form(".stack.tight", method="post", action="/models/add")[
            csrf_field(frame),
            h.p(".muted")[
                "A folder of this server with config.json, *.safetensors and a tokenizer, in an architecture that the "
                "engine runs. It stays where it is."
            ],
            h.div(".fields")[
                field("Id", h.input(name="id", required=True, maxlength="300", placeholder="acme/small-instruct")),
                field("Folder", h.input(name="path", required=True, maxlength="2000", placeholder="/models/small")),
            ],
            h.div[h.button(".button.primary")["Add it"]],
        ],
    ]


def _spec(name: str, value: h.Node) -> h.Element:
    return h.div[h.dt[name], h.dd[value]]


def _under_way(pull: Pull | None) -> bool:
    return pull is not None and pull.state == "running"
