"""Stored responses in the dialect's format."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from gateway.canon.errors import Error, GatewayError
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses import stored_responses
from gateway.dialects.openai_responses.response import item_id

USER: dict[str, Any] = {"role": "user", "content": "hello"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "x"}
ASSISTANT_MESSAGE = {"role": "assistant", "content": "hi"}


def test_items_are_listed_in_the_types_of_the_sdk() -> None:
    named = stored_responses.items_with_ids([USER, ASSISTANT_MESSAGE, CALL, RESULT], "resp_ab")
    for item in named:
        TypeAdapter(ResponseItem).validate_python(item)
    assert [item["id"] for item in named] == ["msg_ab_in0", "msg_ab_in1", "fc_ab_in2", "fc_ab_in3"]
    assert named[0]["content"] == [{"type": "input_text", "text": "hello"}]


def test_an_item_keeps_its_original_id() -> None:
    assert (
        stored_responses.items_with_ids([{**USER, "id": "msg_own"}], "resp_ab")[0]["id"]
        == "msg_own"
    )


@pytest.mark.parametrize("kind", ["message", "reasoning", "function_call", "custom_tool_call"])
def test_the_id_of_an_item_names_its_response(kind: str) -> None:
    context = ResponseContext(id="ab12", created=1, model="m")
    assert stored_responses.response_id_of_item(item_id(context, kind, 3)) == "resp_ab12"
    assert stored_responses.response_id_of_item("msg_ab12_in0") == "resp_ab12"


@pytest.mark.parametrize("item", ["msg_abc", "", "msg_", "rs_a_b", "__"])
def test_an_item_id_of_another_service_names_no_response(item: str) -> None:
    assert stored_responses.response_id_of_item(item) is None


def test_pages_cover_all_items_in_either_order() -> None:
    items = stored_responses.items_with_ids([USER] * 5, "resp_a")
    for order in ("asc", "desc"):
        ids: list[str] = []
        after, more = "", True
        while more:
            page = stored_responses.page(items, limit=2, order=order, after=after)
            ids += [item["id"] for item in page["data"]]
            after, more = page["last_id"], page["has_more"]
        expected_ids = [item["id"] for item in items]
        assert ids == (expected_ids if order == "asc" else expected_ids[::-1])


def test_a_page_after_an_unknown_id_is_refused() -> None:
    with pytest.raises(GatewayError) as error:
        stored_responses.page([], limit=2, order="asc", after="msg_x")
    assert error.value.error.param == "after"


def test_an_empty_page_of_items_is_valid() -> None:
    page = stored_responses.page([], limit=2, order="asc", after="")
    assert (page["data"], page["has_more"]) == ([], False)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_last_event_contains_the_response(end: bytes) -> None:
    event = {"type": "response.completed", "response": {"id": "resp_1"}}
    lines = (b"event: response.completed", b"data: " + json.dumps(event).encode(), b"", b"")
    assert json.loads(stored_responses.last_response(end.join(lines))) == {"id": "resp_1"}


@pytest.mark.parametrize(
    "stream", [b"", b"data: {", b'data: {"type":"response.output_text.delta"}\n\n', b": ping\n\n"]
)
def test_a_stream_without_an_end_has_no_response(stream: bytes) -> None:
    assert stored_responses.last_response(stream) == b""


def test_a_continued_request_contains_the_earlier_conversation() -> None:
    fields = {
        "model": msgspec.Raw(b'"m"'),
        "input": msgspec.Raw(b'"and now?"'),
        "previous_response_id": msgspec.Raw(b'"resp_1"'),
        "store": msgspec.Raw(b"false"),
    }
    merged_request = stored_responses.self_contained_body(fields, [USER, CALL])
    assert merged_request is not None
    assert json.loads(msgspec.json.encode(merged_request)) == {
        "model": "m",
        "store": False,
        "input": [USER, CALL, {"role": "user", "content": "and now?"}],
    }


def test_a_request_after_reasoning_without_state_is_not_self_contained() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert stored_responses.self_contained_body({}, [thought]) is None
    assert (
        stored_responses.self_contained_body({}, [{**thought, "encrypted_content": "x"}])
        is not None
    )


def test_only_given_fields_of_a_stored_request_change() -> None:
    event = b'{"type":"response.created","n":1.50,"response":{"id":"a","x":1e2}}'
    changed = stored_responses.with_response_fields(event, id="b", background=True)
    assert (
        changed
        == b'{"type":"response.created","n":1.50,"response":{"id":"b","x":1e2,"background":true}}'
    )
    assert stored_responses.with_response_fields(b'{"type":"x"}', id="b") == b'{"type":"x"}'


def test_a_broken_response_has_its_reason() -> None:
    failed_response = json.loads(
        stored_responses.failed_response(b'{"id":"a"}', Error(kind="timeout", message="late"))
    )
    assert (failed_response["status"], failed_response["error"]["message"]) == ("failed", "late")
