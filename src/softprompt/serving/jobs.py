"""From what was asked to what the engine does: which way, which prompt, which token ids. One object a loaded model.

Does not know queues and threads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from softprompt.data.template import Template
from softprompt.engine.packing import Row
from softprompt.engine.read_label import ReadyReadout
from softprompt.engine.requests import Ready, Request, encode, limit, make_ready
from softprompt.engine.tokens import Encoder
from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig
from softprompt.serving.call import Call, Job
from softprompt.serving.chat import chat_ids, chat_text
from softprompt.serving.prompts import Prepared, Prompts
from softprompt.serving.protocol import Way

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


class Desk:
    """Makes jobs of calls to one model."""

    def __init__(self, backbone: Backbone, model_id: str, prompts: Prompts) -> None:
        self._backbone, self.model_id, self._prompts = backbone, model_id, prompts
        ends = _ends(backbone)
        bare = Encoder(backbone.tokenizer, Template("{{input}}"), share_head=backbone.kind == "causal")
        whole = Encoder(backbone.tokenizer, Template("{{input}}"), share_head=False)
        self._plain = replace(make_ready(backbone, bare), ends=ends)
        self._chat = Ready(whole, self._plain.prompt, None, ends=ends)

    def job(self, call: Call) -> Job:
        """What is to be done; raises what is wrong with the request or with the tuned prompt."""
        if call.work.target.prompt is None:
            return self._asked_model(call)
        prepared, fresh = self._prompts.prepared(self._backbone, self.model_id, call.work.target.prompt)
        job = self._asked_prompt(call, prepared)
        return replace(job, cost=job.cost + prepared.cost) if fresh else job

    def _asked_model(self, call: Call) -> Job:
        work = call.work
        if work.way not in ("auto", "text"):
            raise ParameterInvalid(f"way: {work.way!r} needs a tuned prompt; {work.target.model_id} alone gives text.")
        if work.text is not None:
            return self._text(call, Request(work.text, self._plain, work.config, details=work.details), "text")
        ids = chat_ids(self._backbone.tokenizer, work.messages)
        if ids is None:
            request = Request(chat_text(work.messages), self._plain, work.config, details=work.details)
        else:
            request = Request("", self._chat, work.config, ids, work.details)
        return self._text(call, request, "text")

    def _asked_prompt(self, call: Call, prepared: Prepared) -> Job:
        way, work, tuned = call.work.way, call.work, prepared.tuned
        if way == "auto":
            way = "text" if prepared.readout is None else "readout"
        text = work.input or ""
        if way == "readout":
            if prepared.readout is None:
                raise ParameterInvalid(f"The tuned prompt {tuned.name!r} has no label readout. Ask for text or guard.")
            row = self._row(prepared.readout, text, work.config)
            return Job(call, "readout", way, row, len(row.prompt), readout=prepared.readout)
        if way in ("guard", "score") and prepared.guard is None:
            raise ParameterInvalid(f"way: {way!r} needs known answers; the tuned prompt {tuned.name!r} has none.")
        if way == "score" and prepared.guard is not None:
            asked = Request(text, prepared.guard, work.config)
            row = encode(asked)
            limit(self._backbone, asked, row)
            return Job(call, "score", way, row, len(row.prompt) + len(tuned.labels), scored=prepared)
        ready = prepared.guard if way == "guard" and prepared.guard is not None else prepared.text
        return self._text(call, Request(text, ready, work.config, details=work.details), way)

    def _text(self, call: Call, request: Request, way: Way) -> Job:
        row = encode(request)
        most, _ = limit(self._backbone, request, row)
        front = 0 if request.ready.prefix is None else request.ready.prefix.length
        length = len(row.prompt) + request.ready.prompt.suffix_length
        return Job(call, "text", way, row, length, room=front + length + most, request=request)

    def _row(self, ready: ReadyReadout, text: str, config: GenerateConfig) -> Row:
        asked = Request(text, Ready(ready.encoder, ready.readout.prompt, None), config)
        row = encode(asked)
        limit(self._backbone, replace(asked, config=GenerateConfig(max_new_tokens=0)), row)
        return row


def _ends(backbone: Backbone) -> frozenset[int]:
    """Ids that end an answer by the model's own settings, such as the end of a turn."""
    named = getattr(getattr(backbone.model, "generation_config", None), "eos_token_id", None)
    return frozenset([named] if isinstance(named, int) else named or [])
