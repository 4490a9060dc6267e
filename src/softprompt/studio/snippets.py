"""Code that asks a deployment, correct when pasted: curl, ibm-watsonx-ai, openai, our command line and our library.

The API key never stands in it: it is read from the environment. Does not know HTTP: addresses are given.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from typing_extensions import TypedDict

from softprompt.storage.tables import Deployment, PromptSession, TunedPrompt
from softprompt.studio import deployments
from softprompt.studio.access import Unit
from softprompt.studio.foundation_models import added_folder
from softprompt.studio.prompt_sessions import places

KEY = "SOFTPROMPT_API_KEY"
SAMPLE = "My parcel came without the screws."
SECRET = f"Put an API key into the environment first: export {KEY}=…"
TLS = "IBM's client speaks TLS only, so this is the studio's address with TLS."


class Snippet(TypedDict):
    """Code for one client. `install`: what it needs, if anything; `note`: what a reader should know."""

    client: str
    language: str
    install: str
    code: str
    note: str


@dataclass(frozen=True, slots=True)
class _Place:
    """What all snippets of a deployment share.

    Attributes:
        model: serving name, or the id where there is none.
        variables: places of a prompt template that have to be filled.
        most: tokens an answer may have.
        container: argument that names the project or space for IBM's client.
        model_id: the foundation model, as people call it.
        folder: where it lies on the studio's machine, if an admin added it; other machines do not know its name.
    """

    url: str
    secure_url: str
    model: str
    deployment_id: str
    container: str
    variables: tuple[str, ...]
    most: int
    prompt_id: str | None
    model_id: str
    folder: str | None

    @property
    def values(self) -> dict[str, str]:
        return dict.fromkeys(self.variables, SAMPLE)


def of(unit: Unit, deployment_id: str, *, url: str, secure_url: str) -> list[Snippet]:
    """Snippets for a deployment.

    Args:
        url: address of the studio.
        secure_url: its address with TLS, for clients that speak nothing else.
    """
    row = deployments.find(unit, deployment_id)
    place = _place(unit, row, url.rstrip("/"), secure_url.rstrip("/"))
    found = [_curl(place), _openai(place), _watsonx(place)]
    if place.prompt_id:
        return [*found, _command_line(place), _library(place)]
    return found if row.prompt_session_id else [*found, _bare_model(place)]


def tls_url(url: str, port: int | None = None) -> str:
    """The address with TLS: the same if it has TLS already, else the same host at the TLS port."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return url.rstrip("/")
    host = parts.hostname or "localhost"
    return f"https://{f'[{host}]' if ':' in host else host}:{port or 8443}"


def _place(unit: Unit, row: Deployment, url: str, secure_url: str) -> _Place:
    session = unit.rows.get(PromptSession, row.prompt_session_id) if row.prompt_session_id else None
    prompt = unit.rows.get(TunedPrompt, row.tuned_prompt_id) if row.tuned_prompt_id else None
    inside = ("space_id", row.space_id) if row.space_id else ("project_id", row.project_id)
    return _Place(
        url=url,
        secure_url=secure_url,
        model=row.serving_name or row.id,
        deployment_id=row.id,
        container=f"{inside[0]}={_quoted(inside[1] or '')}",
        variables=tuple(places(session.content)) if session else (),
        most=longest_answer(prompt),
        prompt_id=prompt.id if prompt else None,
        model_id=row.model_id,
        folder=added_folder(unit.rows, row.model_id),
    )


def longest_answer(prompt: TunedPrompt | None) -> int:
    """Tokens of the longest answer that the prompt was tuned on, or room for a paragraph."""
    config = ((prompt.card if prompt else {}).get("recipe") or {}).get("config") or {}
    longest = config.get("max_output_tokens")
    return longest if isinstance(longest, int) and longest > 0 else 128


def _curl(place: _Place) -> Snippet:
    body: dict[str, object] = {"model": place.model, "prompt": SAMPLE, "max_tokens": place.most, "temperature": 0}
    if place.variables:
        body |= {"prompt": "", "softprompt": {"variables": place.values}}
    return curl(f"{place.url}/v1/completions", json.dumps(body, ensure_ascii=False))


def _openai(place: _Place) -> Snippet:
    prompt, extra = SAMPLE, []
    if place.variables:
        prompt, extra = "", [f'extra_body={{"softprompt": {{"variables": {_dict(place)}}}}},']
    arguments = [
        f"model={_quoted(place.model)},",
        f"prompt={_quoted(prompt)},",
        f"max_tokens={place.most},",
        "temperature=0,",
        *extra,
    ]
    code = [
        "import os",
        "",
        "from openai import OpenAI",
        "",
        f"client = OpenAI(base_url={_quoted(place.url + '/v1')}, api_key=os.environ[{_quoted(KEY)}])",
        "answer = client.completions.create(",
        *_indented(arguments),
        ")",
        "print(answer.choices[0].text)",
    ]
    return python("openai", "pip install openai", code, SECRET)


def _watsonx(place: _Place) -> Snippet:
    values = f', "prompt_variables": {_dict(place)}' if place.variables else ""
    asked = f"prompt={_quoted(SAMPLE)}, " if not place.variables else ""
    code = [
        "import os",
        "",
        "from ibm_watsonx_ai import Credentials",
        "from ibm_watsonx_ai.foundation_models import ModelInference",
        "",
        f"credentials = Credentials(url={_quoted(place.secure_url)}, token=os.environ[{_quoted(KEY)}])",
        "model = ModelInference(",
        *_indented(
            [f"deployment_id={_quoted(place.deployment_id)},", "credentials=credentials,", f"{place.container},"]
        ),
        ")",
        f'parameters = {{"decoding_method": "greedy", "max_new_tokens": {place.most}{values}}}',
        f"print(model.generate_text({asked}params=parameters))",
    ]
    return python("ibm-watsonx-ai", "pip install ibm-watsonx-ai", code, f"{TLS} {SECRET}")


def _command_line(place: _Place) -> Snippet:
    """The tuned prompt itself, taken home: it answers without the studio."""
    named = f" --base {shlex.quote(place.folder)}" if place.folder else ""
    code = [
        _download(place),
        *whereabouts(place.model_id, place.folder),
        f"softprompt generate prompt{named} {shlex.quote(SAMPLE)}",
    ]
    note = f"Fetches the tuned prompt and answers with the foundation model of this machine. {SECRET}"
    return {
        "client": "softprompt",
        "language": "sh",
        "install": "pip install softprompt",
        "code": "\n".join(code) + "\n",
        "note": note,
    }


def _library(place: _Place) -> Snippet:
    named = f", base={_quoted(place.folder)}" if place.folder else ""
    code = [
        "from softprompt import generate",
        "",
        *whereabouts(place.model_id, place.folder),
        f'for answer in generate("prompt", [{_quoted(SAMPLE)}]{named}):',
        "    print(answer.output)",
    ]
    note = f"The tuned prompt is fetched once and lies in the folder `prompt`; no server is asked. {SECRET}"
    return python("softprompt library", f"pip install softprompt\n{_download(place)}", code, note)


def _bare_model(place: _Place) -> Snippet:
    code = [
        *BARE_IMPORTS,
        "",
        *bare_model(place.model_id, place.folder),
        f"config = GenerateConfig(max_new_tokens={place.most})",
        f"for answer in generate(answerer, [{_quoted(SAMPLE)}], config=config):",
        "    print(answer.output)",
    ]
    return python("softprompt library", "pip install softprompt", code, BARE_NOTE)


BARE_IMPORTS = (
    "from softprompt import generate, load_model",
    "from softprompt.data.template import Template",
    "from softprompt.params import GenerateConfig",
    "from softprompt.workbench.respond import Responder",
)
BARE_NOTE = "Answers on this machine, without the studio. The first run fetches a model of the catalogue."


def bare_model(model_id: str, folder: str | None) -> list[str]:
    """A foundation model that answers the text as it stands."""
    return [
        *whereabouts(model_id, folder),
        f"model = load_model({_quoted(folder or model_id)})",
        'answerer = Responder.prompted(model, template=Template("{{input}}"))',
    ]


def whereabouts(model_id: str, folder: str | None) -> list[str]:
    """A comment for models that other machines do not know by name."""
    name = " ".join(model_id.split())
    return [f"# The folder of {name} on the studio's machine; elsewhere, name the one it has there."] if folder else []


def _download(place: _Place) -> str:
    return f"softprompt --url {shlex.quote(place.url)} prompts download {place.prompt_id} --out prompt"


def curl(url: str, body: str) -> Snippet:
    """A POST of JSON."""
    lines = [
        f"curl --fail-with-body {shlex.quote(url)}",
        f'-H "Authorization: Bearer ${KEY}"',
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(body)}",
    ]
    return {"client": "curl", "language": "sh", "install": "", "code": " \\\n  ".join(lines) + "\n", "note": SECRET}


def python(client: str, install: str, lines: Sequence[str], note: str) -> Snippet:
    code = "\n".join(lines) + "\n" if lines else ""
    return {"client": client, "language": "python", "install": install, "code": code, "note": note}


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _dict(place: _Place) -> str:
    return json.dumps(place.values, ensure_ascii=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
