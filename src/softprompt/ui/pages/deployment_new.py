"""Deploying: the form that puts a tuned prompt behind a name, and the one that promotes it to another space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import htpy as h

from softprompt.storage.tables import Space, TunedPrompt
from softprompt.ui.components import button, empty, field, helped, notice, select
from softprompt.ui.deployment_fields import SERVING_HELP, STAGES, serving_field, tags_field
from softprompt.ui.deployment_frame import CRUMBS, Shown
from softprompt.ui.layout import Frame, csrf_field, page


def new_deployment(
    frame: Frame, prompts: Sequence[TunedPrompt], spaces: Sequence[Space], given: Mapping[str, str], problem: str = ""
) -> str:
    if not prompts:
        first = empty(
            "First, a tuned prompt", "A completed run leaves one.", button("Tune a model", "/tuning/new", primary=True)
        )
        return page(frame, "Deploy", first, crumbs=CRUMBS)
    options = [(p.id, f"{p.name} on {p.model_id.split('/')[-1]}") for p in prompts]
    form = h.form(".card.stack", method="post", action="/deployments/new", data_deploy="")[
        csrf_field(frame),
        notice("error", "It was not deployed.", problem) if problem else None,
        field("Tuned prompt", select("prompt", options, given.get("prompt", ""))),
        h.div(".fields.level")[
            helped(
                "Name",
                "For people.",
                lambda tie: h.input(
                    tie, name="name", value=given.get("name", ""), required=True, maxlength="200",
                    placeholder="Complaints router",
                ),
            ),
            serving_field(given.get("serving_name", "")),
        ],
        _where(frame, spaces, given),
        field(
            "Description",
            h.textarea(name="description", rows="2", maxlength="4000")[given.get("description", "")],
        ),
        tags_field(given.get("tags", "")),
        h.div(".row")[h.button(".button.primary")["Deploy"]],
    ]  # fmt: skip
    lead = "It gets addresses and answers at once."
    return page(frame, "Deploy", form, lead=lead, crumbs=CRUMBS, scripts=("deployments.js",))


def _where(frame: Frame, spaces: Sequence[Space], given: Mapping[str, str], *, project: bool = True) -> h.Element:
    """Project, a space, or a new one that is made on the way."""
    chosen = given.get("space", "")
    options = [("", f"Project {frame.project}")] if project else []
    options += [(s.id, f"Space {s.name} ({s.stage})") for s in spaces]
    options.append(("new", "A new space …"))
    help = "A space keeps what answers apart from what is tried, with members of its own. Tuned prompts are promoted."
    return h.div(".stack.tight")[
        helped("Where", help, lambda tie: select("space", options, chosen, **tie)),
        h.p(".small", data_part="space-told", role="status"),
        h.fieldset(".inset.stack.tight", data_part="new-space")[
            h.legend["A new space"],
            h.div(".fields.level")[
                field(
                    "Its name",
                    h.input(name="space_name", value=given.get("space_name", ""), maxlength="200", placeholder="Live"),
                ),
                field("Stage", select("stage", [(s, s.capitalize()) for s in STAGES], given.get("stage", ""))),
            ],
            h.div(".row.js-only")[h.button(".button", type="button", data_part="make-space")["Make the space"]],
        ],
    ]


def promote(frame: Frame, shown: Shown, spaces: Sequence[Space], given: Mapping[str, str], problem: str = "") -> str:
    """The form that deploys the same in another space."""
    found = shown.deployment
    named = bool(found.serving_name)
    moved = given.get("move") == "1"
    form = h.form(".card.stack", method="post", action=f"{shown.here}/promote", data_deploy="")[
        csrf_field(frame),
        notice("error", "It was not promoted.", problem) if problem else None,
        _where(frame, spaces, given, project=False),
        h.fieldset(".stack.tight")[
            h.legend["Serving name"],
            _choice("0", not moved or not named, "A name of its own", f"{found.name} goes on under its own."),
            serving_field(given.get("serving_name", ""), SERVING_HELP),
            _choice(
                "1",
                moved,
                f"Take {found.serving_name} along",
                "From the next request on clients are answered by the new deployment; they change nothing.",
            )
            if named
            else None,
        ],
        h.div(".row")[h.button(".button.primary")["Promote"], h.a(".button.quiet", href=shown.here)["Cancel"]],
    ]
    lead = "The same tuned prompt, deployed in another space. This deployment stays as it is."
    crumbs = (*CRUMBS, (shown.here, found.name))
    return page(
        frame, f"Promote {found.name}", form, lead=lead, crumbs=crumbs,
        scripts=("deployments.js",),
    )  # fmt: skip


def _choice(value: str, chosen: bool, words: str, help: str) -> h.Element:
    return h.label(".choice")[
        h.input(type="radio", name="move", value=value, checked=chosen),
        h.span[words],
        h.span(".help.faint.small")[help],
    ]
