"""Runs every combination of the matrix: client request, strict provider, client response.

Requests take the same path as live traffic: the edge, the relay, the dialects, and a provider
that refuses what the real one refuses.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.edge.admission import key_digest
from gateway.providers.capabilities import traits_for
from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.snapshot import ApiKey, Route, Target, model_of
from tests.dialects.crossing.clients import CLIENTS, Client
from tests.dialects.crossing.feature_requests import (
    FEATURE_MARKERS,
    RESULTS,
    FeatureMarker,
    FeatureRequest,
    request_of,
)
from tests.dialects.crossing.readers import READERS, ParsedResponse
from tests.dialects.crossing.upstreams import UPSTREAMS, Upstream, fake_response, scripted_response
from tests.fakes import ScriptedResponse
from tests.fakes.server import Server
from tests.relay.harness import PEPPER, Gateway, Reply, gateway, snapshot

Row = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """A request and its response: the bytes on both sides and the translation report."""

    status: int
    reply: bytes
    upstream_request: bytes
    upstream_response: bytes
    response: ParsedResponse | None
    logged: LogRecord

    @property
    def report(self) -> tuple[Row, ...]:
        """Return the report: field, action and note of each entry."""
        return tuple(self.logged.adaptations)

    def missing_markers(self, markers: tuple[FeatureMarker, ...]) -> list[FeatureMarker]:
        """Return the markers that are missing in the upstream request."""
        return [marker for marker in markers if marker.bytes not in self.upstream_request]

    def is_reported(self, marker: FeatureMarker) -> bool:
        """Return whether the report has an entry for this marker's client field."""
        return any(path in row["field"] for row in self.report for path in marker.paths)


@dataclass(frozen=True)
class CrossingResult:
    """A feature of a client at a provider; `turns` has a second turn if it sends tool results."""

    client: str
    upstream: str
    feature: str
    stream: bool
    turns: tuple[Exchange, ...]

    @property
    def id(self) -> str:
        """The id of the result in test reports."""
        how = "stream" if self.stream else "whole"
        return f"{self.client}-{self.upstream}-{self.feature}-{how}"

    @property
    def report(self) -> tuple[Row, ...]:
        """Return the report of all turns without duplicates."""
        rows = {json.dumps(row, sort_keys=True): row for turn in self.turns for row in turn.report}
        return tuple(rows.values())


@dataclass(frozen=True)
class Failure:
    """An error response or interrupted stream: the client's view and the log's."""

    client: str
    upstream: str
    kind: str
    status: int
    reply: bytes
    headers: dict[str, str]
    logged: LogRecord

    @property
    def id(self) -> str:
        """The id of the result in test reports."""
        return f"{self.client}-{self.upstream}-{self.kind}"


@dataclass(frozen=True)
class Outcome:
    """The results of the whole matrix."""

    cells: tuple[CrossingResult, ...]
    failures: tuple[Failure, ...]


BREAKS = ("error", "cut")


def pairs() -> Iterator[tuple[Client, Upstream]]:
    """Return every pair of client and provider."""
    for client in CLIENTS.values():
        for upstream in UPSTREAMS.values():
            yield client, upstream


def host_of(upstream: Upstream, part: str) -> str:
    """Return the host name of a provider in one part of the matrix."""
    return f"{upstream.name}-{part}".replace("/", "-").replace("_", "-")


def key_of(client: str, host: str, *, stream: bool) -> str:
    """Return the key of one cell: stored responses of a key are not visible to other cells."""
    return f"sk-dgm-{client}-{host}-{stream}"


def _keys(hosts: Iterator[str]) -> dict[bytes, ApiKey]:
    keys = [
        key_of(client, host, stream=stream)
        for host in hosts
        for client in CLIENTS
        for stream in (False, True)
    ]
    api_keys = [
        ApiKey(id=n, prefix="sk-dgm-", name=key, digest=key_digest(key, PEPPER))
        for n, key in enumerate(keys, start=1)
    ]
    return {key.digest: key for key in api_keys}


class FakeProviders:
    """Fake providers by host, each with its script, and a route to each."""

    def __init__(self) -> None:
        self.fakes: dict[str, Server] = {}
        self.replies: dict[str, bytes] = {}
        self.routes: list[Route] = []
        for upstream in UPSTREAMS.values():
            for feature in FEATURE_MARKERS:
                self._add(upstream, feature, scripted_response(feature, upstream))
            for kind, refusal in upstream.errors.items():
                self._add(upstream, f"error-{kind}", ScriptedResponse(error=refusal))
            for how in BREAKS:
                self._add(upstream, f"break-{how}", ScriptedResponse(text="x" * 60, breaks=how))

    def _add(self, upstream: Upstream, part: str, response: ScriptedResponse) -> None:
        host = host_of(upstream, part)
        fake = upstream.fake()
        fake.script.default = response  # type: ignore[attr-defined]
        self.fakes[host] = fake
        name = upstream.model(part)
        model = model_of(upstream.provider(host), name)
        traits = traits_for(upstream.preset, name)
        traits = msgspec.structs.replace(traits, **upstream.changes)
        model = msgspec.structs.replace(model, traits=traits)
        target = Target(id=len(self.routes) + 1, model=model)
        self.routes.append(
            Route(id=target.id, name=host, targets=(target,), retries=0, cooldown_s=0)
        )

    def answering(self, host: str) -> Any:
        """Return the request handler of the provider at a host."""

        async def respond(request: httpx.Request) -> httpx.Response:
            response = await fake_response(self.fakes[host], request)
            data = (
                b"".join([part async for part in response.stream])
                if host.find("break") < 0
                else b""
            )
            if not data:
                return response
            self.replies[host] = data
            return httpx.Response(response.status_code, headers=response.headers, content=data)

        return respond


async def run() -> Outcome:
    """Run all cells and failures sequentially."""
    providers = FakeProviders()
    responses = {host: providers.answering(host) for host in providers.fakes}
    with tempfile.TemporaryDirectory() as folder:
        registry = snapshot(*providers.routes, keys=_keys(iter(providers.fakes)))
        async with gateway(Path(folder), registry, **responses) as live:
            log = LoggedGateway(live)
            cells = [
                await _cell(log, providers, client, upstream, feature, stream=stream)
                for client, upstream in pairs()
                for feature in client.can
                for stream in (False, True)
            ]
            failures = [
                await _failure(log, client, upstream, part)
                for client, upstream in pairs()
                for part in (
                    *(f"error-{kind}" for kind in upstream.errors),
                    *(f"break-{how}" for how in BREAKS),
                )
            ]
            await log.settle()
    return Outcome(tuple(cells), tuple(failures))


class LoggedGateway:
    """The gateway with its log, whose rows are written shortly after the responses."""

    def __init__(self, live: Gateway) -> None:
        self._live = live
        self._waiting: dict[str, LogRecord] = {}

    async def post(
        self, client: Client, host: str, feature_request: FeatureRequest
    ) -> tuple[Reply, LogRecord]:
        """Return the response and its log row, which `settle` fills in."""
        headers = {"anthropic-version": "2023-06-01", "content-type": "application/json"}
        path, key = (
            client.path(host, feature_request),
            key_of(client.name, host, stream=feature_request.stream),
        )
        body = client.body(host, feature_request)
        reply = await self._live.post(path, body, headers=headers, key=key)
        row = LogRecord(id=reply.headers["x-request-id"], started_at=0.0)
        self._waiting[row.id] = row
        return reply, row

    async def settle(self) -> None:
        """Wait for the log and fill in the rows."""
        for record in await self._live.rows(len(self._waiting)):
            row = self._waiting[record.id]
            for name in LogRecord.__struct_fields__:
                setattr(row, name, getattr(record, name))


async def _cell(
    log: LoggedGateway,
    providers: FakeProviders,
    client: Client,
    upstream: Upstream,
    feature: str,
    *,
    stream: bool,
) -> CrossingResult:
    host = host_of(upstream, feature)
    feature_request = request_of(feature, stream=stream)
    first = await _turn(log, providers, client, host, feature_request)
    turns = [first]
    if first.response is not None and first.response.calls:
        back = tuple(
            (id_, name, text)
            for (id_, name, _), text in zip(first.response.calls, RESULTS, strict=False)
        )
        second = replace(feature_request, previous_response=first.response.native, results=back)
        turns.append(await _turn(log, providers, client, host, second))
    return CrossingResult(client.name, upstream.name, feature, stream, tuple(turns))


async def _turn(
    log: LoggedGateway,
    providers: FakeProviders,
    client: Client,
    host: str,
    feature_request: FeatureRequest,
) -> Exchange:
    fake = providers.fakes[host]
    fake.requests.clear()
    providers.replies.pop(host, None)
    reply, record = await log.post(client, host, feature_request)
    response = None
    if reply.status == 200:
        reader = READERS[client.name]
        response = reader.parse(
            reader.join_stream(reply.body) if feature_request.stream else reply.json()
        )
    return Exchange(
        status=reply.status,
        reply=reply.body,
        upstream_request=_without_backslashes(fake.requests[-1].raw) if fake.requests else b"",
        upstream_response=providers.replies.get(host, b""),
        response=response,
        logged=record,
    )


def _without_backslashes(raw: bytes) -> bytes:
    """Return a body without JSON escapes, because Bedrock writes schemas as strings."""
    return raw.replace(b"\\", b"")


async def _failure(log: LoggedGateway, client: Client, upstream: Upstream, part: str) -> Failure:
    feature_request = FeatureRequest(user="hello", stream=part.startswith("break"))
    reply, record = await log.post(client, host_of(upstream, part), feature_request)
    kind = part.partition("-")[2] if part.startswith("error") else part
    return Failure(
        client=client.name,
        upstream=upstream.name,
        kind=kind,
        status=reply.status,
        reply=reply.body,
        headers=reply.headers,
        logged=record,
    )
