"""Hostile input never causes an unexpected exception."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.dialects import DIALECTS
from gateway.dialects.gemini import DIALECT
from gateway.framing.sse import Frame
from gateway.providers.capabilities import traits_for
from tests.dialects.gemini.make import response_context, traits
from tests.stream_grammar import check_stream

KEYS = [
    *("contents", "parts", "role", "text", "thought", "thoughtSignature", "functionCall", "id"),
    *("functionResponse", "name", "args", "response", "output", "error", "inlineData", "data"),
    *("mimeType", "fileData", "fileUri", "system_instruction", "systemInstruction", "tools"),
    *("functionDeclarations", "parameters", "parametersJsonSchema", "type", "properties"),
    *("toolConfig", "functionCallingConfig", "mode", "allowedFunctionNames", "googleSearch"),
    *("generationConfig", "generation_config", "temperature", "topK", "stopSequences"),
    *("candidateCount", "responseMimeType", "responseSchema", "responseJsonSchema"),
    *("thinkingConfig", "thinkingBudget", "thinkingLevel", "includeThoughts", "labels"),
    *("candidates", "content", "finishReason", "finishMessage", "index", "groundingMetadata"),
    *("groundingSupports", "groundingChunks", "segment", "startIndex", "endIndex", "web", "uri"),
    *("usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "code", "message"),
    *("status", "details", "violations", "retryDelay", "serviceTier", "store", "safetySettings"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "x", "user", "model", "STOP", "OTHER", "ANY", "LOW", "OBJECT", "{}", "ZGdtMS4=", "%"]
    )
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)
parts = st.dictionaries(st.sampled_from(KEYS[3:18]), junk, max_size=3)
contents = st.builds(
    lambda role, items: {"role": role, "parts": items},
    st.sampled_from(["user", "model", None, "function", 5]),
    st.lists(parts | junk, max_size=3),
)
bodies = st.builds(
    lambda items, more: {**more, "model": "gw", "contents": items},
    st.lists(contents, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(KEYS), junk, max_size=4),
)
chunks = st.builds(
    lambda content, reason, more: {
        **more,
        "candidates": [{"content": content, "finishReason": reason, "index": 0}],
    },
    contents,
    st.sampled_from([None, None, "STOP", "OTHER", "SAFETY", "MALFORMED_FUNCTION_CALL", 5]),
    st.dictionaries(st.sampled_from(["usageMetadata", "responseId", "modelVersion"]), junk),
)


@settings(max_examples=150)
@given(st.lists(chunks | junk, max_size=6))
def test_any_json_in_frames_renders_a_well_formed_stream(frames: list[Any]):
    parser = DIALECT.provider.stream_parser(traits(), None)
    renderers = [
        DIALECTS[name].client.stream_renderer(response_context())
        for name in ("openai_chat", "anthropic_messages", "gemini")
    ]
    events: list[Event] = []
    for item in frames:
        events += parser.feed(Frame("", msgspec.json.encode(item)))
    events += parser.close()
    check_stream(events)
    for event in events:
        for renderer in renderers:
            renderer.feed(event)
    try:
        DIALECT.client.render_response(fold_events(events), response_context())
    except GatewayError:
        return


@given(st.binary(max_size=40))
def test_any_bytes_in_a_frame_are_a_failure_or_nothing(data: bytes):
    parser = DIALECT.provider.stream_parser(traits(), None)
    check_stream([*_same_events(parser.feed(Frame("", data))), *parser.close()])


def _same_events(events: list[Event]) -> list[Event]:
    return events


@settings(max_examples=150)
@given(chunks | junk)
def test_any_json_is_an_answer_or_a_refusal(value: Any):
    try:
        DIALECT.provider.parse_response(value, traits(), None)
    except GatewayError as failure:
        assert failure.error.message


@settings(max_examples=200)
@given(bodies | st.dictionaries(st.sampled_from(KEYS), junk, max_size=6))
def test_any_request_is_read_or_refused_by_name(value: dict[str, Any]):
    try:
        request = DIALECT.client.parse_request({"model": "gw", **value}, {})
    except GatewayError as failure:
        assert failure.error.param
        return
    for preset, model in (
        ("openai", "gpt-4.1"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gemini", "gemini-3.8-flash"),
        ("gemini", "gemini-2.5-pro"),
    ):
        target = traits_for(preset, model)
        dialect = DIALECTS[
            {"openai": "openai_chat", "anthropic": "anthropic_messages"}.get(preset, preset)
        ]
        try:
            rendered = dialect.provider.render_request(request, target)
        except GatewayError:
            continue
        msgspec.json.encode(rendered.body)
        assert all(item.path for item in rendered.report)


@given(st.integers(200, 599), junk | st.just(None), st.binary(max_size=20))
def test_any_error_response_can_be_parsed_and_rendered(status: int, value: Any, raw: bytes):
    data = raw if value is None else msgspec.json.encode(value)
    error = DIALECT.provider.parse_error(status, {}, data)
    assert error.message
    reply = DIALECT.client.render_error(error, "req_1")
    assert reply.status >= 200
