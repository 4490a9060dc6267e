"""What the commands write: one JSON document for programs, or text for people. Decides no content."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_json(document: Any) -> None:
    """The one document of a command with `--json`, on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def console(*, stderr: bool = False) -> Console:
    """A console for text; colours and widths only where a terminal listens."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)
