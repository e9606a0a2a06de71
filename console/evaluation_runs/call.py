"""One Chat request of an evaluation through the relay, like that of a client."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from console.evaluate.chat import DIALECT, read_response
from console.evaluate.responses import ModelResponse
from console.playground.budget import EVALUATION_KEY_PREFIX
from gateway.canon.events import Event
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.run.playground_calls import run_playground_call
from gateway.relay.runtime import Runtime

Json = dict[str, Any]


class _ResponseBody:
    """Collects the body of the response as a client would receive it."""

    def __init__(self) -> None:
        self.content = b""

    def on_attempt(self, attempt: Attempt) -> None: ...

    def on_events(self, events: list[Event]) -> None: ...

    def on_bytes(self, data: bytes) -> None:
        self.content += data

    def on_settled(self, record: LogRecord) -> None: ...


async def send_chat(runtime: Runtime, body: Json, session: str) -> ModelResponse:
    """Send a request and return its response; a failure is in `error`.

    The session counts the cost toward the budget of its user.
    """
    body_listener = _ResponseBody()
    start_time = time.perf_counter()
    record = await run_playground_call(
        runtime,
        dialect=DIALECT,
        body=msgspec.json.encode(body),
        caller=EVALUATION_KEY_PREFIX,
        headers={"user-agent": "dragoman-evaluate"},
        session=session,
        listener=body_listener,
        model=str(body["model"]),
        stream=False,
    )
    latency_ms = (time.perf_counter() - start_time) * 1000
    if record.outcome == "ok":
        response = read_response(body_listener.content)
    else:
        response = ModelResponse(error=f"HTTP {record.status}: {record.error or record.outcome}")
    return msgspec.structs.replace(
        response,
        latency_ms=latency_ms,
        cost_usd=None if record.cost_usd is None else float(record.cost_usd),
        request_id=record.id,
    )
