"""The card of a tuned prompt: everything but the numbers, as `softprompt.json`, and as words in `README.md`.

Covers: what stands in the card, writing it, and reading a stranger's card: all that is wrong with it is gathered
before it is refused, unknown keys included. Does not read tensors; their shapes are compared in `artifact`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from softprompt.data.template import Template
from softprompt.data.wrapper import Wrapper
from softprompt.engine.safe_files import MAX_JSON_BYTES, read_json, refuse
from softprompt.errors import ArtifactInvalid, TemplateInvalid

CARD = "softprompt.json"
FORMAT = "softprompt"
VERSION = 1
KINDS = ("causal", "seq2seq")
MAX_NAME = 200
MAX_LINE = 1000

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The foundation model a tuned prompt belongs to: its fingerprint decides, the rest is for shapes and people."""

    model_id: str
    fingerprint: str
    kind: str
    hidden_size: int
    layers: int
    kv_heads: int
    head_dim: int
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadoutCard:
    """A label readout without its numbers."""

    labels: tuple[str, ...]
    layers: tuple[int, ...]
    places: tuple[str, ...]
    template: Template
    tensors: dict[str, Shape]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A tuned prompt without its numbers.

    Attributes:
        tensors: shape of every tensor in `prompt.safetensors`.
        peft: what PEFT sees of the prompt when it opens the folder, and what it does not ("covers", "leaves_out").
        files: length and SHA-256 of the tensor files, so that files of two prompts cannot get mixed up.
    """

    name: str
    created: str
    licence: str
    task: str
    base: Base
    template: Template
    labels: tuple[str, ...]
    virtual_tokens: int
    answers_by: str
    tensors: dict[str, Shape]
    readout: ReadoutCard | None
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    peft: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def dump_card(card: Card) -> bytes:
    """The bytes of `softprompt.json`."""
    content = {"format": FORMAT, "format_version": VERSION, **dataclasses.asdict(card)}
    for holder in (content, content["readout"] or {}):  # older readers know templates without wrappers
        if "template" in holder and not any(holder["template"]["wrapper"].values()):
            del holder["template"]["wrapper"]
    try:
        data = (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactInvalid(
            f"The card of {card.name!r} cannot be written as JSON: {error}. recipe, data, metrics and versions take "
            "texts, finite numbers, lists and objects."
        ) from error
    if problems := _problems(json.loads(data)):
        raise ArtifactInvalid(f"The card of {card.name!r} could not be read again: {'; '.join(problems[:10])}.")
    if len(data) > MAX_JSON_BYTES:
        raise ArtifactInvalid(
            f"The card of {card.name!r} would have {len(data):,} bytes, more than the {MAX_JSON_BYTES:,} that are read "
            "again. Keep rows and long lists out of recipe, data and metrics."
        )
    return data


def read_card(folder: Path) -> Card:
    """The checked card of a folder."""
    where = folder / CARD
    content = read_json(folder, CARD)
    if content.get("format") != FORMAT:
        refuse(where, f"says format {content.get('format')!r}, not {FORMAT!r}", "It belongs to another program.")
    version = content.get("format_version")
    if type(version) is int and version > VERSION:
        refuse(where, f"has format version {version}; this Softprompt reads up to {VERSION}", "Update Softprompt.")
    if problems := _problems(content):
        more = f" and {len(problems) - 10} more" if len(problems) > 10 else ""
        refuse(where, f"is no sound card: {'; '.join(problems[:10])}{more}", "Copy or export the tuned prompt again.")
    return _card(content, where)


def readme(card: Card) -> bytes:
    """A page for people."""
    base = card.base
    peft = card.peft.get("covers") or []
    lines = [
        f"# {card.name}",
        "",
        f"A tuned prompt for **{base.model_id}**: {card.virtual_tokens} virtual tokens, task {card.task}, answers by "
        f"{card.answers_by}. The model itself is unchanged and not in this folder.",
        "",
        f"- made: {card.created}",
        f"- licence: {card.licence or 'not stated'}",
        f"- embeddings of the model (SHA-256): `{base.fingerprint}`",
        f"- template: `{card.template.text!r}`",
        *([f"- labels: {', '.join(card.labels[:30])}{' …' if len(card.labels) > 30 else ''}"] if card.labels else []),
        *[f"- {key}: {value}" for key, value in card.metrics.items() if isinstance(value, (int, float, str))][:20],
        "",
        "Everything else stands in `softprompt.json`.",
        "",
        f"PEFT opens this folder too and gets: {', '.join(peft)}." if peft else "PEFT cannot express this prompt.",
        *([f"It leaves out: {', '.join(card.peft['leaves_out'])}."] if card.peft.get("leaves_out") else []),
        "",
    ]
    return "\n".join(lines).encode("utf-8", "replace")


def name_problem(name: str) -> str | None:
    """Why this cannot be a tuned prompt's name: names become folders and table rows."""
    if not name.strip() or len(name) > MAX_NAME:
        return f"has {len(name)} characters; 1 to {MAX_NAME} are allowed"
    if not name.isprintable() or any(sign in name for sign in "/\\") or name in (".", ".."):
        return f"{name!r} holds a slash, a line break or another sign that a folder's name cannot hold"
    return None


# --- checks: a value is held against a kind; the answer is a list of problems -----------------------------------------
_Check = Callable[[Any], str | None]


def _problems(content: Mapping[str, Any]) -> list[str]:
    version = content.get("format_version")
    wrong = (
        [] if type(version) is int and version == VERSION else [f"format_version: {_shown(version)} is not {VERSION}"]
    )
    fields = {key: value for key, value in content.items() if key not in ("format", "format_version")}
    return wrong + _compare(fields, _CARD)


def _compare(content: Mapping[str, Any], kinds: Mapping[str, _Check], optional: Sequence[str] = ()) -> list[str]:
    problems = [f"{key[:80]!r}: unknown" for key in content if key not in kinds]
    problems += [f"{key}: missing" for key in kinds if key not in content and key not in optional]
    for key, check in kinds.items():
        if key in content and (problem := check(content[key])):
            problems.append(f"{key}: {problem}")
    return problems


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else f"{_shown(value)} is no text"


def _line(value: Any) -> str | None:
    """A text that can stand in a message: a stranger's line breaks and terminal codes stay out of it."""
    if problem := _text(value):
        return problem
    return None if value.isprintable() and len(value) <= MAX_LINE else f"{_shown(value)} is no line of {MAX_LINE} signs"


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else f"{_shown(value)} is no object"


def _natural(value: Any) -> str | None:
    return None if type(value) is int and 0 <= value < 1 << 31 else f"{_shown(value)} is no natural number"


def _one_of(*choices: str) -> _Check:
    return lambda value: None if value in choices else f"{_shown(value)} is not one of {', '.join(choices)}"


def _list_of(check: _Check) -> _Check:
    def whole(value: Any) -> str | None:
        if not isinstance(value, list):
            return f"{_shown(value)} is no list"
        return next((problem for item in value if (problem := check(item))), None)

    return whole


def _map_of(check: _Check, *keys: str) -> _Check:
    def whole(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"{_shown(value)} is no object"
        if unknown := [key for key in value if key not in keys]:
            return f"{unknown[0][:80]!r} is not one of {', '.join(keys)}"
        return next((f"{key}: {problem}" for key, item in value.items() if (problem := check(item))), None)

    return whole


def _exactly(kinds: Mapping[str, _Check], *, or_null: bool = False, optional: Sequence[str] = ()) -> _Check:
    def whole(value: Any) -> str | None:
        if value is None and or_null:
            return None
        return _object(value) or "; ".join(_compare(value, kinds, optional)[:5]) or None

    return whole


def _name(value: Any) -> str | None:
    return _text(value) or name_problem(value)


def _moment(value: Any) -> str | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return f"{_shown(value)} is no moment like 2026-03-14T09:00:00+00:00"
    return None if moment.tzinfo is not None else f"{value!r} lacks its offset from UTC"


def _template(value: Any) -> str | None:
    if problem := _exactly(_TEMPLATE, optional=("wrapper",))(value):
        return problem
    try:
        _made(value)
    except TemplateInvalid as error:
        return str(error)
    return None


def _made(value: Mapping[str, Any]) -> Template:
    return Template(value["text"], value["instruction"], Wrapper(**value.get("wrapper", {})))


def _shown(value: Any) -> str:
    return repr(value)[:60]


_SHAPE = _list_of(_natural)
PROMPT_TENSORS = ("prefix", "suffix", "deep", "calibration")
READOUT_TENSORS = (
    *("center", "scale", "weight", "bias", "tokens", "idf"),
    *("prompt.prefix", "prompt.suffix", "prompt.deep"),
)
TENSOR_FILES = ("prompt.safetensors", "readout.safetensors")
_BASE: dict[str, _Check] = {
    "model_id": _line,
    "fingerprint": _line,
    "kind": _one_of(*KINDS),
    **dict.fromkeys(("hidden_size", "layers", "kv_heads", "head_dim"), _natural),
    "dtype": _line,
}
_TEMPLATE: dict[str, _Check] = {
    "text": _text,
    "instruction": _text,
    "wrapper": _exactly({"prefix": _text, "suffix": _text}),
}
_READOUT: dict[str, _Check] = {
    "labels": _list_of(_text),
    "layers": _list_of(_natural),
    "places": _list_of(_text),
    "template": _template,
    "tensors": _map_of(_SHAPE, *READOUT_TENSORS),
}
_CARD: dict[str, _Check] = {
    "name": _name,
    "created": _moment,
    "licence": _line,
    "task": _line,
    "base": _exactly(_BASE),
    "template": _template,
    "labels": _list_of(_text),
    "virtual_tokens": _natural,
    "answers_by": _one_of("readout", "text"),
    "tensors": _map_of(_SHAPE, *PROMPT_TENSORS),
    "readout": _exactly(_READOUT, or_null=True),
    **dict.fromkeys(("recipe", "data", "metrics", "versions"), _object),
    "peft": _exactly({"covers": _list_of(_text), "leaves_out": _list_of(_text)}),
    "files": _map_of(_exactly({"bytes": _natural, "sha256": _text}), *TENSOR_FILES),
}


def _card(content: Mapping[str, Any], where: Path) -> Card:
    """A card whose fields have been checked."""
    fields = {key: content[key] for key in _CARD}
    readout = fields["readout"]
    card = Card(
        **{
            **fields,
            "base": Base(**fields["base"]),
            "template": _made(fields["template"]),
            "labels": tuple(fields["labels"]),
            "tensors": _shapes(fields["tensors"]),
            "readout": None
            if readout is None
            else ReadoutCard(
                labels=tuple(readout["labels"]),
                layers=tuple(readout["layers"]),
                places=tuple(readout["places"]),
                template=_made(readout["template"]),
                tensors=_shapes(readout["tensors"]),
            ),
        }
    )
    due = {"prompt.safetensors"} | ({"readout.safetensors"} if readout is not None else set())
    if set(card.files) != due:
        refuse(where, f"lists the tensor files {sorted(card.files)}, where {sorted(due)} belong", "Export it again.")
    return card


def _shapes(content: Mapping[str, list[int]]) -> dict[str, Shape]:
    return {name: tuple(shape) for name, shape in content.items()}
