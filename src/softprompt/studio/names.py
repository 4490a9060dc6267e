"""Names, tags and descriptions that people give: cleaned, or refused with the reason."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from softprompt.errors import ParameterInvalid

_SERVING = re.compile(r"^[a-z0-9][a-z0-9_-]{0,99}$")
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def clean_name(name: str, field: str = "name", *, most: int = 200) -> str:
    """Without blanks around it and without control characters; refused if empty or too long."""
    shown = " ".join(unicodedata.normalize("NFC", name).split())
    if not shown or len(shown) > most or any(unicodedata.category(c) in ("Cc", "Cs") for c in shown):
        raise ParameterInvalid(f"{field}: {name[:60]!r} is no name; 1 to {most} visible characters are.")
    return shown


def clean_text(text: str | None, field: str = "description", *, most: int = 4000) -> str:
    shown = (text or "").replace("\x00", "")
    if len(shown) > most:
        raise ParameterInvalid(f"{field}: {len(shown)} characters given, at most {most} are allowed.")
    return shown


def clean_tags(tags: Iterable[str] | None) -> list[str]:
    found = [clean_name(tag, "tags", most=200) for tag in tags or ()]
    if len(found) > 50:
        raise ParameterInvalid(f"tags: {len(found)} given, at most 50 are allowed.")
    return list(dict.fromkeys(found))


def changes(
    *, name: str | None = None, description: str | None = None, tags: Iterable[str] | None = None
) -> dict[str, object]:
    """What was given of the three fields that every noun has, cleaned; None leaves a field as it is."""
    found: dict[str, object] = {}
    if name is not None:
        found["name"] = clean_name(name)
    if description is not None:
        found["description"] = clean_text(description)
    if tags is not None:
        found["tags"] = clean_tags(tags)
    return found


def serving_name(name: str) -> str:
    """A name that stands in addresses: small letters, digits, `_` and `-`; not one that looks like an id."""
    if not _SERVING.match(name) or _UUID.match(name):
        raise ParameterInvalid(
            f"serving_name: {name[:120]!r} cannot stand in an address; use 1 to 100 small letters, digits, - and _, "
            "beginning with a letter or digit."
        )
    return name


def free_name(wanted: str, taken: Callable[[str], bool]) -> str:
    """`wanted`, or with the first number behind it that nobody has."""
    if not taken(wanted):
        return wanted
    number = 2
    while taken(f"{wanted} {number}"):
        number += 1
    return f"{wanted} {number}"


def looks_like_id(text: str) -> bool:
    return bool(_UUID.match(text))
