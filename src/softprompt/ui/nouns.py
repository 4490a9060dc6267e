"""How each noun is called, drawn and reached, for pages that show things of many kinds."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Noun:
    """How things of a kind are shown.

    Attributes:
        address: of one of them, with {id}.
    """

    one: str
    many: str
    sign: str
    address: str


NOUNS = {
    "deployment": Noun("deployment", "Deployments", "deploy", "/deployments/{id}"),
    "prompt": Noun("tuned prompt", "Tuned prompts", "tuning", "/lab?subject=prompt:{id}"),
    "run": Noun("tuning run", "Tuning runs", "tuning", "/tuning/runs/{id}"),
    "experiment": Noun("tuning experiment", "Tuning experiments", "tuning", "/tuning/experiments/{id}"),
    "dataset": Noun("dataset", "Datasets", "data", "/data/{id}"),
    "session": Noun("prompt session", "Prompt sessions", "lab", "/lab/sessions/{id}"),
    "evaluation": Noun("evaluation", "Evaluations", "evaluate", "/tuning/evaluations/{id}"),
    "model": Noun("foundation model", "Foundation models", "models", "/models/{id}"),
    "space": Noun("space", "Spaces", "spaces", "/spaces/{id}"),
    "project": Noun("project", "Projects", "home", "/"),
}


def where(noun: str, key: str) -> str:
    """The page of a thing."""
    return NOUNS[noun].address.format(id=quote(key))
