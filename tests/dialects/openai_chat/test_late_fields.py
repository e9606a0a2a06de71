"""Fields of a provider's chunks that belong to the whole response, or to a text that has ended."""

from __future__ import annotations

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.canon.events import Start
from gateway.canon.fold import fold_events, unfold_response
from gateway.dialects import DIALECTS
from gateway.dialects.openai_chat import DIALECT
from gateway.framing.sse import Decoder
from tests.dialects.openai_chat.make import call_delta, chunk, events, response_context

TEXT = chunk({"content": "hi"})
STOP = chunk(finish="stop")


def test_the_fingerprint_of_a_stream_is_kept():
    fields = {"system_fingerprint": "fp_1", "service_tier": "default"}
    start = events({**TEXT, **fields}, {**STOP, **fields})[0]
    assert isinstance(start, Start)
    assert start.service_tier == "default"
    assert start.extra == {"openai_chat": {"system_fingerprint": "fp_1"}}


def test_annotations_after_a_call_reach_a_chat_client_and_are_reported_to_others():
    """The text that they belong to has ended with the call."""
    annotation = {
        "type": "url_citation",
        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2},
    }
    call = call_delta(id="c1", name="f", arguments="{}")
    stream = events(
        TEXT, chunk(call), chunk({"annotations": [annotation]}), chunk(finish="tool_calls")
    )
    results = {}
    for name in ("openai_chat", "anthropic_messages"):
        renderer = DIALECTS[name].client.stream_renderer(response_context())
        data = b"".join(renderer.feed(event) for event in stream)
        results[name] = b"https://a" in data, [item.path for item in renderer.report]
    assert results == {
        "openai_chat": (True, []),
        "anthropic_messages": (False, ["content[2]"]),
    }
    body, _ = DIALECT.client.render_response(fold_events(stream), response_context())
    assert body["choices"][0]["message"]["annotations"] == [annotation]


def test_the_moderation_of_a_response_is_kept():
    """It has a chunk of its own: `ChatCompletionChunk.moderation` of the openai SDK."""
    results = {"type": "error", "code": "server_error", "message": "unavailable"}
    moderation = {"input": results, "output": results}
    fields = {"system_fingerprint": "fp_1"}
    moderation_chunk = {"id": "1", "choices": [], "moderation": moderation, **fields}
    stream = events({**TEXT, **fields}, {**STOP, **fields}, moderation_chunk)
    response = fold_events(stream)
    assert response.extra == {"openai_chat": {"moderation": moderation, **fields}}

    body, _ = DIALECT.client.render_response(response, response_context())
    assert ChatCompletion.model_validate(body, strict=True).moderation is not None
    for source in (stream, unfold_response(response)):
        renderer = DIALECT.client.stream_renderer(response_context())
        wire = b"".join(map(renderer.feed, source))
        chunks = [frame.data for frame in Decoder().feed(wire)][:-1]
        moderated = [ChatCompletionChunk.model_validate_json(data).moderation for data in chunks]
        assert moderated[-1] is not None and moderated[:-1] == [None] * (len(chunks) - 1)
