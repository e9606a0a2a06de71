"""Behaviour of the demo models: one row per model name.

A pace may follow the name: `demo@50ms` waits 50 ms between chunks of text.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

MAX_PACE_MS = 10_000.0
_NAME = re.compile(r"(?P<name>[^@]+)(?:@(?P<pace>\d+(?:\.\d+)?)(?P<unit>ms|s))?")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An error response, formatted as by an OpenAI-compatible server."""

    status: int
    type: str
    message: str
    code: str | None = None
    retry_after_s: int | None = None


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The behaviour of one demo model.

    Attributes:
        about: a description, for the person who chooses it.
        pace_ms: the wait between two chunks of a stream.
        first_ms: the wait before the first byte of a response.
        reasons: whether it reasons first, even without a reasoning effort.
        refusal: respond with this error instead.
        breaks: the failure in the middle of the response: `cut` closes the
            connection, `error` sends an error event, `stall` sends nothing for an hour.
        says: the text: the usual demo text, nothing, HTML instead of JSON,
            half an answer (finish `length`), a refusal by the model, or `mock_response`.
        mock_response: that text.
        tools: how it calls tools: correctly, with invalid JSON as arguments, with
            arguments that violate the schema, or by an unknown name.
        schema: whether structured output follows the schema.
    """

    name: str
    about: str
    pace_ms: float = 15.0
    first_ms: float = 0.0
    reasons: bool = False
    refusal: Refusal | None = None
    breaks: Literal["", "cut", "error", "stall"] = ""
    says: Literal["demo", "nothing", "html", "half", "refusal", "mock_response"] = "demo"
    mock_response: str = ""
    tools: Literal["well", "malformed", "against_schema", "unknown"] = "well"
    schema: Literal["well", "broken"] = "well"


_ROWS = (
    Script(name="demo", about="Answers, calls tools, fills schemas; thinks when asked to."),
    Script(name="demo-fast", about="The same without any pause.", pace_ms=0.0),
    Script(
        name="demo-slow",
        about="The same at about six pieces a second.",
        pace_ms=150.0,
        first_ms=400.0,
    ),
    Script(name="demo-reasoning", about="Thinks aloud before it answers.", reasons=True),
    Script(
        name="demo-slow-first-token",
        about="Says nothing for four seconds, then answers.",
        first_ms=4_000.0,
    ),
    Script(
        name="demo-429",
        about="Always over its rate limit; asks to wait two seconds.",
        refusal=Refusal(
            status=429,
            type="rate_limit_error",
            code="rate_limit_exceeded",
            message="Rate limit reached for this demo model. Please try again in 2s.",
            retry_after_s=2,
        ),
    ),
    Script(
        name="demo-quota",
        about="Its account has no credit left.",
        refusal=Refusal(
            status=429,
            type="insufficient_quota",
            code="insufficient_quota",
            message="You exceeded your current quota; a demo model never gets more.",
        ),
    ),
    Script(
        name="demo-500",
        about="Always fails with an internal error.",
        refusal=Refusal(
            status=500,
            type="server_error",
            message="The demo server had an error while processing your request.",
        ),
    ),
    Script(
        name="demo-overloaded",
        about="Always overloaded.",
        refusal=Refusal(
            status=503,
            type="server_error",
            code="server_is_overloaded",
            message="The demo server is overloaded. Please try again later.",
        ),
    ),
    Script(
        name="demo-context",
        about="Every prompt is too long for it.",
        refusal=Refusal(
            status=400,
            type="invalid_request_error",
            code="context_length_exceeded",
            message="This model's maximum context length is 8 tokens; your messages are longer.",
        ),
    ),
    Script(
        name="demo-401",
        about="Does not accept its credential.",
        refusal=Refusal(
            status=401,
            type="invalid_request_error",
            code="invalid_api_key",
            message="Incorrect API key provided to the demo server.",
        ),
    ),
    Script(name="demo-cut", about="The connection breaks in mid-answer.", breaks="cut"),
    Script(name="demo-error-midway", about="Reports an error in mid-answer.", breaks="error"),
    Script(name="demo-stall", about="Goes silent in mid-answer.", breaks="stall"),
    Script(name="demo-html", about="Answers 200 with a web page.", says="html"),
    Script(name="demo-empty", about="Answers with no text at all.", says="nothing"),
    Script(name="demo-length", about="Stops half way, out of tokens.", says="half"),
    Script(name="demo-refusal", about="Declines to answer.", says="refusal"),
    Script(
        name="demo-bad-tool-json",
        about="Calls a tool with arguments that are not JSON.",
        tools="malformed",
    ),
    Script(
        name="demo-bad-tool-arguments",
        about="Calls a tool with arguments against its schema.",
        tools="against_schema",
    ),
    Script(name="demo-wrong-tool", about="Calls a tool that was not offered.", tools="unknown"),
    Script(
        name="demo-bad-schema", about="Structured output that breaks the schema.", schema="broken"
    ),
)

SCRIPTS: dict[str, Script] = {row.name: row for row in _ROWS}
MODELS: tuple[str, ...] = tuple(SCRIPTS)


def script_for(model: str) -> Script | None:
    """Return the script of a model name, with the pace after its `@`; None if unknown."""
    match = _NAME.fullmatch(model)
    script = SCRIPTS.get(match["name"]) if match else None
    if script is None or match is None or match["pace"] is None:
        return script
    pace_ms = float(match["pace"]) * (1000.0 if match["unit"] == "s" else 1.0)
    return msgspec.structs.replace(script, pace_ms=min(pace_ms, MAX_PACE_MS))


# LiteLLM's names of errors in `mock_response` -> the demo model with that error.
_MOCKED = {
    "litellm.RateLimitError": "demo-429",
    "litellm.InternalServerError": "demo-500",
    "litellm.ContextWindowExceededError": "demo-context",
}


def mocked(text: str) -> Script:
    """Return a script that always answers with this text."""
    if (name := _MOCKED.get(text)) is not None:
        return SCRIPTS[name]
    return Script(
        name="mock",
        about="Says what it is told.",
        pace_ms=0.0,
        says="mock_response",
        mock_response=text,
    )
