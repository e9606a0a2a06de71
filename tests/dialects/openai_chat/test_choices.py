"""Several choices per request: parsing and rendering."""

from __future__ import annotations

from gateway.canon.events import BlockEnd, BlockStart, Delta, End, Failed, Start
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Text, ToolCall
from gateway.canon.response import Finish
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_chat import DIALECT
from tests.dialects.openai_chat.make import (
    chunk,
    events,
    parse_chunks,
    rendered_frames,
    response_context,
)

STOP = chunk(finish="stop")
SEVERAL = RenderedRequest(body={"n": 2})


def test_further_choices_are_responses_of_their_own():
    second_chunk = chunk({"content": "a"})
    second_chunk["choices"].append(
        {"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}
    )
    assert parse_chunks(second_chunk, STOP).alternatives == ()  # as nobody asked for it
    response = parse_chunks(second_chunk, STOP, rendered_request=SEVERAL)
    assert (response.parts, response.finish.reason) == ((Text(text="a"),), "stop")
    [other] = response.alternatives
    assert (other.parts, other.finish.reason) == ((Text(text="b"),), "length")


def test_calls_of_further_choices_have_the_clients_names():
    second_chunk = chunk({"content": "a"}, finish="stop")
    delta = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f_1"}}]}
    second_chunk["choices"].append({"index": 1, "delta": delta, "finish_reason": "tool_calls"})
    request = RenderedRequest(body={"n": 2}, client_names={"f_1": "f.1"})
    [other] = parse_chunks(second_chunk, rendered_request=request).alternatives
    assert [part.name for part in other.parts if isinstance(part, ToolCall)] == ["f.1"]


def test_a_choice_without_an_end_fails_the_stream():
    second_chunk = chunk({"content": "a"}, finish="stop")
    second_chunk["choices"].append({"index": 1, "delta": {"content": "b"}, "finish_reason": None})
    assert isinstance(events(second_chunk, rendered_request=SEVERAL, done=False)[-1], Failed)


HI = [BlockStart(kind="text"), Delta("hi"), BlockEnd()]
HO = [BlockStart(kind="text"), Delta("ho"), BlockEnd()]


def test_several_responses_are_choices_streamed_and_not():
    other = fold_events([Start(), *HO, End(Finish(reason="length"))])
    end = End(Finish(reason="stop"), (other,))
    response = fold_events([Start(), *HI, end])
    body, _ = DIALECT.client.render_response(response, response_context())
    rendered_choices = [
        (c["index"], c["message"]["content"], c["finish_reason"]) for c in body["choices"]
    ]
    assert rendered_choices == [(0, "hi", "stop"), (1, "ho", "length")]
    frames = rendered_frames(unfold_response(response))
    assert frames[-1] == "[DONE]"
    choices = [frame["choices"][0] for frame in frames[:-1]]
    assert [choice["index"] for choice in choices] == [0, 0, 0, 1, 1, 1]
    assert [choice["finish_reason"] for choice in choices[2::3]] == ["stop", "length"]
