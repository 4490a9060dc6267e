"""What can be wrong with a dataset file: one `Problem` per finding, with its place, fix and whether it was repaired.

Does not look for problems; the readers do.
"""

from __future__ import annotations

from dataclasses import dataclass

from softprompt.data.records import Example

_OF_FILE = ("format", "header")
SEEN = 60
"""Characters of the file quoted in a problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `repaired` means that the row was kept after the change that `message` names."""

    line: int
    """1-based line of the file; 0: the file as a whole."""
    column: int
    """1-based character of the line; 0: the row as a whole."""
    kind: str
    """A short stable name such as "missing_key", for counting and filtering."""
    message: str
    fix: str
    repaired: bool
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message} {self.fix}".rstrip()

    @property
    def place(self) -> str:
        if not self.line:
            return "file"
        return f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"

    @property
    def costs_row(self) -> bool:
        """Whether a row is lost by it; what is wrong with the file as a whole is no row."""
        return not self.repaired and self.line > 0 and self.kind not in _OF_FILE


@dataclass(frozen=True, slots=True)
class Rows:
    """All that a file gave."""

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]

    @property
    def refused(self) -> tuple[Problem, ...]:
        """The problems that cost a row, or the whole file."""
        return tuple(p for p in self.problems if not p.repaired)


def excerpt(text: str) -> str:
    """The start of what was seen, printable and short."""
    short = text[: SEEN + 1].strip().replace("\n", "⏎")
    if not short.isprintable():
        short = "".join(c if c.isprintable() else f"\\x{ord(c) & 0xFF:02x}" for c in short)
    return short if len(short) <= SEEN else short[: SEEN - 1] + "…"
