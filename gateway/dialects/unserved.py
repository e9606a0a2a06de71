"""The client half of a dialect that is only called: no client speaks it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import KINDS, Error, GatewayError, invalid
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.dialects.base import ErrorReply, Exchange, StreamRenderer


class Unserved:
    """Refuses, by name, what a client half does, but for telling of errors."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _refuse(self) -> NoReturn:
        raise self._error()

    def _error(self) -> GatewayError:
        return invalid(f"`{self._name}` is spoken to providers only; clients use another dialect")

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        """Raises GatewayError."""
        self._refuse()

    def render_response(
        self, response: Response, exchange: Exchange
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        """Raises GatewayError."""
        self._refuse()

    def stream_renderer(self, exchange: Exchange) -> StreamRenderer:
        """Raises GatewayError."""
        self._refuse()

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        """The error in plain words, for whoever asks about an example."""
        inner = {"message": error.message, "type": error.kind}
        return ErrorReply(status=KINDS[error.kind].status, body={"error": inner})

    def render_count(self, tokens: int) -> dict[str, Any]:
        """Raises GatewayError."""
        self._refuse()
