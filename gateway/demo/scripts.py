"""Behavior of the demo models: one row per model name.

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
    """The behavior of one demo model.

    Attributes:
        description: a description, for the person who chooses it.
        pace_ms: the wait between two chunks of a stream.
        first_ms: the wait before the first byte of a response.
        always_reasons: whether it reasons first, even without a reasoning effort.
        refusal: respond with this error instead.
        interruption: the failure in the middle of the response: `cut` closes the
            connection, `error` sends an error event, `stall` sends nothing for an hour.
        output: the content: the usual demo text, nothing, HTML instead of JSON,
            a truncated text (finish `length`), a refusal by the model, or `mock_response`.
        mock_response: the text of the output `mock_response`.
        tools: how it calls tools: correctly, with invalid JSON as arguments, with
            arguments that violate the schema, or by an unknown name.
        schema: whether structured output follows the schema.
    """

    name: str
    description: str
    pace_ms: float = 15.0
    first_ms: float = 0.0
    always_reasons: bool = False
    refusal: Refusal | None = None
    interruption: Literal["", "cut", "error", "stall"] = ""
    output: Literal["demo", "nothing", "html", "truncated", "refusal", "mock_response"] = "demo"
    mock_response: str = ""
    tools: Literal["valid", "malformed", "schema_violation", "unknown"] = "valid"
    schema: Literal["valid", "invalid"] = "valid"


_ROWS = (
    Script(
        name="demo",
        description="Answers, calls tools, fills schemas; reasons if the request enables it.",
    ),
    Script(name="demo-fast", description="Like `demo`, without pauses.", pace_ms=0.0),
    Script(
        name="demo-slow",
        description="Like `demo`, at about six chunks per second.",
        pace_ms=150.0,
        first_ms=400.0,
    ),
    Script(
        name="demo-reasoning",
        description="Shows its reasoning before it answers.",
        always_reasons=True,
    ),
    Script(
        name="demo-slow-first-token",
        description="Waits four seconds before it answers.",
        first_ms=4_000.0,
    ),
    Script(
        name="demo-429",
        description="Always returns a rate limit error with a retry delay of two seconds.",
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
        description="Always returns a quota error.",
        refusal=Refusal(
            status=429,
            type="insufficient_quota",
            code="insufficient_quota",
            message="You exceeded your current quota; a demo model never gets more.",
        ),
    ),
    Script(
        name="demo-500",
        description="Always returns an internal server error.",
        refusal=Refusal(
            status=500,
            type="server_error",
            message="The demo server had an error while processing your request.",
        ),
    ),
    Script(
        name="demo-overloaded",
        description="Always returns an overload error.",
        refusal=Refusal(
            status=503,
            type="server_error",
            code="server_is_overloaded",
            message="The demo server is overloaded. Please try again later.",
        ),
    ),
    Script(
        name="demo-context",
        description="Rejects every prompt as too long.",
        refusal=Refusal(
            status=400,
            type="invalid_request_error",
            code="context_length_exceeded",
            message="This model's maximum context length is 8 tokens; your messages are longer.",
        ),
    ),
    Script(
        name="demo-401",
        description="Always rejects its credential.",
        refusal=Refusal(
            status=401,
            type="invalid_request_error",
            code="invalid_api_key",
            message="Incorrect API key provided to the demo server.",
        ),
    ),
    Script(
        name="demo-cut",
        description="Closes the connection in the middle of the response.",
        interruption="cut",
    ),
    Script(
        name="demo-error-midway",
        description="Reports an error in the middle of the response.",
        interruption="error",
    ),
    Script(
        name="demo-stall",
        description="Stops sending in the middle of the response.",
        interruption="stall",
    ),
    Script(name="demo-html", description="Returns status 200 with an HTML page.", output="html"),
    Script(name="demo-empty", description="Returns an empty response.", output="nothing"),
    Script(name="demo-length", description="Stops halfway at the token limit.", output="truncated"),
    Script(name="demo-refusal", description="Refuses to answer.", output="refusal"),
    Script(
        name="demo-bad-tool-json",
        description="Calls a tool with arguments that are not JSON.",
        tools="malformed",
    ),
    Script(
        name="demo-bad-tool-arguments",
        description="Calls a tool with arguments that violate its schema.",
        tools="schema_violation",
    ),
    Script(
        name="demo-wrong-tool",
        description="Calls a tool that the request does not contain.",
        tools="unknown",
    ),
    Script(
        name="demo-bad-schema",
        description="Returns structured output that violates the schema.",
        schema="invalid",
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
_MODEL_BY_MOCK_ERROR = {
    "litellm.RateLimitError": "demo-429",
    "litellm.InternalServerError": "demo-500",
    "litellm.ContextWindowExceededError": "demo-context",
}


def mock_script(text: str) -> Script:
    """Return a script that always answers with this text."""
    if (name := _MODEL_BY_MOCK_ERROR.get(text)) is not None:
        return SCRIPTS[name]
    return Script(
        name="mock",
        description="Returns a configured text.",
        pace_ms=0.0,
        output="mock_response",
        mock_response=text,
    )
