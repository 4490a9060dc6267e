"""Ask a foundation model or a tuned prompt: one call for text, guarded text, scored labels and label readouts.

Covers: prompts with instruction and examples, tuned prompts from a folder, keys and values computed once and kept.
Does not cover: queues, servers, files of questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt, is_of_another_program, is_tuned_prompt
from softprompt.engine.generate import Answer, OnText, Ready, Request, make_ready
from softprompt.engine.generate import generate as decode
from softprompt.engine.loading import load_model
from softprompt.engine.read_label import ReadyReadout, read_labels, ready_readout
from softprompt.engine.requests import shortened
from softprompt.engine.score import confidence, score_rows
from softprompt.engine.tokens import Encoder
from softprompt.errors import ModelUnknown, ModelUnsupported, ParameterInvalid
from softprompt.params import GenerateConfig

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

Way = Literal["auto", "text", "guard", "score", "readout"]
"""How an answer is found: auto takes the readout where there is one."""


@dataclass(frozen=True)
class Responder:
    """Something that answers: a model, and what stands around each input.

    Attributes:
        backbone: the frozen model.
        ready: the prompt with its keys and values.
        labels: known answers, if there are some.
        tuned: the tuned prompt behind it, if it is one.
        name: for people.
    """

    backbone: Backbone
    ready: Ready
    labels: tuple[str, ...] = ()
    tuned: TunedPrompt | None = None
    name: str = ""

    @classmethod
    def prompted(
        cls,
        backbone: Backbone,
        *,
        instruction: str = "",
        shots: Sequence[Example] = (),
        labels: Sequence[str] = (),
        template: Template | None = None,
    ) -> Responder:
        """A foundation model asked in words: instruction, solved examples, question."""
        form = replace(template or Template(), instruction=instruction)
        form = form.with_shots([(shot.input, shot.output) for shot in shots])
        encoder = Encoder(backbone.tokenizer, form, share_head=backbone.kind == "causal")
        name = f"{len(shots)}-shot" if shots else "zero-shot"
        return cls(backbone, make_ready(backbone, encoder), tuple(labels), None, name)

    @classmethod
    def of(cls, backbone: Backbone, tuned: TunedPrompt) -> Responder:
        """A tuned prompt on its model (which is checked)."""
        tuned.check_base(backbone)
        encoder = Encoder(backbone.tokenizer, tuned.template, tuned.max_input_tokens, backbone.kind == "causal")
        ready = make_ready(backbone, encoder, tuned.prompt, pattern=tuned.pattern)
        return cls(backbone, ready, tuned.labels, tuned, tuned.name)

    def answer(
        self,
        texts: Sequence[str],
        config: GenerateConfig | None = None,
        *,
        way: Way = "auto",
        on_text: OnText | None = None,
    ) -> list[Answer]:
        """Answer each text.

        Args:
            texts: inputs, bare: the template is put around them here.
            config: decoding parameters of the text path; where inputs are cut counts for every way.
            way: generated text, text that can only be a known answer, the best scored answer, or the label readout.
            on_text: told each new piece of generated text.
        """
        config, way = config or GenerateConfig(), self.taken(way)
        if way == "readout":
            read = self._readout
            assert self.backbone.kind == "causal", "a readout is made ready on no other"
            return read_labels(self.backbone, read, texts, config.truncate_input_tokens)
        if way in ("guard", "score") and not self.labels:
            raise ParameterInvalid(f"{way}: {self.name or 'this prompt'} knows no set of answers.")
        if way == "score":
            return self._scored(texts, config.truncate_input_tokens)
        ready = self._guarded if way == "guard" else self.ready
        return decode(self.backbone, [Request(t, ready, config) for t in texts], on_text)

    def taken(self, way: Way) -> Way:
        """The way that is gone when this one is asked for."""
        if way == "auto":
            return "readout" if self.tuned is not None and self.tuned.readout is not None else "text"
        return way

    @cached_property
    def _readout(self) -> ReadyReadout:
        if self.tuned is None or self.tuned.readout is None:
            raise ParameterInvalid(f"{self.name or 'This prompt'} has no label readout. Ask for text or guard.")
        if self.backbone.kind != "causal":
            raise ModelUnsupported("Label readouts need a decoder-only model.")
        return ready_readout(self.backbone, self.tuned.readout, self.ready.encoder.max_input_tokens)

    @cached_property
    def _guarded(self) -> Ready:
        return make_ready(self.backbone, self.ready.encoder, self.ready.prompt, self.labels, self.ready.prefix)

    def _scored(self, texts: Sequence[str], truncate_input_tokens: int) -> list[Answer]:
        """The known answer with the best (calibrated) score; nothing is decoded."""
        encoder = shortened(self.ready.encoder, truncate_input_tokens)
        rows = encoder.rows(texts)
        scores = score_rows(self.backbone, self.ready, rows, self.labels)
        sure, best = confidence(scores, self.tuned.calibration if self.tuned else None).max(dim=1)
        return [
            Answer(
                input=text,
                output=self.labels[int(label)],
                input_tokens=len(encoder.head) + len(row.prompt),
                virtual_tokens=self.ready.prompt.virtual_tokens,
                generated_tokens=0,
                stop_reason="label",
                confidence=float(p),
                cut=row.cut,
            )
            for text, row, p, label in zip(texts, rows, sure, best, strict=True)
        ]


def generate(
    model: str | Path | Backbone | Responder,
    texts: str | Sequence[str],
    *,
    base: str | Path | None = None,
    config: GenerateConfig | None = None,
    instruction: str = "",
    shots: Sequence[Example] = (),
    labels: Sequence[str] = (),
    way: Way = "auto",
    on_text: OnText | None = None,
) -> list[Answer]:
    """Answer texts with a model id, a tuned prompt's folder, a loaded model or a responder.

    With a tuned prompt, instruction and examples are not sent: what it knows stands in its vectors. `base` is the id or
    folder of its foundation model, for one whose name the catalogue does not know.
    """
    responder = open_responder(model, base=base, instruction=instruction, shots=shots, labels=labels)
    asked = [texts] if isinstance(texts, str) else list(texts)
    with torch.inference_mode():
        return responder.answer(asked, config, way=way, on_text=on_text)


def open_responder(
    model: str | Path | Backbone | Responder,
    *,
    base: str | Path | None = None,
    instruction: str = "",
    shots: Sequence[Example] = (),
    labels: Sequence[str] = (),
    device: str | torch.device = "cpu",
) -> Responder:
    """Whatever was named, ready to answer; a model that is not loaded yet is loaded on `device`."""
    if isinstance(model, Responder):
        return model
    if isinstance(model, str | Path) and (is_tuned_prompt(model) or is_of_another_program(model)):
        tuned = TunedPrompt.load(model)
        return Responder.of(_base_of(tuned, base, device), tuned)
    backbone = load_model(model, device=device) if isinstance(model, str | Path) else model
    return Responder.prompted(backbone, instruction=instruction, shots=shots, labels=labels)


def _base_of(tuned: TunedPrompt, base: str | Path | None, device: str | torch.device) -> Backbone:
    try:
        return load_model(base or tuned.base.model_id, device=device)
    except ModelUnknown as error:
        if base:
            raise
        raise ModelUnknown(
            f"The tuned prompt {tuned.name!r} was made for a model that is not of the catalogue: "
            f"{tuned.base.model_id}. Name the folder in which that model lies: --base FOLDER, in Python base=FOLDER."
        ) from error
