"""How good methods are and what they answered, out of stored evaluations. The test of a run is one of them."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from softprompt.errors import NotFound
from softprompt.storage import evaluations as stored
from softprompt.storage.tables import Evaluation, TuningRun
from softprompt.studio.access import Unit

BASELINE = "TF-IDF + logistic regression"
Show = Literal["all", "right", "wrong", "different"]
SHOWS: tuple[Show, ...] = ("all", "right", "wrong", "different")
MOST_PROOFS = 4
"""Further evaluations of a run's tuned prompt that are read for its page."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One method of an evaluation.

    Attributes:
        share: exact matches; ROUGE-L for free text, whose exact matches say little.
        measure: what `share` is.
        low, high: its 95 % interval.
        per_label: precision, recall, F1 and rows of each label.
        evaluation_id: where the answers stand; number: which of its methods.
    """

    name: str
    measure: str
    share: float
    low: float
    high: float
    exact: float
    micro_f1: float | None
    macro_f1: float | None
    input_tokens: float
    virtual_tokens: float
    generated_tokens: float
    ms_per_row: float
    per_label: Mapping[str, Mapping[str, float]]
    evaluation_id: str | None
    number: int

    @property
    def linear(self) -> bool:
        return self.name == BASELINE


@dataclass(frozen=True, slots=True)
class Said:
    """What one method answered to one row."""

    output: str
    right: bool
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row with the answers of all methods, in their order."""

    number: int
    input: str
    right: str
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """A piece of the rows that were asked for."""

    rows: tuple[Row, ...]
    total: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of a run's tuned prompt on its test rows.

    Attributes:
        methods: its own ways to answer, then what was measured on the same rows in evaluations.
        own: how many of them are its own.
        proof: the evaluation with its answers.
        others: further evaluations with this tuned prompt.
    """

    rows: int
    methods: tuple[Figures, ...]
    own: int
    proof: str | None
    others: tuple[tuple[str, str], ...]
    problem: str = ""
    notes: tuple[str, ...] = ()


def figures(results: Mapping[str, Any], evaluation_id: str | None = None) -> tuple[Figures, ...]:
    """The methods of an evaluation's results."""
    return tuple(_figures(method, evaluation_id, n) for n, method in enumerate(results.get("methods") or ()))


def outcome(unit: Unit, run: TuningRun) -> Outcome | None:
    """What is known of a run on test rows; None if nothing was measured."""
    test = run.results.get("test") or {}
    proof_id = test.get("evaluation_id")
    own = figures(test, proof_id)
    known = stored.with_prompt(unit.rows.session, run.project_id, run.tuned_prompt_id) if run.tuned_prompt_id else []
    others = [(key, name) for key, name, _ in known if key != proof_id]
    if not own and not others and "problem" not in test:
        return None
    more: dict[str, Figures] = {}
    same = [key for key, _, dataset in known if key != proof_id and (not own or dataset == run.test_dataset_id)]
    rows = int(test.get("rows") or 0)
    for key in same[:MOST_PROOFS]:
        found = unit.rows.get(Evaluation, key)
        if found is None or (own and found.results.get("rows") != rows):
            continue
        for each in figures(found.results, found.id):
            if all(each.name != mine.name for mine in own):
                more.setdefault(each.name, each)
        rows = rows or int(found.results.get("rows") or 0)
    problem = (test.get("problem") or {}).get("message", "")
    notes = tuple(test.get("notes") or ())
    return Outcome(rows, (*own, *more.values()), len(own), proof_id, tuple(others), problem, notes)


def counted(found: Outcome | None) -> list[dict[str, object]]:
    """Methods whose answers were counted, the run's own first: for the token ledger."""
    methods = found.methods if found else ()
    return [{"name": each.name, "generated_tokens": each.generated_tokens} for each in methods if not each.linear]


def answers(
    results: Mapping[str, Any],
    *,
    method: int = 0,
    show: str = "all",
    search: str = "",
    start: int = 0,
    limit: int = 20,
) -> Answers:
    """Rows with what every method said.

    Args:
        method: the one that is right or wrong.
        show: all, right, wrong, or different: rows where not all methods say the same.
        search: text in the input, the right answer or an answer.
    """
    whole = list(_rows(results))
    needle = search.casefold().strip()
    hits = [row for row in whole if not needle or _holds(row, needle)]
    counts: dict[str, int] = {each: sum(_fits(row, method, each) for row in hits) for each in SHOWS}
    wanted = [row for row in hits if _fits(row, method, show if show in SHOWS else "all")]
    return Answers(tuple(wanted[start : start + limit]), len(wanted), counts)


def answers_of(unit: Unit, evaluation_id: str) -> Mapping[str, Any]:
    """The results of an evaluation that its reader may see."""
    found = unit.get(Evaluation, evaluation_id, need="viewer")
    if not found.results.get("right"):
        raise NotFound(f"Evaluation {found.name!r} holds no answers.")
    return found.results


def as_csv(results: Mapping[str, Any]) -> str:
    """Every row with what every method said."""
    names = [str(method.get("name", "")) for method in results.get("methods") or ()]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("row", "input", "right answer", *names, *(f"{name}: right" for name in names)))
    for row in _rows(results):
        said = [each.output for each in row.said]
        writer.writerow((row.number, row.input, row.right, *said, *(int(each.right) for each in row.said)))
    return out.getvalue()


def _rows(results: Mapping[str, Any]) -> Iterator[Row]:
    methods = [method.get("answers") or [] for method in results.get("methods") or ()]
    if not methods:
        return
    right = results.get("right") or []
    for number, (gold, *said) in enumerate(zip(right, *methods, strict=False), start=1):
        text = str(said[0].get("input", ""))
        yield Row(number, text, gold, tuple(_said(each, gold) for each in said))


def _said(answer: Mapping[str, Any], gold: str) -> Said:
    output = str(answer.get("output", "")).strip()
    return Said(output, output.split() == gold.split(), answer.get("confidence"))


def _fits(row: Row, method: int, show: str) -> bool:
    if show == "different":
        return any(a.output != b.output for a, b in itertools.pairwise(row.said))
    if show == "all" or not 0 <= method < len(row.said):
        return True
    return row.said[method].right == (show == "right")


def _holds(row: Row, needle: str) -> bool:
    texts: Sequence[str] = (row.input, row.right, *(each.output for each in row.said))
    return any(needle in text.casefold() for text in texts)


def _figures(method: Mapping[str, Any], evaluation_id: str | None, number: int) -> Figures:
    rouge = method.get("rouge_l")
    interval = method.get("interval" if rouge is None else "rouge_l_interval") or (0.0, 1.0)
    return Figures(
        name=str(method.get("name", "")),
        measure="exact" if rouge is None else "ROUGE-L",
        share=float(method.get("exact") or 0) if rouge is None else float(rouge),
        low=float(interval[0]),
        high=float(interval[1]),
        exact=float(method.get("exact") or 0),
        micro_f1=method.get("micro_f1"),
        macro_f1=method.get("macro_f1"),
        input_tokens=float(method.get("input_tokens") or 0),
        virtual_tokens=float(method.get("virtual_tokens") or 0),
        generated_tokens=float(method.get("generated_tokens") or 0),
        ms_per_row=float(method.get("ms_per_row") or 0),
        per_label=method.get("per_label") or {},
        evaluation_id=evaluation_id,
        number=number,
    )
