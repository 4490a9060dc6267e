"""Where the vectors start: a text, solved examples, label words, vocabulary, noise at the scale of the embeddings, or
vectors that were tuned before.

Source of label and vocabulary starts: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning"
(arXiv:2104.08691), section 3.1. Solved examples: Blau et al. 2024, "Context-aware Prompt Tuning" (arXiv:2410.17222);
here they move freely. Deep prompts from the cache of a real text: Li & Liang 2021 (arXiv:2101.00190).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ModelUnsupported, ParameterInvalid
from softprompt.params import Init, Method, Place

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

COMMON_TOKENS = 5000
"""Vocabulary starts draw from the most common tokens, as the authors of prompt tuning did."""


@dataclass(frozen=True, slots=True)
class Start:
    """What decides the start of a prompt.

    Attributes:
        method: vectors at the input, or keys and values in every layer.
        place: in front of the input, after the cue, or both.
        init: text, examples, labels, vocabulary, random or prompt.
        text: text to start from (init "text"), or the examples as they are written (init "examples").
        labels: label words to start from (init "labels").
        prefix_length, suffix_length: how many vectors.
        seed: of draws.
        given: the vectors of a tuned prompt (init "prompt").
    """

    method: Method
    place: Place
    init: Init
    text: str
    labels: tuple[str, ...]
    prefix_length: int
    suffix_length: int
    seed: int
    given: SoftPrompt | None = None


def initial_prompt(backbone: Backbone, start: Start) -> SoftPrompt:
    """The prompt before the first update."""
    if start.init == "prompt":
        return _given(start)
    generator = torch.Generator().manual_seed(start.seed)
    front = 0 if start.place == "suffix" else start.prefix_length
    behind = 0 if start.place == "prefix" else start.suffix_length
    ids = start_ids(backbone, start)
    if start.method == "prefix_tuning":
        if start.place != "prefix":
            raise ParameterInvalid(f"place {start.place!r}: prefix tuning has its keys and values in front only.")
        if backbone.kind != "causal":
            raise ModelUnsupported("Prefix tuning needs a decoder-only model; use prompt_tuning for encoder-decoders.")
        return _deep(backbone, _vectors(backbone, start.init, ids, front, generator))
    prefix = _vectors(backbone, start.init, ids, front, generator) if front else None
    # What stands after the cue announces the answer: label words, or the end of the text.
    suffix = _vectors(backbone, start.init, ids[-behind:], behind, generator) if behind else None
    return SoftPrompt(prefix=prefix, suffix=suffix)


def _given(start: Start) -> SoftPrompt:
    """A copy of vectors that were tuned before; they decide the shape, but not the method."""
    if start.given is None or not start.given.virtual_tokens:
        raise ParameterInvalid('init "prompt": name a tuned prompt that has vectors (--init-prompt).')
    if (start.given.deep is not None) != (start.method == "prefix_tuning"):
        other = "prefix_tuning" if start.given.deep is not None else "prompt_tuning"
        raise ParameterInvalid(f"method {start.method!r}: the tuned prompt to start from was made by {other}.")
    return start.given.detached()


def start_ids(backbone: Backbone, start: Start) -> list[int]:
    """Ids the vectors start from; empty for drawn starts."""
    tokenizer = backbone.tokenizer
    if start.init == "labels":
        if not start.labels:
            raise ParameterInvalid('init "labels": this task has no label set. Use "text" or "vocabulary".')
        words = [tokenizer(" " + label, add_special_tokens=False)["input_ids"] for label in start.labels]
        return [token for word in words for token in word]
    if start.init in ("text", "examples"):
        ids = list(tokenizer(start.text, add_special_tokens=False)["input_ids"])
        if not start.text.strip() or not ids:
            raise ParameterInvalid(f'init "{start.init}": the text is empty. Give --init-text, or use "vocabulary".')
        return ids
    return []


def _vectors(backbone: Backbone, init: Init, ids: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
    """`[count, H]` float32."""
    table = backbone.embedding
    if init == "random":
        return torch.randn(count, table.shape[1], generator=generator) * backbone.embedding_rms
    if init == "vocabulary":
        common = min(COMMON_TOKENS, table.shape[0])
        chosen = torch.randperm(common, generator=generator)[:count]
        chosen = chosen.repeat(-(-count // max(len(chosen), 1)))[:count]
    elif init == "labels":
        # Every label once, the rest sampled from common vocabulary (Lester et al. 2021, "class labels").
        fill = torch.randint(min(COMMON_TOKENS, table.shape[0]), (max(count - len(ids), 0),), generator=generator)
        chosen = torch.cat([torch.tensor(list(ids)[:count], dtype=torch.long), fill])
    else:
        whole = list(ids) * -(-count // len(ids))
        # The last example has to be whole: the question follows it.
        chosen = torch.tensor(whole[-count:] if init == "examples" else whole[:count], dtype=torch.long)
    return backbone.embed(chosen.to(table.device)).detach().float().clone()


@torch.no_grad()
def _deep(backbone: Backbone, vectors: Tensor) -> SoftPrompt:
    """`[L, 2, K, P, D]`: the cache that these vectors leave in the frozen model."""
    cache = backbone.prefix(SoftPrompt(prefix=vectors))
    assert cache is not None
    layers = [torch.stack([k, v]) for k, v in zip(cache.keys, cache.values, strict=True)]
    return SoftPrompt(deep=torch.stack(layers).float())
