"""The official `openai` SDK's Responses on a live gateway, on providers of three dialects."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.sdk_inputs import PIXEL_URL, TWO_CALLS, City
from tests.e2e.stack import GatewayStack
from tests.fakes import Call, RecordedRequest, Refusal, ScriptedResponse

pytestmark = pytest.mark.e2e

OWN, CHAT, MESSAGES = "gpt-5.6-sol", "deepseek-v4-pro", "claude-sonnet-4-5"
FOREIGN = pytest.mark.parametrize("model", [CHAT, MESSAGES], ids=["on_chat", "on_messages"])
ALL = pytest.mark.parametrize(
    "model", [OWN, CHAT, MESSAGES], ids=["on_responses", "on_chat", "on_messages"]
)
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": SCHEMA,
    "strict": False,
}
PATCH: Any = {"type": "custom", "name": "apply_patch", "description": "Edit files"}


def send_request(client: openai.OpenAI, *, stream: bool, **fields: Any) -> Any:
    """Return the response, whole or joined by the SDK."""
    if not stream:
        return client.responses.create(**fields)
    with client.responses.stream(**fields) as events:
        return events.get_final_response()


def request_with_text(stack: GatewayStack, text: str) -> RecordedRequest:
    """Return the newest upstream request with this text."""
    return stack.last(text)[1]


@ALL
@STREAM
def test_the_openai_sdk_parses_a_response(client: openai.OpenAI, model: str, stream: bool) -> None:
    response = send_request(
        client, stream=stream, model=model, input="Hello there", instructions="Be brief"
    )
    assert response.output_text == "Hello from the strict upstream."
    assert response.status == "completed"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (11, 23)


@FOREIGN
def test_the_events_of_a_stream_are_the_services_own(client: openai.OpenAI, model: str) -> None:
    events = list(client.responses.create(model=model, input="Hello there", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    text = [kind for kind in kinds if kind != "output_text.delta"]
    assert text == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]


@FOREIGN
def test_the_response_echoes_the_request_fields(client: openai.OpenAI, model: str) -> None:
    response = client.responses.create(
        model=model,
        input="Hello there",
        instructions="Be brief",
        metadata={"a": "b"},
        tools=[WEATHER],
    )
    assert response.model == model
    assert (response.instructions, response.metadata) == ("Be brief", {"a": "b"})
    assert response.tools[0].name == "get_weather"  # type: ignore[union-attr]


@ALL
@STREAM
def test_a_tool_loop_with_reasoning_and_parallel_calls(
    stack: GatewayStack, client: openai.OpenAI, model: str, stream: bool
) -> None:
    prompt = f"Weather of two cities, {model} {stream}"
    stack.on(
        prompt,
        ScriptedResponse(
            reasoning="Two cities, two calls",
            calls=TWO_CALLS,
            then=ScriptedResponse(text="It is: {results}"),
            interleaved=model == CHAT,
        ),
    )
    params: dict[str, Any] = {
        "model": model,
        "tools": [WEATHER],
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    history: list[Any] = [{"role": "user", "content": prompt}]
    first = send_request(client, stream=stream, input=history, **params)
    thoughts = [item for item in first.output if item.type == "reasoning"]
    calls = [item for item in first.output if item.type == "function_call"]
    assert thoughts[0].summary[0].text == "Two cities, two calls"
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Paris", "Rome"]
    history += [item.model_dump(exclude_none=True) for item in first.output]
    history += [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"sun {n}"}
        for n, call in enumerate(calls)
    ]
    second = send_request(client, stream=stream, input=history, **params)
    assert second.output_text == "It is: sun 0 | sun 1"
    upstream_body = request_with_text(stack, prompt).raw
    assert (b"Two cities, two calls" in upstream_body) or (b'"gAAAA-' in upstream_body)
    assert b"dgm1." not in upstream_body


@ALL
@STREAM
def test_a_free_text_tool_makes_a_round_trip(
    stack: GatewayStack, client: openai.OpenAI, model: str, stream: bool
) -> None:
    prompt = f"Patch it, {model} {stream}"
    free = "*** Begin" if model == OWN else {"input": "*** Begin"}
    stack.on(prompt, ScriptedResponse(calls=(Call("apply_patch", free, "toolu_p"),)))
    history: list[Any] = [{"role": "user", "content": prompt}]
    first = send_request(client, stream=stream, model=model, input=history, tools=[PATCH])
    (call,) = [item for item in first.output if item.type == "custom_tool_call"]
    assert (call.name, call.input) == ("apply_patch", "*** Begin")
    history.append(call.model_dump(exclude_none=True, exclude={"status"}))
    done = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "Done"}
    second = send_request(client, stream=stream, model=model, input=[*history, done], tools=[PATCH])
    assert "Done" in second.output_text


@ALL
def test_structured_output_is_parsed(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    prompt = f"A city as JSON, {model}"
    stack.on(prompt, ScriptedResponse(text='{"name":"Rome","inhabitants":2800000}'))
    parsed_response = client.responses.parse(model=model, input=prompt, text_format=City)
    assert parsed_response.output_parsed == City(name="Rome", inhabitants=2_800_000)


@pytest.mark.parametrize("model", [OWN, MESSAGES])
def test_an_image_arrives(stack: GatewayStack, client: openai.OpenAI, model: str) -> None:
    prompt = f"What is in this picture, {model}"
    content = [
        {"type": "input_text", "text": prompt},
        {"type": "input_image", "image_url": PIXEL_URL, "detail": "low"},
    ]
    client.responses.create(model=model, input=[{"role": "user", "content": content}])  # type: ignore[list-item,misc]
    assert b"iVBORw0KGgo" in request_with_text(stack, prompt).raw


def test_an_incomplete_response_is_marked(stack: GatewayStack, client: openai.OpenAI) -> None:
    stack.anthropic.script.on("Cut me", ScriptedResponse(text="Once", finish="max_tokens"))
    response = client.responses.create(model=MESSAGES, input="Cut me", max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


REFUSALS: dict[str, tuple[Refusal, Refusal, type[openai.APIStatusError], str | None]] = {
    "rate_limit": (
        Refusal(429, "rate_limit_error", "slow down", headers={"retry-after": "7"}),
        Refusal(429, "rate_limit_error", "slow down", headers={"retry-after": "7"}),
        openai.RateLimitError,
        "rate_limit_exceeded",
    ),
    "context_length": (
        Refusal(400, "invalid_request_error", "maximum context length", "context_length_exceeded"),
        Refusal(400, "invalid_request_error", "prompt is too long: 9 tokens"),
        openai.BadRequestError,
        "context_length_exceeded",
    ),
}


@FOREIGN
@STREAM
@pytest.mark.parametrize("kind", list(REFUSALS))
def test_an_error_raises_the_exception_of_the_sdk(
    stack: GatewayStack, client: openai.OpenAI, model: str, stream: bool, kind: str
) -> None:
    chat, messages, expected_error, code = REFUSALS[kind]
    prompt = f"Refuse with {kind}"
    stack.openai.script.on(prompt, ScriptedResponse(error=chat))
    stack.deepseek.script.on(prompt, ScriptedResponse(error=chat))
    stack.anthropic.script.on(prompt, ScriptedResponse(error=messages))
    with pytest.raises(expected_error) as error:
        send_request(client, stream=stream, model=model, input=prompt)
    assert error.value.code == code  # type: ignore[attr-defined]


@ALL
@pytest.mark.parametrize("breaks", ["cut", "error"])
def test_a_broken_stream_ends_in_a_failed_response(
    stack: GatewayStack, client: openai.OpenAI, model: str, breaks: str
) -> None:
    prompt = f"Break by {breaks}"
    stack.on(
        prompt,
        ScriptedResponse(
            text="A long and winding answer that never ends.", breaks=breaks, pace_s=0.02
        ),
    )
    events = list(client.responses.create(model=model, input=prompt, stream=True))
    first, last = events[0], events[-1]
    assert first.type == "response.created"
    assert last.type == "response.failed"
    assert last.response.error is not None
    # The SDK's own collector of events refuses a response whose id changes.
    assert last.response.id == first.response.id
    assert [event.sequence_number for event in events] == list(range(len(events)))


@ALL
def test_leaving_a_stream_closes_the_provider(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    prompt = f"Talk for long in Responses, {model}"
    stack.on(prompt, ScriptedResponse(text="word " * 400, pace_s=0.02))
    stream = client.responses.create(model=model, input=prompt, stream=True)
    next(iter(stream))
    stream.close()
    assert stack.saw_disconnect(prompt)


@FOREIGN
def test_an_unknown_previous_response_is_not_found(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model=model, input="and now?", previous_response_id="resp_0")
    assert error.value.code == "previous_response_not_found"
    assert error.value.param == "previous_response_id"


@ALL
def test_invalid_input_is_named_and_never_sent(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    servers = (stack.openai, stack.deepseek, stack.anthropic)
    before = sum(len(server.requests) for server in servers)
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model=model, input=[{"role": "wizard", "content": "x"}])  # type: ignore[list-item,misc]
    assert error.value.param == "input[0].role"
    assert sum(len(server.requests) for server in servers) == before


def test_tokens_are_counted_upstream_or_estimated(client: openai.OpenAI) -> None:
    for model, source in ((OWN, "upstream"), (CHAT, "estimate")):
        raw = client.responses.input_tokens.with_raw_response.count(model=model, input="Hello")
        assert raw.headers["x-dragoman-token-count"] == source
        assert raw.parse().input_tokens > 0


# --- models that take tools in Responses only -------------------------------------------------


@STREAM
def test_a_chat_client_with_tools_is_sent_to_responses(
    stack: GatewayStack, client: openai.OpenAI, stream: bool
) -> None:
    prompt = f"Chat with tools on a new model {stream}"
    stack.on(prompt, ScriptedResponse(text="I will look.", calls=TWO_CALLS))
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    params: dict[str, Any] = {"model": OWN, "tools": [tool]}
    history: list[Any] = [{"role": "user", "content": prompt}]
    if stream:
        with client.chat.completions.stream(messages=history, **params) as events:
            message: Any = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=history, **params).choices[0].message
    assert message.content == "I will look."
    assert [call.id for call in message.tool_calls] == ["toolu_a", "toolu_b"]
    assert request_with_text(stack, prompt).path == "/v1/responses"
    history.append(message.model_dump(exclude_none=True))
    history += [
        {"role": "tool", "tool_call_id": call.id, "content": "sun"} for call in message.tool_calls
    ]
    response = client.chat.completions.create(messages=history, **params)
    assert response.choices[0].message.content == "The tools answered: sun | sun"


def test_without_tools_or_reasoning_chat_stays_chat(
    stack: GatewayStack, client: openai.OpenAI
) -> None:
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    messages: Any = [{"role": "user", "content": "Plain chat on a new model"}]
    client.chat.completions.create(model=OWN, messages=messages)
    assert request_with_text(stack, "Plain chat on a new model").path == "/v1/chat/completions"
    client.chat.completions.create(
        model=OWN, messages=messages, tools=[tool], reasoning_effort="none"
    )
    assert request_with_text(stack, "Plain chat on a new model").path == "/v1/chat/completions"


def test_a_messages_client_keeps_openais_state(stack: GatewayStack) -> None:
    prompt = "Claude's client on a new model"
    stack.on(
        prompt,
        ScriptedResponse(
            reasoning="Let me look", calls=TWO_CALLS[:1], then=ScriptedResponse(text="Sun.")
        ),
    )
    params: dict[str, Any] = {
        "model": OWN,
        "max_tokens": 4000,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
    }
    history: list[Any] = [{"role": "user", "content": prompt}]
    with anthropic.Anthropic(
        base_url=stack.gateway.url, api_key=stack.gateway.key, max_retries=0
    ) as client:
        first = client.messages.create(messages=history, **params)
        thought, call = first.content
        assert thought.thinking == "Let me look"  # type: ignore[union-attr]
        history.append({"role": "assistant", "content": first.content})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}  # type: ignore[union-attr]
        history.append({"role": "user", "content": [result]})
        second = client.messages.create(messages=history, **params)
    assert second.content[0].text == "Sun."  # type: ignore[union-attr]
    upstream_request = request_with_text(stack, prompt)
    kinds = [item["type"] for item in upstream_request.body["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
    assert upstream_request.body["input"][1]["id"].startswith("rs_up_")


def test_the_log_has_the_dialect(stack: GatewayStack, client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    raw = client.chat.completions.with_raw_response.create(
        model=OWN, messages=[{"role": "user", "content": "Log me"}], tools=[tool]
    )
    row = stack.gateway.row(raw.headers["x-request-id"])
    assert row["upstream_dialect"] == "openai_responses"
