"""Code that asks exactly what stands on a page of the Prompt Lab: curl, ibm-watsonx-ai, openai, our library.

The API key never stands in it: it is read from the environment. Does not know HTTP: addresses are given.
"""

from __future__ import annotations

import json
import pprint
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.params import GenerateConfig
from softprompt.studio.lab import Column, LabPage, Try, prompt
from softprompt.studio.lab_subjects import Subject
from softprompt.studio.snippets import (
    BARE_IMPORTS,
    BARE_NOTE,
    KEY,
    SAMPLE,
    SECRET,
    TLS,
    Snippet,
    bare_model,
    curl,
    python,
    whereabouts,
)

_DEPLOY = (
    "This client asks deployments and foundation models. Deploy the tuned prompt, then choose the deployment here."
)
_WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What all clients say.

    Attributes:
        texts: of the tests, whole.
        variables: values for a deployment that has a prompt template.
        inside: argument that says where foundation models are asked by IBM's client.
    """

    subject: Subject
    column: Column
    config: GenerateConfig
    texts: tuple[str, ...]
    variables: Mapping[str, str]
    url: str
    secure_url: str
    inside: tuple[str, str]

    @property
    def asked(self) -> str | list[str]:
        return self.texts[0] if len(self.texts) == 1 else list(self.texts)

    @property
    def way(self) -> str:
        return "text" if self.column.way == "text" and self.subject.readout else "auto"

    @property
    def name(self) -> str:
        """Under which a client asks for it."""
        return self.subject.id if self.subject.kind == "model" else self.subject.serving_name or self.subject.id


def of(
    page: LabPage, column: Column, subject: Subject, *, url: str, secure_url: str, inside: tuple[str, str]
) -> list[Snippet]:
    """Snippets for one column of the page.

    Args:
        url: address of the studio.
        secure_url: its address with TLS, for clients that speak nothing else.
        inside: such as `("project_id", ID)`, for IBM's client.
    """
    tries = [page.tries[number] for number in page.asked] or [Try(SAMPLE)]
    question = _Question(
        subject=subject,
        column=column,
        config=column.config(),
        texts=tuple(prompt(page, column, each, subject.takes, subject.template) for each in tries),
        variables=page.variables if subject.takes == "template" else {},
        url=url.rstrip("/"),
        secure_url=secure_url.rstrip("/"),
        inside=inside,
    )
    return [_curl(question), _watsonx(question), _openai(question), _library(question)]


def _curl(q: _Question) -> Snippet:
    answerer = {"model": "model_id", "prompt": "prompt_id", "deployment": "deployment"}[q.subject.kind]
    body: dict[str, Any] = {answerer: q.name, "input": q.asked, "parameters": _own(q.config)}
    if q.way != "auto":
        body["way"] = q.way
    if q.variables:
        body["variables"] = dict(q.variables)
    return curl(f"{q.url}/api/generate", json.dumps(body, ensure_ascii=False, indent=2))


def _watsonx(q: _Question) -> Snippet:
    if q.subject.kind == "prompt":
        return python("ibm-watsonx-ai", "", [], _DEPLOY)
    if q.subject.kind == "model":
        target, inside = f"model_id={_quoted(q.name)},", q.inside
    else:
        target, inside = f"deployment_id={_quoted(q.subject.id)},", q.subject.inside or q.inside
    note = f"{TLS} {SECRET}"
    if q.way != "auto":
        note = f"IBM's words cannot ask for the text path: this answers by the label readout. {note}"
    code = [
        "import os",
        "",
        "from ibm_watsonx_ai import Credentials",
        "from ibm_watsonx_ai.foundation_models import ModelInference",
        "",
        f"credentials = Credentials(url={_quoted(q.secure_url)}, token=os.environ[{_quoted(KEY)}])",
        "model = ModelInference(",
        f"    {target}",
        "    credentials=credentials,",
        f"    {inside[0]}={_quoted(inside[1])},",
        ")",
        *_assigned("parameters", _ibm(q)),
        *_assigned("prompt", q.asked),
        "print(model.generate_text(prompt=prompt, params=parameters))",
    ]
    return python("ibm-watsonx-ai", "pip install ibm-watsonx-ai", code, note)


def _openai(q: _Question) -> Snippet:
    if q.subject.kind == "prompt":
        return python("openai", "", [], _DEPLOY)
    config = q.config
    drawn = config.decoding == "sample"
    arguments: dict[str, Any] = {"max_tokens": config.max_new_tokens, "temperature": config.temperature if drawn else 0}
    extra: dict[str, Any] = {}
    if drawn:
        arguments["top_p"] = config.top_p
        extra["top_k"] = config.top_k
        if config.seed is not None:
            arguments["seed"] = config.seed
    if config.stop:
        arguments["stop"] = list(config.stop)
    if config.repetition_penalty != 1:
        extra["repetition_penalty"] = config.repetition_penalty
    if config.min_new_tokens:
        extra["min_tokens"] = config.min_new_tokens
    own = ({"way": q.way} if q.way != "auto" else {}) | ({"variables": dict(q.variables)} if q.variables else {})
    if own:
        extra["softprompt"] = own
    if extra:
        arguments["extra_body"] = extra
    code = [
        "import os",
        "",
        "from openai import OpenAI",
        "",
        f"client = OpenAI(base_url={_quoted(q.url + '/v1')}, api_key=os.environ[{_quoted(KEY)}])",
        *_assigned("prompt", q.asked),
        "answer = client.completions.create(",
        f"    model={_quoted(q.name)},",
        "    prompt=prompt,",
        *(f"    {name}={value!r}," for name, value in arguments.items()),
        ")",
        "for choice in answer.choices:",
        "    print(choice.text)",
    ]
    return python("openai", "pip install openai", code, SECRET)


def _library(q: _Question) -> Snippet:
    """The same without the studio, on the machine where it runs."""
    if q.subject.takes == "template":
        return python("softprompt", "", [], "A prompt template answers behind its deployment only.")
    own = _own(q.config) | ({"stop": q.config.stop} if q.config.stop else {})
    settings = [f"{name}={value!r}" for name, value in own.items()]
    imports = ["from softprompt import generate", "from softprompt.params import GenerateConfig"]
    model_id, folder, base = q.subject.model_id, q.subject.folder, ""
    if q.subject.prompt_id:
        fetch = f"softprompt --url {shlex.quote(q.url)} prompts download {q.subject.prompt_id} --out prompt"
        note = f"Fetch the tuned prompt first: {fetch}. {SECRET}"
        answerer = ['answerer = "prompt"  # the folder', *whereabouts(model_id, folder)]
        base = f", base={_quoted(folder)}" if folder else ""
    else:
        note, imports, answerer = BARE_NOTE, [*BARE_IMPORTS], bare_model(model_id, folder)
    way = f", way={_quoted(q.way)}" if q.way != "auto" else ""
    code = [
        *imports,
        "",
        *answerer,
        f"config = GenerateConfig({', '.join(settings)})",
        *_assigned("texts", list(q.texts)),
        f"for answer in generate(answerer, texts, config=config{base}{way}):",
        "    print(answer.output)",
    ]
    return python("softprompt", "pip install softprompt", code, note)


def _own(config: GenerateConfig) -> dict[str, Any]:
    """The parameters that count, in our words."""
    found: dict[str, Any] = {"decoding": config.decoding}
    if config.decoding == "sample":
        found |= {"temperature": config.temperature, "top_p": config.top_p, "top_k": config.top_k}
        if config.seed is not None:
            found["seed"] = config.seed
    if config.repetition_penalty != 1:
        found["repetition_penalty"] = config.repetition_penalty
    if config.stop:
        found["stop"] = list(config.stop)
    return {**found, "min_new_tokens": config.min_new_tokens, "max_new_tokens": config.max_new_tokens}


def _ibm(q: _Question) -> dict[str, Any]:
    own = _own(q.config)
    names = {"decoding": "decoding_method", "seed": "random_seed", "stop": "stop_sequences"}
    found = {names.get(name, name): value for name, value in own.items()}
    if found.get("top_k") == 0:
        found["top_k"] = 100  # IBM's most; "from all" has no word there
    return found | ({"prompt_variables": dict(q.variables)} if q.variables else {})


def _assigned(name: str, value: Any) -> Sequence[str]:
    """`name = value` as Python, broken into lines where it is long."""
    if isinstance(value, str):
        return [f"{name} = {_quoted(value)}"]
    return f"{name} = {pprint.pformat(value, width=_WIDTH, sort_dicts=False)}".split("\n")


def _quoted(text: str) -> str:
    return repr(text)
