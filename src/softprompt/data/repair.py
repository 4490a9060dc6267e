"""One broken JSON object made readable, where there is only one way to read it; else the reason why it is broken.

Repairs: raw control characters in strings, trailing commas, smart quotes as delimiters. Guesses no missing text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from softprompt.data.rows import Constant, Number, Pairs

DECODER = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=Constant)
"""Keeps duplicate keys, the spelling of numbers, and NaN, so that each can be named."""

_LENIENT = json.JSONDecoder(
    strict=False, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=Constant
)
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*+[}\]])', re.DOTALL)
_OPENING = re.compile(r"([{,:\[]\s*)[“”„‟]")
_CLOSING = re.compile(r"[“”‟](?=\s*[,:}\]])")


@dataclass(frozen=True, slots=True)
class Repaired:
    pairs: Pairs
    length: int
    """Characters of the segment that belong to the object."""
    kinds: tuple[tuple[str, str, str], ...]
    """Kind, message and fix of each change."""


def repair(segment: str) -> Repaired | None:
    """Read `segment`, which starts with `{` and is no JSON as it stands."""
    text = segment.rstrip(" \t\n,]\x00\ufeff")
    changes: list[tuple[str, str, str]] = []
    for change in (_plain, _no_trailing_commas, _straight_quotes):
        changed, note = change(text)
        if changed != text:
            changes.append(note)
        text = changed
        try:
            value, end = _LENIENT.raw_decode(text)
        except (ValueError, RecursionError):
            continue
        if text[end:].strip() or not isinstance(value, Pairs):
            return None
        if any("\x00" < c < " " for c in _inside_strings(value)):  # a NUL is named by the row
            message = "A line break or control character stands raw inside a string; it was kept as text."
            changes.append(("control_character", message, 'Write "\\n" for a line break.'))
        return Repaired(value, len(segment), tuple(changes))
    return None


def explain(segment: str) -> tuple[int, str, str, str]:
    """Offset, kind, message and fix of the first error in an object that cannot be repaired."""
    text = segment.rstrip()
    if re.match(r"\{\s*'", text):
        return 1, "json", "Single quotes are no JSON.", "Write double quotes, or export with json.dumps."
    try:
        _LENIENT.raw_decode(text)
    except json.JSONDecodeError as error:
        return _in_words(text, error)
    except RecursionError:
        return 0, "nested", "Brackets are nested too deeply.", 'Write one flat object: {"input": "…", "output": "…"}.'
    except ValueError as error:
        return 0, "json", f"The object cannot be read: {error}.", "Write it as JSON."
    return 0, "json", "More text follows the object.", "Put each object on a line of its own."


def _in_words(text: str, error: json.JSONDecodeError) -> tuple[int, str, str, str]:
    at = min(error.pos, len(text))
    if error.msg.startswith("Unterminated string"):
        return at, "unterminated_string", "A string starts here and never ends.", 'Close it with ".'
    if at >= len(text):
        return at, "unfinished", "The object ends too early.", "Close it with } and check that no text was cut off."
    if text[at] in "“”„‟":
        return at, "smart_quotes", "Smart quotes stand where straight ones belong.", 'Replace “ and ” by ".'
    fix = 'Write a quote inside a string as \\".' if "delimiter" in error.msg else "Write the row as JSON."
    return at, "json", f"Broken JSON: {error.msg[0].lower()}{error.msg[1:]}, seen {text[at]!r}.", fix


def _plain(text: str) -> tuple[str, tuple[str, str, str]]:
    return text, ("", "", "")


def _no_trailing_commas(text: str) -> tuple[str, tuple[str, str, str]]:
    note = ("trailing_comma", "A comma stands before the closing bracket; it was taken out.", "Remove it.")
    return _TRAILING_COMMA.sub(lambda match: match[1] or "", text), note


def _straight_quotes(text: str) -> tuple[str, tuple[str, str, str]]:
    note = ("smart_quotes", "Smart quotes enclose strings; they were read as straight ones.", 'Write ".')
    text = _CLOSING.sub('"', _OPENING.sub(r'\1"', text))
    return _no_trailing_commas(text)[0], note


def _inside_strings(pairs: Pairs) -> str:
    return "".join(key + value for key, value in pairs if isinstance(value, str))
