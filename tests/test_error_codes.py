"""docs/errors.md is generated: `UPDATE_SNAPSHOTS=1 pytest tests/test_error_codes.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gateway.api.model_examples import error_example, error_reply
from gateway.canon.errors import KINDS, Error
from gateway.dialects import CLIENT_DIALECTS
from gateway.routing.candidates import CLASS_BY_KIND

TARGET = Path(__file__).resolve().parents[1] / "docs" / "errors.md"
# Kind -> what it means, and what to do.
MEANINGS = {
    "invalid_request": ("a field is missing or wrong", "correct the field that the error names"),
    "unsupported_param": (
        "the target does not accept a value in any form, or a `strict` route rejects a field",
        "leave the field out, or use another target",
    ),
    "context_length": ("prompt and response exceed the model's context", "shorten the prompt"),
    "content_policy": (
        "the provider or a [guardrail](guardrails.md) rejects the content",
        "change the content",
    ),
    "too_large": (
        "the body is larger than the limit",
        "see [request size](limits.md#request-size)",
    ),
    "method_not_allowed": ("the path has no such method", "use the method of `allow`"),
    "gateway_auth": (
        "no gateway key, or one that is not valid",
        "send a valid [gateway key](troubleshooting.md)",
    ),
    "not_found": ("no such model, response, file or path", "`GET /v1/models` lists the models"),
    "not_allowed": ("the key may not do this, or the end user is blocked", "ask an admin"),
    "client_gone": (
        "the client disconnected, or closed its sending side (a half-closed connection); "
        "only in the log",
        "raise the client's time limit",
    ),
    "rate_limit": (
        "a [limit](limits.md) of the gateway or of the provider is reached",
        "wait for `retry-after`",
    ),
    "quota": ("a budget, or the account at the provider, is used up", "raise the budget, or pay"),
    "upstream_auth": (
        "the provider rejects the gateway's credential",
        "correct the provider's key",
    ),
    "overloaded": ("the provider or the gateway has no capacity", "wait for `retry-after`"),
    "timeout": ("the provider did not answer in time", "raise the target's time limits"),
    "upstream_error": ("the provider failed, or cannot be reached", "see the attempts in the log"),
    "malformed_output": ("the provider's response violates its API", "try again, or report it"),
}
# Dialect -> heading, an endpoint, and the path to the error's own code in its body.
APIS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "openai_chat": ("OpenAI", "/v1/chat/completions", ("error", "code")),
    "anthropic_messages": ("Anthropic", "/v1/messages", ("error", "type")),
    "gemini": ("Gemini", "/v1beta/models/{id}:generateContent", ("error", "status")),
    "bedrock_converse": ("Bedrock", "/model/{id}/converse", ()),
    "cohere": ("Cohere", "/v2/chat", ()),
    "ollama": ("Ollama", "/api/chat", ()),
}

_HEAD = """# Error codes

An error has the status and the format of the client's API, regardless of the provider. Its *kind* is the same for all
APIs. The [request log](request-log.md) shows it (search for `error:rate_limit`), it is a label of the metric
`dragoman_upstream_errors_total`, and the conditions of a [route](routing.md#retries)'s steps and retries refer to it.
[Troubleshooting](troubleshooting.md) lists the messages, with causes and solutions.

"Next target" says whether the gateway tries another target of the route before it returns the error. "A step for" means:
only if a step or a fallback route has this kind as a condition. After the first byte of a stream, the status is 200, and
the error is the last event.

"""
_TAIL = """
## Fields of an error

- The message says what is wrong, and names the field, limit, model or key. It never contains a credential.
- To find the request in the log, search for the `x-request-id`. `retry-after` is the number of seconds after which the
  request can succeed; it is omitted if waiting does not help.
- `x-should-retry: false` stops the retries of OpenAI's and Anthropic's SDKs where a retry cannot succeed, for example
  for an exhausted budget.
- OpenAI's code of a 404 is `model_not_found` for a model, `unknown_url` for a path, and `null` for any other object.
- A provider's 401 and 403 become `upstream_auth` (502 or 500): the client's key is not at fault.

The [management API](api.md#errors) under `/api/` has a format of its own.
"""


def page() -> str:
    """Return the text of the page."""
    rows = [
        f"| `{kind}` | {MEANINGS[kind][0]} | {_next_target(kind)} | {MEANINGS[kind][1]} |"
        for kind in KINDS
    ]
    kinds = "\n".join(["| kind | meaning | next target | what to do |", "|---|---|---|---|", *rows])
    titles = " | ".join(title for title, _path, _code in APIS.values())
    codes = [
        f"| `{kind}` | " + " | ".join(_code(dialect, kind) for dialect in APIS) + " |"
        for kind in KINDS
        if kind != "client_gone"
    ]
    table = "\n".join([f"| kind | {titles} |", "|---|" + "---|" * len(APIS), *codes])
    bodies = "\n\n".join(
        f"### {title}\n\n```json\n{json.dumps(error_example(path), indent=2)}\n```"
        for title, path, _code in APIS.values()
    )
    return (
        f"{_HEAD}## Kinds\n\n{kinds}\n\n## Status and code by API\n\nOpenAI is Chat Completions, Responses, "
        f"Completions and Embeddings.\n\n{table}\n\n## Bodies\n\nA rate limit in each API:\n\n{bodies}\n{_TAIL}"
    )


def _next_target(kind: str) -> str:
    if KINDS[kind].retryable:
        return "yes"
    return f"a step for `{CLASS_BY_KIND[kind]}`" if kind in CLASS_BY_KIND else "no"


def _code(dialect: str, kind: str) -> str:
    """Return status and code of a kind as a table cell."""
    reply = error_reply(dialect, Error(kind=kind, message="m", param="model"))
    if aws_type := reply.headers.get("x-amzn-errortype"):
        return f"{reply.status} `{aws_type}`"
    path = APIS[dialect][2]
    if not path:
        return str(reply.status)
    if path[0] not in reply.body:
        # Gemini's response to a blocked prompt is no error.
        return f"{reply.status} `{next(iter(reply.body))}`"
    code = reply.body[path[0]][path[1]]
    return f"{reply.status} `{code}`" if code else str(reply.status)


def test_the_error_code_page_is_current() -> None:
    if os.environ.get("UPDATE_SNAPSHOTS"):
        TARGET.write_text(page(), encoding="utf-8")
    assert TARGET.read_text(encoding="utf-8") == page()


def test_every_client_api_is_on_the_page() -> None:
    """The other APIs of OpenAI have the errors of Chat Completions."""
    others = {name for name in CLIENT_DIALECTS if name not in APIS}
    error = Error(kind="quota", message="m", param="messages[0]")
    assert all(error_reply(name, error) == error_reply("openai_chat", error) for name in others)
