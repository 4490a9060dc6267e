"""A small labelled task and a tiny frozen model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from softprompt import load_model
from softprompt.data.records import Example

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


@pytest.fixture(scope="session")
def backbone(tiny_folder: Callable[..., Path]) -> Backbone:
    return load_model(tiny_folder())


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    """18 rows of three answers."""
    return [
        Example(f"{thing} {fault}", answer)
        for thing in ("lamp", "chair", "desk", "phone", "sofa", "bowl")
        for fault, answer in (("broke", "Service"), ("is late", "Warehouse"), ("ad lies", "Marketing"))
    ]
