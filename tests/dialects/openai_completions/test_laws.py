"""Property tests: rendering and parsing are inverse, and hostile input is rejected cleanly."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Meta, Request, Sampling, Text, Turn, without_paths
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.openai_completions import DIALECT
from gateway.framing.sse import Decoder, Frame
from tests.dialects.openai_completions.make import ALL, response_context
from tests.dialects.splits import without_native_usage
from tests.fakes.openai_older import completion_refusal
from tests.stream_grammar import check_stream

nonempty_text = st.text('abc .{}"\\\n', min_size=1, max_size=8)
share = st.none() | st.sampled_from([0.0, 0.25, 1.0])
requests = st.builds(
    lambda text, limit, sampling, user, extra: Request(
        model="acme-1",
        turns=(Turn(role="user", parts=(Text(text=text),)),),
        max_output=limit,
        sampling=sampling,
        meta=Meta(user_id=user),
        extra={"openai_completions": extra} if extra else {},
    ),
    nonempty_text,
    st.none() | st.integers(1, 9),
    st.builds(
        Sampling,
        temperature=share,
        top_p=share,
        frequency_penalty=share,
        presence_penalty=share,
        seed=st.none() | st.integers(-5, 5),
        stop=st.lists(nonempty_text, max_size=4).map(tuple),
        logit_bias=st.none() | st.just({"5": -100}),
    ),
    st.none() | nonempty_text,
    st.sampled_from([{}, {"suffix": "!"}, {"echo": True}]),
)


@settings(max_examples=60)
@given(requests)
def test_a_rendered_request_parses_to_the_same_request(request: Request) -> None:
    rendered = DIALECT.provider.render_request(request, ALL)
    assert rendered.report == ()
    wire = msgspec.json.decode(msgspec.json.encode(rendered.body))
    assert without_paths(DIALECT.client.parse_request(wire, {})) == request
    assert completion_refusal(wire) is None


answers = st.builds(
    lambda text, reason, usage: Response(
        id="cmpl-1",
        model="acme-1",
        created=1700000000,
        parts=(Text(text=text),),
        finish=Finish(reason=reason),
        usage=usage,
    ),
    nonempty_text,
    st.sampled_from(["stop", "length", "filter"]),
    st.none() | st.builds(Usage, input=st.integers(0, 9), output=st.integers(0, 9)),
)


FRAME = response_context(model="acme-1", include_usage=True)


@settings(max_examples=60)
@given(answers, st.integers(1, 40))
def test_an_answer_is_parsed_alike_complete_and_streamed(response: Response, size: int) -> None:
    wire, report = DIALECT.client.render_response(response, FRAME)
    assert report == ()
    wire = msgspec.json.decode(msgspec.json.encode(wire))
    assert without_native_usage(DIALECT.provider.parse_response(wire, ALL, None)) == response
    renderer = DIALECT.client.stream_renderer(FRAME)
    stream = b"".join(renderer.feed(event) for event in unfold_response(response))
    decoder, parser = Decoder(), DIALECT.provider.stream_parser(ALL, None)
    events: list[Event] = []
    for start in range(0, len(stream), size):
        for frame in decoder.feed(stream[start : start + size]):
            events += parser.feed(frame)
    events += parser.close()
    check_stream(events)
    assert without_native_usage(fold_events(events)) == response


KEYS = ["choices", "text", "index", "finish_reason", "usage", "prompt_tokens", "error", "id", "x"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "stop", "length"])
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=20,
)
chunks = st.builds(lambda choice: {"choices": [choice]}, junk) | junk


@settings(max_examples=100)
@given(st.lists(chunks, max_size=5), st.booleans())
def test_any_json_in_frames_renders_a_well_formed_stream(rows: list[Any], done: bool) -> None:
    parser = DIALECT.provider.stream_parser(ALL, None)
    renderer = DIALECT.client.stream_renderer(FRAME)
    events: list[Event] = []
    for row in rows:
        events += parser.feed(Frame("", msgspec.json.encode(row)))
    events += parser.feed(Frame("", b"[DONE]")) if done else []
    events += parser.close()
    check_stream(events)
    for event in events:
        renderer.feed(event)


@settings(max_examples=60)
@given(chunks)
def test_any_json_body_is_a_response_or_an_error(value: Any) -> None:
    with contextlib.suppress(GatewayError):
        DIALECT.client.render_response(DIALECT.provider.parse_response(value, ALL, None), FRAME)


TOP = [
    *("prompt", "max_tokens", "stop", "n", "best_of", "logprobs", "echo", "suffix", "user"),
    *("temperature", "logit_bias", "stream", "stream_options", "seed", "unknown"),
]


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(TOP), junk, max_size=5))
def test_any_body_is_a_request_or_an_error_that_names_a_field(fields: dict[str, Any]) -> None:
    try:
        request = DIALECT.client.parse_request({"model": "gw", "prompt": "x", **fields}, {})
    except GatewayError as failure:
        assert failure.error.param
        return
    msgspec.json.encode(DIALECT.provider.render_request(request, ALL).body)
