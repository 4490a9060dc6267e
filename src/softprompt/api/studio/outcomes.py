"""What came out, over HTTP: the figures of a run's tuned prompt, what it costs, and every answer of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import new_router
from softprompt.api.tables import TABLE, table, wants_table
from softprompt.errors import WrongState
from softprompt.studio import evaluations, ledger, outcomes, runs
from softprompt.studio.ledger import Rates
from softprompt.studio.outcomes import Figures

router = new_router("outcomes")
Amount = Annotated[float, Field(ge=0, le=1e12)]


class AnswersQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    show: Annotated[
        Literal["all", "right", "wrong", "different"],
        Field(description="Rows where `method` is right or wrong, or where not all methods say the same."),
    ] = "all"
    method: Annotated[int, Field(ge=0, le=100, description="Its place in the list of methods.")] = 0
    search: Annotated[str, Field(max_length=200, description="Text in the input or in an answer.")] = ""
    start: Annotated[int, Field(ge=0, le=10**9)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class RatesQuery(BaseModel):
    """What a million tokens cost, and how much is asked."""

    model_config = ConfigDict(extra="forbid")
    input: Amount = 0.0
    virtual: Amount = 0.0
    generated: Amount = 0.0
    currency: Annotated[str, Field(min_length=1, max_length=8)] = "USD"
    questions: Annotated[int, Field(ge=1, le=10**12)] = 1000


class MethodShown(TypedDict):
    """One way to answer. `share` is what `measure` says (exact matches, or ROUGE-L), `interval` its 95 % interval;
    tokens are means per row. `number` is its place among the methods of the evaluation that holds its answers."""

    name: str
    measure: str
    share: float
    interval: list[float]
    exact: float
    micro_f1: float | None
    macro_f1: float | None
    input_tokens: float
    virtual_tokens: float
    generated_tokens: float
    ms_per_row: float
    per_label: dict[str, Any]
    evaluation_id: str | None
    number: int


class FurtherShown(TypedDict):
    id: str
    name: str


class OutcomeShown(TypedDict):
    """The first `own` methods are the tuned prompt's ways to answer, the others were measured on the same rows."""

    rows: int
    own: int
    methods: list[MethodShown]
    evaluation_id: str | None
    further_evaluations: list[FurtherShown]
    problem: str
    notes: list[str]


class LineShown(TypedDict):
    """Tokens per question; `measured`: the generated ones were counted in answers. `price` is of all questions, null
    without rates."""

    name: str
    way: str
    instruction: bool
    input: float
    virtual: float
    generated: float
    total: float
    measured: bool
    price: float | None


class LedgerShown(TypedDict):
    """What a question costs a bare model, with solved examples, and with the tuned prompt."""

    rows: int
    context: int
    instruction: str
    lines: list[LineShown]
    saving: str
    currency: str
    questions: int


class SaidShown(TypedDict):
    output: str
    right: bool
    confidence: float | None


class RowShown(TypedDict):
    """`said` has an answer of each method."""

    number: int
    input: str
    right: str
    said: list[SaidShown]


class AnswersShown(TypedDict):
    """`counts` says how many rows each `show` would find."""

    methods: list[str]
    items: list[RowShown]
    total: int
    counts: dict[str, int]
    next: str | None


def show_method(found: Figures) -> MethodShown:
    names = [name for name in MethodShown.__annotations__ if name not in ("interval", "per_label")]
    shown = {name: getattr(found, name) for name in names}
    per_label = {label: dict(figures) for label, figures in found.per_label.items()}
    return cast(MethodShown, {**shown, "interval": [found.low, found.high], "per_label": per_label})


def show_answers(request: Request, results: Mapping[str, Any], query: AnswersQuery) -> AnswersShown:
    """A piece of the rows, with the address of the next one."""
    found = outcomes.answers(results, **query.model_dump())
    following, end = None, query.start + query.limit
    if end < found.total:
        following = str(request.url.include_query_params(start=end).replace(scheme="", netloc=""))
    return {
        "methods": [str(method.get("name", "")) for method in results.get("methods") or ()],
        "items": [
            {
                "number": row.number,
                "input": row.input,
                "right": row.right,
                "said": [{"output": s.output, "right": s.right, "confidence": s.confidence} for s in row.said],
            }
            for row in found.rows
        ],
        "total": found.total,
        "counts": dict(found.counts),
        "next": following,
    }


@router.get("/api/evaluations/{evaluation_id}/answers", response_model=AnswersShown, responses=TABLE)
def evaluation_answers(request: Request, evaluation_id: str, query: Annotated[AnswersQuery, Query()]) -> Any:
    """What every method answered to every row, beside the right answer."""
    with unit_of(request, write=False) as unit:
        name = evaluations.get(unit, evaluation_id).name
        results = outcomes.answers_of(unit, evaluation_id)
    if wants_table(request):
        return table(outcomes.as_csv(results), f"{name} answers.csv")
    return show_answers(request, results, query)


@router.get("/api/runs/{run_id}/outcome", response_model=OutcomeShown)
def run_outcome(request: Request, run_id: str) -> Any:
    """How good the run's tuned prompt is on test rows, beside everything that was measured on the same rows."""
    with unit_of(request, write=False) as unit:
        run = runs.find(unit, run_id)
        found = outcomes.outcome(unit, run)
        if found is None:
            raise WrongState(f"Run {run.name!r} is {run.state} and was not measured on test rows. Evaluate its prompt.")
        return {
            "rows": found.rows,
            "own": found.own,
            "methods": [show_method(each) for each in found.methods],
            "evaluation_id": found.proof,
            "further_evaluations": [{"id": key, "name": name} for key, name in found.others],
            "problem": found.problem,
            "notes": list(found.notes),
        }


@router.get("/api/runs/{run_id}/ledger", response_model=LedgerShown)
def run_ledger(request: Request, run_id: str, query: Annotated[RatesQuery, Query()]) -> Any:
    """Tokens of a question by each way to ask, and their price at your rates."""
    rates = Rates(**query.model_dump())
    with unit_of(request, write=False) as unit:
        run = runs.find(unit, run_id)
        found = ledger.ledger(run.results.get("ledger"), outcomes.counted(outcomes.outcome(unit, run)))
        if found is None:
            raise WrongState(f"Run {run.name!r} is {run.state}; its tokens are counted when it is completed.")
    names = [name for name in LineShown.__annotations__ if name != "price"]
    return {
        "rows": found.rows,
        "context": found.context,
        "instruction": found.instruction,
        "lines": [
            {**{name: getattr(line, name) for name in names}, "price": rates.price(line) if rates.known else None}
            for line in found.lines
        ],
        "saving": found.saving,
        "currency": rates.currency,
        "questions": rates.questions,
    }
