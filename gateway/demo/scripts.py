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
    Script(
        name="demo", about="Answers, calls tools, fills schemas; reasons if the request enables it."
    ),
    Script(name="demo-fast", about="Like `demo`, without pauses.", pace_ms=0.0),
    Script(
        name="demo-slow",
        about="Like `demo`, at about six chunks per second.",
        pace_ms=150.0,
        first_ms=400.0,
    ),
    Script(name="demo-reasoning", about="Shows its reasoning before it answers.", reasons=True),
    Script(
        name="demo-slow-first-token",
        about="Waits four seconds before it answers.",
        first_ms=4_000.0,
    ),
    Script(
        name="demo-429",
        about="Always returns a rate limit error with a retry delay of two seconds.",
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
        about="Always returns a quota error.",
        refusal=Refusal(
            status=429,
            type="insufficient_quota",
            code="insufficient_quota",
            message="You exceeded your current quota; a demo model never gets more.",
        ),
    ),
    Script(
        name="demo-500",
        about="Always returns an internal server error.",
        refusal=Refusal(
            status=500,
            type="server_error",
            message="The demo server had an error while processing your request.",
        ),
    ),
    Script(
        name="demo-overloaded",
        about="Always returns an overload error.",
        refusal=Refusal(
            status=503,
            type="server_error",
            code="server_is_overloaded",
            message="The demo server is overloaded. Please try again later.",
        ),
    ),
    Script(
        name="demo-context",
        about="Rejects every prompt as too long.",
        refusal=Refusal(
            status=400,
            type="invalid_request_error",
            code="context_length_exceeded",
            message="This model's maximum context length is 8 tokens; your messages are longer.",
        ),
    ),
    Script(
        name="demo-401",
        about="Always rejects its credential.",
        refusal=Refusal(
            status=401,
            type="invalid_request_error",
            code="invalid_api_key",
            message="Incorrect API key provided to the demo server.",
        ),
    ),
    Script(
        name="demo-cut", about="Closes the connection in the middle of the answer.", breaks="cut"
    ),
    Script(
        name="demo-error-midway",
        about="Reports an error in the middle of the answer.",
        breaks="error",
    ),
    Script(name="demo-stall", about="Stops sending in the middle of the answer.", breaks="stall"),
    Script(name="demo-html", about="Returns status 200 with an HTML page.", says="html"),
    Script(name="demo-empty", about="Returns an empty answer.", says="nothing"),
    Script(name="demo-length", about="Stops halfway at the token limit.", says="half"),
    Script(name="demo-refusal", about="Refuses to answer.", says="refusal"),
    Script(
        name="demo-bad-tool-json",
        about="Calls a tool with arguments that are not JSON.",
        tools="malformed",
    ),
    Script(
        name="demo-bad-tool-arguments",
        about="Calls a tool with arguments that violate its schema.",
        tools="against_schema",
    ),
    Script(
        name="demo-wrong-tool",
        about="Calls a tool that the request does not contain.",
        tools="unknown",
    ),
    Script(
        name="demo-bad-schema",
        about="Returns structured output that violates the schema.",
        schema="broken",
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
        about="Returns a configured text.",
        pace_ms=0.0,
        says="mock_response",
        mock_response=text,
    )
