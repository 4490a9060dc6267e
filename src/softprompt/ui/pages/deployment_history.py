"""What happened to a deployment: swaps with the way back, promotions, changes; from the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import htpy as h

from softprompt.studio.deployment_history import Earlier, Happened
from softprompt.ui.components import action, table, when
from softprompt.ui.deployment_frame import Shown, deployment_page
from softprompt.ui.layout import Frame

_FIELDS = {"serving_name": "serving name"}


def deployment_history(frame: Frame, shown: Shown, happened: Sequence[Happened], earlier: Sequence[Earlier]) -> str:
    rows = [[when(each.at), _what(each), each.who] for each in happened]
    log = h.section(".card.flush", data_part="log")[
        h.div(".title")[h.h2["What happened"]],
        table((("When", False), ("What", False), ("Who", False)), rows, "What happened to this deployment"),
    ]
    return deployment_page(frame, shown, "history", _earlier(frame, shown, earlier), log)


def _earlier(frame: Frame, shown: Shown, earlier: Sequence[Earlier]) -> h.Node:
    if not earlier:
        return h.p(".muted", data_part="earlier")[
            "No tuned prompt was swapped yet. When one is, the way back to the one before stands here, one click long."
        ]
    rows = [[each.name, when(each.until), _put_back(frame, shown, each)] for each in earlier]
    return h.section(".card.flush", data_part="earlier")[
        h.div(".title")[h.h2["Earlier tuned prompts"], h.span(".faint.small")["They answered under this name before."]],
        table((("Tuned prompt", False), ("Until", False), ("", True)), rows, "Earlier tuned prompts"),
    ]


def _put_back(frame: Frame, shown: Shown, each: Earlier) -> h.Node:
    if each.prompt is None:
        return h.span(".faint")["deleted"]
    if not shown.may_edit:
        return None
    return action(frame, "Put it back", f"{shown.here}/swap", style="small", fields={"prompt": each.id})


def _what(each: Happened) -> h.Node:
    data: Mapping[str, object] = each.data
    match each.action:
        case "deploy":
            return "Deployed"
        case "arrive":
            return ["Promoted from ", h.a(href=f"/deployments/{data['source']}")[str(data["name"])]]
        case "promote":
            moved = ", its serving name went along" if data.get("moved") else ""
            return [
                "Promoted to ",
                h.a(href=f"/deployments/{data['deployment']}")[f"space {data['space']}"],
                moved,
            ]
        case "swap":
            return _swapped(data)
        case "take offline":
            return "Taken offline"
        case "bring online":
            return "Brought online"
        case "delete":
            return "Deleted"
        case "restore" | "bring back":
            return "Brought back"
        case "update":
            fields = data.get("fields")
            names = [_FIELDS.get(str(name), str(name)) for name in fields] if isinstance(fields, list) else []
            return f"Changed {', '.join(names)}"
    return each.action


def _swapped(data: Mapping[str, object]) -> h.Node:
    def name(part: object) -> str:
        return str(part["name"]) if isinstance(part, Mapping) else "what was there"

    return ["Swapped ", h.strong[name(data.get("from"))], " for ", h.strong[name(data.get("to"))]]
