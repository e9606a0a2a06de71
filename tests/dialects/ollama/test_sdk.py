"""The official SDK parses rendered responses and defines the types of rendered requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import pytest
from ollama._types import ChatRequest, EmbedRequest

from gateway.canon.embeddings import EmbedRequest as Asked
from gateway.canon.embeddings import EmbedResponse
from gateway.canon.errors import Error
from gateway.canon.events import Failed, Start
from gateway.canon.fold import unfold_response
from gateway.canon.request import Reasoning, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.ollama import DIALECT
from tests.dialects.ollama.make import (
    ALL,
    USER,
    assistant_calls,
    parse,
    render,
    request_body,
    response_context,
    result,
    tool,
)

FULL = Response(
    parts=(
        Reasoning(text="hm"),
        Text(text="It is sunny."),
        ToolCall(id="c1", name="get_weather", arguments={"city": "Paris"}),
    ),
    finish=Finish(reason="tool"),
    usage=Usage(input=30, output=25),
)


def client(status: int, content: bytes) -> ollama.Client:
    """Return an SDK client that receives this response to every request."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    return ollama.Client(host="http://gw", transport=transport)


def stream_bytes(events: list[Any], **fields: Any) -> bytes:
    """Return the bytes of a stream, with a keep-alive before each line."""
    renderer = DIALECT.client.stream_renderer(response_context(**fields))
    return b"".join(DIALECT.keepalive + renderer.feed(event) for event in events)


def lines(events: list[Any]) -> Iterator[ollama.ChatResponse]:
    """Return the SDK's parsed lines of a stream."""
    with client(200, stream_bytes(events).rstrip(b" ")) as sdk:
        yield from sdk.chat(model="m", messages=[USER], stream=True)


def test_the_sdk_reads_a_response() -> None:
    body, _ = DIALECT.client.render_response(FULL, response_context())
    with client(200, json.dumps(body).encode()) as sdk:
        response = sdk.chat(model="m", messages=[USER])
    assert response.message.content == "It is sunny."
    assert response.message.thinking == "hm"
    calls = response.message.tool_calls or []
    assert [(c.function.name, c.function.arguments) for c in calls] == [
        ("get_weather", {"city": "Paris"})
    ]
    assert (response.prompt_eval_count, response.eval_count) == (30, 25)
    assert (response.done, response.done_reason) == (True, "stop")


def test_the_sdk_reads_a_stream_with_keepalives() -> None:
    rows = list(lines(unfold_response(FULL)))
    assert "".join(row.message.content or "" for row in rows) == "It is sunny."
    assert "".join(row.message.thinking or "" for row in rows) == "hm"
    assert [c.function.name for row in rows for c in row.message.tool_calls or []] == [
        "get_weather"
    ]
    assert rows[-1].done
    assert rows[-1].eval_count == 25


def test_the_sdk_reads_the_response_to_a_prompt() -> None:
    content = stream_bytes(
        unfold_response(Response(parts=(Text(text="Hi"),))), endpoint="/api/generate"
    )
    with client(200, content.rstrip(b" ")) as sdk:
        rows = list(sdk.generate(model="m", prompt="x", stream=True))
    assert "".join(row.response or "" for row in rows) == "Hi"


def test_the_sdk_raises_for_a_broken_stream() -> None:
    broken = [
        *unfold_response(FULL)[:4],
        Failed(Error(kind="upstream_error", message="Overloaded")),
    ]
    with pytest.raises(ollama.ResponseError, match="Overloaded"):
        list(lines(broken))
    with pytest.raises(ollama.ResponseError, match="Overloaded"):
        list(lines([Start(), broken[-1]]))


@pytest.mark.parametrize(
    ("kind", "status"),
    [("invalid_request", 400), ("gateway_auth", 401), ("not_found", 404), ("rate_limit", 429)],
)
def test_the_sdk_raises_for_a_refusal(kind: str, status: int) -> None:
    reply = DIALECT.client.render_error(Error(kind=kind, message="reason"), "req_1")
    with (
        client(reply.status, json.dumps(reply.body).encode()) as sdk,
        pytest.raises(ollama.ResponseError, match="reason") as error,
    ):
        sdk.chat(model="m", messages=[USER])
    assert error.value.status_code == status


def test_the_sdk_reads_vectors() -> None:
    assert DIALECT.embed_client is not None
    response = EmbedResponse(vectors=([0.5, 1.0], [0.25, 2.0]), usage=Usage(input=4, output=0))
    request = Asked(model="m", inputs=("a", "b"))
    body = DIALECT.embed_client.render_embed(response, request, response_context())
    with client(200, json.dumps(body).encode()) as sdk:
        reply = sdk.embed(model="m", input=["a", "b"])
    assert [list(v) for v in reply.embeddings] == [[0.5, 1.0], [0.25, 2.0]]
    assert reply.prompt_eval_count == 4
    older = DIALECT.embed_client.render_embed(
        response, request, response_context(endpoint="/api/embeddings")
    )
    with client(200, json.dumps(older).encode()) as sdk:
        assert list(sdk.embeddings(model="m", prompt="a").embedding) == [0.5, 1.0]


def test_upstream_requests_match_the_sdk_types() -> None:
    request = request_body(
        {"role": "system", "content": "s"},
        USER,
        assistant_calls(("f", {"a": 1})),
        result(),
        tools=[tool("f", description="d")],
        format={"type": "object"},
        think="high",
        options={"temperature": 0.5, "num_predict": 5, "num_ctx": 100},
        keep_alive="5m",
    )
    rendered_body = render(request).body
    typed = ChatRequest(**rendered_body).model_dump(exclude_none=True)
    assert typed.keys() == rendered_body.keys()
    assert parse(rendered_body).max_output == 5
    assert DIALECT.embed_provider is not None
    vectors = DIALECT.embed_provider.render_embed(
        Asked(model="m", inputs=("a",), dimensions=8, truncate=True), ALL
    ).body
    assert EmbedRequest(**vectors).model_dump(exclude_none=True) == vectors
