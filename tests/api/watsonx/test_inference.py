"""Answers through IBM's client: by model and deployment, whole, listed, in pieces, as a chat; and what is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.watsonx.studio import LLAMA, T5, Behind

FEW = {"max_new_tokens": 6}


@pytest.fixture
def model(client: Any) -> Any:
    from ibm_watsonx_ai.foundation_models import ModelInference

    return ModelInference(model_id=LLAMA, params=FEW, api_client=client)


@pytest.fixture
def deployed(client: Any) -> Iterator[Any]:
    """A prompt template on the tiny decoder, deployed, by IBM's client."""
    from ibm_watsonx_ai.foundation_models import ModelInference
    from ibm_watsonx_ai.foundation_models.prompts import PromptTemplate, PromptTemplateManager

    manager = PromptTemplateManager(api_client=client)
    template = manager.store_prompt(
        PromptTemplate(
            name="complaints",
            model_id=LLAMA,
            model_params={"max_new_tokens": 4},
            input_text="{complaint}",
            input_variables=["complaint"],
            instruction="Route the complaint.",
            input_prefix="Complaint:",
            output_prefix="Department:",
            examples=[["The lamp broke", "Service"]],
        )
    )
    names = client.deployments.ConfigurationMetaNames
    wanted = {names.NAME: "template", names.ONLINE: {}, names.BASE_MODEL_ID: LLAMA}
    wanted[names.SERVING_NAME] = f"t{uuid.uuid4().hex[:6]}"
    made = client.deployments.create(template.prompt_id, wanted)
    assert made["entity"]["deployed_asset_type"] == "foundation_model"
    deployment_id = client.deployments.get_id(made)
    yield ModelInference(deployment_id=deployment_id, api_client=client)
    client.deployments.delete(deployment_id)


def test_text_lists_and_streams_agree(model: Any) -> None:
    one = model.generate_text("The lamp broke")
    assert model.generate_text(["The lamp broke"] * 3) == [one] * 3
    assert "".join(model.generate_text_stream("The lamp broke")) == one
    whole = model.generate("The lamp broke")
    result = whole["results"][0]
    assert result["generated_text"] == one
    assert result["generated_token_count"] == 6
    assert result["input_token_count"] == len("The lamp broke")
    assert result["stop_reason"] == "max_tokens"
    assert whole["model_id"] == LLAMA


async def _gathered(model: Any) -> tuple[str, str]:
    whole = await model.agenerate("The lamp broke")
    pieces = [piece["results"][0]["generated_text"] async for piece in await model.agenerate_stream("The lamp broke")]
    await model._client.async_httpx_client.aclose()
    return whole["results"][0]["generated_text"], "".join(pieces)


@pytest.mark.parametrize("mode", ["token"])
def test_asynchronous_calls(model: Any) -> None:
    import asyncio

    whole, pieces = asyncio.run(_gathered(model))
    assert whole == pieces == model.generate_text("The lamp broke")


def test_tokens(model: Any) -> None:
    assert model.tokenize("abc")["result"] == {"token_count": 3}
    assert model.tokenize("abc", return_tokens=True)["result"]["tokens"] == ["a", "b", "c"]


def test_chats(model: Any) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    answered = model.chat(messages, params={"max_tokens": 5, "temperature": 0})
    choice = answered["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    assert answered["usage"]["completion_tokens"] == 5
    pieces = [
        chunk["choices"][0]["delta"].get("content", "")
        for chunk in model.chat_stream(messages, params={"max_tokens": 5, "temperature": 0})
        if chunk["choices"]
    ]
    assert "".join(pieces) == choice["message"]["content"]


def test_details_of_tokens(model: Any) -> None:
    options = {"input_text": True, "generated_tokens": True, "token_logprobs": True, "token_ranks": True}
    options |= {"top_n_tokens": 2, "input_tokens": True}
    params = {"max_new_tokens": 3, "return_options": options}
    with pytest.warns(UserWarning, match="without log probabilities"):
        result = model.generate("abc", params=params)["results"][0]
    assert result["input_text"] == "abc"
    assert [token["text"] for token in result["input_tokens"]] == ["a", "b", "c"]
    first = result["generated_tokens"][0]
    assert first["rank"] == 1
    assert first["logprob"] == pytest.approx(first["top_tokens"][0]["logprob"])
    assert len(result["generated_tokens"]) == 3
    assert len(first["top_tokens"]) == 2


def test_stop_sequences_stay_or_go(model: Any) -> None:
    text = model.generate_text("The lamp broke")
    stop = text[2:4]
    params = {"max_new_tokens": 6, "stop_sequences": [stop]}
    end = text.find(stop)
    kept = model.generate("The lamp broke", params=params)["results"][0]
    assert kept["generated_text"] == text[: end + len(stop)]
    assert kept["stop_reason"] == "stop_sequence"
    params["include_stop_sequence"] = False
    assert model.generate_text("The lamp broke", params=params) == text[:end]
    assert "".join(model.generate_text_stream("The lamp broke", params=params)) == text[:end]


def test_draws_are_repeated_by_their_seed(model: Any) -> None:
    params = {"decoding_method": "sample", "temperature": 1.5, "random_seed": 7, "max_new_tokens": 8}
    one, other = (model.generate("The lamp broke", params=params)["results"][0] for _ in range(2))
    assert one == other
    assert one["seed"] == 7
    assert one["generated_text"] != model.generate_text("The lamp broke", params={**params, "random_seed": 8})


def test_a_template_is_filled_in(deployed: Any, model: Any) -> None:
    text = deployed.generate_text(params={"prompt_variables": {"complaint": "It hums"}})
    prompt = "Route the complaint.\n\nComplaint: The lamp broke\nDepartment: Service\n\nComplaint: It hums\nDepartment:"
    assert text == model.generate_text(prompt, params={"max_new_tokens": 4})


def test_what_cannot_be_done_is_warned_of_or_refused(model: Any, deployed: Any) -> None:
    from ibm_watsonx_ai.wml_client_error import WMLClientError

    with pytest.warns(UserWarning, match="length_penalty is not applied"):
        model.generate("x", params={"max_new_tokens": 1, "length_penalty": {"decay_factor": 2, "start_index": 1}})
    with pytest.warns(UserWarning, match="longer than the model may read"):
        model.generate("The lamp broke", params={"max_new_tokens": 1, "truncate_input_tokens": 4})
    with pytest.raises(WMLClientError, match="moderated"):
        model.generate("x", guardrails=True)
    with pytest.raises(WMLClientError, match="no value for complaint"):
        deployed.generate_text(params={"prompt_variables": {"other": "x"}}, validate_prompt_variables=False)
    wrong = {"temperature": 9, "top_k": 0, "decoding_method": "beam", "max_new_tokens": -1, "wide": 1}
    with pytest.raises(WMLClientError) as failed:
        model.generate("x", params=wrong)
    for words in ("temperature: 9", "top_k: 0", "'beam'", "max_new_tokens: -1", "wide: not known"):
        assert words in str(failed.value)


def test_errors_of_streams(model: Any) -> None:
    from ibm_watsonx_ai.wml_client_error import WMLClientError

    with pytest.raises(WMLClientError, match="random_seed"):
        list(model.generate_text_stream("x", params={"random_seed": 0}))


@pytest.mark.parametrize("mode", ["token"])
def test_models_that_are_not_there(client: Any, http: httpx.Client, behind: Behind) -> None:
    from ibm_watsonx_ai.foundation_models import ModelInference
    from ibm_watsonx_ai.wml_client_error import WMLClientError

    with pytest.raises(WMLClientError, match="no/such"):
        ModelInference(model_id="no/such", api_client=client)
    answered = http.post("/ml/v1/text/generation", json={"model_id": "no/such", "input": "x"})
    assert answered.status_code == 404
    assert "no/such" in answered.json()["errors"][0]["message"]
    assert http.post("/ml/v1/text/generation", json={"input": "x"}).status_code == 400
    elsewhere = {"model_id": LLAMA, "input": "x", "project_id": "00000000-0000-0000-0000-000000000000"}
    assert http.post("/ml/v1/text/generation", json=elsewhere).status_code == 404
    assert http.post("/ml/v1/deployments/no-such/text/generation", json={"input": "x"}).status_code == 404
    assert http.post("/ml/v1/text/generation", json={"model_id": LLAMA}).status_code == 400


@pytest.mark.parametrize("chat", [False, True])
def test_streams_are_server_sent_events(http: httpx.Client, chat: bool) -> None:
    address = f"/ml/v1/text/{'chat_stream' if chat else 'generation_stream'}"
    said: dict[str, Any] = {"input": "x", "parameters": {"max_new_tokens": 2}}
    if chat:
        said = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    answered = http.post(address, json={"model_id": T5, **said})
    assert answered.headers["content-type"].startswith("text/event-stream")
    blocks = answered.text.strip().split("\n\n")
    for number, block in enumerate(blocks):
        names, kinds, data = block.split("\n")
        assert names == f"id: {number}"
        assert kinds == "event: message"
        content = json.loads(data.removeprefix("data: "))
    assert "[DONE]" not in answered.text
    if chat:
        assert content["choices"] == []
        assert content["usage"]["completion_tokens"] == 2
    else:
        assert content["results"][0]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 2}, "n: one answer"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"time_limit": 0}, "time_limit: '0'"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"guided_regex": "a+"}, "guided_regex"),
        ({"temperature": 9, "top_p": 3}, "top_p"),
    ],
)
def test_chats_that_are_refused(http: httpx.Client, change: dict[str, Any], words: str) -> None:
    body = {"model_id": T5, "messages": [{"role": "user", "content": "x"}], **change}
    answered = http.post("/ml/v1/text/chat", json=body)
    assert answered.status_code == 400
    assert words in answered.json()["errors"][0]["message"]


def test_what_a_chat_ignores_is_warned_of(http: httpx.Client) -> None:
    body = {"model_id": T5, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "length_penalty": 2}
    answered = http.post("/ml/v1/text/chat", json={**body, "time_limit": 60_000}).json()
    assert answered["system"]["warnings"][0]["message"] == "length_penalty changes nothing here."
