"""The response cache at the edge: hits, rendering, isolation, and stored responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.edge.admission import key_digest
from gateway.relay.journal.metrics import NodeValues, ProcessValues
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.limits import Limits
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Team
from tests.relay.harness import (
    DONE,
    PEPPER,
    Gateway,
    Reply,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
OTHER = "sk-dgm-other"
REQUEST = {"model": "smart", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
CLAUDE_REQUEST = dict(REQUEST)


def cached(*providers: Any, **fields: Any) -> Route:
    names = providers or (provider("one"),)
    return route("smart", *names, cache=CachePolicy(**fields))


def registry(*routes: Route, **keys: Any) -> Snapshot:
    """Return the routes, the usual key, and a second key."""
    base = snapshot(*routes)
    other = ApiKey(id=2, prefix="sk-dgm-ot", name="other", digest=key_digest(OTHER, PEPPER))
    keys_by_digest = {**base.keys, other.digest: other}
    changed = {d: msgspec.structs.replace(key, **keys) for d, key in keys_by_digest.items()}
    return msgspec.structs.replace(base, keys=changed)


class CountingUpstream:
    """An upstream that numbers its responses."""

    def __init__(self, response: Callable[[int], httpx.Response] | None = None) -> None:
        self.count = 0
        self._respond = response or (lambda n: completion(f"answer {n}"))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        return self._respond(self.count)


def response_text(reply: Reply) -> str:
    """Return the text of a whole or streamed response of Chat or Messages."""
    text = reply.body.decode()
    if not text.startswith(("data:", "event:")):
        body = reply.json()
        if "choices" in body:
            return body["choices"][0]["message"]["content"]
        return "".join(block["text"] for block in body["content"])
    texts = []
    for line in text.splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        for choice in event.get("choices", []):
            texts.append(choice["delta"].get("content") or "")
        texts.append(event.get("delta", {}).get("text", ""))
    return "".join(texts)


Open = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
def live(tmp_path: Path) -> Open:
    def opened(test_snapshot: Snapshot, **upstreams: Any) -> AbstractAsyncContextManager[Gateway]:
        return gateway(tmp_path, test_snapshot, **upstreams)

    return opened


async def test_an_identical_request_is_answered_from_the_cache(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        first = await gw.post(CHAT, REQUEST)
        second_reply = await gw.post(CHAT, {**dict(reversed(REQUEST.items())), "user": "somebody"})
        rows = await gw.rows(2)
    assert first.headers["x-dragoman-cache"] == "miss"
    assert "age" not in first.headers
    assert (second_reply.headers["x-dragoman-cache"], second_reply.headers["age"]) == ("hit", "0")
    assert second_reply.headers["x-dragoman-target"] == "one/gpt-4.1"
    assert second_reply.body == first.body
    assert second_reply.headers["x-request-id"] != first.headers["x-request-id"]
    assert upstream.count == 1
    miss, hit = rows
    assert (miss.cache, hit.cache) == ("miss", "hit")
    assert hit.cost_usd == 0
    assert hit.saved_usd == miss.cost_usd
    assert miss.cost_usd is not None
    assert (hit.input_tokens, hit.output_tokens, hit.usage_source) == (7, 3, "reported")
    assert (hit.provider, hit.model, hit.attempts) == ("one", "gpt-4.1", [])
    assert (hit.finish, hit.outcome, hit.status) == ("stop", "ok", 200)


async def test_a_route_without_a_cache_stores_nothing(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(route("smart", provider("one"))), one=upstream) as gw:
        for _ in range(2):
            reply = await gw.post(CHAT, REQUEST)
            assert "x-dragoman-cache" not in reply.headers
    assert upstream.count == 2


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "hi!"}]},
        {"messages": [{"role": "system", "content": "hi"}]},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}]},
        {"messages": [{"role": "assistant", "content": "hi"}]},
        {"temperature": 0.5},
        {"max_tokens": 51},
        {"seed": 7},
        {"stop": ["x"]},
        {"n": 2},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"response_format": {"type": "json_object"}},
        {"reasoning_effort": "low"},
        {"top_p": 0.1},
        {"some_new_field": 1},
        {"logit_bias": {"5": 1}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_different_request_does_not_match(live: Open, change: dict[str, Any]) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        reply = await gw.post(CHAT, {**REQUEST, **change})
    assert reply.headers["x-dragoman-cache"] == "miss"
    assert upstream.count == 2


async def test_cache_keys_separate_adjacent_fields(live: Open) -> None:
    """Moving text from one field to the next changes the key."""
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, {**REQUEST, "aa": "b", "c": "d"})
        reply = await gw.post(CHAT, {**REQUEST, "a": "ab", "c": "d"})
        assert reply.headers["x-dragoman-cache"] == "miss"


FORMS = {
    "chat": (CHAT, {"stream": False}),
    "chat-stream": (CHAT, {"stream": True}),
    "chat-stream-usage": (CHAT, {"stream": True, "stream_options": {"include_usage": True}}),
    "messages": (MESSAGES, {"stream": False}),
    "messages-stream": (MESSAGES, {"stream": True}),
}


@pytest.mark.parametrize("upstream", ["openai_chat", "anthropic_messages"])
@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("second_stream", FORMS)
async def test_a_cached_response_is_returned_streamed_and_complete(
    live: Open, upstream: str, text: str, second_stream: str
) -> None:
    """Streamed or whole, in the client's dialect, with the usage."""
    counting = CountingUpstream(lambda n: _numbered_response(upstream, n))
    test_snapshot = registry(cached(provider("one", upstream)))
    path, more = FORMS[text]
    other_path, other = FORMS[second_stream]
    async with live(test_snapshot, one=counting) as gw:
        # The upstream answers as it was asked, streamed or whole.
        counting._respond = lambda n: _numbered_response(upstream, n, stream=more["stream"])
        first = await gw.post(path, {**REQUEST, **more})
        second = await gw.post(other_path, {**REQUEST, **other})
        direct = await gw.post(other_path, {**REQUEST, **other})
    assert response_text(first) == "answer 1"
    assert second.headers["x-dragoman-cache"] == "hit"
    assert response_text(second) == response_text(direct) == "answer 1"
    assert counting.count == 1
    kind = "event-stream" if other["stream"] else "json"
    assert kind in second.headers["content-type"]
    if other["stream"]:
        _check_stream(other_path, second.body.decode())


def _numbered_response(upstream: str, number: int, *, stream: bool = False) -> httpx.Response:
    text = f"answer {number}"
    if upstream == "openai_chat":
        if not stream:
            return completion(text)
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        return sse(
            chunk("answer"), chunk(f" {number}"), chunk(finish="stop"),
            chunk(choices=[], usage=usage), DONE,
        )  # fmt: skip
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-6",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 3},
    }  # fmt: skip
    if not stream:
        return httpx.Response(200, json=message)
    first_message = {**message, "content": [], "stop_reason": None}
    events = [
        {"type": "message_start", "message": first_message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 3},
        },
        {"type": "message_stop"},
    ]
    parts = (f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)
    return sse(*parts)


def _check_stream(path: str, text: str) -> None:
    if path == CHAT:
        assert text.rstrip().endswith("data: [DONE]")
        assert text.count('"finish_reason":"stop"') + text.count('"finish_reason": "stop"') == 1
        return
    names = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
    names = [name for name in names if name != "ping"]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    assert '"output_tokens":3' in text.replace(" ", "")


async def test_a_cached_streams_usage_is_sent_only_when_requested(live: Open) -> None:
    upstream = CountingUpstream(lambda n: _numbered_response("openai_chat", n, stream=True))
    fields = {**REQUEST, "stream": True}
    async with live(registry(cached(provider("one", passthrough=False))), one=upstream) as gw:
        with_usage = {**fields, "stream_options": {"include_usage": True}}
        first = await gw.post(CHAT, with_usage)
        without = await gw.post(CHAT, fields)
        second_reply = await gw.post(CHAT, with_usage)
    assert b'"prompt_tokens":7' in first.body
    assert b"prompt_tokens" not in without.body
    assert second_reply.body == first.body
    assert upstream.count == 1


# --- who shares -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "keys", "shared"),
    [
        ("key", {}, False),
        ("key", {"team": Team(id=1, name="red")}, False),
        ("team", {}, False),
        ("team", {"team": Team(id=1, name="red")}, True),
        ("route", {}, True),
    ],
)
async def test_only_keys_within_the_scope_share_cached_responses(
    live: Open, scope: str, keys: dict[str, Any], shared: bool
) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached(scope=scope), **keys), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        reply = await gw.post(CHAT, REQUEST, key=OTHER)
    assert reply.headers["x-dragoman-cache"] == ("hit" if shared else "miss")


async def test_teams_do_not_share_cached_responses(live: Open) -> None:
    upstream = CountingUpstream()
    test_snapshot = registry(cached(scope="team"), team=Team(id=1, name="red"))
    other = key_digest(OTHER, PEPPER)
    blue = msgspec.structs.replace(test_snapshot.keys[other], team=Team(id=2, name="blue"))
    test_snapshot = msgspec.structs.replace(test_snapshot, keys={**test_snapshot.keys, other: blue})
    async with live(test_snapshot, one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        reply = await gw.post(CHAT, REQUEST, key=OTHER)
    assert reply.headers["x-dragoman-cache"] == "miss"


async def test_routes_do_not_share_cached_responses(live: Open) -> None:
    upstream = CountingUpstream()
    other = msgspec.structs.replace(cached(scope="route"), id=2, name="other")
    async with live(registry(cached(scope="route"), other), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        reply = await gw.post(CHAT, {**REQUEST, "model": "other"})
    assert reply.headers["x-dragoman-cache"] == "miss"


async def test_a_route_alias_shares_cached_responses(live: Open) -> None:
    upstream = CountingUpstream()
    test_snapshot = msgspec.structs.replace(registry(cached()), aliases={"clever": "smart"})
    async with live(test_snapshot, one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        reply = await gw.post(CHAT, {**REQUEST, "model": "clever"})
    assert reply.headers["x-dragoman-cache"] == "hit"
    assert reply.json()["model"] == "clever"


@pytest.mark.parametrize(
    "change",
    [{"cache_generation": 1}, {"targets": route("x", provider("one"), model="o4").targets}],
    ids=["thrown-away", "another-model"],
)
async def test_a_changed_route_never_serves_earlier_entries(
    live: Open, change: dict[str, Any]
) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        gw.runtime.swap(registry(msgspec.structs.replace(cached(), **change)))
        reply = await gw.post(CHAT, REQUEST)
        assert reply.headers["x-dragoman-cache"] == "miss"
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "hit"


async def test_an_unrelated_change_keeps_cached_responses(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        gw.runtime.swap(registry(cached(), route("new", provider("one"))))
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "hit"


# --- wishes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "field", "state", "next_state"),
    [
        ("no-cache", None, "bypass", "hit"),
        ("", {"no-cache": True}, "bypass", "hit"),
        ("max-age=0", None, "miss", "hit"),
        ("", {"s-maxage": 0}, "miss", "hit"),
        ("max-age=60", None, "hit", "hit"),
        ("", {"s-maxage": 60, "ttl": 9}, "hit", "hit"),
        ("no-store", None, "hit", "hit"),
        ("", {"no-store": True, "no-cache": True}, "bypass", "hit"),
        ("", {"namespace": "mine"}, "miss", "hit"),
        ("", {}, "hit", "hit"),
        ("", None, "hit", "hit"),
        ("only-nonsense, max-age=x", None, "hit", "hit"),
    ],
)
async def test_a_client_controls_the_cache_per_request(
    live: Open, header: str, field: dict[str, Any] | None, state: str, next_state: str
) -> None:
    """A first response is cached; the last request has no cache fields."""
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        await asyncio.sleep(0.01)
        body = {**REQUEST, "cache": field} if field is not None else REQUEST
        reply = await gw.post(CHAT, body, headers={"cache-control": header})
        assert reply.headers["x-dragoman-cache"] == state
        for upstream_request in gw.upstreams.requests:
            assert "cache" not in json.loads(upstream_request.content)
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == next_state


async def test_no_cache_replaces_the_cached_response(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        await gw.post(CHAT, {**REQUEST, "cache": {"no-cache": True}})
        assert response_text(await gw.post(CHAT, REQUEST)) == "answer 2"


@pytest.mark.parametrize("wish", [{"no-store": True}, {"ttl": 2}])
async def test_a_request_can_shorten_or_skip_storage(live: Open, wish: dict[str, Any]) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, {**REQUEST, "cache": wish})
        if "ttl" in wish:
            assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "hit"
            await asyncio.sleep(2.05)
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "miss"


async def test_cache_namespaces_are_separate(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        for _ in range(2):
            await gw.post(CHAT, {**REQUEST, "cache": {"namespace": "mine"}})
        await gw.post(CHAT, {**REQUEST, "cache": {"namespace": "yours"}})
    assert upstream.count == 2


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("yes", "cache must be an object"),
        ({"ttl": 0}, "cache.ttl must be a whole number of seconds from 1"),
        ({"ttl": "5"}, "cache.ttl"),
        ({"ttl": 1.5}, "cache.ttl"),
        ({"s-maxage": -1}, "cache.s-maxage"),
        ({"no-cache": "yes"}, "cache.no-cache must be true or false"),
        ({"namespace": 5}, "cache.namespace"),
        ({"no_cache": True}, "cache.no_cache is not supported; supported are no-cache"),
    ],
)
async def test_an_invalid_cache_field_is_refused(live: Open, field: Any, named: str) -> None:
    async with live(registry(cached()), one=CountingUpstream()) as gw:
        reply = await gw.post(CHAT, {**REQUEST, "cache": field})
    assert reply.status == 400
    assert named in reply.json()["error"]["message"]


async def test_the_field_reaches_no_upstream_of_a_route_without_a_cache(live: Open) -> None:
    async with live(registry(route("smart", provider("one"))), one=CountingUpstream()) as gw:
        reply = await gw.post(CHAT, {**REQUEST, "cache": {"no-cache": True}})
        assert "cache" not in json.loads(gw.upstreams.requests[0].content)
    assert reply.status == 200
    assert reply.headers["x-dragoman-cache"] == "bypass"


async def test_a_null_cache_field_is_ignored(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        for _ in range(2):
            assert (await gw.post(CHAT, {**REQUEST, "cache": None})).status == 200
        assert "cache" not in json.loads(gw.upstreams.requests[0].content)
    assert upstream.count == 1


async def test_an_opt_in_route_caches_only_on_request(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached(opt_in=True)), one=upstream) as gw:
        for _ in range(2):
            assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "bypass"
        body = {**REQUEST, "cache": {"use-cache": True}}
        states = [(await gw.post(CHAT, body)).headers["x-dragoman-cache"] for _ in range(2)]
    assert states == ["miss", "hit"]


async def test_a_route_may_cache_only_deterministic_requests(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached(deterministic=True)), one=upstream) as gw:
        for temperature, states in ((1, ["bypass"] * 2), (0, ["miss", "hit"])):
            body = {**REQUEST, "temperature": temperature}
            replies = [await gw.post(CHAT, body) for _ in range(2)]
            assert [r.headers["x-dragoman-cache"] for r in replies] == states


# --- what is kept -----------------------------------------------------------------------


def _finish(reason: str) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": reason}
    return completion(choices=[choice])


@pytest.mark.parametrize(
    ("response", "is_stored"),
    [
        (lambda n: completion(), True),
        (lambda n: _finish("length"), True),
        (lambda n: _finish("content_filter"), False),
        (lambda n: refusal(500), False),
        (lambda n: refusal(400), False),
        (lambda n: completion("x" * 5000), False),
        (lambda n: sse(chunk("be"), httpx.ReadError("gone")), False),
        (lambda n: sse(chunk("be")), False),
        (lambda n: sse(chunk("be"), chunk(finish="stop"), DONE), True),
        (lambda n: sse(chunk("x" * 5000), chunk(finish="stop"), DONE), False),
    ],
    ids=["whole", "length", "filtered", "500", "400", "large", "broken", "cut", "stream",
         "large-stream"],
)  # fmt: skip
async def test_only_complete_successful_responses_are_stored(
    live: Open, response: Callable[[int], httpx.Response], is_stored: bool
) -> None:
    upstream = CountingUpstream(response)
    stream = "event-stream" in response(0).headers["content-type"]
    body = {**REQUEST, "stream": stream}
    async with live(registry(cached(max_bytes=4000)), one=upstream) as gw:
        await gw.post(CHAT, body)
        await gw.post(CHAT, body)
    assert upstream.count == (1 if is_stored else 2)


async def test_a_response_the_client_abandoned_is_not_stored(live: Open) -> None:
    upstream = CountingUpstream(
        lambda n: sse(
            chunk("be"), WAIT_TIMEOUT_S if n == 1 else 0.0, chunk("gun"), chunk(finish="stop"), DONE
        )
    )
    body = {**REQUEST, "stream": True}
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, body, disconnect_once=lambda reply: reply.body)
        assert response_text(await gw.post(CHAT, body)) == "begun"
        assert response_text(await gw.post(CHAT, body)) == "begun"
    assert upstream.count == 2


async def test_a_response_is_cached_if_the_client_disconnects_after_the_end(live: Open) -> None:
    """The upstream response is still read to its end, and cached."""
    upstream = CountingUpstream(lambda n: sse(chunk("all"), chunk(finish="stop"), DONE, 0.6))
    body = {**REQUEST, "stream": True}
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, body, disconnect_once=lambda reply: reply.body.endswith(DONE))
        assert (await gw.post(CHAT, body)).headers["x-dragoman-cache"] == "hit"


async def test_the_memory_cache_is_bounded(live: Open) -> None:
    upstream = CountingUpstream(lambda n: completion("x" * 1000))
    async with live(registry(cached()), one=upstream) as gw:
        memory = gw.runtime.cache.memory
        memory._max_bytes = 20_000
        for number in range(40):
            await gw.post(CHAT, {**REQUEST, "seed": number})
            assert memory.bytes <= 20_000
        assert 5 < len(memory) < 15
        assert (await gw.post(CHAT, {**REQUEST, "seed": 39})).headers["x-dragoman-cache"] == "hit"
        assert (await gw.post(CHAT, {**REQUEST, "seed": 0})).headers["x-dragoman-cache"] == "miss"


# --- with limits ------------------------------------------------------------------------


async def test_a_cache_hit_counts_as_a_request_without_tokens_or_cost(live: Open) -> None:
    upstream = CountingUpstream()
    test_snapshot = registry(cached(), limits=Limits(requests_per_minute=3, tokens_per_minute=1000))
    async with live(test_snapshot, one=upstream) as gw:
        replies = [await gw.post(CHAT, REQUEST) for _ in range(4)]
    assert [r.status for r in replies] == [200, 200, 200, 429]
    assert [r.headers.get("x-ratelimit-remaining-requests") for r in replies[:3]] == ["2", "1", "0"]
    tokens = [r.headers["x-ratelimit-remaining-tokens"] for r in replies[1:3]]
    assert tokens[0] == tokens[1] == "990"


async def test_a_stale_response_is_served_while_no_target_answers(live: Open) -> None:
    responses = iter([completion("kept")])
    upstream = CountingUpstream(lambda n: next(responses, refusal(503)))
    async with live(registry(cached()), one=upstream) as gw:
        await gw.post(CHAT, REQUEST)
        assert (await gw.post(CHAT, {**REQUEST, "seed": 1})).status == 503
        assert response_text(await gw.post(CHAT, REQUEST)) == "kept"


# --- at the same time -------------------------------------------------------------------


@pytest.mark.parametrize("single", [True, False])
async def test_concurrent_identical_requests_share_one_call_if_configured(
    live: Open, single: bool
) -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.5)  # till all have come
        return completion("once")

    async with live(registry(cached(single_flight=single)), one=slow) as gw:
        replies = await asyncio.gather(*(gw.post(CHAT, REQUEST) for _ in range(5)))
        assert {response_text(reply) for reply in replies} == {"once"}
        assert len(gw.upstreams.requests) == (1 if single else 5)
        assert not gw.runtime.cache.in_flight


async def test_a_waiter_of_a_failed_request_calls_upstream_itself(live: Open) -> None:
    async def failing(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)
        return refusal(500)

    async with live(registry(cached(single_flight=True)), one=failing) as gw:
        replies = await asyncio.gather(*(gw.post(CHAT, REQUEST) for _ in range(3)))
        assert {reply.status for reply in replies} == {500, 502} & {r.status for r in replies}
        assert len(gw.upstreams.requests) == 3
        assert not gw.runtime.cache.in_flight


async def test_one_waiter_takes_over_if_the_client_of_the_first_request_disconnects(
    live: Open,
) -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.5)
        return completion("once")

    async with live(registry(cached(single_flight=True)), one=slow) as gw:
        first = asyncio.create_task(gw.post(CHAT, REQUEST, disconnect_after=0.2))
        await wait_until_async(lambda: gw.upstreams.requests)
        replies = await asyncio.gather(*(gw.post(CHAT, REQUEST) for _ in range(5)))
        await first
        assert {response_text(reply) for reply in replies} == {"once"}
        assert len(gw.upstreams.requests) == 2
        assert not gw.runtime.cache.in_flight


async def test_metrics_count_cache_hits_and_misses(live: Open) -> None:
    async with live(registry(cached()), one=CountingUpstream()) as gw:
        for _ in range(3):
            await gw.post(CHAT, REQUEST)
        await gw.rows(3)
        text = gw.runtime.metrics.exposition(NodeValues(), ProcessValues()).decode()
    assert 'dragoman_cache_requests_total{result="hit",route="smart"} 2.0' in text
    assert 'dragoman_cache_requests_total{result="miss",route="smart"} 1.0' in text
    assert 'dragoman_cache_saved_usd_total{route="smart"}' in text


Embedding = AsyncIterator[bytes]


async def test_embedding_responses_are_cached(live: Open) -> None:
    body = {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    upstream = CountingUpstream(lambda n: httpx.Response(200, json=body))
    request = {"model": "smart", "input": "hi"}
    async with live(registry(cached()), one=upstream) as gw:
        first, second_reply = [await gw.post("/v1/embeddings", request) for _ in range(2)]
        rows = await gw.rows(2)
    assert second_reply.headers["x-dragoman-cache"] == "hit"
    assert second_reply.body == first.body
    assert upstream.count == 1
    assert rows[1].input_tokens == 2
    assert rows[1].cost_usd == Decimal(0)


async def test_a_route_may_cache_each_dialect_separately(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached(dialects="same")), one=upstream) as gw:
        states = []
        for path, more in (*FORMS.values(), *FORMS.values()):
            upstream._respond = lambda n, s=more["stream"]: _numbered_response(
                "openai_chat", n, stream=s
            )
            states.append((await gw.post(path, {**REQUEST, **more})).headers["x-dragoman-cache"])
    # With and without its usage a stream is the same, and costs a rendering.
    assert states == ["miss", "miss", "hit", "miss", "miss", *["hit"] * 5]


def _response(number: int) -> httpx.Response:
    """Return a Responses response."""
    text = {"type": "output_text", "text": f"answer {number}", "annotations": []}
    item = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed",
        "content": [text],
    }  # fmt: skip
    body = {
        "id": f"resp_{number}", "object": "response", "created_at": 1, "status": "completed",
        "model": "gpt-4.1", "output": [item],
        "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    }  # fmt: skip
    return httpx.Response(200, json=body)


@pytest.mark.parametrize("dialects", ["all", "same"])
@pytest.mark.parametrize(
    ("more", "states"),
    [
        ({"store": False}, ["miss", "hit"]),
        ({"store": False, "conversation": "conv_1"}, ["bypass", "bypass"]),
    ],
    ids=["plain", "conversation"],
)
async def test_a_request_that_depends_on_server_state_is_not_cached(
    live: Open, more: dict[str, Any], states: list[str], dialects: str
) -> None:
    request = {"model": "smart", "input": "hi", **more}
    async with live(registry(cached(dialects=dialects)), one=CountingUpstream(_response)) as gw:
        replies = [await gw.post("/v1/responses", request) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert [reply.headers["x-dragoman-cache"] for reply in replies] == states


async def test_cached_responses_are_shared_with_responses_clients(live: Open) -> None:
    upstream = CountingUpstream()
    async with live(registry(cached()), one=upstream) as gw:
        request = {"model": "smart", "input": "hi", "max_output_tokens": 50, "store": False}
        await gw.post(CHAT, REQUEST)
        reply = await gw.post("/v1/responses", request)
    assert reply.headers["x-dragoman-cache"] == "hit"
    assert reply.json()["output"][0]["content"][0]["text"] == "answer 1"
