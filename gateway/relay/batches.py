"""What the requests of a batch cost, read from what passes on its way to the client.

    Results    the lines of a batch's results, OpenAI's or Anthropic's: tokens and cost by model
    ended      the same from a batch's own status, where it counts its tokens
    settle     once for each batch, over all processes: a row in the log for each model, and
               with it the spend and the budgets of the key that made the batch

A batch is counted when its results have been read to the end, or when its status tells its
tokens. The budgets are those of that moment.
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
from gateway.dialects.anthropic_messages.usage import usage_in as of_message
from gateway.dialects.openai_chat.usage import parse_usage as of_chat
from gateway.dialects.openai_responses.usage import usage_in as of_response
from gateway.framing.ndjson import Decoder
from gateway.framing.sse import FrameTooLarge
from gateway.providers.batch_prices import TIER, batch_price
from gateway.providers.profile import Price
from gateway.relay.call import Call
from gateway.relay.entry import Entry
from gateway.relay.forward import state_of
from gateway.relay.unreported import REPORTED
from gateway.routing.pricing import charged, cost
from gateway.routing.snapshot import ApiKey, Model, Provider, Snapshot, model_of

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

# A longer line is not read: its cost is unknown, and so is that of all after it.
MAX_LINE_BYTES = 32 * 1024 * 1024
_ENDED = frozenset({"completed", "expired", "cancelled", "failed"})
_COUNTS = ("input", "cache_read", "cache_write", "output", "reasoning")

# Batches that a process need not look for in the database again.
_MOST_REMEMBERED = 10_000

Json = dict[str, Any]
T = TypeVar("T")


class _Answer(msgspec.Struct):
    """A model's answer, OpenAI's or Anthropic's, but for what it says."""

    model: str = ""
    usage: Json | None = None


class _Response(msgspec.Struct):
    status_code: int = 200
    body: _Answer | None = None


class _Result(msgspec.Struct):
    type: str = ""
    message: _Answer | None = None


class _Line(msgspec.Struct):
    response: _Response | None = None
    result: _Result | None = None


_lines = msgspec.json.Decoder(_Line)


class Sum:
    """What the requests of one model used: tokens, and US dollars or None where unknown."""

    def __init__(self, model: str, price: Price) -> None:
        self.model, self.price = model, price
        self.tokens = dict.fromkeys(_COUNTS, 0)
        self.usd: Decimal | None = Decimal(0)

    def add(self, usage: Usage | None) -> None:
        """Count one answer; one without counts makes the cost unknown."""
        for name in _COUNTS:
            self.tokens[name] += max(getattr(usage, name) or 0, 0) if usage is not None else 0
        usd = cost(usage, self.price) if usage is not None else None
        self.usd = None if usd is None or self.usd is None else self.usd + usd


class Results:
    """Reads along with the results of one batch, a line at a time."""

    def __init__(self, snapshot: Snapshot, provider: Provider, batch: str) -> None:
        self.batch = batch
        self.sums: dict[str, Sum] = {}
        self._snapshot, self._provider = snapshot, provider
        self._decoder: Decoder | None = Decoder(MAX_LINE_BYTES)

    def feed(self, data: bytes) -> None:
        """Take in more of them."""
        if self._decoder is None:
            return
        try:
            for frame in self._decoder.feed(data):
                self._line(frame.data)
        except FrameTooLarge:
            self._decoder = None
            self.of("").add(None)

    def close(self) -> list[Sum]:
        """All of it, once the results are over."""
        for frame in self._decoder.close() if self._decoder is not None else ():
            self._line(frame.data)
        return list(self.sums.values())

    def of(self, model: str) -> Sum:
        """The sum of a model, as the provider calls it."""
        found = self.sums.get(model)
        if found is None:
            known = model_named(self._snapshot, self._provider, model)
            price = batch_price(known.price, self._provider.preset)
            found = self.sums[model] = Sum(known.name, price)
        return found

    def _line(self, data: bytes) -> None:
        try:
            line = _lines.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.of("").add(None)
            return
        if line.result is not None and line.result.message is not None:
            answer, usage = line.result.message, of_message(line.result.message.usage)
        elif line.response is not None and line.response.body is not None:
            if line.response.status_code != 200:
                return
            answer = line.response.body
            usage = _of_openai(answer.usage)
        else:  # it failed, or was never begun: nobody bills it
            return
        self.of(answer.model).add(usage)


def _of_openai(told: Json | None) -> Usage | None:
    """The counts of a chat, a completion, a response or of embeddings, which have no output."""
    if told is not None and "input_tokens" in told:
        return of_response(told)
    usage = of_chat(told)
    if usage is not None and usage.output is None and "completion_tokens" not in (told or {}):
        return msgspec.structs.replace(usage, output=0)
    return usage


def model_named(snapshot: Snapshot, provider: Provider, name: str) -> Model:
    """The model that a provider's answer names, which may add a date to its name."""
    label = f"{provider.name}/{name}"
    if (found := snapshot.models.get(label)) is not None:
        return found
    near = [m for key, m in snapshot.models.items() if label.startswith(f"{key}-")]
    near = [model for model in near if model.provider.name == provider.name]
    return max(near, key=lambda m: len(m.name)) if near else model_of(provider, name)


def ended(snapshot: Snapshot, provider: Provider, body: Json) -> list[Sum]:
    """What a batch's status says that it used; empty where it does not, or is not over.

    OpenAI counts the tokens of a batch for one that was made after 2025-09-07. Prices of
    long prompts are not in it: how long each was, the sum does not say.
    """
    model, told = body.get("model"), body.get("usage")
    if body.get("status") not in _ENDED or not isinstance(model, str) or not model:
        return []
    usage = of_response(told)
    if usage is None or not (usage.prompt or usage.output):
        return []
    found = Results(snapshot, provider, "").of(model)
    found.price = msgspec.structs.replace(found.price, above=())
    found.add(msgspec.structs.replace(usage, output=usage.output or 0))
    return [found]


# --- on the way ---------------------------------------------------------------------------


async def results_of(runtime: Runtime, call: Call, provider: Provider) -> Results | None:
    """What reads the answer of a call along, if that is the results of a batch."""
    state, operation = state_of(call)
    ledger = runtime.ledger
    if ledger is None or not operation.raw or operation.method != "GET":
        return None
    batch: str | None = None
    if operation.family == "anthropic/batches":
        batch = state.id
    elif operation.family == "files":
        batch = await _done(lambda: ledger.batch_of(provider.name, state.id))
    if not batch or (provider.name, batch) in runtime.settled:
        return None
    return Results(call.snapshot, provider, batch)


async def seen(runtime: Runtime, call: Call, provider: Provider, body: Any) -> None:
    """Take note of batches in an answer: which file has their results, and what they used."""
    state, operation = state_of(call)
    ledger = runtime.ledger
    if ledger is None or operation.family != "batches" or not isinstance(body, dict):
        return
    listed = body.get("data")
    for item in listed if isinstance(listed, list) else [body]:
        batch = item.get("id") if isinstance(item, dict) else None
        if not isinstance(batch, str) or (provider.name, batch) in runtime.settled:
            continue
        file, owner = item.get("output_file_id"), state.owner or 0
        if isinstance(file, str) and file:
            await _done(partial(ledger.has_results, provider.name, file, batch, owner))
        if sums := ended(call.snapshot, provider, item):
            await settle(runtime, call, provider, batch, sums)


async def settle(
    runtime: Runtime, call: Call, provider: Provider, batch: str, sums: list[Sum]
) -> None:
    """Count a batch, unless that was done before."""
    ledger, owner = runtime.ledger, state_of(call)[0].owner or 0
    if ledger is None or not sums:
        return

    def rows(key_id: int) -> list[Entry]:
        return [_row(call, provider, batch, key_id, n, one) for n, one in enumerate(sums)]

    written = await _done(lambda: ledger.settle(provider.name, batch, owner, rows))
    if written is None:
        return
    if len(runtime.settled) >= _MOST_REMEMBERED:
        runtime.settled.clear()
    runtime.settled.add((provider.name, batch))
    for entry in written:
        runtime.metrics.note(entry)
    if written:
        runtime.learn_soon()


async def _done(job: Callable[[], T]) -> T | None:
    """What the ledger does, in a thread; None while the database is away.

    The client's answer does not depend on it: who asks for it again is the next to try.
    """
    try:
        return await asyncio.to_thread(job)
    except Exception:
        log.exception("the cost of a batch could not be counted; it is tried again when asked for")
        return None


def _row(call: Call, provider: Provider, batch: str, key_id: int, number: int, one: Sum) -> Entry:
    snapshot = call.snapshot
    key = _key(snapshot, key_id)
    margin = key.margin if key is not None else None
    return Entry(
        id=f"{call.id[:40]}-batch-{number}",
        started_at=time.time(),
        endpoint="batch",
        client_dialect=call.dialect.name,
        upstream_dialect=provider.dialect,
        key_id=key_id or None,
        key_prefix=key.prefix if key is not None else "",
        route=call.route.name if call.route is not None else "",
        requested_model=one.model,
        provider=provider.name,
        model=one.model,
        status=200,
        input_tokens=one.tokens["input"],
        cache_read_tokens=one.tokens["cache_read"],
        cache_write_tokens=one.tokens["cache_write"],
        output_tokens=one.tokens["output"],
        reasoning_tokens=one.tokens["reasoning"],
        usage_source=REPORTED,
        cost_usd=one.usd,
        price_source=one.price.source if one.usd is not None else "",
        charged_usd=charged(one.usd, margin, provider.margin, snapshot.margin),
        service_tier=TIER,
        tags=sorted(key.tags) if key is not None else [],
        upstream_id=batch,
    )


def _key(snapshot: Snapshot, key_id: int) -> ApiKey | None:
    return next((key for key in snapshot.keys.values() if key.id == key_id), None)
