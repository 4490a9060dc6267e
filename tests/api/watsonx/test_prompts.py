"""Prompt templates through IBM's manager, in its three ways to sign in."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api.watsonx.studio import LLAMA, Behind


@pytest.fixture
def manager(client: Any) -> Any:
    from ibm_watsonx_ai.foundation_models.prompts import PromptTemplateManager

    return PromptTemplateManager(api_client=client)


def _template(name: str, **more: Any) -> Any:
    from ibm_watsonx_ai.foundation_models.prompts import PromptTemplate

    given = {"input_text": "{complaint}", "input_variables": ["complaint"], "model_id": LLAMA, **more}
    return PromptTemplate(name=name, **given)


def test_a_template_is_stored_loaded_changed_and_deleted(manager: Any, mode: str) -> None:
    from ibm_watsonx_ai.foundation_models.utils.enums import PromptTemplateFormats

    stored = manager.store_prompt(
        _template(f"route {mode}", instruction="Route it.", input_prefix="Complaint:", examples=[["a", "b"]])
    )
    loaded = manager.load_prompt(stored.prompt_id)
    assert loaded.instruction == "Route it."
    assert loaded.examples == [["a", "b"]]
    assert loaded.input_variables == {"complaint": {}}
    assert loaded.is_template
    text = manager.load_prompt(stored.prompt_id, PromptTemplateFormats.STRING)
    assert text == "Route it.\n\nComplaint: a\nb\n\nComplaint: {complaint}"
    filled = manager.load_prompt(stored.prompt_id, PromptTemplateFormats.STRING, prompt_variables={"complaint": "x"})
    assert filled.endswith("Complaint: x")
    listed = manager.list()
    assert stored.prompt_id in list(listed["ID"])
    assert manager.list(limit=1).shape[0] == 1
    manager.update_prompt(stored.prompt_id, _template("renamed", instruction="Send it on."))
    changed = manager.load_prompt(stored.prompt_id)
    assert (changed.name, changed.instruction, changed.input_prefix) == ("renamed", "Send it on.", "Complaint:")
    manager.unlock(stored.prompt_id)
    assert manager.get_lock(stored.prompt_id)["locked"] is False
    assert manager.lock(stored.prompt_id)["locked"] is True
    assert manager.delete_prompt(stored.prompt_id, force=True) == "SUCCESS"
    assert stored.prompt_id not in list(manager.list()["ID"])


def test_other_kinds_of_templates(manager: Any) -> None:
    from ibm_watsonx_ai.foundation_models.prompts import ChatPrompt, DetachedPromptTemplate, FreeformPromptTemplate

    free = manager.store_prompt(
        FreeformPromptTemplate(name="free", model_id=LLAMA, input_text="About {x}?", input_variables=["x"])
    )
    assert manager.load_prompt(free.prompt_id).input_text == "About {x}?"
    assert manager.load_prompt(free.prompt_id, "string") == "About {x}?"
    chat = manager.store_prompt(ChatPrompt(name="chat", model_id=LLAMA, system_prompt="Be brief."))
    item = {"type": "question", "content": "Why?", "status": "ready", "timestamp": 1}
    assert manager.add_chat_items(chat.prompt_id, [item]) == "SUCCESS"
    assert manager.load_prompt(chat.prompt_id).chat_items == [item]
    detached = manager.store_prompt(
        DetachedPromptTemplate(
            name="away",
            model_id="m",
            input_text="x",
            detached_prompt_id="p",
            detached_model_id="m",
            detached_model_provider="elsewhere",
        )
    )
    assert manager.load_prompt(detached.prompt_id).detached_model_provider == "elsewhere"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "is no name"),
        ({"input_mode": "odd"}, "structured, freeform"),
        ({"prompt": {"data": {"examples": [["only one"]]}}}, "examples"),
        ({"prompt": {"input": ["text"]}}, "input"),
        ({"prompt_variables": {"x": "y"}}, "prompt_variables.x"),
    ],
)
def test_templates_that_are_refused(http: httpx.Client, behind: Behind, change: dict[str, Any], words: str) -> None:
    body = {"name": "x", "prompt": {"model_id": LLAMA}, **change}
    answered = http.post("/wx/v1/prompts", params={"project_id": behind.project_id}, json=body)
    assert answered.status_code == 400
    assert words in answered.json()["errors"][0]["message"]
