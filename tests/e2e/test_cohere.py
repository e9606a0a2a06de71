"""The official `cohere` SDK on a live gateway: on Cohere itself, on Chat and on Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError
from cohere.errors import (
    BadRequestError,
    InternalServerError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
)

from tests.e2e.stack import Gateway, ModelStack, litellm_config
from tests.fakes import Call, Refusal, ScriptedResponse, StrictAnthropic, StrictOpenAI
from tests.fakes.cohere import StrictCohere
from tests.fakes.cohere_rules import PLAIN
from tests.fakes.openai_older import StrictOlderOpenAI

pytestmark = pytest.mark.e2e

MODELS = ("command", "gpt-4o", "claude-sonnet-4-5")
EACH = pytest.mark.parametrize("model", MODELS, ids=["on_cohere", "on_chat", "on_messages"])
HOW = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
HELLO = "Hello from the strict upstream."
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather", "parameters": PARAMETERS},
}
CALL = Call("get_weather", {"city": 'Zürich "HB"'}, "call_a")


def row(public: str, model: str, base: str, key: str) -> dict[str, Any]:
    params = {"model": model, "api_base": base, "api_key": key, "max_retries": 0}
    return {"model_name": public, "litellm_params": params}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStack]:
    with ExitStack() as stack:
        cohere_server = stack.enter_context(StrictCohere())
        chat = stack.enter_context(StrictOpenAI())
        messages = stack.enter_context(StrictAnthropic())
        older = stack.enter_context(StrictOlderOpenAI())
        rows = [
            row(MODELS[0], f"cohere_chat/{PLAIN}", cohere_server.url, cohere_server.key),
            row(MODELS[1], "openai/gpt-4o", f"{chat.url}/v1", chat.key),
            row(MODELS[2], f"anthropic/{MODELS[2]}", messages.url, messages.key),
            row("vectors", "openai/text-embedding-3-small", f"{older.url}/v1", older.key),
            row("own-vectors", "cohere/embed-v4.0", cohere_server.url, cohere_server.key),
        ]
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config(rows)).start()
        stack.callback(gateway.kill)
        yield ModelStack(gateway, dict(zip(MODELS, (cohere_server, chat, messages), strict=True)))
        gateway.stop()


@pytest.fixture
def client(stack: ModelStack) -> Iterator[cohere.ClientV2]:
    with httpx.Client(timeout=30) as http:
        yield cohere.ClientV2(
            api_key=stack.gateway.key, base_url=stack.gateway.url, httpx_client=http
        )


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def send_chat(client: Any, stream: bool, **fields: Any) -> Any:
    """Return `(text, calls, finish reason, usage)` of a whole or streamed response."""
    once = {"max_retries": 0}
    if not stream:
        response = client.chat(request_options=once, **fields)
        text = (response.message.tool_plan or "") + "".join(
            item.text for item in response.message.content or []
        )
        calls = [
            (c.id, c.function.name, c.function.arguments) for c in response.message.tool_calls or []
        ]
        return text, calls, response.finish_reason, response.usage
    text, calls = "", []
    for event in client.chat_stream(request_options=once, **fields):
        if event.type == "content-delta":
            text += event.delta.message.content.text
        elif event.type == "tool-plan-delta":
            text += event.delta.message.tool_plan
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            calls.append([call.id, call.function.name, ""])
        elif event.type == "tool-call-delta":
            calls[-1][2] += event.delta.message.tool_calls.function.arguments
    assert event.type == "message-end"
    return text, [tuple(call) for call in calls], event.delta.finish_reason, event.delta.usage


@EACH
@HOW
def test_the_cohere_sdk_parses_a_response(client: Any, model: str, stream: bool) -> None:
    text, calls, finish, usage = send_chat(
        client, stream, model=model, messages=[user("Hello there")]
    )
    assert (text, calls, finish) == (HELLO, [], "COMPLETE")
    assert (usage.tokens.input_tokens, usage.tokens.output_tokens) == (11, 23)
    assert usage.billed_units.output_tokens in {2, 23}


@EACH
@HOW
def test_a_tool_is_called_and_its_result_is_sent_back(
    stack: ModelStack, client: Any, model: str, stream: bool
) -> None:
    prompt = f"The weather, {model} {stream}"
    stack.on(prompt, ScriptedResponse(text="I look.", calls=(CALL,)))
    params: dict[str, Any] = {"model": model, "tools": [WEATHER], "strict_tools": True}
    text, calls, finish, _ = send_chat(client, stream, messages=[user(prompt)], **params)
    assert (text, finish) == ("I look.", "TOOL_CALL")
    ((id_, name, arguments),) = calls
    assert (id_, name, json.loads(arguments)) == ("call_a", "get_weather", CALL.object)
    call = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    document = {"type": "document", "document": {"data": {"degrees": 21}}}
    history = [
        user(prompt),
        {"role": "assistant", "tool_plan": text, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id_, "content": [document]},
    ]
    second, _, finish, _ = send_chat(client, stream, messages=history, **params)
    assert finish == "COMPLETE"
    assert model == "command" or "21" in second


@EACH
def test_documents_are_read_by_every_model(stack: ModelStack, client: Any, model: str) -> None:
    documents = [
        {"id": "a", "data": {"title": "Penguins", "text": "Emperors are the tallest."}},
        "A plain document.",
    ]
    response = client.chat(model=model, messages=[user("Tall penguins?")], documents=documents)
    assert response.message.content[0].text == HELLO
    upstream_json = json.dumps(stack.last(model))
    assert "Emperors are the tallest." in upstream_json or "RW1wZXJvcnMg" in upstream_json
    assert "A plain document." in upstream_json or "QSBwbGFpbiBkb2N1bWVudC4" in upstream_json


@EACH
def test_a_schema_and_settings_arrive(stack: ModelStack, client: Any, model: str) -> None:
    stack.on("A verdict", ScriptedResponse(text='{"city":"Rome"}'))
    schema = {**PARAMETERS, "additionalProperties": False}
    response = client.chat(
        model=model,
        messages=[{"role": "system", "content": "Be brief."}, user("A verdict")],
        response_format={"type": "json_object", "json_schema": schema},
        temperature=0.25,
        max_tokens=77,
        stop_sequences=["END!"],
        p=0.5,
    )
    assert response.message.content[0].text == '{"city":"Rome"}'
    upstream_json = json.dumps(stack.last(model))
    for mark in ("Be brief.", "0.25", "77", "END!", "additionalProperties"):
        assert mark in upstream_json


def test_reasoning_is_returned_and_its_state_preserved(stack: ModelStack, client: Any) -> None:
    stack.on(
        "Think of rain",
        ScriptedResponse(reasoning="Hm, let me see.", text="I look.", calls=(CALL,)),
    )
    params: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "tools": [WEATHER],
        "thinking": {"type": "enabled", "token_budget": 2048},
    }
    response = client.chat(messages=[user("Think of rain")], **params)
    assert response.message.content[0].thinking == "Hm, let me see."
    result = {"role": "tool", "tool_call_id": "call_a", "content": "21 degrees"}
    client.chat(messages=[user("Think of rain"), response.message, result], **params)
    upstream_content = stack.last("claude-sonnet-4-5")["messages"][1]["content"]
    (thinking,) = [block for block in upstream_content if block["type"] == "thinking"]
    assert thinking["thinking"] == "Hm, let me see."
    assert thinking["signature"]


def test_losses_are_reported(client: Any) -> None:
    raw = client.with_raw_response.chat(
        model="gpt-4o", messages=[user("Hello there")], safety_mode="STRICT", k=3
    )
    dropped_fields = raw.headers["x-dragoman-dropped"]
    assert "safety_mode" in dropped_fields
    assert "k" in dropped_fields.split(", ")


CLASSES = (
    (Refusal(429, "rate_limit_error", "slow down", "rate_limit_exceeded"), TooManyRequestsError),
    (Refusal(400, "invalid_request_error", "no such thing"), BadRequestError),
    (Refusal(500, "server_error", "oops"), InternalServerError),
)


@pytest.mark.parametrize(("refusal", "kind"), CLASSES, ids=[k.__name__ for _, k in CLASSES])
@HOW
def test_a_refusal_raises_the_class_of_its_kind(
    stack: ModelStack, client: Any, refusal: Refusal, kind: type[ApiError], stream: bool
) -> None:
    stack.servers[MODELS[1]].script.on(f"Refuse {kind.__name__}", ScriptedResponse(error=refusal))
    with pytest.raises(kind) as error:
        send_chat(client, stream, model="gpt-4o", messages=[user(f"Refuse {kind.__name__}")])
    assert refusal.message in str(error.value.body)


def test_errors_of_the_gateway_itself_have_their_classes(stack: ModelStack, client: Any) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        client.chat(model="nothing", messages=[user("Hello")])
    with pytest.raises(BadRequestError, match="messages is required"):
        client.chat(model="gpt-4o", messages=[])
    base = stack.gateway.url
    with httpx.Client() as http, pytest.raises(UnauthorizedError, match="not valid"):
        unauthorized_client = cohere.ClientV2(api_key="sk-wrong", base_url=base, httpx_client=http)
        unauthorized_client.chat(model="gpt-4o", messages=[user("Hello")])


@EACH
def test_a_stream_that_breaks_ends_as_an_error(stack: ModelStack, client: Any, model: str) -> None:
    stack.on("Break off", ScriptedResponse(text="x" * 60, breaks="cut", pace_s=0.03))
    *_, last = client.chat_stream(model=model, messages=[user("Break off")])
    assert (last.type, last.delta.finish_reason) == ("message-end", "ERROR")
    assert last.delta.error


@pytest.mark.parametrize("model", ["vectors", "own-vectors"])
def test_texts_are_embedded(client: Any, model: str) -> None:
    params: dict[str, Any] = {"model": model, "texts": ["a", "bbb"], "input_type": "search_query"}
    response = client.embed(embedding_types=["float"], **params)
    assert len(response.embeddings.float_) == 2
    assert response.texts == ["a", "bbb"]
    assert response.meta.billed_units.input_tokens > 0


def test_base64_vectors_are_returned_or_refused(client: Any) -> None:
    params: dict[str, Any] = {"model": "vectors", "texts": ["a"], "input_type": "search_query"}
    (packed,) = client.embed(embedding_types=["base64"], **params).embeddings.base64
    assert isinstance(packed, str)
    with pytest.raises(BadRequestError, match="embedding_types"):
        client.embed(embedding_types=["int8"], **params)


def test_vectors_of_coheres_other_types_are_passed_through(stack: ModelStack, client: Any) -> None:
    """Only Cohere has them, often without floats; the tokens are counted as well."""
    params: dict[str, Any] = {"model": "own-vectors", "texts": ["a"], "input_type": "search_query"}
    response = client.embed(embedding_types=["int8", "ubinary"], **params)
    assert response.embeddings.int8 == response.embeddings.ubinary == [[0, 3]]
    assert response.embeddings.float_ is None
    raw = client.with_raw_response.embed(embedding_types=["base64"], **params)
    assert isinstance(raw.data.embeddings.base64[0], str)
    row = stack.gateway.row(raw.headers["x-request-id"])
    assert (row["input_tokens"], row["usage_source"]) == (3, "reported")


def test_models_are_listed(client: Any) -> None:
    models_by_name = {model.name: model for model in client.models.list(page_size=100).models}
    assert set(models_by_name) >= {*MODELS, "vectors"}
    assert models_by_name["vectors"].endpoints == ["embed"]
    page = client.models.list(page_size=2, endpoint="chat")
    assert len(page.models) == 2
    assert client.models.get("gpt-4o").endpoints == ["chat"]
    with pytest.raises(NotFoundError):
        client.models.get("nothing")
