"""Parsing complete responses: the common one, a single text, is read without a stream."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.openai_chat import DIALECT
from tests.dialects.openai_chat.make import parse_chunks, traits

CITATION = {"type": "url_citation", "url_citation": {"url": "https://x/y"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def response_body(message: dict[str, Any], choice: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a response with the text `hi` and these fields."""
    message = {"role": "assistant", "content": "hi", **message}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **choice}
    return {"id": "r", "model": "m", "created": 7, "choices": [choice], **fields}


@pytest.mark.parametrize(
    ("message", "choice", "fields"),
    [
        ({}, {}, {}),
        ({"refusal": None, "annotations": [], "tool_calls": []}, {}, {"usage": USAGE}),
        ({"refusal": "no"}, {}, {}),
        ({"reasoning": "why"}, {}, {}),
        ({"reasoning_content": "why"}, {}, {}),
        ({"reasoning_details": [{"type": "reasoning.text", "signature": "s"}]}, {}, {}),
        ({"annotations": [CITATION]}, {}, {}),
        ({"audio": {"data": "x"}}, {}, {}),
        ({"images": [{"type": "image_url"}]}, {}, {}),
        ({"tool_calls": [CALL]}, {"finish_reason": "tool_calls"}, {}),
        ({"function_call": CALL["function"]}, {}, {}),
        ({"content": ""}, {}, {}),
        ({"content": [{"type": "text", "text": "hi"}]}, {}, {}),
        ({}, {"finish_reason": "length"}, {"service_tier": "priority"}),
        ({}, {"stop_reason": "###"}, {}),
        ({}, {"delta": {"content": "other"}}, {}),
        ({}, {"logprobs": {"content": [{"token": "hi", "logprob": -1.0}]}}, {}),
        ({}, {}, {"citations": ["https://x/y"]}),
        ({}, {}, {"search_results": [{"url": "https://x/y", "title": "t"}]}),
        ({}, {}, {"x_groq": {"usage": USAGE}}),
        ({}, {}, {"id": None, "model": 3, "created": True, "usage": {}, "service_tier": 1}),
    ],
)
def test_a_complete_response_equals_a_stream_with_its_message(
    message: dict[str, Any], choice: dict[str, Any], fields: dict[str, Any]
):
    body = response_body(message, choice, **fields)
    assert DIALECT.provider.parse_response(body, traits(), None) == parse_chunks(body)
