"""Property tests: rendering and parsing are inverse."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.fold import unfold_response
from gateway.canon.request import Meta, Request, Sampling, Text, Turn, without_paths
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.openai_completions import DIALECT
from tests.dialects.openai_completions.make import ALL, response_context
from tests.dialects.splits import parse_split_stream, without_native_usage
from tests.fakes.openai_older import completion_refusal

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
    rendered_request = DIALECT.provider.render_request(request, ALL)
    assert rendered_request.report == ()
    wire = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    assert without_paths(DIALECT.client.parse_request(wire, {})) == request
    assert completion_refusal(wire) is None


responses = st.builds(
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
@given(responses, st.data())
def test_a_response_is_parsed_alike_complete_and_streamed(
    response: Response, data: st.DataObject
) -> None:
    wire, report = DIALECT.client.render_response(response, FRAME)
    assert report == ()
    wire = msgspec.json.decode(msgspec.json.encode(wire))
    assert without_native_usage(DIALECT.provider.parse_response(wire, ALL, None)) == response
    renderer = DIALECT.client.stream_renderer(FRAME)
    stream = b"".join(renderer.feed(event) for event in unfold_response(response))
    assert without_native_usage(parse_split_stream(DIALECT, stream, data, ALL)) == response
