"""`peek_usage` returns the same usage as the full parser, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages import DIALECT
from gateway.dialects.anthropic_messages.response import peek_usage

RESPONSE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 3},
}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


def peeked_usage(**changes: Any) -> Any:
    return peek_usage(json.dumps({**RESPONSE, **changes}).encode())


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "content": st.lists(st.sampled_from([{"type": "text", "text": "a"}, CALL]), max_size=3),
            "stop_reason": st.sampled_from(
                ["end_turn", "tool_use", "max_tokens", "refusal", "stop_sequence", "new"]
            ),
            "stop_sequence": st.sampled_from([None, "END"]),
            "usage": st.sampled_from([None, {}, {"input_tokens": 1}, {"output_tokens": 0}]),
        },
    )
)
def test_the_result_equals_a_full_parse(changes: dict[str, Any]) -> None:
    response = peeked_usage(**changes)
    parsed_response = DIALECT.provider.parse_response({**RESPONSE, **changes}, Traits(), None)
    assert response is not None
    assert (response.id, response.model) == (parsed_response.id, parsed_response.model)
    assert response.finish == parsed_response.finish
    assert response.usage == parsed_response.usage


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"type":"error","error":{"type":"api_error","message":"x"}}',
        json.dumps({**RESPONSE, "content": "text"}).encode(),
        json.dumps({**RESPONSE, "stop_reason": None}).encode(),
        json.dumps({**RESPONSE, "error": {}}).encode(),
        b'{"content":' + b"[" * 5000,
    ],
)
def test_unusual_bodies_are_parsed_completely(body: bytes) -> None:
    assert peek_usage(body) is None
