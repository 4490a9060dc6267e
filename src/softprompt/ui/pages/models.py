"""Foundation models: what is known about each, whether it can be tuned, whether it is here."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from softprompt.studio.foundation_models import Model
from softprompt.ui.components import badge
from softprompt.ui.layout import Frame, page


def models(frame: Frame, found: Sequence[Model], search: str) -> str:
    cards = [_card(m) for m in sorted(found, key=lambda m: not m.available)]
    chooser = h.form(".row", method="get")[
        h.input(type="search", name="search", value=search, placeholder="Search models", aria_label="Search models"),
    ]
    lead = "Frozen models that prompts are tuned for. `softprompt models pull ID` brings one here."
    shown = (
        h.div(".grid")[cards] if cards else h.div(".card.empty")[h.p["No model has this in its name or description."]]
    )
    return page(frame, "Foundation models", shown, lead=lead, actions=chooser)


def _card(model: Model) -> h.Element:
    card = model.card
    return h.article(".card.stack.tight")[
        h.div(".row.apart")[h.h2[model.label], badge("ready") if model.available else None],
        h.p(".muted")[card.short_description if card else "A folder of this server."],
        h.div(".row")[
            h.span(".tag")[card.parameters] if card else None,
            h.span(".tag")["encoder-decoder" if model.architecture == "seq2seq" else "decoder"],
            h.span(".tag")[f"{model.context:,} tokens"],
            h.span(".tag")[card.licence] if card else None,
        ],
        h.p(".small.muted")[h.strong["Good at: "], card.good_at] if card else None,
        None if model.tunable else h.p(".small.faint")[f"Not tunable: {model.reason}"],
        h.code(".small.faint")[model.id],
    ]
