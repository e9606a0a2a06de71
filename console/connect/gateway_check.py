"""One call to the gateway, as a client makes it."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import msgspec

from console.connect.clients import Connection
from console.evaluate.chat import read_error

TIMEOUT_S = 120.0
_PROMPT = "Reply with one word: hello."
_MESSAGES = [{"role": "user", "content": _PROMPT}]


class GatewayError(Exception):
    """The gateway cannot be used; the message says why."""


def list_models(connection: Connection) -> list[str]:
    """The models that the key may use. Raises GatewayError."""
    listed = _call(connection, "/v1/models", None)
    return [str(model["id"]) for model in listed.get("data", [])]


def call_model(connection: Connection, dialect: str) -> None:
    """Send one short request in the client's API. Raises GatewayError."""
    model = connection.model
    path, body = {
        "anthropic_messages": (
            "/v1/messages",
            {"model": model, "max_tokens": 256, "messages": _MESSAGES},
        ),
        "openai_responses": ("/v1/responses", {"model": model, "input": _PROMPT, "store": False}),
        "openai_chat": ("/v1/chat/completions", {"model": model, "messages": _MESSAGES}),
        "gemini": (
            f"/v1beta/models/{quote(model, safe='')}:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": _PROMPT}]}]},
        ),
    }[dialect]
    _call(connection, path, msgspec.json.encode(body))


def _call(connection: Connection, path: str, body: bytes | None) -> Any:
    headers = {
        "authorization": f"Bearer {connection.key}",
        "content-type": "application/json",
        "user-agent": "dragoman-connect",
    }
    request = Request(f"{connection.base_url}{path}", data=body, headers=headers)  # noqa: S310
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - checked by the command
            return msgspec.json.decode(response.read())
    except HTTPError as error:
        raise GatewayError(read_error(error.read(), error.code)) from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise GatewayError(f"cannot reach {connection.base_url}: {reason}") from None
    except msgspec.DecodeError:
        raise GatewayError(f"{connection.base_url} is no gateway: its answer is not JSON") from None
