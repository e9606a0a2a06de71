"""Client responses for upstreams that violate their dialect.

Chapter 2 of the wire documentation: what can be parsed is parsed, once and in order;
otherwise the client gets an error in its dialect, never a complete response. If client and
provider share a dialect, the bytes pass through and only an interruption is reported.
"""

from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.providers.capabilities import traits_for
from gateway.routing.snapshot import Route, Target, model_of
from tests.dialects.crossing.clients import CLIENTS
from tests.dialects.crossing.feature_requests import (
    ARGUMENTS,
    CLOCK,
    PREAMBLE,
    RESPONSE,
    WEATHER,
    request_of,
)
from tests.dialects.crossing.readers import ENDED, READERS
from tests.dialects.crossing.stream_faults import (
    KINDS,
    RESPONSE_FAULTS,
    SSE,
    STREAM_FAULTS,
    StreamFault,
    read_frames,
)
from tests.dialects.crossing.upstreams import UPSTREAMS, Upstream
from tests.dialects.test_matrix import cell, outcome
from tests.each import each
from tests.relay.harness import Reply, gateway, snapshot

FOREIGN = [u for u in UPSTREAMS.values() if u.name != "openai_chat/deepseek"]
Key = tuple[str, str, str]


def requested_feature(upstream: Upstream) -> str:
    """Return the requested feature of a provider: tools if it supports them."""
    return "tools" if upstream.tools else "text"


@cache
def faulty_bytes(upstream: str, fault: str) -> bytes | None:
    """Return the provider's faulty bytes; None if the fault does not apply to its dialect."""
    target = UPSTREAMS[upstream]
    # A request that was translated asks for all that a stream can tell.
    client = "openai_responses" if target.dialect == "openai_chat" else "openai_chat"
    good = cell((client, upstream, requested_feature(target), True))
    frames = read_frames(target.dialect, good.turns[0].upstream_response)
    chosen_fault = next(s for s in STREAM_FAULTS if s.name == fault)
    return chosen_fault.apply_fault(target.dialect, frames)


def test_every_fault_applies_to_some_dialect() -> None:
    outcome()
    for fault in STREAM_FAULTS:
        results = [faulty_bytes(upstream.name, fault.name) for upstream in FOREIGN]
        assert any(data is not None for data in results), fault.name


def host_of(upstream: Upstream, fault: StreamFault) -> str:
    """Return the host name of a provider with this fault."""
    return f"{upstream.name}-{fault.name}".replace("_", "-")


async def _run(folder: Path) -> dict[Key, Reply]:
    routes, responses = [], {}
    for upstream in FOREIGN:
        for fault in STREAM_FAULTS:
            data = faulty_bytes(upstream.name, fault.name)
            if data is None:
                continue
            host = host_of(upstream, fault)
            routes.append(_route(upstream, host, len(routes) + 1))
            kind = fault.kind or KINDS.get(upstream.dialect, SSE)
            responses[host] = _answering(data, kind)
    results_by_client: dict[Key, Reply] = {}
    async with gateway(folder, snapshot(*routes), **responses) as live:
        for upstream in FOREIGN:
            for fault in STREAM_FAULTS:
                for client in CLIENTS.values():
                    host = host_of(upstream, fault)
                    if host not in responses or requested_feature(upstream) not in client.can:
                        continue
                    feature_request = request_of(requested_feature(upstream), stream=True)
                    reply = await live.post(
                        client.path(host, feature_request), client.body(host, feature_request)
                    )
                    results_by_client[client.name, upstream.name, fault.name] = reply
    return results_by_client


def _route(upstream: Upstream, host: str, number: int) -> Route:
    model = model_of(upstream.provider(host), upstream.model(""))
    traits = traits_for(upstream.preset, model.name)
    traits = msgspec.structs.replace(traits, **upstream.changes)
    target = Target(id=number, model=msgspec.structs.replace(model, traits=traits))
    return Route(id=number, name=host, targets=(target,), retries=0, cooldown_s=0)


def _answering(data: bytes, kind: str) -> Any:
    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": kind}, content=data)

    return respond


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, Reply]:
    outcome()  # the good streams, made before a loop runs
    return asyncio.run(_run(tmp_path_factory.mktemp("bad")))


@each("name", [fault.name for fault in STREAM_FAULTS])
def test_every_client_sees_the_response_or_an_error(replies: dict[Key, Reply], name: str) -> None:
    met = {key: reply for key, reply in replies.items() if key[2] == name}
    problems = {}
    for (client, upstream, _), reply in met.items():
        try:
            _check(client, UPSTREAMS[upstream], name, reply)
        except AssertionError as error:
            problems[client, upstream] = str(error)[:500]
    assert met
    assert problems == {}


def _events(target: Upstream, data: bytes) -> list[Any]:
    """Return the events of a stream with the model's name removed."""
    frames = read_frames(target.dialect, data)
    return [(name, _unnamed(value)) for name, value in frames]


def _unnamed(value: Any) -> Any:
    match value:
        case dict():
            return {k: _unnamed(v) for k, v in value.items() if k not in {"model", "modelVersion"}}
        case list():
            return [_unnamed(item) for item in value]
    return value


def _check(client: str, target: Upstream, name: str, reply: Reply) -> None:
    fault = next(s for s in STREAM_FAULTS if s.name == name)
    if fault.expected == "error" or target.dialect in fault.ends:
        has_failed = reply.status >= 500 or READERS[client].stream_error(reply.body)
        assert has_failed, reply.body[-300:]
        return
    assert reply.status == 200, reply.body
    if client == target.dialect:  # the provider's own bytes
        data = faulty_bytes(target.name, name)
        assert data is not None
        assert _events(target, reply.body) == _events(target, data)
        return
    reader = READERS[client]
    response = reader.parse(reader.join_stream(reply.body))
    assert response.text == (PREAMBLE if target.tools else RESPONSE)
    if target.tools:
        pairs = [(call_name, arguments) for _, call_name, arguments in response.calls]
        assert pairs == [(WEATHER.name, ARGUMENTS), (CLOCK.name, {})]
        assert len({id_ for id_, _, _ in response.calls}) in {2, 1 if client == "ollama" else 2}
    assert response.finish == ENDED[client][target.tools]


# --- whole responses -----------------------------------------------------------------------


def whole_keys() -> list[Any]:
    """Return client, provider and fault of the whole responses."""
    return [
        pytest.param(
            (client, upstream.name, fault.name), id=f"{client}-{upstream.name}-{fault.name}"
        )
        for client in CLIENTS
        for upstream in FOREIGN
        for fault in RESPONSE_FAULTS
        if requested_feature(upstream) in CLIENTS[client].can and client != upstream.dialect
    ]


async def _run_whole(folder: Path) -> dict[Key, Reply]:
    hosts: dict[str, Any] = {}
    routes = []
    for upstream in FOREIGN:
        client = "openai_responses" if upstream.dialect == "openai_chat" else "openai_chat"
        good = json.loads(
            cell((client, upstream.name, requested_feature(upstream), False))
            .turns[0]
            .upstream_response
        )
        for fault in RESPONSE_FAULTS:
            host = f"whole-{upstream.name}-{fault.name}".replace("_", "-")
            routes.append(_route(upstream, host, len(routes) + 1))
            hosts[host] = _answering(fault.apply_fault(good), fault.kind)
    responses_by_key: dict[Key, Reply] = {}
    async with gateway(folder, snapshot(*routes), **hosts) as live:
        for param in whole_keys():
            key: Key = param.values[0]
            host = f"whole-{key[1]}-{key[2]}".replace("_", "-")
            client_of, feature_request = (
                CLIENTS[key[0]],
                request_of(requested_feature(UPSTREAMS[key[1]]), stream=False),
            )
            responses_by_key[key] = await live.post(
                client_of.path(host, feature_request), client_of.body(host, feature_request)
            )
    return responses_by_key


@pytest.fixture(scope="module")
def whole_replies(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, Reply]:
    outcome()
    return asyncio.run(_run_whole(tmp_path_factory.mktemp("whole")))


@each("key", whole_keys())
def test_a_client_gets_the_complete_response_or_an_error(
    whole_replies: dict[Key, Reply], key: Key
) -> None:
    client, upstream, name = key
    reply = whole_replies[key]
    fault = next(s for s in RESPONSE_FAULTS if s.name == name)
    target = UPSTREAMS[upstream]
    if fault.expected == "error":
        assert reply.status >= 500, reply.body
        # Bedrock's and Cohere's errors are `{"message": ...}`.
        assert reply.json().get("error") or reply.json()["message"]
        return
    assert reply.status == 200, reply.body
    response = READERS[client].parse(reply.json())
    assert response.text == (PREAMBLE if target.tools else RESPONSE)
    assert len(response.calls) == (2 if target.tools else 0)
    assert response.finish == ENDED[client][target.tools]
