"""An `error` event of an upstream's stream: its message reaches the client in any form."""

from __future__ import annotations

import pytest

from gateway.canon.events import Failed
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.framing.sse import Frame

SSE_DIALECTS = [
    "anthropic_messages",
    "cohere",
    "gemini",
    "openai_chat",
    "openai_completions",
    "openai_responses",
]
MESSAGES = {
    "plain text": (b"the engine is out of memory", "the engine is out of memory"),
    "a JSON string": (b'"the engine is out of memory"', "the engine is out of memory"),
    "a field": (b'{"message": "out of memory"}', "out of memory"),
    "the error": (b'{"error": "out of memory"}', "out of memory"),
    "a field of the error": (b'{"error": {"message": "out of memory"}}', "out of memory"),
    "an unknown field": (b'{"reason": "out of memory"}', '{"reason": "out of memory"}'),
    "an unknown field of the error": (
        b'{"type": "error", "error": {"reason": "out of memory"}}',
        '{"type": "error", "error": {"reason": "out of memory"}}',
    ),
}


@pytest.mark.parametrize("dialect", SSE_DIALECTS)
@pytest.mark.parametrize("form", MESSAGES)
def test_the_message_of_an_error_event_reaches_the_client(dialect: str, form: str) -> None:
    data, message = MESSAGES[form]
    parser = DIALECTS[dialect].provider.stream_parser(Traits(), None)
    events = parser.feed(Frame("error", data))
    assert isinstance(events[-1], Failed)
    assert events[-1].error.message == message
    assert parser.close() == []


@pytest.mark.parametrize("dialect", SSE_DIALECTS)
def test_the_text_of_an_error_event_decides_its_kind(dialect: str) -> None:
    parser = DIALECTS[dialect].provider.stream_parser(Traits(), None)
    failed = parser.feed(Frame("error", b"This model's maximum context length is 8192 tokens"))[-1]
    assert isinstance(failed, Failed)
    assert failed.error.kind == "context_length"


def test_an_exception_of_bedrock_keeps_its_text() -> None:
    parser = DIALECTS["bedrock_converse"].provider.stream_parser(Traits(), None)
    failed = parser.feed(Frame("throttlingException", b"Too many requests"))[-1]
    assert isinstance(failed, Failed)
    assert (failed.error.kind, failed.error.message) == ("rate_limit", "Too many requests")
