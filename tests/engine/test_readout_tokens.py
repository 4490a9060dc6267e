"""Counted tokens: against the library's TF-IDF, and through a readout that needs them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.data.records import Example
from softprompt.engine import readout_fit, readout_tokens
from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.backbone import wrap
from softprompt.engine.packing import Row
from softprompt.engine.read_label import read_labels, ready_readout
from softprompt.engine.readout_tokens import counts, vocabulary
from softprompt.params import TuneConfig
from softprompt.testing.tiny import tiny_model
from softprompt.workbench.tune import tune

ANSWERS = ("one", "two", "three")
IDS = st.lists(st.integers(0, 30), max_size=12)


def row(ids: list[int], before: int = 1) -> Row:
    """An input between what a template puts around it."""
    prompt = (7,) * before + tuple(ids) + (9,)
    return Row(prompt=prompt, input_start=before, input_end=before + len(ids))


@given(rows=st.lists(IDS, min_size=1, max_size=8))
def test_counts_are_those_of_the_library(rows: list[list[int]]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    tokens, idf = vocabulary([row(ids) for ids in rows])
    in_rows = [sum(token in ids for ids in rows) for token in range(31)]
    assert tokens.tolist() == [token for token in range(31) if in_rows[token] >= 2]
    if not len(tokens):
        return
    known = [str(token) for token in tokens.tolist()]
    texts = [[str(token) for token in ids if str(token) in known] for ids in rows]
    peer = TfidfVectorizer(analyzer=list, sublinear_tf=True, vocabulary=known)
    wanted = torch.tensor(peer.fit_transform(texts).toarray(), dtype=torch.float32)
    torch.testing.assert_close(counts([row(ids) for ids in rows], tokens, idf), wanted)


def test_only_the_most_frequent_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout_tokens, "MOST", 2)
    tokens, idf = vocabulary([row([1, 2, 3]), row([3, 1]), row([3, 2, 5]), row([3, 1])])
    assert tokens.tolist() == [1, 3]
    assert idf.tolist() == pytest.approx([math.log(5 / 4) + 1, 1.0])


def test_a_row_without_them_has_none() -> None:
    tokens, idf = torch.tensor([3, 8]), torch.ones(2)
    found = counts([row([]), row([4, 9]), row([8, 3, 8])], tokens, idf)
    assert found[:2].abs().sum() == 0
    length = math.hypot(1, 1 + math.log(2))
    assert found[2].tolist() == pytest.approx([1 / length, (1 + math.log(2)) / length])


@pytest.mark.parametrize("judged", [2000, 36], ids=["on all rows", "chosen on a sample"])
def test_single_words_are_seen_where_hidden_states_say_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: int
) -> None:
    """Layers that say nothing: one letter among many decides. Saved and opened, it answers as it was fitted."""
    model, tokenizer = tiny_model("llama")
    backbone = wrap(model, tokenizer, model_id="tiny-llama")
    letters = torch.randint(97, 110, (60, 16), generator=torch.Generator().manual_seed(2)).tolist()
    examples = [
        Example("".join(map(chr, noise[:4])) + "xyz"[n % 3] + "".join(map(chr, noise[4:])), ANSWERS[n % 3])
        for n, noise in enumerate(letters)
    ]
    monkeypatch.setattr(readout_fit, "layer_choices", lambda depth: [((1,), ("last",))])
    run = tune(
        examples, model=backbone, out=tmp_path / "tuned", config=TuneConfig(readout="only", task="classification")
    )
    readout = run.tuned.readout
    assert readout is not None
    assert readout.tokens is not None
    assert f"counts of {len(readout.tokens)} tokens" in run.notes[-1]
    opened = TunedPrompt.load(tmp_path / "tuned", backbone=backbone).readout
    assert opened is not None
    assert opened.tokens is not None
    assert torch.equal(opened.tokens, readout.tokens)
    texts = [example.input for example in examples]
    answers, before = (read_labels(backbone, ready_readout(backbone, each), texts) for each in (opened, readout))
    assert answers == before
    assert sum(a.output == e.output for a, e in zip(answers, examples, strict=True)) >= 54
