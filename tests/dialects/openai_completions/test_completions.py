"""Prompts and completions: parsing and rendering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import End, Failed, Start
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.logprobs import build_token, logprobs_extra
from gateway.canon.request import (
    CacheBreakpoint,
    Document,
    Image,
    Output,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    Turn,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import SplitPlan
from gateway.dialects.openai_completions import DIALECT
from gateway.framing.sse import Decoder
from tests.dialects.openai_completions.make import (
    ALL,
    body,
    chunk,
    events,
    parse,
    render,
    rendered_frames,
    reported_fields,
    response_context,
)

CASES = Path(__file__).parents[1] / "cases"


def test_a_prompt_is_one_user_message() -> None:
    for prompt in ("Say hi", ["Say hi"]):
        (turn,) = parse(body(prompt=prompt)).turns
        assert turn.role == "user"
        assert [part.text for part in turn.parts] == ["Say hi"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("invalid_value", "param", "kind"),
    [
        ({"prompt": None}, "prompt", "invalid_request"),
        ({"prompt": 5}, "prompt", "invalid_request"),
        ({"prompt": []}, "prompt", "invalid_request"),
        ({"prompt": ["a", "b"]}, "prompt", "unsupported_param"),
        ({"prompt": [1, 2]}, "prompt", "unsupported_param"),
        ({"prompt": [[1, 2]]}, "prompt", "unsupported_param"),
        ({"best_of": 2}, "best_of", "unsupported_param"),
        ({"logprobs": True}, "logprobs", "invalid_request"),
        ({"n": 0}, "n", "invalid_request"),
        ({"stop": 5}, "stop", "invalid_request"),
        ({"suffix": 5}, "suffix", "invalid_request"),
        ({"logit_bias": {"1": "x"}}, "logit_bias.1", "invalid_request"),
        (
            {"stream_options": {"include_usage": 1}},
            "stream_options.include_usage",
            "invalid_request",
        ),
    ],
)
def test_an_invalid_field_is_named(invalid_value: dict[str, Any], param: str, kind: str) -> None:
    with pytest.raises(GatewayError) as error:
        parse(body(**invalid_value))
    assert (error.value.error.param, error.value.error.kind) == (param, kind)


def test_a_parsed_request_renders_to_the_same_body() -> None:
    request = body(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        stop=["\n"],
        seed=3,
        frequency_penalty=0.5,
        logprobs=2,
        logit_bias={"1": 3},
        user="u",
        suffix="!",
        echo=True,
    )
    rendered_request = render(request)
    assert rendered_request.body == {**request, "model": "acme-1"}
    assert rendered_request.report == ()


def test_usage_of_a_stream_is_always_requested() -> None:
    rendered_body = render(body(stream=True)).body
    assert (rendered_body["stream"], rendered_body["stream_options"]) == (
        True,
        {"include_usage": True},
    )
    assert parse(body(stream=True, stream_options={"include_usage": True})).include_usage is True


def test_a_conversation_is_one_text_with_its_speakers_named() -> None:
    request = Request(
        model="gw",
        instructions=(Text(text="Be brief", path="messages[0]"),),
        turns=(
            Turn(
                role="user",
                parts=(Text(text="Hi", cache=CacheBreakpoint()),),
                name="Ada",
                path="messages[1]",
            ),
            Turn(role="assistant", parts=(Text(text="Yes?"),), path="messages[2]"),
            Turn(
                role="user", parts=(Text(text="Go"), Image(data="x", path="p")), path="messages[3]"
            ),
        ),
        tools=(Tool(name="f", path="tools[0]"),),
        output=Output(format="json"),
        reasoning=ReasoningConfig(effort="low"),
    )
    rendered_request = render(request)
    text = "Be brief\n\nUser: Hi\n\nAssistant: Yes?\n\nUser: Go\n\nAssistant:"
    assert rendered_request.body["prompt"] == text
    assert set(reported_fields(rendered_request.report)) == {
        ("messages", "approximated"),
        ("messages[1].name", "dropped"),
        ("cache_control", "dropped"),
        ("p", "dropped"),
        ("tools", "dropped"),
        ("format", "dropped"),
        ("effort", "dropped"),
    }


def test_a_document_is_text_under_its_title() -> None:
    document = Document(
        text="Sunny.",
        title="Weather",
        context="Today",
        citations=True,
        path="messages[0].content[0]",
    )
    turn = Turn(role="user", parts=(document,), path="messages[0]")
    rendered_request = render(Request(model="gw", turns=(turn,)))
    assert rendered_request.body["prompt"] == "Weather\nToday\n\nSunny."
    assert reported_fields(rendered_request.report) == [
        ("messages[0].content[0].citations", "dropped"),
        ("messages[0].content[0]", "approximated"),
    ]


def test_unsupported_parameters_are_dropped() -> None:
    limited_traits = Traits(
        model="p",
        sampling=False,
        penalties=False,
        seed=False,
        logit_bias=False,
        logprobs=False,
        user_field="none",
        stop_max=1,
        max_output=3,
    )
    rendered_request = render(
        body(
            temperature=1,
            presence_penalty=1,
            seed=1,
            logprobs=1,
            user="u",
            stop=["a", "b"],
            max_tokens=9,
            n=2,
        ),
        limited_traits,
    )
    assert rendered_request.body == {
        "model": "p",
        "prompt": "Say hi",
        "stop": ["a"],
        "max_tokens": 3,
    }
    assert {path for path, _ in reported_fields(rendered_request.report)} == {
        *("temperature", "presence_penalty", "seed", "logprobs", "user", "stop", "max_tokens", "n")
    }


def test_a_stream_is_read() -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    response = fold_events(
        events(chunk("h"), chunk("i"), chunk("", "length"), chunk(choices=[], usage=counts))
    )
    assert response.parts == (Text(text="hi"),)
    assert response.finish == Finish(reason="length")
    assert response.usage is not None
    assert (response.usage.input, response.usage.output) == (9, 2)


def test_a_truncated_stream_is_an_error() -> None:
    for stream in (events(chunk("h"), done=False), events(done=False), events("nonsense")):
        assert isinstance(stream[-1], Failed)
    error = events(chunk("h"), {"error": {"message": "busy", "code": "server_is_overloaded"}})[-1]
    assert isinstance(error, Failed)
    assert error.error.kind == "overloaded"


@pytest.mark.parametrize("value", [None, {}, {"choices": []}, {"choices": [{}]}, {"error": "x"}])
def test_an_invalid_response_is_an_error(value: Any) -> None:
    with pytest.raises(GatewayError):
        DIALECT.provider.parse_response(value, ALL, None)


def test_log_probabilities_round_trip_in_the_same_dialect() -> None:
    response_body = chunk("hi", "stop")
    response_body["choices"][0]["logprobs"] = {"tokens": ["hi"]}
    response = DIALECT.provider.parse_response(response_body, ALL, None)
    rendered_body, _ = DIALECT.client.render_response(response, response_context())
    assert rendered_body["choices"][0]["logprobs"] == {"tokens": ["hi"]}


def test_chat_log_probabilities_become_lists() -> None:
    tokens = [build_token("hi", -0.5, [build_token("ho", -1.5)]), build_token("!", -0.1)]
    response = Response(parts=(Text(text="hi!"),), extra=logprobs_extra(tokens))
    rendered_body, _ = DIALECT.client.render_response(response, response_context())
    assert rendered_body["choices"][0]["logprobs"] == {
        "tokens": ["hi", "!"],
        "token_logprobs": [-0.5, -0.1],
        "top_logprobs": [{"ho": -1.5}, {}],
        "text_offset": [0, 2],
    }


def test_several_responses_are_choices_streamed_and_not() -> None:
    other = Response(parts=(Text(text="ho"),), finish=Finish(reason="length"))
    response = Response(parts=(Text(text="hi"),), alternatives=(other,))
    rendered_response, _ = DIALECT.client.render_response(response, response_context())
    rows = [(c["index"], c["text"], c["finish_reason"]) for c in rendered_response["choices"]]
    assert rows == [(0, "hi", "stop"), (1, "ho", "length")]
    last = rendered_frames(unfold_response(response))[-2]["choices"]
    assert last == [{"index": 1, "text": "ho", "logprobs": None, "finish_reason": "length"}]


def test_choices_of_several_prompts_are_numbered_consecutively() -> None:
    assert DIALECT.plan_request is not None
    several = DIALECT.plan_request({"prompt": msgspec.Raw(b'["a", "b"]')})
    assert isinstance(several, SplitPlan)
    responses = [{"choices": [{"index": 0}, {"index": 1}]}] * 2
    assert [c["index"] for c in several.merge_responses(responses)["choices"]] == [0, 1, 2, 3]
    line = b'data: {"id":"c%d","choices":[{"index":%d}]}\n\n'
    joined, places = several.new_stream(), (0, 1, 1)
    out = joined.feed(0, b"".join(line % (1, index) for index in places))
    out += joined.feed(1, b"".join(line % (2, index) for index in places))
    bodies = [json.loads(frame.data) for frame in Decoder().feed(out)]
    assert [chunk["choices"][0]["index"] for chunk in bodies] == [0, 1, 1, 2, 3, 3]
    assert {chunk["id"] for chunk in bodies} == {"c1"}


def test_a_complete_response_is_rendered_as_the_case_expects() -> None:
    (path,) = CASES.glob("23_*.json")
    expected = json.loads(path.read_text())["expected"]["client_response"]
    response = Response(parts=(Text(text="hi"),), usage=Usage(input=9, output=2))
    payload, report = DIALECT.client.render_response(
        response, response_context(created=0, model="gw-claude")
    )
    assert report == ()
    assert payload.pop("id").startswith("cmpl-")
    assert payload == {key: value for key, value in expected.items() if key != "id"}


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (Finish(reason="stop"), "stop"),
        (Finish(reason="stop_sequence"), "stop"),
        (Finish(reason="length"), "length"),
        (Finish(reason="context"), "length"),
        (Finish(reason="tool"), "stop"),
        (Finish(reason="filter"), "content_filter"),
        (Finish(reason="refusal"), "content_filter"),
    ],
)
def test_the_finish_reason_is_rendered(finish: Finish, word: str) -> None:
    response = Response(parts=(Text(text="x"),), finish=finish)
    rendered_response, _ = DIALECT.client.render_response(response, response_context())
    assert rendered_response["choices"][0]["finish_reason"] == word
    assert rendered_frames(unfold_response(response))[-2]["choices"][0]["finish_reason"] == word


def test_refusals_become_text_and_other_parts_are_reported() -> None:
    response = Response(
        parts=(
            Reasoning(text="hm"),
            Refusal(text="I can't"),
            ToolCall(id="c", name="f", arguments={}),
        ),
        finish=Finish(reason="refusal"),
    )
    rendered_response, report = DIALECT.client.render_response(response, response_context())
    assert rendered_response["choices"][0]["text"] == "I can't"
    assert rendered_response["choices"][0]["finish_reason"] == "stop"
    assert reported_fields(report) == [
        ("content.reasoning", "dropped"),
        ("content.toolcall", "dropped"),
    ]
    renderer = DIALECT.client.stream_renderer(response_context())
    for event in unfold_response(response):
        renderer.feed(event)
    assert reported_fields(renderer.report) == reported_fields(report)


def test_usage_is_streamed_when_requested() -> None:
    stream = unfold_response(Response(parts=(Text(text="hi"),), usage=Usage(input=9, output=2)))
    assert rendered_frames(stream, include_usage=True)[-2]["usage"]["total_tokens"] == 11
    assert all("usage" not in row for row in rendered_frames(stream)[:-1])


def test_an_error_ends_a_stream_without_done() -> None:
    rows = rendered_frames([Start(), Failed(Error(kind="context_length", message="too long"))])
    assert rows[-1]["error"]["param"] == "prompt"
    assert rendered_frames([Start(), End(Finish(reason="malformed"))])[-1]["error"]
    with pytest.raises(GatewayError):
        DIALECT.client.render_response(
            Response(finish=Finish(reason="malformed")), response_context()
        )


def test_an_invalid_completions_body_is_refused() -> None:
    DIALECT.check_passthrough(json.dumps(body(prompt=[[1, 2]], new=1)).encode())
    for bad in ({"model": "m"}, body(prompt=5), body(max_tokens="x"), body(stop=5)):
        with pytest.raises(GatewayError):
            DIALECT.check_passthrough(json.dumps(bad).encode())
