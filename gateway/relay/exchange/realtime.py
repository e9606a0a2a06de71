"""Sessions of OpenAI's Realtime API: the client's WebSocket, and the usage of the responses.

Each `response.done` event has the tokens of its response. They are priced one by one, because a
price can depend on the length of a prompt, and summed for the log record of the session.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

import msgspec

from gateway.canon.response import Usage
from gateway.providers.profile import Price
from gateway.relay.exchange.passthrough import PassthroughUsage
from gateway.relay.exchange.usage import MAX_TOKENS
from gateway.routing.pricing import cost


class ClientSocket(Protocol):
    """The WebSocket of a client."""

    async def receive(self) -> str | bytes | int:
        """The next message; after the last one, the code with which the client closed."""

    async def send(self, message: str | bytes) -> None:
        """Sends a message; waits while the client does not read."""

    async def close(self, code: int, reason: str = "") -> None:
        """Closes the connection."""


class _TokenDetails(msgspec.Struct):
    audio_tokens: int | None = None


class _InputDetails(msgspec.Struct):
    audio_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: _TokenDetails | None = None


class _ResponseUsage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _InputDetails | None = None
    output_token_details: _TokenDetails | None = None


class _Response(msgspec.Struct):
    usage: _ResponseUsage | None = None


class _ResponseEvent(msgspec.Struct):
    response: _Response | None = None


_decoder = msgspec.json.Decoder(_ResponseEvent)


def _clamp(count: int | None) -> int:
    return max(0, min(count or 0, MAX_TOKENS))


def parse_response_usage(event: str | bytes) -> Usage | None:
    """The usage in a `response.done` event; None if it has none.

    `native` has the audio tokens that were not read from the cache.
    """
    try:
        response = _decoder.decode(event).response
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    reported = response.usage if response is not None else None
    if reported is None or reported.input_tokens is None or reported.output_tokens is None:
        return None
    details = reported.input_token_details or _InputDetails()
    cached_details = details.cached_tokens_details or _TokenDetails()
    output_details = reported.output_token_details or _TokenDetails()
    prompt = _clamp(reported.input_tokens)
    cached = min(_clamp(details.cached_tokens), prompt)
    audio = max(0, _clamp(details.audio_tokens) - _clamp(cached_details.audio_tokens))
    native: dict[str, Any] = {
        "input_tokens_details": {"audio_tokens": audio},
        "output_tokens_details": {"audio_tokens": _clamp(output_details.audio_tokens)},
    }
    return Usage(
        input=prompt - cached,
        cache_read=cached or None,
        output=_clamp(reported.output_tokens),
        native=native,
    )


class SessionUsage:
    """The sum of the tokens and of the cost of a session's responses.

    Attributes:
        responses: how many responses have reported usage.
        cost_usd: the cost; None if that of any response is unknown.
    """

    def __init__(self, price: Price) -> None:
        self._price = price
        self._input = self._cached = self._output = 0
        self.responses = 0
        self.cost_usd: Decimal | None = Decimal(0)

    def add(self, usage: Usage) -> None:
        """Adds the usage of one response."""
        self.responses += 1
        self._input += usage.input or 0
        self._cached += usage.cache_read or 0
        self._output += usage.output or 0
        usd = cost(usage, self._price)
        self.cost_usd = None if usd is None or self.cost_usd is None else self.cost_usd + usd

    def total(self) -> PassthroughUsage:
        """Everything so far, for the log record."""
        usage = Usage(input=self._input, cache_read=self._cached or None, output=self._output)
        source = self._price.source if self.cost_usd is not None else ""
        return PassthroughUsage(usage=usage, cost=(self.cost_usd, source))
