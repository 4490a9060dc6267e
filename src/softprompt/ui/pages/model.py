"""The card of one foundation model: what it is, how it is tuned by default, where it lies, what rests on it here."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import htpy as h

from softprompt.engine.model_disk import Footprint
from softprompt.studio import model_recipe
from softprompt.studio.foundation_models import Model
from softprompt.studio.model_choice import TASKS, tasks_of
from softprompt.studio.model_pulls import Pull
from softprompt.studio.model_recipe import Recipe
from softprompt.studio.model_use import Use
from softprompt.ui.components import badge, code, facts, notice, outcome, size, table, when
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.model_parts import REFRESH, order, progress, state_badge

LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "hi": "Hindi",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sw": "Swahili", "th": "Thai", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
GATED = ("llama", "gemma")
"""Licences that have to be accepted before the hub gives a model."""
PLACES = {
    "cache": "Softprompt's own folder for models",
    "by hand": "Softprompt's folder for models, filled by hand",
    "hub cache": "the cache of the Hugging Face hub, which other programs here may use too",
    "folder": "a folder that an admin added",
}


@dataclass(frozen=True, slots=True)
class Here:
    """A model on this machine.

    Attributes:
        footprint: if it lies ready.
        left: bytes of a broken-off download.
        estimate: bytes that it will take, roughly; None if nobody knows.
        free: bytes where models are kept.
        pullable: whether a source of it is known.
        home: folder in which its files can be put by hand.
    """

    footprint: Footprint | None
    left: int
    estimate: int | None
    free: int
    pullable: bool
    home: str


def model(frame: Frame, shown: Model, here: Here, pull: Pull | None, use: Use, *, problem: str = "") -> str:
    card = shown.card
    running = pull is not None and pull.state == "running"
    return page(
        frame,
        shown.label,
        outcome(problem),
        _ended(frame, pull, here.left) if not shown.available else None,
        None if shown.tunable else notice("warn", "It cannot be tuned.", shown.reason),
        facts(_facts(shown, here)),
        h.div(".split.first-last")[
            h.div(".stack")[_about(shown), _recipe(shown) if shown.tunable else None, _rests(shown, use)],
            h.div(".stack")[_machine(frame, shown, here, pull, use), _code(shown, here)],
        ],
        lead=card.short_description if card else "A folder of this server.",
        crumbs=(("/models", "Foundation models"),),
        actions=_actions(shown),
        scripts=("models.js",),
        refresh=REFRESH if running else None,
    )


def _actions(shown: Model) -> list[h.Node]:
    if not shown.available:
        return []
    tune = h.a(".button.primary", href=f"/tuning/new?model={quote(shown.id)}")["Tune it"] if shown.tunable else None
    return [h.a(".button", href=f"/lab?subject=model:{quote(shown.id)}")["Try in Prompt Lab"], tune]


def _facts(shown: Model, here: Here) -> list[tuple[str, h.Node]]:
    card = shown.card
    found: list[tuple[str, h.Node]] = [("parameters", card.parameters)] if card else []
    found.append(("tokens of context", f"{shown.context:,}"))
    if card and card.layers:
        found.append(("layers" if card.architecture == "causal" else "layers in each half", str(card.layers)))
    if card and card.hidden_size:
        found.append(("width", f"{card.hidden_size:,}"))
    if here.footprint:
        found.append(("on disk", size(here.footprint.size)))
    return found


def _about(shown: Model) -> h.Element:
    card = shown.card
    kind = (
        "Encoder-decoder: reads the whole input, then writes."
        if shown.architecture == "seq2seq"
        else "Decoder-only: goes on with the text it is given."
    )
    rows: list[tuple[str, h.Node]] = [("Id", h.code[shown.id])]
    if card:
        tasks = [h.span(".tag")[TASKS[task]] for task in tasks_of(shown)]
        rows += [
            ("Owner", card.provider),
            ("Good at", card.good_at),
            ("Tasks", h.span(".row.tags")[tasks] if tasks else "–"),
            ("Kind", kind),
            ("Licence", card.licence),
            ("Languages", ", ".join(LANGUAGES.get(key, key) for key in card.languages)),
            ("Tunable", "Yes" if shown.tunable else f"No. {shown.reason}"),
        ]
        if card.aliases:
            rows.append(
                ("Also called", h.span[[[", " if i else "", h.code[name]] for i, name in enumerate(card.aliases)]])
            )
        if card.hub:
            rows.append(("On the hub", h.code[card.hub]))
    else:
        rows += [("Kind", kind), ("Tunable", "Yes")]
    return h.section(".card")[h.h2["About the model"], _pairs(rows)]


def _recipe(shown: Model) -> h.Element:
    """The numbers that a run takes if nobody says otherwise, and why."""
    found = model_recipe.recipes(shown)
    rows: list[list[h.Node]] = [
        ["Learning rate", *(_rate(each) for each in found)],
        ["Starts from", *(_start(each) for each in found)],
        ["Virtual tokens", *(_tokens(each) for each in found)],
        ["Updates", *(f"about {each.pace.updates}, batches of {each.pace.batch}" for each in found)],
    ]
    head = [("What", False), *((each.task, False) for each in found)]
    few = " or ".join(f"{each.pace.few}" + (f" ({each.task.lower()})" if found[1:] else "") for each in found)
    return h.section(".card.flush", data_part="recipe")[
        h.div(".title")[h.h2["Default recipe"]],
        table(head, rows, "Default recipe"),
        h.div(".reasons")[
            h.p[_why_rate(shown, found[0])],
            h.p[
                "Updates train a prompt, and epochs and accumulation follow from your rows: fewer updates than ",
                f"{few} hardly move it.",
            ],
            h.p[
                "The numbers were chosen on validation rows, never on test rows. Every one can be changed before a run."
            ],
        ],
    ]


def _rate(recipe: Recipe) -> str:
    if recipe.learning_rate is not None:
        return f"{recipe.learning_rate:.2g}"
    return f"{recipe.relative:.2g} × scale of the embeddings"


def _start(recipe: Recipe) -> str:
    return "solved training rows" if recipe.shape.init == "examples" else "the text of the task"


def _tokens(recipe: Recipe) -> str:
    return "as many as those rows take" if recipe.shape.init == "examples" else str(recipe.shape.virtual_tokens)


def _why_rate(shown: Model, recipe: Recipe) -> str:
    if recipe.relative is None:
        return "The learning rate is what prompts of the T5 family are tuned with; other models need far smaller ones."
    scale = model_recipe.scale(shown)
    read = f", {scale:.2g} here" if scale else ", which is read when the run starts"
    return (
        f"Learning rates follow the scale (RMS) of a model's embeddings{read}. What starts from solved rows is near an "
        "answer already and moves in smaller steps."
    )


def _rests(shown: Model, use: Use) -> h.Element:
    prompts: list[list[h.Node]] = [
        [
            h.a(".strong", href=f"/tuning/runs/{p.run_id}")[p.name] if p.run_id else p.name,
            p.task or "–",
            str(p.virtual_tokens or "–"),
            when(p.created_at),
        ]
        for p in use.prompts
    ]
    served: list[list[h.Node]] = [
        [
            h.a(".strong", href=f"/deployments/{d.id}")[d.name],
            h.code[d.serving_name] if d.serving_name else "–",
            badge(use.standings[d.id].state),
            "a tuned prompt" if d.tuned_prompt_id else "the model itself",
        ]
        for d in use.deployments
    ]
    if not prompts and not served:
        tune = h.a(".button", href=f"/tuning/new?model={quote(shown.id)}")["Tune it"]
        return h.section(".card.empty", data_part="rests")[
            h.h2["Nothing rests on it yet"],
            h.p["Prompts tuned for this model, and deployments that answer with it, will stand here."],
            tune if shown.available and shown.tunable else None,
        ]
    return h.div(".stack", data_part="rests")[
        _listed("Tuned prompts", use.prompts_total, prompts, ("Name", "Task", "Virtual tokens", "Made")),
        _listed("Deployments", use.deployments_total, served, ("Name", "Serving name", "State", "Answers with")),
    ]


def _listed(title: str, total: int, rows: list[list[h.Node]], head: tuple[str, ...]) -> h.Node:
    if not rows:
        return None
    told = f"The newest {len(rows)} of {total}" if total > len(rows) else f"{total}"
    cells = [(words, words == "Virtual tokens") for words in head]
    return h.section(".card.flush")[
        h.div(".title")[h.h2[title], h.span(".faint.small")[told]], table(cells, rows, title)
    ]


def _machine(frame: Frame, shown: Model, here: Here, pull: Pull | None, use: Use) -> h.Element:
    return h.section(".card.stack.tight", aria_label="On this machine", data_part="machine")[
        h.div(".row.apart")[h.h2["On this machine"], state_badge(shown, pull)],
        _present(frame, shown, here, use) if shown.available else _absent(frame, shown, here, pull),
    ]


def _present(frame: Frame, shown: Model, here: Here, use: Use) -> list[h.Node]:
    found = here.footprint
    assert found is not None
    rows: list[tuple[str, h.Node]] = [("Disk", size(found.size)), ("Found in", PLACES[found.place])]
    if frame.admin:
        rows.append(("Folder", h.code[str(found.path)]))
    return [_pairs(rows), _take_away(frame, shown, found, use) if frame.admin else None]


def _take_away(frame: Frame, shown: Model, found: Footprint, use: Use) -> h.Node:
    if shown.row is not None:
        return _sure(
            frame, "Take off the list", "forget", shown.id,
            "The studio forgets this folder; its files stay. Prompts tuned for it answer again once it is added again.",
        )  # fmt: skip
    if found.place == "by hand":
        return h.p(".small.faint")["Its folder was filled by hand, so it is removed by hand."]
    if use.needed:
        verb = "needs" if use.needed.startswith("1 ") and " and " not in use.needed else "need"
        return h.p(".small.muted")[f"It stays on the disk: {use.needed} {verb} it."]
    rest = (
        f" {use.prompts_total} tuned {'prompt' if use.prompts_total == 1 else 'prompts'} cannot answer until it is "
        "fetched again."
        if use.prompts_total
        else ""
    )
    other = " Other programs that use this cache lose it too." if found.place == "hub cache" else ""
    words = f"This frees {size(found.size)}. It can be fetched again.{rest}{other}"
    return _sure(frame, "Remove from disk", "remove", shown.id, words)


def _absent(frame: Frame, shown: Model, here: Here, pull: Pull | None) -> list[h.Node]:
    if shown.row is not None:
        told = f"The folder {shown.row.path} is gone. Bring it back, or take the model off the list."
        words = "The studio forgets this folder."
        forget = _sure(frame, "Take off the list", "forget", shown.id, words) if frame.admin else None
        return [h.p(".muted")[told if frame.admin else "Its folder is gone. An admin can see to it."], forget]
    if pull is not None and pull.state == "running":
        return [progress(pull), order(frame, "Stop", "stop", shown.id, "small") if frame.admin else None]
    if not here.pullable:
        return _by_hand(frame, here)
    return [
        h.p(".muted")[
            "It is not here yet. ",
            f"It takes about {size(here.estimate)}; {size(here.free)} are free." if here.estimate else None,
        ],
        _gated(frame, shown),
        _fetch(frame, shown, here, pull),
    ]


def _ended(frame: Frame, pull: Pull | None, left: int) -> h.Node:
    if pull is None or pull.state == "here":
        return None
    if pull.state == "failed":
        why = h.span(".told")[pull.problem] if frame.admin else "An admin sees why."
        return notice("error", f"It could not be fetched{'.' if not frame.admin else ':'}", why)
    words = (
        "Somebody stopped the download." if pull.state == "stopped" else "The download broke off: its process ended."
    )
    return notice("warn", words, f"{size(left)} have arrived." if left else None)


def _fetch(frame: Frame, shown: Model, here: Here, pull: Pull | None) -> h.Node:
    if not frame.admin:
        return h.p(".small.faint")["An admin of the studio can fetch it."]
    again = pull is not None and pull.state in ("stopped", "interrupted", "failed")
    words = "Go on" if again and here.left else "Try again" if again else "Fetch it"
    left = (
        _sure(frame, "Discard", "remove", shown.id, f"This frees {size(here.left)} of a download that is not whole.")
        if here.left
        else None
    )
    return h.div(".row")[order(frame, words, "pull", shown.id, "primary"), left]


def _by_hand(frame: Frame, here: Here) -> list[h.Node]:
    words = (
        "No source is known from which it could be fetched. If you have its files (config.json, *.safetensors, a "
        "tokenizer), put them into this folder of the server:"
        if frame.admin
        else "No source is known from which it could be fetched."
    )
    return [h.p(".muted")[words], code(here.home) if frame.admin else None]


def _gated(frame: Frame, shown: Model) -> h.Node:
    card = shown.card
    if card is None or not card.licence.startswith(GATED) or not frame.admin:
        return None
    return h.p(".small.muted")[
        "Its owner hands it out to those who accept the licence: do that on the hub's page of ",
        h.code[card.hub],
        ", then run ",
        h.code["hf auth login"],
        " on this server.",
    ]


def _code(shown: Model, here: Here) -> h.Node:
    if shown.card is None:
        return None
    pull = f"softprompt models pull {shown.id}\n" if not shown.available and here.pullable else ""
    return h.section(".card.stack.tight.wrap")[
        h.h2["From a terminal"],
        code(f"softprompt models show {shown.id}\n{pull}softprompt tune rows.jsonl --model {shown.id}"),
    ]


def _sure(frame: Frame, words: str, what: str, model_id: str, question: str) -> h.Element:
    """A button that first says what it will do, since it cannot be undone with another one."""
    return h.details(".confirm")[
        h.summary(".button.quiet.danger.small")[words],
        h.form(".stack.tight", method="post", action=f"/models/{what}")[
            csrf_field(frame),
            h.input(type="hidden", name="model", value=model_id),
            h.p(".small")[question],
            h.div[h.button(".button.danger.small")[words]],
        ],
    ]


def _pairs(rows: list[tuple[str, h.Node]]) -> h.Element:
    return h.dl(".pairs")[[[h.dt[name], h.dd[value]] for name, value in rows]]
