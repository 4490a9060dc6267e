"""Forms of a text for comparison: normalised, as words, as hashed word 4-grams."""

from __future__ import annotations

import string

_PUNCTUATION = {ord(c): " " for c in string.punctuation + "«»‘’‚“”„…–—¿¡·、。"}


def normalise(text: str) -> str:
    """Without differences of case and space."""
    return " ".join(text.casefold().split())


def four_grams(text: str) -> set[int]:
    """Hashes of the word 4-grams; case and punctuation do not count. They mean nothing in another process."""
    words = text.lower().translate(_PUNCTUATION).split()  # four times as fast as a regular expression
    return set(map(hash, zip(words, words[1:], words[2:], words[3:], strict=False)))
