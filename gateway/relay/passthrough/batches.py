"""Cost of the requests in a batch, read from responses on their way to the client.

    BatchResultReader    tokens and cost by model, from the lines of a batch's results (OpenAI's
                         or Anthropic's)
    usage_from_status    tokens and cost by model, from a batch's status, if it reports tokens
    settle_batch         once per batch, over all processes: a log record for each model, which
                         counts for the spend and budgets of the key that created the batch

A batch is counted when its results have been read to the end, or when its status reports its
tokens. It counts for the budgets of that moment.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from gateway.canon.response import Usage
from gateway.dialects.anthropic_messages.response import parse_usage as parse_message_usage
from gateway.dialects.openai_chat.response import parse_usage as parse_chat_usage
from gateway.dialects.openai_responses.response import parse_usage as parse_response_usage
from gateway.framing.ndjson import Decoder
from gateway.framing.sse import FrameTooLarge
from gateway.providers.batch_prices import TIER, batch_price
from gateway.providers.profile import Price
from gateway.providers.region_prices import region_price
from gateway.providers.tool_prices import search_cost
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.usage_estimate import REPORTED
from gateway.relay.passthrough.request import state_of
from gateway.routing.pricing import charge_of, cost
from gateway.routing.snapshot import Model, Provider, Snapshot, model_of

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

# Maximum length of a line of a batch file or of its results. Reading of results stops at a longer
# line: its cost and that of all later lines is unknown.
MAX_LINE_BYTES = 32 * 1024 * 1024
_FINAL_STATES = frozenset({"completed", "expired", "cancelled", "failed"})
_COUNTS = ("input", "cache_read", "cache_write", "output", "reasoning")

# Settled batches that a process remembers, so as not to query the database again.
_MAX_REMEMBERED = 10_000

Json = dict[str, Any]
T = TypeVar("T")


class _ModelResponse(msgspec.Struct):
    """The model and usage of a response, OpenAI's or Anthropic's."""

    model: str = ""
    usage: Json | None = None
    tool_usage: Json | None = None


class _Response(msgspec.Struct):
    status_code: int = 200
    body: _ModelResponse | None = None


class _Result(msgspec.Struct):
    type: str = ""
    message: _ModelResponse | None = None


class _Line(msgspec.Struct):
    response: _Response | None = None
    result: _Result | None = None


_line_decoder = msgspec.json.Decoder(_Line)


class ModelUsage:
    """Usage of the requests of one model: tokens, and US dollars or None if unknown."""

    def __init__(self, model: str, price: Price, preset: str) -> None:
        self.model, self.price, self._preset = model, price, preset
        self.tokens = dict.fromkeys(_COUNTS, 0)
        self.usd: Decimal | None = Decimal(0)

    def add(self, usage: Usage | None) -> None:
        """Add the usage of one response; without counts the cost becomes unknown."""
        for name in _COUNTS:
            self.tokens[name] += max(getattr(usage, name) or 0, 0) if usage is not None else 0
        usd = self._cost(usage) if usage is not None else None
        self.usd = None if usd is None or self.usd is None else self.usd + usd

    def _cost(self, usage: Usage) -> Decimal | None:
        """What one response cost; searches cost as much in a batch as elsewhere."""
        usd = cost(usage, region_price(self.price, self._preset, usage))
        return None if usd is None else usd + search_cost(self._preset, usage)


class BatchResultReader:
    """Reads the results of one batch, a line at a time."""

    def __init__(self, snapshot: Snapshot, provider: Provider, batch: str) -> None:
        self.batch = batch
        self.model_usages: dict[str, ModelUsage] = {}
        self._snapshot, self._provider = snapshot, provider
        self._decoder: Decoder | None = Decoder(MAX_LINE_BYTES)

    def feed(self, data: bytes) -> None:
        """Read more of the results."""
        if self._decoder is None:
            return
        try:
            for frame in self._decoder.feed(data):
                self._add_line(frame.data)
        except FrameTooLarge:
            self._decoder = None
            self.for_model("").add(None)

    def close(self) -> list[ModelUsage]:
        """The usage of all models, after the end of the results."""
        for frame in self._decoder.close() if self._decoder is not None else ():
            self._add_line(frame.data)
        return list(self.model_usages.values())

    def for_model(self, model: str) -> ModelUsage:
        """The usage of a model, by the provider's name of it."""
        model_usage = self.model_usages.get(model)
        if model_usage is None:
            matched_model = find_batch_model(self._snapshot, self._provider, model)
            preset = self._provider.preset
            price = batch_price(matched_model.price, preset)
            model_usage = self.model_usages[model] = ModelUsage(matched_model.name, price, preset)
        return model_usage

    def _add_line(self, data: bytes) -> None:
        try:
            line = _line_decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.for_model("").add(None)
            return
        if line.result is not None and line.result.message is not None:
            response, usage = line.result.message, parse_message_usage(line.result.message.usage)
        elif line.response is not None and line.response.body is not None:
            if line.response.status_code != 200:
                return
            response = line.response.body
            usage = _parse_openai_usage(response.usage, response.tool_usage)
        else:  # it failed, or did not start: it is not billed
            return
        self.for_model(response.model).add(usage)


def _parse_openai_usage(reported_usage: Json | None, tool_usage: Json | None) -> Usage | None:
    """The usage in a response of any of OpenAI's APIs; embeddings have no output tokens."""
    if reported_usage is not None and "input_tokens" in reported_usage:
        return parse_response_usage(reported_usage, tool_usage)
    usage = parse_chat_usage(reported_usage)
    if (
        usage is not None
        and usage.output is None
        and "completion_tokens" not in (reported_usage or {})
    ):
        return msgspec.structs.replace(usage, output=0)
    return usage


def find_batch_model(snapshot: Snapshot, provider: Provider, name: str) -> Model:
    """The model named in a provider's response, which may append a date to the name."""
    qualified_name = f"{provider.name}/{name}"
    if (exact_match := snapshot.models.get(qualified_name)) is not None:
        return exact_match
    dated_matches = [
        m for key, m in snapshot.models.items() if qualified_name.startswith(f"{key}-")
    ]
    dated_matches = [model for model in dated_matches if model.provider.name == provider.name]
    return (
        max(dated_matches, key=lambda m: len(m.name)) if dated_matches else model_of(provider, name)
    )


def usage_from_status(snapshot: Snapshot, provider: Provider, body: Json) -> list[ModelUsage]:
    """The usage in a batch's status; empty if it reports none, or has not ended.

    OpenAI reports the tokens of batches that were created after 2025-09-07. Prices of
    long prompts do not apply: the length of each prompt is unknown.
    """
    model, reported_usage = body.get("model"), body.get("usage")
    if body.get("status") not in _FINAL_STATES or not isinstance(model, str) or not model:
        return []
    usage = parse_response_usage(reported_usage)
    if usage is None or not (usage.prompt_tokens or usage.output):
        return []
    model_usage = BatchResultReader(snapshot, provider, "").for_model(model)
    model_usage.price = msgspec.structs.replace(model_usage.price, above=())
    model_usage.add(msgspec.structs.replace(usage, output=usage.output or 0))
    return [model_usage]


# --- recording ----------------------------------------------------------------------------


async def result_reader(
    runtime: Runtime, call: Call, provider: Provider
) -> BatchResultReader | None:
    """A reader for the response of a call, if that contains the results of a batch."""
    state, operation = state_of(call.exchange)
    ledger = runtime.batch_ledger
    if ledger is None or not operation.binary_response or operation.method != "GET":
        return None
    batch: str | None = None
    if operation.family == "anthropic/batches":
        batch = state.resource_id
    elif operation.family == "files":
        batch = await _run_in_thread(lambda: ledger.find_batch(provider.name, state.resource_id))
    if not batch or (provider.name, batch) in runtime.settled_batches:
        return None
    return BatchResultReader(call.exchange.snapshot, provider, batch)


async def record_batches(runtime: Runtime, call: Call, provider: Provider, body: Any) -> None:
    """Record the batches in a response: which file has their results, and their usage."""
    state, operation = state_of(call.exchange)
    ledger = runtime.batch_ledger
    if ledger is None or operation.family != "batches" or not isinstance(body, dict):
        return
    listed_batches = body.get("data")
    for batch_fields in listed_batches if isinstance(listed_batches, list) else [body]:
        batch = batch_fields.get("id") if isinstance(batch_fields, dict) else None
        if not isinstance(batch, str) or (provider.name, batch) in runtime.settled_batches:
            continue
        file_id, owner = batch_fields.get("output_file_id"), state.owner_key_id or 0
        if isinstance(file_id, str) and file_id:
            await _run_in_thread(
                partial(ledger.record_results_file, provider.name, file_id, batch, owner)
            )
        if sums := usage_from_status(call.exchange.snapshot, provider, batch_fields):
            await settle_batch(runtime, call, provider, batch, sums)


async def settle_batch(
    runtime: Runtime, call: Call, provider: Provider, batch: str, sums: list[ModelUsage]
) -> None:
    """Record the cost of a batch, once."""
    ledger, owner = runtime.batch_ledger, state_of(call.exchange)[0].owner_key_id or 0
    if ledger is None or not sums:
        return

    def log_records(key_id: int) -> list[LogRecord]:
        return [
            _log_record(call, provider, batch, key_id, n, model_usage)
            for n, model_usage in enumerate(sums)
        ]

    written_records = await _run_in_thread(
        lambda: ledger.settle(provider.name, batch, owner, log_records)
    )
    if written_records is None:
        return
    if len(runtime.settled_batches) >= _MAX_REMEMBERED:
        runtime.settled_batches.clear()
    runtime.settled_batches.add((provider.name, batch))
    for record in written_records:
        runtime.metrics.record(record)
    if written_records:
        runtime.registry.sync_spend_soon()


async def _run_in_thread(job: Callable[[], T]) -> T | None:
    """Run a ledger function in a thread; None if it fails, as without the database.

    The client's response does not depend on it; the next request for the batch tries again.
    """
    try:
        return await asyncio.to_thread(job)
    except Exception:
        log.exception(
            "the cost of a batch could not be computed; it is retried at the next "
            "request for the batch"
        )
        return None


def _log_record(
    call: Call, provider: Provider, batch: str, key_id: int, index: int, model_usage: ModelUsage
) -> LogRecord:
    exchange = call.exchange
    snapshot = exchange.snapshot
    key = next((key for key in snapshot.keys.values() if key.id == key_id), None)
    markup = key.markup if key is not None else None
    return LogRecord(
        id=f"{exchange.id[:40]}-batch-{index}",
        started_at=time.time(),
        endpoint="batch",
        client_dialect=exchange.dialect.name,
        upstream_dialect=provider.dialect,
        key_id=key_id or None,
        key_prefix=key.prefix if key is not None else "",
        route=exchange.route.name if exchange.route is not None else "",
        requested_model=model_usage.model,
        provider=provider.name,
        model=model_usage.model,
        status=200,
        input_tokens=model_usage.tokens["input"],
        cache_read_tokens=model_usage.tokens["cache_read"],
        cache_write_tokens=model_usage.tokens["cache_write"],
        output_tokens=model_usage.tokens["output"],
        reasoning_tokens=model_usage.tokens["reasoning"],
        usage_source=REPORTED,
        cost_usd=model_usage.usd,
        price_source=model_usage.price.source if model_usage.usd is not None else "",
        charged_usd=charge_of(model_usage.usd, markup, provider.markup, snapshot.markup),
        service_tier=TIER,
        tags=sorted(key.tags) if key is not None else [],
        upstream_id=batch,
    )
