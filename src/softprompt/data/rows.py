"""From the keys and values of one parsed object to an `Example`, or to the reason why not.

Repairs what cannot be misunderstood (case of a key, a number for a text, a key too many) and refuses the rest.
Knows no file format: JSON and CSV rows both come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from softprompt.data.problems import Problem, excerpt
from softprompt.data.records import Example

KEYS = ("input", "output")
ALIASES = {
    "input": ("text", "prompt", "question", "instruction", "source", "context", "complaint", "document", "query"),
    "output": ("label", "labels", "completion", "answer", "target", "response", "summary", "category", "class"),
}


class Pairs(tuple[tuple[str, Any], ...]):
    """A JSON object as it was written: in order, duplicate keys included."""

    __slots__ = ()


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class Constant(str):
    """NaN or Infinity, which JSON does not have."""

    __slots__ = ()


Place = Callable[[str], tuple[int, int]]
"""Line and column of a key; the empty key is the row itself."""


def is_row(value: object) -> bool:
    """Whether this is, without any repair, a valid row."""
    if not isinstance(value, Pairs) or len(value) != 2:
        return False
    (first, one), (second, other) = value
    if not (first == "input" and second == "output" or first == "output" and second == "input"):
        return False
    return _is_text(one) and _is_text(other)


def _is_text(value: Any) -> bool:
    return type(value) is str and "\x00" not in value and not value.isspace() and value != "" and _sound(value)


def build(pairs: Pairs, line: int, place: Place, raw: str) -> Iterator[Example | Problem]:
    """The problems of one row (one unrepaired at most, naming all faults), then the example if there is one."""
    found: dict[str, tuple[str, Any]] = {}
    faults: list[tuple[str, str, str, str]] = []  # kind, key, message, fix
    repairs: list[Problem] = []
    extra = []
    for key, value in pairs:
        name = key.strip().strip("\ufeff").lower()
        if name not in KEYS:
            extra.append(key)
        elif name not in found:
            found[name] = (key, value)
        elif found[name][1] != value:
            faults.append(("duplicate_key", key, f'"{name}" stands twice, with different values.', "Keep one of them."))
        else:
            message = f'"{name}" stands twice with the same value; one was kept.'
            repairs.append(Problem(*place(key), "duplicate_key", message, "Remove one.", True, excerpt(key)))
    texts = {}
    for name in KEYS:
        if name not in found:
            faults.append(("missing_key", "", f'"{name}" is missing{_among(extra)}.', _rename(name, extra)))
            continue
        key, value = found[name]
        if key != name:
            message = f'The key is written "{excerpt(key)}"; it was read as "{name}".'
            repairs.append(Problem(*place(key), "key_case", message, f'Write "{name}".', True, excerpt(key)))
        text, kind, message, fix = _text(value)
        if text is None:
            faults.append((kind, key, f'"{name}" {message}', fix))
            continue
        texts[name] = text
        if kind:
            repairs.append(Problem(*place(key), kind, f'"{name}" {message}', fix, True, excerpt(str(value))))
    if faults:
        kind, key, _, _ = faults[0]
        message, fix = " ".join(f[2] for f in faults), " ".join(dict.fromkeys(f[3] for f in faults))
        yield Problem(*place(key), kind, message, fix, False, excerpt(raw))
        return
    if extra:
        names = ", ".join(f'"{excerpt(key)}"' for key in extra[:5]) + (" …" if len(extra) > 5 else "")
        message = f"{'Unknown key' if len(extra) == 1 else 'Unknown keys'} {names}; dropped."
        repairs.append(Problem(*place(extra[0]), "extra_key", message, 'Keep "input" and "output" only.', True, names))
    yield from repairs
    yield Example(texts["input"], texts["output"], line)


def _text(value: Any) -> tuple[str | None, str, str, str]:
    """Text (None: refused), kind (empty: fine as it is), message, fix."""
    if isinstance(value, Constant):
        return None, "not_a_number", f"is {value}, which is no text and no JSON.", "Write the answer as text."
    if isinstance(value, Number):
        return str(value), "number", f'is the number {value}; it was read as the text "{value}".', "Put it in quotes."
    if isinstance(value, bool):
        text = str(value).lower()
        return text, "boolean", f'is {text} without quotes; it was read as the text "{text}".', "Put it in quotes."
    if value is None:
        return None, "null", "is null.", "Write a text, or take the row out."
    if not isinstance(value, str):
        what = "an object" if isinstance(value, Pairs) else "a list"
        return None, "nested", f"is {what}; a text is needed.", 'Join it into one text, e.g. "Service, L3".'
    bare = value.replace("\x00", "")
    if not bare.strip():
        return None, "empty", "is empty.", "Write a text, or take the row out."
    if not _sound(bare):
        return _unsound(value)
    if bare != value:
        count = len(value) - len(bare)
        message = f"holds {count} NUL character{'s' * (count > 1)}; taken out."
        return bare, "nul", message, "Export the file again."
    return value, "", "", ""


def _sound(text: str) -> bool:
    """Whether every character can be written to a file again."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unsound(text: str) -> tuple[None, str, str, str]:
    place = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
    code = ord(text[place])
    if 0xDC80 <= code <= 0xDCFF:
        byte = bytes([code - 0xDC00])
        guess = byte.decode("cp1252", errors="replace")
        message = f"holds the byte 0x{byte.hex().upper()} at its character {place + 1}, which is not UTF-8."
        return None, "invalid_utf8", message, f'Save the file as UTF-8 (in Windows-1252 that byte is "{guess}").'
    message = f"holds half a character (U+{code:04X}) at its character {place + 1}."
    return None, "half_character", message, "Write the whole character or take it out."


def _among(extra: list[str]) -> str:
    return f" (keys seen: {', '.join(excerpt(key) for key in extra[:5])})" if extra else ""


def _rename(name: str, extra: list[str]) -> str:
    for key in extra:
        if key.strip().lower() in ALIASES[name]:
            return f'Rename "{excerpt(key)}" to "{name}".'
    return 'Each row needs "input" and "output".'
