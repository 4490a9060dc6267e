"""The sober alternative: TF-IDF with logistic regression, chosen as carefully as the tuned prompt is.

A tuned prompt that does not beat this is decoration. Word or character n-grams, class weights and the strength of the
ridge are chosen by cross-validation on the training rows, by the same value as a label readout: half exact matches,
half their mean over the answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

from softprompt.data.records import Example
from softprompt.errors import DatasetInvalid

STRENGTHS = (1.0, 10.0, 100.0)
WEIGHTS = (None, "balanced")
FOLDS = 5


class LinearBaseline:
    """TF-IDF + logistic regression, fitted on training rows."""

    def __init__(self, examples: Sequence[Example], seed: int = 73) -> None:
        texts, answers = [e.input for e in examples], [e.output for e in examples]
        if len(set(answers)) < 2:
            raise DatasetInvalid("The baseline needs training rows with at least two different outputs.")
        choices = list(product(("words", "characters"), STRENGTHS, WEIGHTS))
        values = [_value(_pipeline(*choice), texts, answers, seed) for choice in choices]
        best = max(range(len(choices)), key=values.__getitem__)
        self.chosen = dict(zip(("grams", "strength", "class_weight"), choices[best], strict=True))
        self._model = _pipeline(*choices[best]).fit(texts, answers)

    def predict(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest answer of each text with its probability."""
        shares = self._model.predict_proba(list(texts))
        best = shares.argmax(axis=1)
        return [(str(self._model.classes_[i]), float(row[i])) for i, row in zip(best, shares, strict=True)]


def _pipeline(grams: str, strength: float, class_weight: str | None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = LogisticRegression(C=strength, class_weight=class_weight, max_iter=3000)
    return make_pipeline(words if grams == "words" else characters, model)


def _value(pipeline: Any, texts: Sequence[str], answers: Sequence[str], seed: int) -> float:
    """Half exact, half the mean over answers, in cross-validation."""
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

    counts = Counter(answers)
    even = min(counts.values()) >= FOLDS
    folds = (StratifiedKFold if even else KFold)(min(FOLDS, len(answers)), shuffle=True, random_state=seed)
    said = cross_val_predict(pipeline, list(texts), list(answers), cv=folds)
    hits = Counter(true for guess, true in zip(said, answers, strict=True) if guess == true)
    macro = sum(hits[answer] / count for answer, count in counts.items()) / len(counts)
    return 0.5 * (sum(hits.values()) / len(answers) + macro)
