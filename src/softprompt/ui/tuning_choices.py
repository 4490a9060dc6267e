"""What a tuning run is given: model, task, way of answering, start of the vectors, data. Cards and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.tables import Dataset, TunedPrompt
from softprompt.studio.foundation_models import Model
from softprompt.studio.outlook import Outlook
from softprompt.studio.outlook_words import TASK_WORDS
from softprompt.ui.tuning_fields import Filled, text, told


@dataclass(frozen=True, slots=True)
class Tile:
    """A choice with what it means."""

    value: str
    words: str
    means: str
    limits: str = ""


TASKS = (
    Tile("", "As the data shows", "The answers of your rows say what kind of task this is."),
    Tile(
        "classification", "Classification", "One answer out of a few: “My parcel is late” becomes Service.",
        "Up to 10 answers are learned well; five rows of each at least.",
    ),
    Tile(
        "multilabel", "Multi-label routing",
        "As many labels as apply: “You shipped 2 of 5” becomes Warehouse, Packaging.",
        "Every combination counts as an answer of its own; rare ones are hardly learned.",
    ),
    Tile(
        "generation", "Generation", "Free text in your own style: replies, rewritten sentences, extracted facts.",
        "The model writes it token by token, up to the maximum of output tokens.",
    ),
    Tile(
        "summarization", "Summarization", "The gist of a longer text, as your rows have it.",
        "What is longer than the maximum of input tokens is cut at its end.",
    ),
)  # fmt: skip
READOUTS = (
    Tile("auto", "As the data suggests", "A label readout where answers are known and it helps; text otherwise."),
    Tile("only", "Label readout", "The answer is read from the frozen model’s hidden states, with its probability.",
         "For known answers and decoder-only models; trains in seconds."),
    Tile("off", "Generated text", "The model writes the answer token by token.", "The only way for free text."),
)  # fmt: skip
STARTS = (
    Tile("", "Follows the data", "Solved rows where answers are known, else the instruction of the task."),
    Tile("text", "Text", "Your own words, best an instruction with all labels."),
    Tile("examples", "Solved rows", "Rows of yours with their answers, one for each answer."),
    Tile("labels", "Labels", "The words of the labels."),
    Tile("vocabulary", "Vocabulary", "Common tokens of the model, drawn by the seed."),
    Tile("random", "Random", "Noise at the scale of the model’s embeddings; learns slowest."),
    Tile("prompt", "A tuned prompt", "Vectors of an earlier run, tuned further: on better data, or more slowly."),
)


def tiles(name: str, legend: str, choices: Sequence[Tile], filled: Filled, *, help: h.Node = None) -> h.Element:
    """Tiles of which one is chosen."""
    chosen = filled.get(name) or choices[0].value
    return h.fieldset(".stack.tight", id=f"field-{name}", data_differs="" if name in filled.before else None)[
        h.legend[legend],
        h.div(".picks.small")[
            [
                h.label(".choice")[
                    h.input(type="radio", name=name, value=tile.value, checked=tile.value == chosen),
                    h.strong[tile.words],
                    h.span(".help.muted")[tile.means],
                    h.span(".help.faint.small")[tile.limits] if tile.limits else None,
                ]
                for tile in choices
            ]
        ],
        told(name, filled, help),
    ]


def models(found: Sequence[Model], filled: Filled) -> h.Element:
    """Cards: those that can be tuned and are here, then the others with the reason."""
    chosen = filled.get("model")
    here = [model for model in found if model.tunable and model.available]
    rest = [model for model in found if not (model.tunable and model.available)]
    rest.sort(key=lambda model: not model.tunable)
    open_rest = not here or any(model.id == chosen for model in rest)
    return h.fieldset(".card.stack.tight", id="field-model", data_differs="" if "model" in filled.before else None)[
        h.legend[h.h2["Foundation model"]],
        h.div(".picks")[[_model(model, chosen) for model in here]] if here else h.p(".muted")[
            "No model that can be tuned lies on this machine yet. Choose one below; the worker fetches it."
        ],
        told("model", filled),
        h.details(open=open_rest, data_part="other-models")[
            h.summary[f"{len(rest)} more: not on this machine, or not tunable"],
            h.input(
                ".js-only", type="search", placeholder="Narrow the list", aria_label="Narrow the list of models",
                data_part="narrow",
            ),
            h.div(".picks")[[_model(model, chosen) for model in rest]],
        ] if rest else None,
    ]  # fmt: skip


def _model(model: Model, chosen: str) -> h.Element:
    card = model.card
    tags = [card.parameters if card else "", "encoder-decoder" if model.architecture == "seq2seq" else "decoder"]
    tags += [f"{model.context:,} tokens", card.licence if card else "your folder"]
    state = "" if model.available else "Not on this machine yet"
    return h.label(class_="choice" if model.tunable else "choice off", data_told=f"{model.id} {model.label}".lower())[
        h.input(
            type="radio",
            name="model",
            value=model.id,
            required=True,
            checked=model.id == chosen,
            disabled=not model.tunable,
        ),
        h.strong[model.label],
        h.span(".help.muted")[card.short_description if card else "A folder of this server."],
        h.span(".help.row")[[h.span(".tag")[tag] for tag in tags if tag]],
        h.span(".help.small.faint")[state] if model.tunable and state else None,
        None if model.tunable else h.span(".help.small.why")[f"Cannot be tuned: {model.reason}"],
    ]


def start(filled: Filled, prompts: Sequence[TunedPrompt], outlook: Outlook | None) -> h.Element:
    """Where vectors begin, with the text and its tokens."""
    options = [(p.id, f"{p.name} · {p.virtual_tokens:,} vectors · {p.model_id.split('/')[-1]}") for p in prompts]
    return h.section(".card.stack.tight.starts")[
        h.h2["Initialise the prompt"],
        tiles("init", "Vectors start from", STARTS, filled),
        h.div(".start-text")[
            text("init_text", "Text to start from", filled, rows=3, placeholder="Classify the following complaint …")
        ],
        h.div(".start-prompt")[
            _select("init_prompt", "Tuned prompt to start from", [("", "Choose one"), *options], filled)
            if options
            else h.p(".muted.small", id="field-init_prompt")[
                "There is no tuned prompt with vectors in this project yet."
            ]
        ],
        start_shown(outlook),
    ]


def start_shown(outlook: Outlook | None) -> h.Element:
    """The text that vectors begin with, token by token."""
    return h.div("#start-shown.stack.tight", data_live="")[_start_shown(outlook)]


def _start_shown(outlook: Outlook | None) -> h.Node:
    if outlook is None or outlook.size is None:
        return None
    if outlook.size.schedule is None:
        return h.p(".muted.small")["A label readout alone trains no vectors."]
    shape = outlook.size.shape
    if shape.init == "prompt":
        begun = outlook.known.begun
        return h.p(".muted.small")[f"{shape.virtual_tokens:,} vectors of {begun.name}."] if begun else None
    if not outlook.start_text:
        return h.p(".muted.small")[f"{shape.virtual_tokens} vectors, drawn by the seed."]
    if outlook.start_tokens is None:
        counted = "The model’s tokenizer is not on this machine; its tokens are counted when the run starts."
        return [h.p(".answer.small")[outlook.start_text], h.p(".muted.small")[counted]]
    tokens, behind = outlook.start_tokens, shape.place == "suffix"
    wanted = shape.suffix_length if behind else shape.prefix_length
    first = tokens[:400]
    return [
        h.div(".tokens", tabindex="0", role="group", aria_label="The text that vectors start from, token by token")[
            [h.span(class_="token" if i < wanted or shape.init == "examples" else "token left")[token]
             for i, token in enumerate(first)],
            f" … and {len(tokens) - len(first)} more" if len(tokens) > len(first) else None,
        ],
        h.p(".small.muted", aria_live="polite")[
            h.strong[f"{len(tokens):,} token{'' if len(tokens) == 1 else 's'}"],
            f" for {wanted:,} vectors {'after the cue' if behind else 'in front'}",
            _fit(len(tokens), wanted, shape.init),
        ],
    ]  # fmt: skip


def _fit(tokens: int, wanted: int, init: str) -> str:
    if tokens == wanted:
        return ": one each."
    if tokens > wanted:
        return f": {'the first' if init == 'examples' else 'the last'} {tokens - wanted:,} are left out."
    if init == "labels":
        return f": the other {wanted - tokens:,} are drawn from the vocabulary."
    return ": the text is repeated."


def data(found: Sequence[Dataset], filled: Filled, outlook: Outlook | None) -> h.Element:
    """Training, validation and test rows."""
    options = [(d.id, f"{d.name} · version {d.version} · {d.rows or 0:,} rows") for d in found]
    held = [("", "None: the last prompt is kept"), ("share", "A share of the training rows"), *options]
    return h.section(".card.stack.tight")[
        h.h2["Data"],
        _select("dataset", "Training data", options, filled, report=_report(outlook)),
        h.div(".fields.top")[
            _select("validation", "Validation rows", held, filled, help="After each epoch; the best prompt is kept."),
            h.div(".knob.share", id="field-share")[
                h.label(for_="input-share")["Share of the training rows, in percent"],
                h.input(
                    id="input-share", name="share", type="number", min="1", max="90", step="any",
                    value=filled.get("share") or "20", aria_describedby="told-share help-share",
                ),
                told("share", filled),
                h.p("#help-share.help")["Drawn by the seed, in proportion to the answers."],
            ],
            _select("test", "Test rows", [("", "None"), *options], filled, help="Scored once, after the run."),
        ],
        _part_link(filled),
    ]  # fmt: skip


def _part_link(filled: Filled) -> h.Node:
    if filled.get("test") or not filled.get("dataset"):
        return None
    where = f"/data/{filled.get('dataset')}/split"
    return h.p(".small.muted")[
        "No test rows yet? ", h.a(href=where)["Part this dataset into training and test rows"], "."
    ]


def _select(
    name: str, words: str, options: Sequence[tuple[str, str]], filled: Filled, *, help: str = "", report: h.Node = None,
) -> h.Element:  # fmt: skip
    chosen = filled.get(name)
    described = f"told-{name} help-{name}" if help else f"told-{name}"
    return h.div(".knob", id=f"field-{name}", data_differs="" if name in filled.before else None)[
        h.label(for_=f"input-{name}")[words],
        h.select(id=f"input-{name}", name=name, aria_describedby=described)[
            [h.option(value=value, selected=value == chosen)[shown] for value, shown in options]
        ],
        told(name, filled, report),
        h.p(".help", id=f"help-{name}")[help] if help else None,
    ]


def _report(outlook: Outlook | None) -> h.Node:
    """The report of the training data in short."""
    if outlook is None or outlook.known.train is None:
        return None
    train, report = outlook.known.train, outlook.known.train.report or {}
    labels, combinations = report.get("labels") or {}, report.get("combinations") or {}
    told = [TASK_WORDS.get(outlook.task, outlook.task)]
    if labels:
        told.append(f"{len(labels)} label{'' if len(labels) == 1 else 's'}")
    if combinations and len(combinations) != len(labels):
        told.append(f"{len(combinations)} combinations")
    warnings = len(report.get("warnings", ()))
    told.append(f"{warnings} warning{'' if warnings == 1 else 's'}" if warnings else "no warnings")
    return [", ".join(told)[:1].upper() + ", ".join(told)[1:], ". ", h.a(href=f"/data/{train.id}")["See the report"]]
