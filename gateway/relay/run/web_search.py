"""Runs web searches for a model whose provider has none.

The model gets a function in place of the client's search tool; the gateway runs its calls at the
configured endpoint and calls the model again with the results, until it answers. All rounds are
one attempt at one target, one response and one log record. Bounded: searches per request,
rounds, seconds and results per search. A failed search is a result for the model, not an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from gateway.canon.adaptation import adaptation_rows
from gateway.canon.events import End, Event, UsageUpdate
from gateway.canon.request import Request, Text, Tool, ToolCall, ToolResult
from gateway.canon.response import Finish, Usage, add_usage
from gateway.dialects.shared.web_search import WebSearch, max_tool_calls
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client, Deadlines
from gateway.relay.exchange.log_record import SearchRecord, UpstreamCall
from gateway.relay.run.model_call import (
    call_events,
    finish_record,
    new_record,
    prepare_call,
    report_adaptations,
    reported_tier,
)
from gateway.relay.run.reply import send_collected
from gateway.relay.run.stream import stream_events
from gateway.relay.translate import web_search as translate
from gateway.relay.translate.prepare import upstream_dialect
from gateway.relay.upstream.web_search import (
    SearchEndpoint,
    SearchFailed,
    SearchResult,
    search_web,
)
from gateway.routing.snapshot import Route, Target, Timeouts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# The API whose providers search themselves.
_HOSTED = "openai_responses"
# Maximum number of calls of the model for one request.
MAX_ROUNDS = 10


def find_gateway_search(call: Call, route: Route, target: Target) -> tuple[Tool, WebSearch] | None:
    """The client's search tool if the gateway runs its searches at this target; else None.

    Raises GatewayError for a request that cannot be parsed.
    """
    exchange, traits = call.exchange, target.model.traits
    if exchange.verb != "generate" or not route.web_search or traits.web_search:
        return None
    if not traits.tools or not offload.contains(exchange.body, translate.TOOL_HINTS):
        return None
    if upstream_dialect(call, target).name == _HOSTED:
        return None
    return translate.find_search_tool(exchange.request)


async def respond_with_searches(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    route: Route,
    target: Target,
    timeouts: Timeouts,
    search_tool: tuple[Tool, WebSearch],
) -> None:
    """Respond to the client. Raises GatewayError only before the first byte."""
    assert runtime.web_search is not None
    rounds = _SearchRounds(runtime, call, deadlines, route, target, timeouts, search_tool)
    await rounds.prepare_first()
    deadlines.set_timeout(timeouts.first_byte_s, "first_byte", total_s=timeouts.total_s)
    call.attempt.upstream_sent_at = time.perf_counter()
    async with contextlib.aclosing(rounds.events()) as batches:
        if call.exchange.stream:
            await stream_events(runtime, call, client, deadlines, target, batches)
        else:
            await send_collected(runtime, call, client, target, batches)


class _SearchRounds:
    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        deadlines: Deadlines,
        route: Route,
        target: Target,
        timeouts: Timeouts,
        search_tool: tuple[Tool, WebSearch],
    ) -> None:
        assert runtime.web_search is not None
        self.runtime, self.call, self.deadlines = runtime, call, deadlines
        self.route, self.target, self.timeouts = route, target, timeouts
        self.endpoint: SearchEndpoint = runtime.web_search
        self.tool, self.search = search_tool
        limits = (self.search.uses, max_tool_calls(call.exchange.request), self.endpoint.max_uses)
        self.max_searches = max(0, min(limit for limit in limits if limit is not None))
        self.searches = 0
        self.sources: dict[str, SearchResult] = {}
        self.usage: Usage | None = None

    async def prepare_first(self) -> None:
        """Prepare the upstream request of the first round. Raises GatewayError."""
        self.request: Request
        self.request, self.function = translate.with_function(self.call.exchange.request, self.tool)
        self.prepared_request = await prepare_call(self.call, self.route, self.target, self.request)
        report_adaptations(self.call, self.prepared_request)
        self.call.attempt.adaptations += adaptation_rows(
            translate.search_report(self.tool, self.search)
        )

    async def events(self) -> AsyncGenerator[list[Event]]:
        """The events of the response, over all rounds."""
        for number in range(1, MAX_ROUNDS + 1):
            may_search = number < MAX_ROUNDS and self.searches < self.max_searches
            if number > 1:
                self.prepared_request = await prepare_call(
                    self.call, self.route, self.target, self.request
                )
            record, tier = new_record(self.call), None
            current = translate.RoundEvents(
                self.function,
                is_first=number == 1,
                earlier_usage=self.usage,
                sources=self.sources,
            )
            async with contextlib.aclosing(self._model_events(number)) as batches:
                async for events in batches:
                    tier = reported_tier(events) or tier
                    if out := current.feed(events):
                        yield out
            response = current.close()
            finish_record(self.call, record, current.usage, tier)
            self.usage = current.usage if number == 1 else add_usage(self.usage, current.usage)
            assert current.end is not None
            if not current.calls:
                yield self._final_events(current.end)
                return
            results: list[ToolResult] = []
            async with contextlib.aclosing(self._search_all(current.calls, record)) as searches:
                async for out, batch in searches:
                    results += batch
                    yield out
            if current.other_calls or not may_search:
                # The client runs its own tools and continues, or the model kept searching.
                reason = "tool" if current.other_calls else "stop"
                yield self._final_events(End(Finish(reason=reason)))  # type: ignore[arg-type]
                return
            self.request = translate.next_request(
                self.request,
                response,
                results,
                may_search=number + 1 < MAX_ROUNDS and self.searches < self.max_searches,
            )

    async def _model_events(self, number: int) -> AsyncGenerator[list[Event]]:
        if number > 1:
            self.deadlines.set_timeout(self.timeouts.first_byte_s, "first_byte")
        is_first = True
        async with contextlib.aclosing(
            call_events(
                self.runtime, self.call, self.target, self.prepared_request, self.timeouts.connect_s
            )
        ) as batches:
            async for events in batches:
                if is_first and number > 1 and self.call.exchange.stream:
                    self.deadlines.set_timeout(self.timeouts.idle_s, "idle")
                is_first = False
                yield events

    def _final_events(self, event: End) -> list[Event]:
        usage = translate.with_search_count(self.usage, self.searches)
        return [UsageUpdate(usage), event] if usage is not None else [event]

    async def _search_all(
        self, calls: list[ToolCall], record: UpstreamCall
    ) -> AsyncGenerator[tuple[list[Event], list[ToolResult]]]:
        """Run the searches of one round together: their events, and at the end all results."""
        self.deadlines.set_timeout(self.endpoint.timeout_s + 5, "idle")
        searches: list[tuple[ToolCall, str, str, SearchRecord]] = []
        results: list[ToolResult] = []
        for call in calls:
            query = str((call.arguments or {}).get("query") or "")
            if self.searches >= self.max_searches:
                text = "The maximum number of searches is reached; answer with what you know."
                results.append(_tool_result(call, text, is_error=True))
                continue
            self.searches += 1
            call_id = translate.search_id(self.call.exchange.id, self.searches)
            search_record = SearchRecord(query=query[:400])
            record.searches.append(search_record)
            searches.append((call, call_id, query, search_record))
        tasks = [
            asyncio.create_task(self._search(query, search_record))
            for _, _, query, search_record in searches
        ]
        try:
            # Each call is directly followed by its result, as clients expect it.
            for (call, call_id, query, _), task in zip(searches, tasks, strict=True):
                yield translate.call_events(call_id, query), []
                search_outcome = await task
                yield self._search_ended(call_id, search_outcome), []
                results.append(self._result_of(call, search_outcome))
        finally:
            for task in tasks:
                task.cancel()
        order = {call.id: index for index, call in enumerate(calls)}
        yield [], sorted(results, key=lambda result: order[result.id])

    def _search_ended(
        self, call_id: str, search_outcome: list[SearchResult] | SearchFailed
    ) -> list[Event]:
        if isinstance(search_outcome, SearchFailed):
            return translate.result_events(call_id, "unavailable")
        self.sources |= {result.url: result for result in search_outcome}
        return translate.result_events(call_id, search_outcome)

    def _result_of(
        self, call: ToolCall, search_outcome: list[SearchResult] | SearchFailed
    ) -> ToolResult:
        if isinstance(search_outcome, SearchFailed):
            return _tool_result(call, f"The search failed: {search_outcome}.", is_error=True)
        return _tool_result(
            call, translate.result_text(search_outcome, self.search.size), is_error=None
        )

    async def _search(self, query: str, record: SearchRecord) -> list[SearchResult] | SearchFailed:
        started_s = time.perf_counter()
        try:
            results = await search_web(
                self.runtime.upstreams,
                self.endpoint,
                query,
                allowed_domains=self.search.allowed,
                blocked_domains=self.search.blocked,
            )
        except SearchFailed as failure:
            record.error = str(failure)
            return failure
        finally:
            record.duration_ms = (time.perf_counter() - started_s) * 1000
        record.results = len(results)
        return results


def _tool_result(call: ToolCall, text: str, *, is_error: bool | None) -> ToolResult:
    return ToolResult(id=call.id, name=call.name, parts=(Text(text=text),), is_error=is_error)
