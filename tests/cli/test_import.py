"""`softprompt import` on adapters that PEFT and caikit wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import typer
from torch import Tensor
from typer.testing import CliRunner

from softprompt.cli import import_prompt, new_app
from softprompt.engine.artifact import TunedPrompt
from softprompt.errors import ArtifactInvalid, TemplateInvalid, WrongBase
from softprompt.testing.tiny import tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture
def adapter(tmp_path: Path) -> tuple[Path, Tensor]:
    """What PEFT saves for the tiny llama."""
    model = peft.get_peft_model(
        tiny_model("llama")[0], peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    )
    model.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter", model.get_prompt_embedding_to_save("default")


def run(*arguments: Any) -> str:
    app: typer.Typer = new_app()
    app.command()(import_prompt.command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_peft_adapter_becomes_a_tuned_prompt(
    adapter: tuple[Path, Tensor], tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder, vectors = adapter
    out = tmp_path / "Complaints"
    told = run(folder, "--model", tiny_folder("llama"), "--out", out, "--template", "Q: {{input}} A: ", "--json")
    summary = json.loads(told)
    assert summary["out"] == str(out)
    assert summary["format"] == "peft"
    assert summary["virtual_tokens"] == 4
    assert summary["left_out"] == []
    tuned = TunedPrompt.load(out)
    assert (tuned.name, tuned.template.text, tuned.task) == ("Complaints", "Q: {{input}} A: ", "generation")
    assert tuned.prompt.prefix is not None
    assert torch.equal(tuned.prompt.prefix, vectors)
    assert tuned.recipe["imported"]["format"] == "peft"


def test_caikits_vectors_become_a_tuned_prompt(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "caikit"
    folder.mkdir()
    torch.save(torch.ones(3, 32), folder / "encoder.pt")
    torch.save(torch.ones(3, 32), folder / "decoder.pt")
    (folder / "config.yml").write_text("verbalizer: 'Input: {{input}} Output: '\n")
    told = run(folder, "--model", tiny_folder("t5"), "--out", tmp_path / "out", "--name", "Theirs")
    assert "Theirs: 3 virtual tokens from caikit" in told
    assert "Template: 'Input: {{input}} Output: '" in told
    assert "Left out: decoder.pt" in told
    assert TunedPrompt.load(tmp_path / "out").base.kind == "seq2seq"


def test_a_model_that_does_not_fit_is_refused(
    adapter: tuple[Path, Tensor], tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(WrongBase, match=r"they belong to a decoder-only model, it is encoder-decoder"):
        run(adapter[0], "--model", tiny_folder("t5"), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_are_told_before_a_model_is_loaded(adapter: tuple[Path, Tensor], tmp_path: Path) -> None:
    with pytest.raises(TemplateInvalid, match=r"names 'text'"):
        run(adapter[0], "--model", "no/such", "--out", tmp_path / "out", "--template", "{{text}}")
    with pytest.raises(ArtifactInvalid, match=r"missing is no folder"):
        run(tmp_path / "missing", "--model", "no/such", "--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ArtifactInvalid, match=r"holds nothing: neither adapter_config.json nor decoder.pt nor encoder.pt"
    ):
        run(tmp_path / "empty", "--model", "no/such", "--out", tmp_path / "out")
