"""Fit a label readout, every choice made by cross-validation on its own rows alone.

The map is a multinomial logistic regression on standardised hidden states, with counts of the input's tokens beside
them where these add something. Two priors make it learn from few rows: combinations that share a label share weights
("Warehouse" and "Warehouse, Packaging" are neighbours), and rare answers weigh more, by the root of their rarity.
Layers and the strength of the ridge are chosen among a few candidates, on a sample if there are many rows; the map
itself learns from many more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.engine.packing import Row
from softprompt.engine.readout import LabelReadout
from softprompt.engine.readout_states import KeptStates, States, extract
from softprompt.engine.readout_tokens import counts, vocabulary
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder

if TYPE_CHECKING:
    from softprompt.engine.backbone import CausalBackbone

Choice = tuple[tuple[int, ...], tuple[str, ...]]
"""Layers, and places at each of them."""
RIDGES = (0.01, 0.03, 0.1, 0.3)
"""Candidates for the strength of the pull towards zero, per feature-normalised row."""
SHARED = 0.5
"""Share of the prior variance that combinations have in common through their labels."""
BALANCE = 1.0
"""Power of the inverse frequency that an answer weighs with: 0 not at all, 1 all answers alike."""
TOKENS = (1.0, 2.0)
"""Candidates for how much counted tokens weigh beside hidden states."""
GAIN = 0.01
"""By so much they have to be better: with few rows a choice between equals is chance."""
FOLDS = 5
REPEATS, FEW_ROWS = 3, 400
"""Up to so many rows cross-validation is repeated with other folds: one deal of few rows chooses by chance."""
CHOOSING_ROWS, FITTING_ROWS = 2_000, 20_000
"""Rows that layers and ridge are chosen on, and that the map learns from, at most; of more, a sample by answers."""
STEPS = 80
"""Of the solver, at most."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What cross-validation found for one choice of layers and ridge.

    Attributes:
        exact: share of right answers. macro: the same, mean over answers. loss: mean negative log-likelihood in nats.
        tokens: how much counted tokens weigh beside the hidden states; 0: none are counted.
    """

    layers: tuple[int, ...]
    places: tuple[str, ...]
    ridge: float
    exact: float
    macro: float
    loss: float
    tokens: float = 0.0

    @property
    def value(self) -> tuple[float, float]:
        """Larger is better: half exact, half macro; the likelihood decides between equals."""
        return (round(0.5 * (self.exact + self.macro), 3), -self.loss)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The readout, the trial it came from, all others, and how many rows these were judged and it was fitted on."""

    readout: LabelReadout
    chosen: Trial
    trials: tuple[Trial, ...]
    judged: int
    rows: int


def too_few(answers: Sequence[str]) -> str:
    """Why rows with these answers are too few to choose a readout by cross-validation; empty if they are enough."""
    if len(answers) < FOLDS:
        return f"{FOLDS}-fold cross-validation needs at least {FOLDS} rows, {len(answers)} are there"
    if len(set(answers)) == len(answers):
        return f"each of the {len(answers)} rows has an answer of its own; cross-validation needs some that come twice"
    return ""


def fit(
    backbone: CausalBackbone,
    examples: Sequence[Example],
    template: Template,
    parts: Callable[[str], tuple[str, ...]],
    *,
    prompt: SoftPrompt | None = None,
    max_input_tokens: int = 256,
    seed: int = 73,
    keep: KeptStates | None = None,
) -> Fitted:
    """Fit a readout.

    Args:
        backbone: the frozen model.
        examples: the training rows, enough of them (`too_few`); their outputs are the labels.
        template: what stands around the input, with its frozen instruction.
        parts: an answer's labels (an answer of one label is its own).
        prompt: vectors around the input, if there are some.
        max_input_tokens: where inputs are cut.
        seed: of the folds, and of samples.
        keep: where the states of the rows are kept until the readout is there.
    """
    prompt = prompt or SoftPrompt()
    labels = tuple(sorted({example.output for example in examples}))
    every = torch.tensor([labels.index(example.output) for example in examples])
    prior = label_prior(labels, parts)

    def read(numbers: Tensor, wanted: Sequence[tuple[int, str]]) -> States:
        texts = [examples[number].input for number in numbers.tolist()]
        return extract(backbone, texts, template, prompt, wanted, max_input_tokens, keep)

    def encoded(numbers: Tensor) -> list[Row]:
        encoder = Encoder(backbone.tokenizer, template, max_input_tokens)
        return encoder.rows([examples[number].input for number in numbers.tolist()])

    judged, fitting = sample(every, CHOOSING_ROWS, seed), sample(every, FITTING_ROWS, seed)
    candidates = layer_choices(backbone.depth)
    found = read(judged, sorted({pair for choice in candidates for pair in _pairs(choice)}))
    rows = encoded(judged)
    tokens, idf = vocabulary(rows)
    with _one_thread():
        trials = _tried(candidates, found, counts(rows, tokens, idf), every[judged], prior, seed)
    best = best_of(trials)
    wanted = _pairs((best.layers, best.places))
    rest = fitting[~torch.isin(fitting, judged)]
    if len(rest):
        others = read(rest, wanted)
        found = {pair: torch.cat([found[pair], others[pair]]) for pair in wanted}
    learned = torch.cat([judged, rest])
    taken = torch.cat([found[pair] for pair in wanted], dim=1)
    own: tuple[Tensor, ...] = ()
    if best.tokens:
        own = (tokens, idf)
        taken = torch.cat([taken, counts(rows + encoded(rest), *own)], dim=1)
    with _one_thread():
        solved = _solve(taken, every[learned], prior, [best.ridge], len(tokens) if own else 0, best.tokens)[0]
    readout = LabelReadout(labels, best.layers, best.places, *solved, template, prompt, *own)
    return Fitted(readout, best, tuple(trials), len(judged), len(learned))


def best_of(trials: Sequence[Trial]) -> Trial:
    """The best one; one with counted tokens if it gains enough by them."""
    return max(trials, key=lambda trial: (trial.value[0] - (GAIN if trial.tokens else 0.0), trial.value[1]))


def sample(answers: Tensor, most: int, seed: int) -> Tensor:
    """Numbers of about so many rows, in order: of each answer the same share, and at least one.

    A larger sample of the same seed holds every smaller one.
    """
    if len(answers) <= most:
        return torch.arange(len(answers))
    generator = torch.Generator().manual_seed(seed)
    kept = []
    for answer in range(int(answers.max()) + 1):
        rows = (answers == answer).nonzero()[:, 0]
        share = -(-len(rows) * most // len(answers))
        kept.append(rows[torch.randperm(len(rows), generator=generator)[:share]])
    return torch.cat(kept).sort().values


def _pairs(choice: Choice) -> list[tuple[int, str]]:
    """(layer, place) in the order in which a readout has them."""
    layers, places = choice
    return [(layer, place) for layer in layers for place in places]


def _tried(
    candidates: Sequence[Choice], found: States, counted: Tensor, answers: Tensor, prior: Tensor, seed: int
) -> list[Trial]:
    """Every choice with every ridge, cross-validated; the best one with counted tokens, too."""
    deals = _deals(answers, seed)
    trials = []
    for choice in candidates:
        taken = torch.cat([found[pair] for pair in _pairs(choice)], dim=1)
        scores = _cross_validate(taken, answers, prior, deals)
        trials += [Trial(*choice, ridge, *each) for ridge, each in zip(RIDGES, scores, strict=True)]
    if not counted.shape[1]:
        return trials
    best = best_of(trials)
    taken = torch.cat([*(found[pair] for pair in _pairs((best.layers, best.places))), counted], dim=1)
    for weight in TOKENS:
        scores = _cross_validate(taken, answers, prior, deals, counted.shape[1], weight)
        trials += [
            Trial(best.layers, best.places, ridge, *each, weight) for ridge, each in zip(RIDGES, scores, strict=True)
        ]
    return trials


def _deals(answers: Tensor, seed: int) -> list[Tensor]:
    """Folds of the rows; of few rows several times."""
    return [_folds(answers, seed + i) for i in range(REPEATS if len(answers) <= FEW_ROWS else 1)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Steps this small gain nothing from threads, and wait long for each other where other processes use the cores."""
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def layer_choices(depth: int) -> list[Choice]:
    """Layers and places to try: single layers in the upper middle, where meaning stands, and several together.

    The largest values say which words turn up at all: that helps where single words give an answer away, in low layers
    most, and hurts elsewhere.
    """

    def at(*shares: float) -> tuple[int, ...]:
        return tuple(dict.fromkeys(max(1, min(depth, round(depth * share))) for share in shares))

    singles = at(0.5, 0.57, 0.67, 0.83)
    choices: list[Choice] = [((layer,), ("mean",)) for layer in singles]
    choices += [(layers, ("mean",)) for layers in (at(0.5, 0.67, 0.83), at(0.4, 0.57, 0.73, 0.93)) if len(layers) > 1]
    choices.append((at(0.07, 0.33, 0.57, 0.83), ("mean", "max")))
    choices.append((singles[-1:], ("mean", "last")))
    return list(dict.fromkeys(choices))


def label_prior(labels: Sequence[str], parts: Callable[[str], tuple[str, ...]]) -> Tensor:
    """`[C, D + C]`: how the weights of an answer are made of those of its labels and of its own."""
    single = sorted({part for label in labels for part in parts(label)})
    own = torch.eye(len(labels))
    if all(len(parts(label)) == 1 for label in labels):
        return own
    member = torch.tensor([[float(part in parts(label)) for part in single] for label in labels])
    return torch.cat([member * SHARED**0.5, own * (1 - SHARED) ** 0.5], dim=1)


def _cross_validate(
    taken: Tensor, answers: Tensor, prior: Tensor, deals: Sequence[Tensor], counted: int = 0, weight: float = 0.0
) -> list[tuple[float, float, float]]:
    """(exact, macro, loss) for each ridge, every row judged by a map that never saw it; mean over the deals.

    Args:
        counted: how many of the features, the last ones, are counts of tokens, and what they weigh together.
    """
    classes = prior.shape[0]
    sums = torch.zeros(len(RIDGES), 3)
    for folds in deals:
        scores = torch.zeros(len(RIDGES), len(answers), classes)
        for fold in range(int(folds.max()) + 1):
            seen, held = folds != fold, folds == fold
            solved = _solve(taken[seen], answers[seen], prior, RIDGES, counted, weight)
            for number, (center, scale, rows, bias) in enumerate(solved):
                scores[number, held] = ((taken[held] - center) * scale) @ rows.T + bias
        sums += torch.tensor([_judged(each, answers) for each in scores])
    return [(float(exact), float(macro), float(loss)) for exact, macro, loss in sums / len(deals)]


def _judged(scores: Tensor, answers: Tensor) -> tuple[float, float, float]:
    """(exact, macro, loss) of `[B, C]` scores."""
    classes = scores.shape[1]
    right = (scores.argmax(dim=1) == answers).float()
    by_answer = torch.zeros(classes).index_add(0, answers, right) / torch.bincount(answers, minlength=classes)
    return float(right.mean()), float(by_answer.mean()), float(F.cross_entropy(scores, answers))


def _solve(
    taken: Tensor, answers: Tensor, prior: Tensor, ridges: Sequence[float], counted: int = 0, weighing: float = 0.0
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(center, scale, weight, bias) for each ridge: ridge logistic regression by L-BFGS in the rows' own span."""
    center, scale = _standard(taken, counted, weighing)
    inside, back = _span((taken - center) * scale)
    counts = torch.bincount(answers, minlength=prior.shape[0]).double()
    weights = (counts.sum() / (counts.clamp(min=1) * prior.shape[0])) ** BALANCE
    problem = _Problem(inside.numpy(), answers.numpy(), prior.double().numpy(), weights.numpy())
    theta, bias = np.zeros((prior.shape[1], inside.shape[1])), np.zeros(prior.shape[0])
    solved = []
    for ridge in sorted(ridges, reverse=True):  # from stiff to loose, each start the solution before
        theta, bias = problem.solve(ridge, theta, bias)
        weight = prior.double() @ torch.from_numpy(theta) @ back
        solved.append((ridge, (center, scale, weight.float(), torch.from_numpy(bias).float())))
    return [dict(solved)[ridge] for ridge in ridges]


def _standard(taken: Tensor, counted: int, weighing: float) -> tuple[Tensor, Tensor]:
    """Center and scale `[F]`: hidden states feature by feature, so that a row has length one; counts all alike, so that
    a row has the length `weighing`: rare tokens shall not weigh as much as common ones.
    """
    center, hidden = taken.mean(dim=0), taken.shape[1] - counted
    scale = 1 / ((taken[:, :hidden].std(dim=0) + 1e-6) * hidden**0.5)
    if not counted:
        return center, scale
    length = (taken[:, hidden:] - center[hidden:]).norm(dim=1).mean().clamp(min=1e-6)
    return center, torch.cat([scale, torch.full((counted,), weighing) / length])


def _span(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates `[n, r]` of n rows in the space they span, and the way back `[r, d]`.

    n rows span at most n dimensions, and at most d; the ridge solution lies in them. The axes are those of the products
    of rows with rows, or of dimensions with dimensions, whichever are fewer, and not of a decomposition of the rows
    themselves.
    """
    wide = rows.double()
    few_rows = wide.shape[0] <= wide.shape[1]
    square, axes = torch.linalg.eigh(wide @ wide.T if few_rows else wide.T @ wide)
    kept = square > square[-1] * 1e-12
    axes, length = axes[:, kept], square[kept].sqrt()
    if few_rows:
        return axes * length, (axes / length).T @ wide
    return wide @ axes, axes.T


@dataclass(frozen=True, slots=True)
class _Problem:
    """Weighted multinomial logistic regression with shared weights; numpy, since each step is tiny.

    Attributes:
        rows: `[n, r]`. answers: `[n]`. prior: `[C, P]`. weights: `[C]` of each answer.
    """

    rows: np.ndarray[Any, np.dtype[np.float64]]
    answers: np.ndarray[Any, np.dtype[np.int64]]
    prior: np.ndarray[Any, np.dtype[np.float64]]
    weights: np.ndarray[Any, np.dtype[np.float64]]

    def solve(self, ridge: float, theta: Any, bias: Any) -> tuple[Any, Any]:
        """The minimum, started from (theta `[P, r]`, bias `[C]`)."""
        from scipy.optimize import minimize

        options = {"maxiter": STEPS, "maxcor": 10, "gtol": 1e-7, "ftol": 1e-10}
        start = np.concatenate([theta.ravel(), bias])
        found = minimize(self.loss, start, (ridge, theta.shape), jac=True, method="L-BFGS-B", options=options)
        return found.x[: theta.size].reshape(theta.shape), found.x[theta.size :]

    def loss(self, point: Any, ridge: float, shape: tuple[int, int]) -> tuple[float, Any]:
        """Mean loss over the rows and its gradient."""
        theta, bias = point[: shape[0] * shape[1]].reshape(shape), point[shape[0] * shape[1] :]
        count = np.arange(len(self.answers))
        scores = self.rows @ theta.T @ self.prior.T + bias
        scores -= scores.max(axis=1, keepdims=True)
        likely = np.exp(scores)
        total = likely.sum(axis=1, keepdims=True)
        weight = self.weights[self.answers]
        lost = weight @ (np.log(total[:, 0]) - scores[count, self.answers])
        slope = likely / total
        slope[count, self.answers] -= 1
        slope *= weight[:, None]
        gradient = (slope @ self.prior).T @ self.rows + ridge * theta
        value = lost + 0.5 * ridge * float((theta * theta).sum())
        return value / len(count), np.concatenate([gradient.ravel(), slope.sum(axis=0)]) / len(count)


def _folds(answers: Tensor, seed: int) -> Tensor:
    """`[B]` fold of each row; every answer is dealt out evenly."""
    generator = torch.Generator().manual_seed(seed)
    folds = torch.zeros(len(answers), dtype=torch.long)
    dealt = 0
    for answer in range(int(answers.max()) + 1):
        rows = (answers == answer).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator)]
        folds[rows] = (torch.arange(len(rows)) + dealt) % FOLDS
        dealt += len(rows)
    return folds
