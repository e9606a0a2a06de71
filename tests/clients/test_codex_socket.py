"""The messages of Codex over its WebSocket, and its behavior on errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import Unavailable
from tests.clients.running import run_client
from tests.clients.table import CLIENTS
from tests.clients.upstreams import GatewayStack
from tests.clients.verdict import find_fault
from tests.clients.websocket_proxy import Event, WebSocketProxy, websocket_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.timeout(1500)]

CODEX = CLIENTS["codex-socket"]
# The provider of its own dialect, and two foreign ones.
EACH = pytest.mark.parametrize("upstream", ["responses", "messages", "gemini"])


@pytest.fixture
def proxy(stack: GatewayStack) -> Iterator[WebSocketProxy]:
    with websocket_proxy(stack.gateway.url) as running_proxy:
        yield running_proxy


def drives(
    proxy: WebSocketProxy, stack: GatewayStack, home: Path, route: str, scenario: str
) -> dict[str, Any]:
    """Return what Codex received in one scenario."""
    stack.teach(CODEX.shell)
    try:
        results = run_client(CODEX, proxy.url, stack.gateway.key, home, {route: (scenario,)})
    except Unavailable as error:
        pytest.skip(str(error))
    return results.results_by_route[route][scenario]


def is_delta(event: Event) -> bool:
    return bool(event["type"] == "response.output_text.delta")


@EACH
def test_a_prepared_turn_is_continued_with_new_items(
    proxy: WebSocketProxy, stack: GatewayStack, tmp_path: Path, upstream: str
) -> None:
    assert not find_fault("tools", drives(proxy, stack, tmp_path, CODEX.names[upstream], "tools"))
    ready, first, second = proxy.client_events
    ids = [e["response"]["id"] for e in proxy.gateway_events if e["type"] == "response.completed"]
    assert ready["generate"] is False
    assert [first["previous_response_id"], second["previous_response_id"]] == ids[:2]
    assert "What is the weather in Paris and Rome?" in json.dumps(first["input"])
    kinds = [item["type"] for item in second["input"]]
    assert kinds == ["function_call_output", "function_call_output"]
    # What Codex did not send again, the provider got all the same.
    body = json.loads(stack.servers[upstream].requests[-1].raw)
    assert "What is the weather in Paris and Rome?" in json.dumps(body)


@EACH
def test_a_broken_connection_is_reopened(
    proxy: WebSocketProxy, stack: GatewayStack, tmp_path: Path, upstream: str
) -> None:
    proxy.breaks = is_delta
    assert not find_fault("tools", drives(proxy, stack, tmp_path, CODEX.names[upstream], "tools"))
    assert proxy.breaks is None
    texts = [json.dumps(request["input"]) for request in proxy.client_events]
    second = [text for text in texts if "What is the weather in Paris and Rome?" in text]
    assert len(second) == 2


def test_codex_shows_an_error_of_the_gateway(
    proxy: WebSocketProxy, stack: GatewayStack, tmp_path: Path
) -> None:
    assert "no-such-route" in drives(proxy, stack, tmp_path, "no-such-route", "text")["failed"]
