"""One broken JSON object made readable, where there is only one way to read it; else the reason why it is broken.

Repairs: raw control characters in strings, trailing commas, smart quotes as delimiters. Guesses no missing text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from softprompt.data.rows import KEYS, Constant, Number, Pairs

DECODER = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=Constant)
"""Keeps duplicate keys, the spelling of numbers, and NaN, so that each can be named."""

_LENIENT = json.JSONDecoder(
    strict=False, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=Constant
)
_ROW_START = re.compile(r"\{\s*[\"“”„‘](?:input|output)\b", re.IGNORECASE)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[“”„‟‘’]|,(?=\s*+[}\]])', re.DOTALL)
"""Outside of strings: a whole string, a curly quote that opens one, a comma before a closing bracket."""
_CLOSING = {
    "double": re.compile(r'[“”‟"](?=\s*[,:}\]])'),
    "single": re.compile(r"[‘’‛'](?=\s*[,:}\]])"),
}
_BARE_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)"')
_CONTROL = re.compile(r"[\x01-\x1f]")


@dataclass(frozen=True, slots=True)
class Change:
    """What was repaired, and at which character of the segment."""

    offset: int
    kind: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Repaired:
    pairs: Pairs
    changes: tuple[Change, ...]


def repair(segment: str) -> Repaired | None:
    """Read `segment`, which starts with `{` and is no JSON as it stands. Text inside strings is never changed."""
    text = segment.rstrip(" \t\n,]\x00\ufeff")
    changes: list[Change] = []
    pairs = _whole_object(text)
    if pairs is None:
        text, changes = _outside_of_strings(text)
        pairs = _whole_object(text) if changes else None
    if pairs is None:
        return None
    if any("\x00" < c < " " for c in _inside_strings(pairs)):  # a NUL is named by the row
        message = "A line break or control character stands raw inside a string; it was kept as text."
        changes.append(Change(_raw_control(segment), "control_character", message, 'Write "\\n" for a line break.'))
    return Repaired(pairs, tuple(changes))


def read_row(line: str) -> Pairs | tuple[int, str, str, str] | None:
    """The row in a line that starts with `{`, or why it is broken; None if the line is no row of JSON at all."""
    try:
        value, end = DECODER.raw_decode(line)
    except (ValueError, RecursionError):
        if not _ROW_START.match(line):
            return None
        repaired = repair(line)
        return repaired.pairs if repaired else explain(line)
    named = isinstance(value, Pairs) and any(key.strip().lower() in KEYS for key, _ in value)
    return value if named and not line[end:].strip(" \t,]") else None


def _whole_object(text: str) -> Pairs | None:
    try:
        value, end = _LENIENT.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Pairs) and not text[end:].strip() else None


def _outside_of_strings(text: str) -> tuple[str, list[Change]]:
    """Commas before closing brackets taken out, and strings between curly quotes put between straight ones."""
    out: list[str] = []
    changes: dict[str, Change] = {}
    at = 0
    while match := _TOKEN.search(text, at):
        token = match.group()
        out.append(text[at : match.start()])
        at = match.end()
        if token == ",":
            message = "A comma stands before the closing bracket; it was taken out."
            changes.setdefault("comma", Change(match.start(), "trailing_comma", message, "Remove it."))
        elif len(token) > 1:
            out.append(token)
        else:
            closing = _CLOSING["single" if token in "‘’" else "double"].search(text, at)
            if closing is None:
                return text, []
            inside = text[at : closing.start()]
            out.append('"' + _BARE_QUOTE.sub(r'\1\\"', inside) + '"')
            at = closing.end()
            message = "Smart quotes enclose strings; they were read as straight ones."
            changes.setdefault("quotes", Change(match.start(), "smart_quotes", message, 'Write ".'))
    return "".join([*out, text[at:]]), list(changes.values())


def _raw_control(segment: str) -> int:
    """The first raw control character inside a string."""
    for string in re.finditer(r"[\"“„‟‘](?:[^\"”\\]|\\.)*", segment, re.DOTALL):
        if found := _CONTROL.search(segment, string.start(), string.end()):
            return found.start()
    return 0


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
    if text[at] == '"' and "',' delimiter" in error.msg:
        fix = "Write a comma between the two fields."
    return at, "json", f"Broken JSON: {error.msg[0].lower()}{error.msg[1:]}, seen {text[at]!r}.", fix


def _inside_strings(pairs: Pairs) -> str:
    return "".join(key + value for key, value in pairs if isinstance(value, str))
