"""Fields of a provider's chunks that belong to the whole response, or to a text that has ended."""

from __future__ import annotations

from gateway.canon.events import Start
from gateway.canon.fold import fold_events
from gateway.dialects import DIALECTS
from gateway.dialects.openai_chat import DIALECT
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
    rendered = {}
    for name in ("openai_chat", "anthropic_messages"):
        renderer = DIALECTS[name].client.stream_renderer(response_context())
        data = b"".join(renderer.feed(event) for event in stream)
        rendered[name] = b"https://a" in data, [item.path for item in renderer.report]
    assert rendered == {
        "openai_chat": (True, []),
        "anthropic_messages": (False, ["content[2]"]),
    }
    body, _ = DIALECT.client.render_response(fold_events(stream), response_context())
    assert body["choices"][0]["message"]["annotations"] == [annotation]
