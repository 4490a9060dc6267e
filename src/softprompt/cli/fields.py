"""Options made from a parameter class, so that help texts, ranges and defaults stand in `params` alone.

Checks nothing: the class refuses what does not fit when it is made, all problems at once.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., None])


def options_of(config: type, *, unset: str, names: Mapping[str, str] | None = None) -> Callable[[Command], Command]:
    """Give a command one option per field of `config`, in place of its `**given`.

    Args:
        config: a parameter class.
        unset: what stands in place of a default that is None.
        names: options that are called otherwise than their field.
    """

    def decorate(command: Command) -> Command:
        fixed = [
            p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD
        ]
        hints = get_type_hints(config)
        options = [
            _option(item, hints[item.name], (names or {}).get(item.name, item.name), unset)
            for item in dataclasses.fields(config)
        ]
        command.__signature__ = inspect.Signature(fixed + options)  # type: ignore[attr-defined]
        return command

    return decorate


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the person set, ready for the class: lists as tuples, what was left open left out."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None and value != []
    }


def _option(item: dataclasses.Field[Any], hint: Any, name: str, unset: str) -> inspect.Parameter:
    kind, choices = _kind(hint)
    flag = name.replace("_", "-")
    words = f"{item.metadata['help']} {_aside(item, unset)}"
    info = typer.Option(
        f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}",
        help=words,
        metavar="|".join(choices) or ("TEXT" if kind is tuple else None),
        show_default=False,
    )
    read: Any = list[str] if kind is tuple else kind
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[read | None, info]
    )


def _kind(hint: Any) -> tuple[Any, tuple[str, ...]]:
    """The type a command line reads, and the words it may be."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    if NoneType in get_args(hint):
        return _kind(parts[0])
    if get_origin(hint) is tuple:
        return tuple, ()
    if parts and all(isinstance(part, str) for part in parts):
        return str, tuple(parts)
    return hint, ()


def _aside(item: dataclasses.Field[Any], unset: str) -> str:
    """Range and default in brackets."""
    low, high = item.metadata.get("low"), item.metadata.get("high")
    facts = []
    if high is not None:
        facts.append(f"{_number(low)} to {_number(high)}")
    elif low is not None:
        facts.append(f"{_number(low)} or more")
    if item.default is None:
        facts.append(f"default: {unset}")
    elif item.default not in ("", ()):
        facts.append(f"default: {_number(item.default)}")
    return f"[{'; '.join(facts)}]" if facts else ""


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and " " in value:
        return repr(value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)
