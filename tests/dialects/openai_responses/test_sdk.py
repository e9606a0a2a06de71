"""The official SDK's types and accumulator parse rendered responses.

It uses httpx2, so it receives responses through httpx2's mock transport.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from msgspec.structs import replace
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from gateway.canon.errors import Error
from gateway.canon.events import Event, Failed, Start
from gateway.canon.fold import unfold_response
from gateway.canon.request import Citation, Reasoning, Refusal, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.openai_responses import DIALECT
from tests.dialects.openai_responses.make import (
    body,
    call,
    render,
    rendered_frames,
    response_context,
    result,
    tool,
)
from tests.fakes import responses_rules
from tests.fakes.responses_rules import state_of

FULL = Response(
    parts=(
        Reasoning(text="Let me think", signature=Signature(provider="deepseek", kind="text")),
        Text(text="It is ", citations=(Citation(url="https://x", title="X"),)),
        Text(text="sunny.", citations=(Citation(url="https://y"),)),
        ToolCall(id="c1", name="get_weather", arguments={"city": "Paris"}),
        ToolCall(id="c2", name="get_time", arguments={}),
        ToolCall(id="c3", name="patch", raw_arguments="*** Begin", custom=True),
    ),
    finish=Finish(reason="tool"),
    usage=Usage(input=30, cache_read=60, output=25, reasoning=7),
)
REFUSAL = Response(parts=(Refusal(text="I can't"),), finish=Finish(reason="refusal"))
CUT = Response(parts=(Text(text="Once"),), finish=Finish(reason="length"))
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def client(status: int, content: bytes, headers: dict[str, str]) -> openai.OpenAI:
    """Return an SDK client that receives this response to every request."""

    def respond(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content, headers=headers)

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    return openai.OpenAI(api_key="k", base_url="http://gw/v1", http_client=transport, max_retries=0)


def sdk_response(response: Response) -> SdkResponse:
    """Return the SDK's object of a whole response."""
    payload, _ = DIALECT.client.render_response(response, response_context())
    with client(200, json.dumps(payload).encode(), {"content-type": "application/json"}) as sdk:
        return sdk.responses.create(model="m", input="hi")


def wire(events: list[Event]) -> bytes:
    """Return the stream that a client receives."""
    renderer = DIALECT.client.stream_renderer(response_context())
    return b"".join(renderer.feed(event) for event in events)


def stream(events: list[Event]) -> Iterator[Any]:
    """Return the SDK's events of a stream."""
    with client(200, wire(events), {"content-type": "text/event-stream"}) as sdk:
        yield from sdk.responses.create(model="m", input="hi", stream=True)


def unknown_fields(value: Any) -> list[str]:
    """Return the fields that the SDK's type does not define, at any depth."""
    if isinstance(value, list):
        return [name for item in value for name in unknown_fields(item)]
    if not isinstance(value, BaseModel):
        return []
    model_extras = list(value.model_extra or {})
    for name in value.model_fields_set - set(model_extras):
        model_extras += unknown_fields(getattr(value, name, None))
    return model_extras


@pytest.mark.parametrize("response", [FULL, REFUSAL, CUT], ids=["full", "refusal", "cut"])
def test_a_complete_response_is_of_the_sdks_type(response: Response):
    payload, _ = DIALECT.client.render_response(response, response_context())
    reply = SdkResponse.model_validate(payload, strict=True)
    # A free-text call has no status in the types; the service sends one.
    assert set(unknown_fields(reply)) <= {"status"}


@pytest.mark.parametrize("response", [FULL, REFUSAL, CUT], ids=["full", "refusal", "cut"])
def test_every_event_is_of_the_sdks_types(response: Response):
    for event in rendered_frames(unfold_response(response)):
        EVENT.validate_json(json.dumps(event), strict=True)


def test_the_sdk_reads_a_response():
    response = sdk_response(FULL)
    assert response.output_text == "It is sunny."
    kinds = [item.type for item in response.output]
    assert kinds == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "custom_tool_call",
    ]
    thought, message, first, _, patch = response.output
    assert thought.summary[0].text == "Let me think"  # type: ignore[union-attr]
    ranges = [(a.start_index, a.end_index) for a in message.content[0].annotations]  # type: ignore[union-attr]
    assert ranges == [(0, 6), (6, 12)]
    assert json.loads(first.arguments) == {"city": "Paris"}  # type: ignore[union-attr]
    assert patch.input == "*** Begin"  # type: ignore[union-attr]
    assert response.usage is not None
    assert response.usage.input_tokens == 90
    assert response.usage.input_tokens_details.cached_tokens == 60
    assert response.usage.total_tokens == 115


def test_cache_writes_are_split_only_if_some_are_kept_longer():
    # The Agents SDK for JavaScript takes only numbers here (@openai/agents 0.20), and Claude
    # counts 0 in each response.
    plain = Response(
        parts=(Text(text="x"),), usage=Usage(cache_write=5, cache_write_1h=0, output=1)
    )
    with_hour = replace(plain, usage=Usage(cache_write=5, cache_write_1h=2, output=1))
    details, details_with_hour = (
        DIALECT.client.render_response(response, response_context())[0]["usage"][
            "input_tokens_details"
        ]
        for response in (plain, with_hour)
    )
    assert details == {"cached_tokens": 0, "cache_write_tokens": 5}
    split = {"ttl_30m_tokens": 3, "ttl_12h_tokens": 2}
    assert details_with_hour == {**details, "cache_write_tokens_details": split}


def test_the_sdk_reads_a_refusal_and_a_cut_response():
    refusal_response = sdk_response(REFUSAL)
    assert refusal_response.status == "completed"
    assert refusal_response.output[0].content[0].refusal == "I can't"  # type: ignore[union-attr]
    cut = sdk_response(CUT)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_the_sdk_reads_a_stream():
    events = list(stream(unfold_response(FULL)))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == "It is sunny."
    done = [e.arguments for e in events if e.type == "response.function_call_arguments.done"]
    assert done == ['{"city":"Paris"}', "{}"]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "It is sunny."


def test_the_sdks_own_accumulator_reads_a_stream():
    headers = {"content-type": "text/event-stream"}
    with (
        client(200, wire(unfold_response(FULL)), headers) as sdk,
        sdk.responses.stream(model="m", input="hi") as events,
    ):
        kinds = [event.type for event in events]
        final = events.get_final_response()
    assert kinds[0] == "response.created"
    assert final.output_text == "It is sunny."
    calls = [item for item in final.output if item.type == "function_call"]
    assert [item.arguments for item in calls] == ['{"city":"Paris"}', "{}"]


def test_stream_events_are_in_the_order_of_the_openai_api():
    kinds = [
        event["type"].removeprefix("response.") for event in rendered_frames(unfold_response(FULL))
    ]
    assert kinds == [
        *("created", "in_progress", "output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.annotation.added", "output_text.delta", "output_text.annotation.added"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "output_item.added"),
        *("custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done"),
        "completed",
    ]


@pytest.mark.parametrize(
    "events",
    [
        [Start(), Failed(Error(kind="overloaded", message="Overloaded"))],
        [*unfold_response(FULL)[:4], Failed(Error(kind="upstream_error", message="Overloaded"))],
        [Failed(Error(kind="rate_limit", message="Overloaded"))],
    ],
    ids=["at the start", "in the middle", "instead of an answer"],
)
def test_a_broken_stream_ends_in_a_failed_response(events: list[Event]):
    *_, last = stream(events)
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error.message == "Overloaded"
    EVENT.validate_json(last.model_dump_json(by_alias=True, exclude_unset=True), strict=True)


@pytest.mark.parametrize(
    ("kind", "error_class"),
    [
        ("invalid_request", openai.BadRequestError),
        ("context_length", openai.BadRequestError),
        ("gateway_auth", openai.AuthenticationError),
        ("not_allowed", openai.PermissionDeniedError),
        ("not_found", openai.NotFoundError),
        ("rate_limit", openai.RateLimitError),
        ("quota", openai.RateLimitError),
        ("upstream_auth", openai.InternalServerError),
        ("overloaded", openai.InternalServerError),
    ],
)
def test_the_sdk_raises_its_own_class_for_each_kind(kind: str, error_class: type[openai.APIError]):
    reply = DIALECT.client.render_error(Error(kind=kind, message="reason"), "req_1")
    content = json.dumps(reply.body).encode()
    with (
        client(reply.status, content, reply.headers) as sdk,
        pytest.raises(error_class, match="reason") as error,
    ):
        sdk.responses.create(model="m", input="hi")
    assert error.value.code == reply.body["error"]["code"]
    if kind == "context_length":
        assert error.value.param == "input"


def test_upstream_requests_match_the_sdk_types():
    request = body(
        {"role": "developer", "content": "s"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "encrypted_content": f"dgm1.{{openai,gpt-5.6,rs_7,{state_of('x')}}}",
        },
        call(),
        result("c1", [{"type": "input_text", "text": "r"}]),
        tools=[tool("f", strict=True), {"type": "web_search"}],
        tool_choice="required",
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        max_output_tokens=5,
        user="u",
    )
    rendered_body = render(request, preset="openai", model="gpt-5.6").body
    assert responses_rules.refusal(rendered_body) is None
    assert rendered_body["max_output_tokens"] == 16
    assert rendered_body["input"][1] == {
        "type": "reasoning",
        "id": "rs_7",
        "summary": [],
        "encrypted_content": state_of("x"),
    }
