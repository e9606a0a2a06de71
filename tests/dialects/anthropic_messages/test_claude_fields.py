"""Fields of a response that only Claude has, from an Anthropic provider to an Anthropic client."""

from __future__ import annotations

import json
from typing import Any

from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages import DIALECT
from gateway.dialects.base import ResponseContext
from gateway.framing.sse import Decoder

CALLER = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, "caller": CALLER}
DETAILS = {
    "type": "refusal",
    "category": "cyber",
    "explanation": "no",
    "recommended_model": "claude-other",
}
CONTEXT = ResponseContext(id="1", created=1, model="m")


def response(**fields: Any) -> Response:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "usage": usage}
    return DIALECT.provider.parse_response({**message, **fields}, Traits(), None)


def streamed(canonical_response: Response) -> tuple[list[dict[str, Any]], Response]:
    """Return the events that a client receives, and the response that a gateway reads in them."""
    renderer = DIALECT.client.stream_renderer(CONTEXT)
    data = b"".join(renderer.feed(event) for event in unfold_response(canonical_response))
    frames = Decoder().feed(data)
    parser = DIALECT.provider.stream_parser(Traits(), None)
    events = [event for frame in frames for event in parser.feed(frame)]
    return [json.loads(frame.data) for frame in frames], fold_events([*events, *parser.close()])


def test_the_caller_of_a_tool_is_kept():
    canonical_response = response(content=[CALL], stop_reason="tool_use")
    body, report = DIALECT.client.render_response(canonical_response, CONTEXT)
    assert (body["content"], report) == ([CALL], ())
    events, round_trip = streamed(canonical_response)
    [start] = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert start == CALL
    assert round_trip.parts == canonical_response.parts


def test_the_model_recommended_after_a_refusal_is_kept():
    canonical_response = response(content=[], stop_reason="refusal", stop_details=DETAILS)
    body, _ = DIALECT.client.render_response(canonical_response, CONTEXT)
    assert body["stop_details"] == DETAILS
    events, round_trip = streamed(canonical_response)
    [delta] = [event["delta"] for event in events if event["type"] == "message_delta"]
    assert delta["stop_details"] == DETAILS
    assert round_trip.finish == canonical_response.finish
