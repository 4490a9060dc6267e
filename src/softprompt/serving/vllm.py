"""A vLLM server generates in place of the host: tuned prompts travel as embeddings, everything else as token ids.

vLLM has to run with `--enable-prompt-embeds`. It gives text only: label readouts, scores and the guard are refused, and
so is a repetition penalty behind a tuned prompt. A prompt that would answer by its readout has to be asked for text.
How the matrix of embeddings is made: `prompt_embeds`; how answers are read: `vllm_answers`.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from softprompt import catalogue
from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.sources import resolve
from softprompt.errors import (
    DeadlineExceeded,
    ModelUnavailable,
    ModelUnknown,
    ModelUnsupported,
    ParameterInvalid,
    SoftpromptError,
    Unavailable,
)
from softprompt.serving.chat import chat_ids, chat_text
from softprompt.serving.prompt_embeds import Embeddings, wire
from softprompt.serving.prompts import Fetch
from softprompt.serving.protocol import MOST_DETAILS, Done, Event, Failed, Piece, Target, Tokens, Work
from softprompt.serving.vllm_answers import Said, refusal

OLDEST = (0, 30)
"""The first version of vLLM that this is written for."""


@dataclass(frozen=True, slots=True)
class _Served:
    """What the server calls a model, and the longest prompt and answer together that it takes (0: it does not say)."""

    name: str
    longest: int = 0


@dataclass(slots=True)
class _Asked:
    """A request as vLLM takes it, and what has to be known to read its answer."""

    body: dict[str, Any]
    input_tokens: int
    said: Said
    virtual_tokens: int = 0
    cut: bool = False

    def fit(self, longest: int) -> None:
        """Ask for no more than the context has room for: vLLM refuses what the host ends with token_limit."""
        room = longest - self.input_tokens - self.virtual_tokens
        if longest and room < self.body["max_tokens"]:
            self.said.limit = "token_limit"
            self.body["max_tokens"] = max(room, 1)
            self.body["min_tokens"] = min(self.body["min_tokens"], self.body["max_tokens"])


class VllmBackend:
    """An external vLLM server; a `Backend`."""

    def __init__(
        self, url: str, fetch: Fetch, *, key: str = "", transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url, self._fetch = url.rstrip("/").removesuffix("/v1"), fetch
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=5.0),
            limits=httpx.Limits(max_connections=512, max_keepalive_connections=512),
            trust_env=False,
            transport=transport,
        )
        self._served: dict[str, _Served] = {}
        self._version = ""
        self._read: dict[str, Embeddings] = {}
        self._tuned: dict[str, TunedPrompt] = {}
        self._lock = threading.Lock()

    async def generate(self, work: Work) -> AsyncIterator[Event]:
        """Pieces, then one `Done` or `Failed`. Leaving the iteration early cancels the work."""
        try:
            await self._check_version()
            served = await self._serves(work.target.model_id)
            asked = await asyncio.to_thread(self._asked, work, served)
            said = asked.said
            try:
                async with asyncio.timeout(work.time_limit):
                    async for text in self._pieces(asked):
                        if work.stream:
                            yield Piece(text)
            except TimeoutError:
                said.reason = "time_limit"
                if not said.output:
                    raise DeadlineExceeded(
                        f"vLLM said nothing within the time limit of {work.time_limit:g} s. Allow more time."
                    ) from None
            yield Done(
                output=said.output,
                input_tokens=asked.input_tokens,
                virtual_tokens=asked.virtual_tokens,
                generated_tokens=said.generated,
                stop_reason=said.reason,
                seed=work.config.seed,
                cut=asked.cut,
                tokens=tuple(said.tokens),
            )
        except SoftpromptError as error:
            yield Failed.of(error)
        except httpx.HTTPError as error:
            yield Failed.of(self._away(error))

    async def tokenize(self, target: Target, text: str) -> Tokens:
        """The text as the target reads it."""
        return await asyncio.to_thread(self._count, target, text)

    async def status(self) -> dict[str, Any]:
        try:
            await self._check_version()
            models = [item["id"] for item in await self._models()]
            return {"state": "running", "backend": "vllm", "version": self._version, "models": models}
        except (SoftpromptError, httpx.HTTPError) as error:
            return {"state": "unavailable", "backend": "vllm", "message": str(error), "models": []}

    async def close(self, within: float = 0.0) -> None:
        await self._http.aclose()

    # --- asking -------------------------------------------------------------------------------------------------------
    def _asked(self, work: Work, served: _Served) -> _Asked:
        """The request; reads files and tokenizes, so it runs in a thread."""
        with self._lock:
            embeddings = self._embeddings(work.target.model_id)
            tokenizer, body = embeddings.tokenizer, {"model": served.name, **_parameters(work)}
            if work.target.prompt is None:
                if work.way not in ("auto", "text"):
                    raise ParameterInvalid(f"way: {work.way!r} needs a tuned prompt; a model alone gives text.")
                ids, cut = _ids(tokenizer, work)
                asked = _Asked({**body, "prompt": ids}, len(ids), Said(tokenizer, work.details), cut=cut)
            else:
                tuned = self._opened(work.target.prompt)
                _refuse(tuned, work)
                matrix, count, cut, gap = embeddings.matrix(tuned, work.input or "", work.config)
                body["prompt_embeds"] = wire(matrix)
                asked = _Asked(body, count, Said(tokenizer, work.details, gap), tuned.prompt.virtual_tokens, cut)
        asked.fit(served.longest)
        return asked

    async def _pieces(self, asked: _Asked) -> AsyncIterator[str]:
        async with self._http.stream("POST", "/v1/completions", json=asked.body) as response:
            if response.status_code != 200:
                raise refusal(response.status_code, (await response.aread()).decode(errors="replace"))
            async for line in response.aiter_lines():
                content = line.removeprefix("data:").strip()
                if not line.startswith("data:") or content == "[DONE]":
                    continue
                event = json.loads(content)
                if error := event.get("error"):
                    raise refusal(int(error.get("code") or 500), content)
                if text := asked.said.take(event):
                    yield text

    async def _check_version(self) -> None:
        if self._version:
            return
        response = await self._http.get("/version", timeout=10.0)
        version = str(response.json().get("version", "")) if response.status_code == 200 else ""
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
            raise Unavailable(
                f"{self._url} is vLLM {version or 'of an unknown version'}; {'.'.join(map(str, OLDEST))} or newer is "
                "needed, started with --enable-prompt-embeds."
            )
        self._version = version

    async def _models(self) -> list[dict[str, Any]]:
        response = await self._http.get("/v1/models", timeout=10.0)
        if response.status_code != 200:
            raise refusal(response.status_code, response.text)
        return list(response.json().get("data", []))

    async def _serves(self, model_id: str) -> _Served:
        """What the server says of this model."""
        if model_id not in self._served:
            wanted = await asyncio.to_thread(_known_as, model_id)
            models = await self._models()
            found = [item for item in models if {item["id"], item.get("root")} & wanted]
            if not found:
                there = ", ".join(item["id"] for item in models) or "nothing"
                raise ModelUnavailable(
                    f"The vLLM server at {self._url} does not serve {model_id}; it serves {there}. Start it with "
                    f"--served-model-name {model_id} if one of these is that model."
                )
            self._served[model_id] = _Served(found[0]["id"], int(found[0].get("max_model_len") or 0))
        return self._served[model_id]

    def _embeddings(self, model_id: str) -> Embeddings:
        if model_id not in self._read:
            self._read[model_id] = Embeddings.read(model_id)
        return self._read[model_id]

    def _opened(self, key: str) -> TunedPrompt:
        if key not in self._tuned:
            self._tuned[key] = TunedPrompt.load(self._fetch(key))
            while len(self._tuned) > 256:
                del self._tuned[next(iter(self._tuned))]
        return self._tuned[key]

    def _count(self, target: Target, text: str) -> Tokens:
        with self._lock:
            tokenizer, virtual = self._embeddings(target.model_id).tokenizer, 0
            if target.prompt is not None:
                tuned = self._opened(target.prompt)
                text, virtual = tuned.template.render(tuned.template.inner(text)), tuned.virtual_tokens
            ids = tokenizer(text, split_special_tokens=True)["input_ids"]
            return Tokens(count=len(ids), virtual_tokens=virtual, tokens=tuple(tokenizer.convert_ids_to_tokens(ids)))

    def _away(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"The vLLM server at {self._url} cannot be reached ({type(error).__name__}: {error}).")


def _known_as(model_id: str) -> set[str]:
    """What a server may call this model: its ids, and the folder in which it lies here."""
    wanted = {model_id, str(resolve(model_id, download=False))}
    try:
        card = catalogue.get(model_id)
        return wanted | {card.id, *([card.hub] if card.hub else [])}
    except ModelUnknown:
        return wanted  # a folder


def _parameters(work: Work) -> dict[str, Any]:
    """Decoding parameters in the words of vLLM."""
    if work.config.pattern:
        raise ModelUnsupported("pattern: not possible through vLLM here. Leave it out, or use Softprompt's own host.")
    config, sampled = work.config, work.config.decoding == "sample" and work.config.temperature > 0
    body: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},  # known when time is over, too
        "max_tokens": config.max_new_tokens,
        "min_tokens": config.min_new_tokens,
        "temperature": config.temperature if sampled else 0.0,
        "repetition_penalty": config.repetition_penalty,
    }
    if sampled:
        body |= {"top_p": config.top_p, "top_k": config.top_k or -1}
        body |= {} if config.seed is None else {"seed": config.seed}
    if config.stop:
        body |= {"stop": list(config.stop), "include_stop_str_in_output": True}
    if work.details is not None:
        body |= {"logprobs": MOST_DETAILS, "return_tokens_as_token_ids": True}
    return body


def _ids(tokenizer: Any, work: Work) -> tuple[list[int], bool]:
    """The prompt of a model alone, and whether it was cut."""
    ids = chat_ids(tokenizer, work.messages) if work.text is None else None
    if ids is not None:
        return list(ids), False
    text = chat_text(work.messages) if work.text is None else work.text
    whole: list[int] = tokenizer(text, split_special_tokens=True)["input_ids"] or [int(tokenizer.eos_token_id)]
    limit = work.config.truncate_input_tokens
    return (whole[:limit], True) if limit and len(whole) > limit else (whole, False)


def _refuse(tuned: TunedPrompt, work: Work) -> None:
    if work.way not in ("auto", "text"):
        raise ModelUnsupported(f"way: {work.way!r} is not possible through vLLM, which gives text only. Ask for text.")
    if tuned.prompt.virtual_tokens == 0:
        raise ModelUnsupported(
            f"The tuned prompt {tuned.name!r} answers by its label readout alone, which vLLM cannot run. "
            "Serve it by Softprompt's own host, or tune with readout auto or off."
        )
    if work.way == "auto" and tuned.answers_by == "readout":
        raise ModelUnsupported(
            f"The tuned prompt {tuned.name!r} answers by its label readout, which vLLM cannot run. "
            "Ask for text (way: text), or serve it by Softprompt's own host."
        )
    if tuned.pattern:
        raise ModelUnsupported(
            f"The tuned prompt {tuned.name!r} keeps its answers to a pattern, which is not possible through vLLM here. "
            "Serve it by Softprompt's own host."
        )
    if work.config.repetition_penalty != 1.0:
        # vLLM looks for the ids of the prompt where embeddings have none, and finds those of earlier requests.
        raise ModelUnsupported(
            f"repetition_penalty: {work.config.repetition_penalty:g} behind a tuned prompt is not possible through "
            "vLLM, which would penalise tokens of other requests. Leave it at 1, or use Softprompt's own host."
        )
