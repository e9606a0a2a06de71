"""One call to the gateway, as a client makes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from console.client_files.clients import Connection
from console.gateway_client import GatewayClient, GatewayError

_PROMPT = "Reply with one word: hello."
_MESSAGES = [{"role": "user", "content": _PROMPT}]


def list_models(connection: Connection) -> list[str]:
    """The models that the key may use. Raises GatewayError."""
    models_response = _call_gateway(connection, "/v1/models")
    return [str(model["id"]) for model in models_response.get("data", [])]


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
    _call_gateway(connection, path, body)


def _call_gateway(connection: Connection, path: str, body: Any = None) -> Any:
    content, _ = GatewayClient(connection.base_url, connection.key).call(path, body)
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        raise GatewayError(
            f"{connection.base_url} is not a gateway: its response is not JSON"
        ) from None
