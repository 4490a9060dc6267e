from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from softprompt import catalogue, cli
from softprompt.engine.embedding_scale import embedding_rms
from softprompt.testing.tiny import tiny_model

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def run(cache: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> SimpleNamespace:
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        captured = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def pulled(cache: Path) -> Path:
    """A tiny model in the place where SmolLM2 goes, as a person might put it there."""
    folder = cache / "models" / "huggingfacetb--smollm2-135m-instruct"
    folder.mkdir(parents=True)
    tiny_model("llama", folder)
    return folder


def test_list_shows_all_models_and_which_are_here(run: Run, pulled: Path) -> None:
    models = json.loads(run("models", "list", "--json").out)["models"]
    here = {model["id"]: model["available"] for model in models}
    assert here[SMOLLM2] is True
    assert here["google/flan-t5-xxl"] is False
    unfit = next(model for model in models if model["id"] == "ibm/granite-13b-instruct-v2")
    assert unfit["tunable"] is False
    assert unfit["label"] == "granite-13b-instruct-v2"
    assert SMOLLM2 in run("models", "list").out


def test_show_names_the_folder_once_it_is_here(run: Run, pulled: Path) -> None:
    card = json.loads(run("models", "show", "smollm2-135m", "--json").out)
    assert (card["id"], card["available"], card["path"]) == (SMOLLM2, True, str(pulled))
    assert str(pulled) in run("models", "show", "smollm2-135m").out


def test_show_without_the_model_says_how_to_get_it(run: Run) -> None:
    shown = run("models", "show", "smollm2-135m")
    assert f"softprompt models pull {SMOLLM2}" in shown.out
    assert "path" not in json.loads(run("models", "show", "smollm2-135m", "--json").out)


def test_show_tells_a_learning_rate_for_every_model_that_tunes(run: Run, pulled: Path) -> None:
    """Its own, or one that follows its embeddings: in numbers once they are here."""
    here = json.loads(run("models", "show", SMOLLM2, "--json").out)
    assert here["learning_rate"] == pytest.approx(0.22 * embedding_rms(pulled), rel=0.01)  # type: ignore[operator]
    assert here["relative_learning_rate"] == 0.22
    for card in catalogue.cards():
        found = run("models", "show", card.id).out
        assert ("learning rate" in found) == card.tunable, card.id
    assert "0.22 × the scale (RMS) of the model's embeddings" in run("models", "show", "llama-2-13b-chat").out
    assert json.loads(run("models", "show", "flan-t5-xl", "--json").out)["learning_rate"] == 0.3


def test_pull_prints_the_folder(run: Run, pulled: Path) -> None:
    assert run("models", "pull", SMOLLM2).out == f"{pulled}\n"
    assert json.loads(run("models", "pull", SMOLLM2, "--json").out) == {"id": SMOLLM2, "path": str(pulled)}


def test_errors_go_to_standard_error_and_into_the_exit_code(run: Run) -> None:
    done = run("models", "pull", "google/flan-t5-small")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: google/flan-t5-small could not be had from any source:")


def test_with_json_an_error_is_the_document(run: Run) -> None:
    done = run("models", "show", "flan-t5-smal", "--json")
    assert done.code == 1
    error = json.loads(done.out)["error"]
    assert error["code"] == "model_unknown"
    assert "Did you mean google/flan-t5-small" in error["message"]


def test_wrong_usage_is_exit_2_and_says_where_help_is(run: Run) -> None:
    done = run("models", "pul")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: No such command 'pul'. Did you mean 'pull'? Try 'softprompt models --help'.\n"
    assert run("models", "show").code == 2


def test_help_lists_the_commands(run: Run) -> None:
    shown = run("--help")
    assert shown.code == 0
    assert all(name in shown.out for name in cli.COMMANDS)
    assert run("--version").out.startswith("softprompt 0.")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (RuntimeError("no luck"), 1, "error: internal error: RuntimeError: no luck; run with SOFTPROMPT_DEBUG=1"),
    ],
)
def test_surprises_are_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.delenv("SOFTPROMPT_DEBUG", raising=False)
    monkeypatch.setattr("softprompt.catalogue.get", fail)
    done = run("models", "show", "x")
    assert done.code == code
    assert done.err.startswith(words)
    assert done.err.count("\n") == 1


def test_the_trace_is_there_for_those_who_ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_DEBUG", "1")
    monkeypatch.setattr("softprompt.catalogue.get", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["models", "show", "x"])
    assert "softprompt.cli" in sys.modules
