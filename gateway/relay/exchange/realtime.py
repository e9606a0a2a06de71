"""Sessions of OpenAI's Realtime API: the client's WebSocket, and the usage of the responses.

Each `response.done` event has the tokens of its response. They are priced one by one, because a
price can depend on the length of a prompt, and summed for the log record of the session. The
transcription of the client's audio runs on a model of its own, with that model's price.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

import msgspec

from gateway.canon.response import Usage
from gateway.providers.prices import price_for
from gateway.providers.profile import Price
from gateway.providers.unit_prices import unit_price_for
from gateway.relay.exchange.passthrough import (
    PassthroughUsage,
    parse_passthrough_usage,
    passthrough_cost,
)
from gateway.relay.exchange.usage import MAX_TOKENS
from gateway.routing.pricing import cost


class ClientSocket(Protocol):
    """The WebSocket of a client."""

    async def receive(self) -> str | bytes | int:
        """The next message; after the last one, the code with which the client closed."""

    async def send(self, message: str | bytes) -> None:
        """Send a message; wait while the client does not read."""

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection."""


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


def _clamp_tokens(count: int | None) -> int:
    return max(0, min(count or 0, MAX_TOKENS))


def parse_response_usage(event: str | bytes) -> Usage | None:
    """The usage in a `response.done` event; None if it has none.

    `native` has the audio tokens that were not read from the cache.
    """
    try:
        response = _decoder.decode(event).response
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    reported_usage = response.usage if response is not None else None
    if (
        reported_usage is None
        or reported_usage.input_tokens is None
        or reported_usage.output_tokens is None
    ):
        return None
    details = reported_usage.input_token_details or _InputDetails()
    cached_details = details.cached_tokens_details or _TokenDetails()
    output_details = reported_usage.output_token_details or _TokenDetails()
    prompt = _clamp_tokens(reported_usage.input_tokens)
    cached_tokens = min(_clamp_tokens(details.cached_tokens), prompt)
    audio = max(0, _clamp_tokens(details.audio_tokens) - _clamp_tokens(cached_details.audio_tokens))
    native: dict[str, Any] = {
        "input_tokens_details": {"audio_tokens": audio},
        "output_tokens_details": {"audio_tokens": _clamp_tokens(output_details.audio_tokens)},
    }
    return Usage(
        input=prompt - cached_tokens,
        cache_read=cached_tokens or None,
        output=_clamp_tokens(reported_usage.output_tokens),
        native=native,
    )


class _Transcription(msgspec.Struct):
    model: str | None = None


class _AudioInput(msgspec.Struct):
    transcription: _Transcription | None = None


class _Audio(msgspec.Struct):
    input: _AudioInput | None = None


class _SessionSettings(msgspec.Struct):
    audio: _Audio | None = None
    # Its place in the beta version of the API.
    input_audio_transcription: _Transcription | None = None


class _SessionEvent(msgspec.Struct):
    session: _SessionSettings | None = None


_session_decoder = msgspec.json.Decoder(_SessionEvent)


def parse_transcription_model(event: str | bytes) -> str:
    """The model that transcribes the client's audio, in a `session.*` event; empty for none."""
    try:
        session = _session_decoder.decode(event).session
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    if session is None:
        return ""
    audio_input = session.audio.input if session.audio is not None else None
    current = audio_input.transcription if audio_input is not None else None
    transcription = current or session.input_audio_transcription
    return (transcription.model or "") if transcription is not None else ""


def transcription_cost(event: str | bytes, preset: str, model: str) -> Decimal | None:
    """The cost of a completed transcription, in US dollars; None if it is unknown."""
    data = event.encode("utf-8", "replace") if isinstance(event, str) else event
    usage = parse_passthrough_usage("audio/transcriptions", data)
    if usage is None or not model:
        return None
    return passthrough_cost(usage, price_for(preset, model), unit_price_for(preset, model))[0]


class SessionUsage:
    """The sum of the tokens and of the cost of a session's responses, and of transcriptions.

    Attributes:
        reports: how many responses and transcriptions have reported usage.
        cost_usd: the cost; None if any part of it is unknown.
        known_cost_usd: the part of the cost that is known, which budgets count meanwhile.
    """

    def __init__(self, price: Price) -> None:
        self._price = price
        self._input = self._cached = self._output = 0
        self.reports = 0
        self.cost_usd: Decimal | None = Decimal(0)
        self.known_cost_usd = Decimal(0)

    def add(self, usage: Usage) -> None:
        """Add the usage of one response."""
        self._input += usage.input or 0
        self._cached += usage.cache_read or 0
        self._output += usage.output or 0
        self.add_cost(cost(usage, self._price))

    def add_cost(self, usd: Decimal | None) -> None:
        """Add the cost of one response or transcription; None if it is unknown."""
        self.reports += 1
        self.cost_usd = None if usd is None or self.cost_usd is None else self.cost_usd + usd
        self.known_cost_usd += usd or 0

    def total(self) -> PassthroughUsage:
        """The usage and cost of the session up to now, for the log record.

        If only a part of the cost is known, that is the cost, and its source says so: otherwise
        an unknown transcription model would hide the session from budgets.
        """
        usage = Usage(input=self._input, cache_read=self._cached or None, output=self._output)
        usd, source = self.cost_usd, self._price.source
        if usd is None and self.known_cost_usd:
            usd, source = self.known_cost_usd, f"{source}; the price of a part is unknown"
        return PassthroughUsage(usage=usage, cost=(usd, source if usd is not None else ""))
