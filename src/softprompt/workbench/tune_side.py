"""Where a run keeps its checkpoint until the tuned prompt is whole: a folder beside the one that it writes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from softprompt.engine.safe_files import reason
from softprompt.errors import ArtifactError


def side_of(out: Path) -> Path:
    """`OUT.run`, beside `OUT`."""
    return out.with_name(f"{out.name}.run")


def check_place(side: Path) -> None:
    """Refuse before the work what could not be written during it.

    Raises:
        ArtifactError: the folder cannot be made.
    """
    try:
        side.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"{side}, where checkpoints go, cannot be made: {reason(error)}. Name another folder."
        ) from error
    with suppress(OSError):  # what an earlier attempt left there stays
        side.rmdir()
