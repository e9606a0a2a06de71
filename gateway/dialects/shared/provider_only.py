"""The client adapter of a dialect that is used with providers only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import KINDS, Error, GatewayError, invalid
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.dialects.base import ErrorReply, ResponseContext, StreamRenderer


class ProviderOnlyClient:
    """Refuses every call of a client adapter by the dialect's name, except `render_error`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _refuse(self) -> NoReturn:
        raise self._error()

    def _error(self) -> GatewayError:
        return invalid(
            f"`{self._name}` is available for providers only; clients must use another dialect"
        )

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        """Raises GatewayError."""
        self._refuse()

    def render_response(
        self, response: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        """Raises GatewayError."""
        self._refuse()

    def stream_renderer(self, context: ResponseContext) -> StreamRenderer:
        """Raises GatewayError."""
        self._refuse()

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        """The error as JSON, for the console's translation examples."""
        inner = {"message": error.message, "type": error.kind}
        return ErrorReply(status=KINDS[error.kind].status, body={"error": inner})

    def render_count(self, tokens: int) -> dict[str, Any]:
        """Raises GatewayError."""
        self._refuse()
