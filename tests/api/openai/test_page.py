"""The code of docs/openai.md runs as it is printed, and the page tells what is ignored and refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from softprompt.api.openai.words import ChatRequest, CompletionRequest
from softprompt.testing.live import LiveStudio

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "openai.md").read_text(encoding="utf-8")


def test_its_code_runs(studio: LiveStudio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOFTPROMPT_API_KEY", studio.key)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code.replace("http://localhost:8440", studio.url), "docs/openai.md", "exec"), names)
    names["client"].close()
    told = capsys.readouterr().out
    assert "MY PARCEL CAME WITHOUT THE SCREWS. 0.5\n6 3\n" in told
    assert "virtual_tokens=3" in told


@pytest.mark.parametrize("word", sorted({*CompletionRequest.model_fields, *ChatRequest.model_fields}))
def test_it_names_every_parameter(word: str) -> None:
    plain = {"model", "prompt", "messages", "tool_choice", "function_call"}
    relatives = {"prompt_cache_options", "prompt_cache_retention"}
    assert word in plain | relatives or f"`{word}`" in PAGE or f"`{word}." in PAGE
