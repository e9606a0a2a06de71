"""The official SDK parses rendered responses.

It uses httpx2, so it receives responses through httpx2's mock transport.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.canon.errors import Error
from gateway.canon.events import Event, Failed, Start
from gateway.canon.fold import unfold_response
from gateway.canon.request import Citation, Reasoning, Refusal, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.openai_chat import DIALECT
from tests.dialects.openai_chat.make import (
    USER,
    parse,
    render,
    request_body,
    response_context,
    tool,
)

FULL = Response(
    parts=(
        Reasoning(text="Let me think"),
        Text(text="It is sunny.", citations=(Citation(url="https://x", title="X"),)),
        ToolCall(id="c1", name="get_weather", arguments={"city": "Paris"}),
        ToolCall(id="c2", name="get_time", arguments={}),
    ),
    finish=Finish(reason="tool"),
    usage=Usage(input=30, cache_read=60, output=25, reasoning=7),
)
REFUSAL = Response(parts=(Refusal(text="I can't"),), finish=Finish(reason="refusal"))


def client(status: int, content: bytes, headers: dict[str, str]) -> openai.OpenAI:
    """Return an SDK client that receives this response to every request."""

    def respond(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content, headers=headers)

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    return openai.OpenAI(api_key="k", base_url="http://gw/v1", http_client=transport, max_retries=0)


def sdk_completion(response: Response) -> ChatCompletion:
    """Return the SDK's object of a whole response."""
    body, _ = DIALECT.client.render_response(response, response_context())
    with client(200, json.dumps(body).encode(), {"content-type": "application/json"}) as sdk:
        return sdk.chat.completions.create(model="m", messages=[USER])  # type: ignore[list-item]


def stream(events: list[Event]) -> Iterator[ChatCompletionChunk]:
    """Return the SDK's chunks of a stream."""
    renderer = DIALECT.client.stream_renderer(response_context(include_usage=True))
    content = b"".join(renderer.feed(event) for event in events)
    with client(200, content, {"content-type": "text/event-stream"}) as sdk:
        messages: Any = [USER]
        yield from sdk.chat.completions.create(model="m", messages=messages, stream=True)


def test_the_sdk_reads_a_response():
    response = sdk_completion(FULL)
    choice = response.choices[0]
    assert choice.message.content == "It is sunny."
    assert choice.finish_reason == "tool_calls"
    assert choice.message.reasoning_content == "Let me think"  # type: ignore[attr-defined]
    calls = choice.message.tool_calls or []
    assert [(call.id, json.loads(call.function.arguments)) for call in calls] == [  # type: ignore[union-attr]
        ("c1", {"city": "Paris"}),
        ("c2", {}),
    ]
    annotations = choice.message.annotations or []
    assert annotations[0].url_citation.url == "https://x"
    assert response.usage is not None
    assert response.usage.prompt_tokens == 90
    assert response.usage.prompt_tokens_details is not None
    assert response.usage.prompt_tokens_details.cached_tokens == 60


def test_the_sdk_reads_a_refusal():
    message = sdk_completion(REFUSAL).choices[0].message
    assert (message.content, message.refusal) == (None, "I can't")


def test_the_sdk_reads_a_stream():
    chunks = list(stream(unfold_response(FULL)))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "It is sunny."
    pieces = [piece for delta in deltas for piece in delta.tool_calls or []]
    first = [piece.function.arguments for piece in pieces if piece.index == 0 and piece.function]
    assert "".join(text or "" for text in first) == '{"city":"Paris"}'
    assert [piece.id for piece in pieces if piece.id] == ["c1", "c2"]
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [finish for finish in finishes if finish] == ["tool_calls"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 115


def test_the_sdks_own_accumulator_reads_a_stream():
    renderer = DIALECT.client.stream_renderer(response_context(include_usage=True))
    content = b"".join(renderer.feed(event) for event in unfold_response(FULL))
    messages: Any = [USER]
    headers = {"content-type": "text/event-stream"}
    with (
        client(200, content, headers) as sdk,
        sdk.chat.completions.stream(model="m", messages=messages) as events,
    ):
        final = events.get_final_completion()
    message = final.choices[0].message
    assert message.content == "It is sunny."
    calls = message.tool_calls or []
    assert [call.function.arguments for call in calls] == ['{"city":"Paris"}', "{}"]


@pytest.mark.parametrize(
    "events",
    [
        [Start(), Failed(Error(kind="overloaded", message="Overloaded"))],
        [*unfold_response(FULL)[:4], Failed(Error(kind="upstream_error", message="Overloaded"))],
        [Failed(Error(kind="rate_limit", message="Overloaded"))],
    ],
    ids=["at the start", "in the middle", "instead of an answer"],
)
def test_the_sdk_raises_for_a_broken_stream(events: list[Event]):
    with pytest.raises(openai.APIError, match="Overloaded"):
        list(stream(events))


@pytest.mark.parametrize(
    ("kind", "error_class"),
    [
        ("invalid_request", openai.BadRequestError),
        ("context_length", openai.BadRequestError),
        ("gateway_auth", openai.AuthenticationError),
        ("not_allowed", openai.PermissionDeniedError),
        ("not_found", openai.NotFoundError),
        ("rate_limit", openai.RateLimitError),
        ("quota", openai.RateLimitError),
        ("upstream_auth", openai.InternalServerError),
        ("overloaded", openai.InternalServerError),
        ("timeout", openai.InternalServerError),
        ("malformed_output", openai.InternalServerError),
    ],
)
def test_the_sdk_raises_its_own_class_for_each_kind(kind: str, error_class: type[openai.APIError]):
    reply = DIALECT.client.render_error(Error(kind=kind, message="reason"), "req_1")
    content = json.dumps(reply.body).encode()
    messages: Any = [USER]
    with (
        client(reply.status, content, reply.headers) as sdk,
        pytest.raises(error_class, match="reason") as error,
    ):
        sdk.chat.completions.create(model="m", messages=messages)
    assert error.value.code == reply.body["error"]["code"]
    assert error.value.request_id == "req_1"  # type: ignore[attr-defined]


REQUEST: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)


def test_upstream_requests_match_the_sdk_types():
    request = request_body(
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        tools=[tool("f", strict=True)],
        tool_choice="required",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        max_tokens=5,
        stop=["x"],
        user="u",
    )
    rendered_body = render(request).body
    REQUEST.validate_python(rendered_body, strict=False)
    assert parse(rendered_body).max_output == 5
