"""The official SDK parses rendered responses, and a strict server accepts rendered requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Failed, Start
from gateway.canon.fold import unfold_response
from gateway.canon.request import (
    CacheBreakpoint,
    Citation,
    Document,
    Image,
    Meta,
    Native,
    Output,
    Part,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.anthropic_messages import DIALECT
from gateway.providers.capabilities import traits_for
from tests.dialects.anthropic_messages.make import PDF, PNG, rendered_bytes, response_context
from tests.fakes import anthropic_rules

REQUEST: dict[str, Any] = {
    "model": "gw-x",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hi"}],
}
WHOLE = Response(
    parts=(
        Reasoning(text="hm", signature=Signature(provider="p", model="m", value="S")),
        Reasoning(redacted=True, signature=Signature(provider="p", model="m", kind="redacted")),
        Text(text="Hello, 世界", citations=(Citation(url="https://x", title="t", quote="q"),)),
        ToolCall(id="c1", name="f", arguments={"a": [1, "b"]}),
        ToolCall(id="c2", name="g", arguments={}),
        ToolCall(id="c3", name="free", raw_arguments='x"y', custom=True),
    ),
    finish=Finish(reason="tool"),
    usage=Usage(input=6, cache_read=4, output=8, reasoning=6, cache_write=2, cache_write_1h=1),
    service_tier="default",
)


def client(response: Callable[[httpx2.Request], httpx2.Response]) -> anthropic.Anthropic:
    """Return the official client with a transport that responds without a network."""
    transport = httpx2.MockTransport(response)
    http = anthropic.DefaultHttpxClient(transport=transport)
    return anthropic.Anthropic(
        api_key="k", base_url="http://gateway", http_client=http, max_retries=0
    )


def client_streaming(data: bytes) -> anthropic.Anthropic:
    """Return a client that receives these bytes as its stream."""
    headers = {"content-type": "text/event-stream"}
    return client(lambda _: httpx2.Response(200, headers=headers, content=data))


def sdk_blocks(message: Any) -> list[dict[str, Any]]:
    """Return the blocks of the SDK's message without unset fields."""
    return [block.model_dump(exclude_none=True) for block in message.content]


def test_the_sdk_reads_a_response():
    body, _ = DIALECT.client.render_response(WHOLE, response_context())
    sdk = client(lambda _: httpx2.Response(200, json=body))
    message = sdk.messages.create(**REQUEST)
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "tool_use",
        "tool_use",
    ]
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 6
    assert message.usage.service_tier == "standard"


def test_the_sdk_reads_the_same_message_streamed_and_not():
    body, _ = DIALECT.client.render_response(WHOLE, response_context())
    unary = client(lambda _: httpx2.Response(200, json=body)).messages.create(**REQUEST)
    with client_streaming(rendered_bytes(unfold_response(WHOLE))).messages.stream(
        **REQUEST
    ) as stream:
        message = stream.get_final_message()
    assert sdk_blocks(message) == sdk_blocks(unary)
    assert (message.id, message.model, message.stop_reason) == ("msg_1", "gw-x", "tool_use")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (6, 4, 8)


def test_the_sdk_raises_an_error_event_in_the_middle_of_a_stream():
    events = [*unfold_response(Response(parts=(Text(text="par"),)))[:2]]
    data = rendered_bytes([*events, Failed(Error(kind="overloaded", message="Overloaded"))])
    with (
        client_streaming(data).messages.stream(**REQUEST) as stream,
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
    ):
        stream.get_final_message()


def test_the_sdk_ignores_the_keepalive():
    data = DIALECT.keepalive.join([b"", *_frames(unfold_response(WHOLE)), b""])
    with client_streaming(data).messages.stream(**REQUEST) as stream:
        assert stream.get_final_message().stop_reason == "tool_use"


def _frames(events: list[Any]) -> list[bytes]:
    renderer = DIALECT.client.stream_renderer(response_context())
    return [renderer.feed(event) for event in events]


@pytest.mark.parametrize(
    ("kind", "error_class"),
    [
        ("invalid_request", anthropic.BadRequestError),
        ("gateway_auth", anthropic.AuthenticationError),
        ("not_allowed", anthropic.PermissionDeniedError),
        ("not_found", anthropic.NotFoundError),
        ("too_large", anthropic.RequestTooLargeError),
        ("rate_limit", anthropic.RateLimitError),
        ("overloaded", anthropic.OverloadedError),
        ("timeout", anthropic.DeadlineExceededError),
        ("upstream_auth", anthropic.InternalServerError),
        ("quota", anthropic.APIStatusError),
    ],
)
def test_the_sdk_raises_its_own_class_for_an_error(kind: str, error_class: type[Exception]):
    reply = DIALECT.client.render_error(Error(kind=kind, message="reason"), "req_dgm")
    sdk = client(lambda _: httpx2.Response(reply.status, headers=reply.headers, json=reply.body))
    with pytest.raises(error_class, match="reason") as error:
        sdk.messages.create(**REQUEST)
    assert error.value.request_id == "req_dgm"  # type: ignore[attr-defined]


def test_the_sdk_reads_a_count():
    sdk = client(lambda _: httpx2.Response(200, json=DIALECT.client.render_count(42)))
    counted = sdk.messages.count_tokens(model="m", messages=[{"role": "user", "content": "x"}])
    assert counted.input_tokens == 42


def test_sdk_requests_are_parsed():
    upstream_requests: list[httpx2.Request] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        upstream_requests.append(request)
        return httpx2.Response(
            200, json=DIALECT.client.render_response(WHOLE, response_context())[0]
        )

    client(respond).messages.create(
        **REQUEST,
        system="S",
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "low"},
        metadata={"user_id": "u"},
        stop_sequences=["END"],
    )
    (request,) = upstream_requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    parsed_request = DIALECT.client.parse_request(json.loads(request.content), headers)
    assert parsed_request.version == "2026-10-21"
    assert parsed_request.extra == {}
    assert parsed_request.reasoning == ReasoningConfig(
        mode="auto", effort="low", effort_covers_output=True, visible="none"
    )


# --- the strict server -------------------------------------------------------------------

text_strategy = st.text("ab \n.:é", max_size=4)
caches = st.none() | st.builds(CacheBreakpoint, st.sampled_from([None, "5m", "1h", "24h"]))
objects = st.dictionaries(text_strategy, st.integers(0, 9), max_size=2)
thoughts = st.builds(
    lambda text, model: Reasoning(
        text=text,
        signature=Signature(
            provider="anthropic", model=model, value=anthropic_rules.signature(text)
        ),
    ),
    text_strategy,
    st.sampled_from(sorted(anthropic_rules.MODELS)),
)
texts = st.builds(Text, text=text_strategy, cache=caches)
media: st.SearchStrategy[Part] = st.one_of(
    st.builds(Image, data=st.just(PNG), detail=st.sampled_from([None, "high"]), cache=caches),
    st.builds(Image, url=st.just("https://x/y.png")),
    st.builds(Document, data=st.just(PDF), title=st.none() | text_strategy),
    st.builds(Document, text=text_strategy.filter(bool)),
)
calls = st.builds(ToolCall, id=text_strategy, name=text_strategy, arguments=objects) | st.builds(
    ToolCall,
    id=text_strategy,
    name=text_strategy,
    raw_arguments=text_strategy,
    custom=st.booleans(),
)
results = st.builds(
    ToolResult,
    id=text_strategy,
    parts=st.lists(texts | media, max_size=2).map(tuple),
    is_error=st.none() | st.booleans(),
    cache=caches,
)
anything: st.SearchStrategy[Part] = st.one_of(
    texts,
    media,
    calls,
    results,
    thoughts,
    st.builds(Refusal, text=text_strategy),
    st.builds(Native, dialect=st.just("gemini"), data=objects),
)
turns = st.builds(
    Turn,
    role=st.sampled_from(["user", "assistant", "system"]),
    parts=st.lists(anything, max_size=4).map(tuple),
    name=st.none() | text_strategy,
    effort=st.sampled_from([None, "low", "max"]),
    path=st.just("messages[0]"),
)
schemas = st.sampled_from(
    [
        None,
        {},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}},
        {"anyOf": [{"type": "object"}]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
    ]
)
tools = st.builds(
    Tool,
    name=text_strategy,
    kind=st.sampled_from(["function", "custom"]),
    description=st.none() | text_strategy,
    schema=schemas,
    strict=st.none() | st.booleans(),
    defer=st.booleans(),
    cache=caches,
)
efforts = st.sampled_from([None, "none", "minimal", "low", "medium", "high", "xhigh", "max"])


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw requests of clients of any dialect."""
    offered = tuple(draw(st.lists(tools, max_size=3, unique_by=lambda tool: tool.name)))
    mode = draw(st.sampled_from([None, "auto", "any", "none", "named", "allowed"]))
    names = tuple(tool.name for tool in offered)[:1]
    if mode in {"named", "allowed"} and not names:
        mode = "any"
    return Request(
        model="gw",
        stream=draw(st.booleans()),
        instructions=tuple(draw(st.lists(texts, max_size=2))),
        turns=tuple(draw(st.lists(turns, max_size=6))),
        tools=offered,
        tool_choice=ToolChoice(mode=mode, names=names, parallel=draw(st.none() | st.booleans())),
        output=draw(
            st.builds(Output, format=st.sampled_from(["text", "json", "schema"]), schema=schemas)
        ),
        reasoning=draw(
            st.none()
            | st.builds(
                ReasoningConfig,
                mode=st.sampled_from([None, "off", "auto", "budget"]),
                effort=efforts,
                budget=st.none() | st.integers(0, 99_999),
                visible=st.sampled_from([None, "none", "summary", "raw"]),
            )
        ),
        max_output=draw(st.none() | st.integers(1, 200_000)),
        sampling=draw(
            st.builds(
                Sampling,
                temperature=st.none() | st.floats(0, 2),
                top_p=st.none() | st.floats(0, 1),
                top_k=st.none() | st.integers(0, 9),
                stop=st.lists(text_strategy, max_size=3).map(tuple),
                seed=st.none() | st.integers(0, 9),
            )
        ),
        meta=draw(
            st.builds(
                Meta, user_id=st.none() | text_strategy, session_key=st.none() | text_strategy
            )
        ),
        cache=draw(caches),
    )


@settings(max_examples=300)
@given(requests(), st.sampled_from(sorted(anthropic_rules.MODELS)))
def test_a_strict_server_accepts_every_rendered_request(request: Request, model: str):
    traits = traits_for("anthropic", model)
    try:
        rendered_request = DIALECT.provider.render_request(request, traits)
    except GatewayError as refused:
        assert refused.error.param
        return
    body = json.loads(json.dumps(rendered_request.body))
    refusal = anthropic_rules.refusal(body, rendered_request.headers, counting=False)
    assert refusal is None, refusal


def test_the_start_of_a_stream_is_a_complete_event():
    assert rendered_bytes([Start()]).startswith(b"event: message_start\ndata: {")
