"""Web searches by the gateway, for models whose provider has none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import msgspec
import openai
import pytest

from gateway.providers.profile import Price, Secret
from gateway.relay.upstream.web_search import SearchEndpoint, is_allowed, search_url
from gateway.routing.snapshot import Target, model_of
from tests.fakes import anthropic_rules, openai_rules
from tests.fakes.search import KEY, searxng, tavily
from tests.relay.harness import (
    KEY as GATEWAY_KEY,
)
from tests.relay.harness import (
    Gateway,
    PacedBody,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)

Json = dict[str, Any]

ENDPOINT = SearchEndpoint(url="http://search.test", timeout_s=2.0)
OSLO = "https://en.wikipedia.org/wiki/Oslo"
RESPONSE = f"Oslo has 717,710 people ([Wikipedia]({OSLO}))."
MESSAGES: Json = {
    "model": "m",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "How many people live in Oslo?"}],
    "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
}
RESPONSES: Json = {
    "model": "m",
    "input": "How many people live in Oslo?",
    "tools": [{"type": "web_search"}],
}


def chat_chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1"}
    return b"data: " + json.dumps({**body, "choices": choices, **more}).encode() + b"\n\n"


def usage(prompt: int, output: int) -> Json:
    total = prompt + output
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}


def tool_call(query: str | None, number: int, name: str = "web_search") -> Json:
    arguments = json.dumps({} if query is None else {"query": query})
    function = {"name": name, "arguments": arguments}
    return {"index": number, "id": f"call_{number}", "type": "function", "function": function}


def searching(*rounds: list[Json] | str) -> Callable[[httpx.Request], httpx.Response]:
    """Return a strict Chat provider that makes the calls of each round, then send the text."""

    def respond(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        refusal_ = openai_rules.refusal({**body, "model": "gpt-4o"})
        if refusal_ is not None:
            return refusal(refusal_.status, refusal_.message)
        done = sum(m["role"] == "assistant" for m in body["messages"])
        step = rounds[min(done, len(rounds) - 1)]
        counts = usage(10 * (done + 1), 5)
        if not body.get("stream"):
            if isinstance(step, str):
                return completion(step, usage=counts)
            calls = [{k: v for k, v in call.items() if k != "index"} for call in step]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            return completion(choices=[choice], usage=counts)
        last = b"data: " + json.dumps({"choices": [], "usage": counts}).encode() + b"\n\n"
        if isinstance(step, str):
            parts = [chat_chunk({"content": step[i : i + 7]}) for i in range(0, len(step), 7)]
            return sse(*parts, chat_chunk({}, "stop"), last, b"data: [DONE]\n\n")
        calls_chunk = chat_chunk({"role": "assistant", "tool_calls": step})
        return sse(calls_chunk, chat_chunk({}, "tool_calls"), last, b"data: [DONE]\n\n")

    return respond


def single_search() -> Callable[[httpx.Request], httpx.Response]:
    return searching([tool_call("Oslo population", 0)], RESPONSE)


def running_gateway(
    tmp_path: Path,
    model: Callable[[httpx.Request], Any],
    *,
    endpoint: SearchEndpoint = ENDPOINT,
    search: Callable[[httpx.Request], Any] = searxng,
    **changes: Any,
) -> AbstractAsyncContextManager[Gateway]:
    # A preset without OpenAI's Responses API, which has a search of its own.
    upstream = provider("a", preset="together")
    priced = model_of(upstream, "llama-3")
    price = Price(input=Decimal(1), output=Decimal(2), source="list")
    priced = msgspec.structs.replace(priced, price=price)
    test_route = route("m", upstream, targets=(Target(id=1, model=priced, order=1),), **changes)
    return gateway(tmp_path, snapshot(test_route), web_search=endpoint, a=model, search=search)


def searches(gw: Gateway) -> list[httpx.Request]:
    return [r for r in gw.upstreams.requests if r.url.host == "search.test"]


def bodies(gw: Gateway) -> list[Json]:
    return [json.loads(r.content) for r in gw.upstreams.requests if r.url.host == "a.test"]


def events_of(data: bytes) -> list[Json]:
    lines = [line for line in data.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


async def by_claude(gw: Gateway, stream: bool, **body: Any) -> anthropic.types.Message:
    """Return the message as Anthropic's SDK parses it."""
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gw.app))  # type: ignore[arg-type]
    sdk = anthropic.AsyncAnthropic(
        base_url="http://gate", api_key=GATEWAY_KEY, http_client=http, max_retries=0
    )
    async with sdk:
        if not stream:
            return await sdk.messages.create(**{**MESSAGES, **body})
        async with sdk.messages.stream(**{**MESSAGES, **body}) as reading:
            return await reading.get_final_message()


async def answer_openai_client(gw: Gateway, stream: bool, **body: Any) -> Any:
    """Return the response as OpenAI's SDK parses it."""
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gw.app))  # type: ignore[arg-type]
    sdk = openai.AsyncOpenAI(
        base_url="http://gw/v1", api_key=GATEWAY_KEY, http_client=http, max_retries=0
    )
    async with sdk:
        if not stream:
            return await sdk.responses.create(**{**RESPONSES, **body})
        async with sdk.responses.stream(**{**RESPONSES, **body}) as reading:
            return await reading.get_final_response()


# --- responses ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_claudes_client_gets_the_search_and_its_sources(tmp_path: Path, stream: bool) -> None:
    async with running_gateway(tmp_path, single_search()) as gw:
        message = await by_claude(gw, stream)
        upstream_bodies, requests = bodies(gw), searches(gw)
    call, block, text = message.content
    assert (call.type, call.name, call.input) == (
        "server_tool_use",
        "web_search",
        {"query": "Oslo population"},
    )
    assert (block.type, block.tool_use_id) == ("web_search_tool_result", call.id)
    assert [page.url for page in block.content] == [OSLO, "https://www.visitoslo.com/en/"]
    assert (text.type, text.text) == ("text", RESPONSE)
    [cited] = text.citations
    assert (cited.url, cited.title) == (OSLO, "Oslo - Wikipedia")
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (30, 10)
    counts = message.usage.server_tool_use
    assert (counts.web_search_requests, counts.web_fetch_requests) == (1, 0)
    assert [request.url.params["q"] for request in requests] == ["Oslo population"]
    first, second = upstream_bodies
    assert [tool["function"]["name"] for tool in first["tools"]] == ["web_search"]
    assert second["messages"][-1]["role"] == "tool"
    assert "717,710 inhabitants" in second["messages"][-1]["content"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_responses_client_gets_an_item_and_annotations(
    tmp_path: Path, stream: bool
) -> None:
    async with running_gateway(tmp_path, single_search()) as gw:
        response = await answer_openai_client(gw, stream)
    search, message = response.output
    assert (search.type, search.status, search.action.type) == (
        "web_search_call",
        "completed",
        "search",
    )
    assert search.action.query == "Oslo population"
    [part] = message.content
    assert part.text == RESPONSE
    [note] = part.annotations
    assert (note.type, note.url) == ("url_citation", OSLO)
    assert part.text[note.start_index : note.end_index] == f"[Wikipedia]({OSLO})"
    assert (response.usage.input_tokens, response.usage.output_tokens) == (30, 10)


async def test_a_chat_client_gets_annotations(tmp_path: Path) -> None:
    request = {
        "model": "m",
        "messages": [{"role": "user", "content": "Oslo?"}],
        "web_search_options": {},
    }
    async with running_gateway(tmp_path, single_search()) as gw:
        reply = await gw.post("/v1/chat/completions", request)
    message = reply.json()["choices"][0]["message"]
    assert message["content"] == RESPONSE
    assert [note["url_citation"]["url"] for note in message["annotations"]] == [OSLO]


async def test_the_events_of_a_search_are_in_order(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, single_search()) as gw:
        reply = await gw.post("/v1/responses", {**RESPONSES, "stream": True})
    kinds = [event["type"] for event in events_of(reply.body)]
    assert kinds.index("response.web_search_call.searching") < kinds.index(
        "response.web_search_call.completed"
    )
    assert kinds.index("response.web_search_call.completed") < kinds.index(
        "response.output_text.delta"
    )
    assert kinds[-1] == "response.completed"


# --- the log ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_all_search_rounds_are_one_log_row_with_summed_usage(
    tmp_path: Path, stream: bool
) -> None:
    async with running_gateway(tmp_path, single_search()) as gw:
        reply = await gw.post("/v1/messages", {**MESSAGES, "stream": stream})
        row = await gw.record()
    assert reply.status == 200, reply.body
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (30, 10, "reported")
    assert row.cost_usd == Decimal("0.00005")
    [attempt] = row.attempts
    assert [(c.input_tokens, c.output_tokens) for c in attempt.calls] == [(10, 5), (20, 5)]
    assert [c.cost_usd for c in attempt.calls] == [Decimal("0.00002"), Decimal("0.00003")]
    [search] = attempt.calls[0].searches
    assert (search.query, search.results, search.error) == ("Oslo population", 2, "")
    assert ("tools[0]", "approximated") in {(a["field"], a["action"]) for a in row.adaptations}
    assert len(gw.records) == 1


# --- failures and bounds ------------------------------------------------------------------


def hanging(_: httpx.Request) -> Any:
    return asyncio.sleep(3600)


FAULTS: dict[str, tuple[Callable[[httpx.Request], Any], str]] = {
    "refused": (lambda _: httpx.Response(403, text="no"), "status 403"),
    "unreachable": (lambda _: httpx.ConnectError("boom at 10.0.0.7"), "could not be reached"),
    "html": (lambda _: httpx.Response(200, text="<html>"), "not JSON"),
    "redirect": (
        lambda _: httpx.Response(302, headers={"location": "http://169.254.169.254/"}),
        "status 302",
    ),
    "hangs": (hanging, "within 0.2 s"),
    "large": (
        lambda _: httpx.Response(200, stream=PacedBody(*[b"x" * 3_000_000] * 2)),
        "could not be reached",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failed_search_is_a_result_for_the_model(
    tmp_path: Path, fault: str, stream: bool
) -> None:
    search, message = FAULTS[fault]
    endpoint = msgspec.structs.replace(ENDPOINT, timeout_s=0.2 if fault == "hangs" else 2.0)
    async with running_gateway(tmp_path, single_search(), endpoint=endpoint, search=search) as gw:
        reply = await by_claude(gw, stream)
        row, upstream_bodies = await gw.record(), bodies(gw)
    assert reply.content[1].content.error_code == "unavailable"
    assert reply.content[-1].text == RESPONSE
    assert row.outcome == "ok"
    error = row.attempts[0].calls[0].searches[0].error
    assert message in error and message in upstream_bodies[1]["messages"][-1]["content"]
    assert "10.0.0.7" not in error and "search.test" not in error
    assert {r.url.host for r in gw.upstreams.requests} == {"a.test", "search.test"}


async def test_searches_end_at_max_uses(tmp_path: Path) -> None:
    """After the maximum, a model may call no more tools, and the turn ends."""
    endless = searching([tool_call("again", 0)])
    request_body = {**MESSAGES, "tools": [{**MESSAGES["tools"][0], "max_uses": 2}]}
    async with running_gateway(tmp_path, endless) as gw:
        reply = await gw.post("/v1/messages", request_body)
        upstream_bodies = bodies(gw)
    assert len(searches(gw)) == 2
    assert [body.get("tool_choice") for body in upstream_bodies] == [None, None, "none"]
    assert reply.json()["stop_reason"] == "end_turn"


async def test_searches_end_at_the_max_tool_calls_of_a_responses_client(tmp_path: Path) -> None:
    endless = searching([tool_call("again", 0)])
    async with running_gateway(tmp_path, endless) as gw:
        reply = await gw.post("/v1/responses", {**RESPONSES, "max_tool_calls": 1})
        upstream_bodies = bodies(gw)
    assert len(searches(gw)) == 1
    assert [body.get("tool_choice") for body in upstream_bodies] == [None, "none"]
    assert "max_tool_calls" not in reply.headers.get("x-dragoman-dropped", "")


async def test_parallel_searches_are_bounded_too(tmp_path: Path) -> None:
    many = [tool_call(f"query {n}", n) for n in range(9)]
    async with running_gateway(tmp_path, searching(many, RESPONSE)) as gw:
        reply = await gw.post("/v1/messages", MESSAGES)
        upstream_bodies = bodies(gw)
    assert len(searches(gw)) == 3
    results = [m["content"] for m in upstream_bodies[1]["messages"] if m["role"] == "tool"]
    assert len(results) == 9
    assert sum("maximum number of searches" in text for text in results) == 6
    kinds = [block["type"] for block in reply.json()["content"]]
    assert kinds == ["server_tool_use", "web_search_tool_result"] * 3 + ["text"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_of_the_clients_own_tool_ends_the_turn(tmp_path: Path, stream: bool) -> None:
    client_tool = {"name": "f", "input_schema": {"type": "object"}}
    calls = [tool_call("Oslo", 0), tool_call(None, 1, "f")]
    fields = {"tools": [*MESSAGES["tools"], client_tool]}
    async with running_gateway(tmp_path, searching(calls, RESPONSE)) as gw:
        message = await by_claude(gw, stream, **fields)
        history = [
            *MESSAGES["messages"],
            {"role": "assistant", "content": [b.model_dump() for b in message.content]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "42"}],
            },
        ]
        reply = await gw.post("/v1/messages", {**MESSAGES, **fields, "messages": history})
        upstream_bodies = bodies(gw)
    assert message.stop_reason == "tool_use"
    assert sorted(block.type for block in message.content) == [
        "server_tool_use",
        "tool_use",
        "web_search_tool_result",
    ]
    assert reply.status == 200, reply.body
    # The results of the search are there again, without a further search.
    assert "717,710 inhabitants" in json.dumps(upstream_bodies[-1]["messages"])
    assert len(searches(gw)) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_in_a_later_round_is_reported(tmp_path: Path, stream: bool) -> None:
    first = single_search()

    def failing(request: httpx.Request) -> httpx.Response:
        messages = json.loads(request.content)["messages"]
        return first(request) if len(messages) == 1 else refusal(503, "busy")

    async with running_gateway(tmp_path, failing) as gw:
        reply = await gw.post("/v1/messages", {**MESSAGES, "stream": stream})
        row = await gw.record()
    if stream:
        assert (reply.status, events_of(reply.body)[-1]["type"]) == (200, "error")
        assert (row.outcome, row.input_tokens) == ("cut", 10)
    else:
        assert (reply.status, reply.json()["error"]["message"]) == (529, "busy")
        assert row.outcome == "error"


async def test_a_client_that_disconnects_ends_the_search(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, single_search(), search=hanging) as gw:
        await gw.post("/v1/messages", MESSAGES, disconnect_after=0.2)
        row = await gw.record()
    assert row.outcome == "client_closed"


# --- when it is used ----------------------------------------------------------------------


async def test_a_route_can_switch_web_search_off(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, searching(RESPONSE), web_search=False) as gw:
        reply = await gw.post("/v1/messages", MESSAGES)
        row = await gw.record()
    assert "tools" not in bodies(gw)[0]
    assert reply.headers["x-dragoman-dropped"] == "tools[0]"
    assert not searches(gw)
    assert row.attempts[0].calls == []


async def test_an_index_search_does_not_become_a_live_search(tmp_path: Path) -> None:
    body = {**RESPONSES, "tools": [{"type": "web_search", "external_web_access": False}]}
    async with running_gateway(tmp_path, searching(RESPONSE)) as gw:
        await gw.post("/v1/responses", body)
    assert not searches(gw)


async def test_a_provider_with_native_web_search_runs_it(tmp_path: Path) -> None:
    def own(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert body["tools"][0]["type"] == "web_search_20250305"
        headers = {"anthropic-version": "2023-06-01"}
        assert (
            anthropic_rules.refusal({**body, "model": "claude-opus-5-5"}, headers, counting=False)
            is None
        )
        content = [{"type": "text", "text": "hi"}]
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": content}
        counts = {"input_tokens": 1, "output_tokens": 1}
        return httpx.Response(
            200, json={**message, "model": "c", "stop_reason": "end_turn", "usage": counts}
        )

    test_route = route("m", provider("a", "anthropic_messages"), model="claude-opus-5-5")
    async with gateway(
        tmp_path, snapshot(test_route), web_search=ENDPOINT, a=own, search=searxng
    ) as gw:
        reply = await gw.post("/v1/messages", MESSAGES)
    assert reply.status == 200, reply.body
    assert not searches(gw)


async def test_tavily_gets_the_domains(tmp_path: Path) -> None:
    endpoint = msgspec.structs.replace(ENDPOINT, format="tavily", key=Secret(KEY))
    tool = {**MESSAGES["tools"][0], "allowed_domains": ["wikipedia.org"]}
    async with running_gateway(tmp_path, single_search(), endpoint=endpoint, search=tavily) as gw:
        message = await by_claude(gw, stream=False, tools=[tool])
        (request,) = searches(gw)
    assert [page.url for page in message.content[1].content] == [OSLO]
    assert json.loads(request.content)["include_domains"] == ["wikipedia.org"]


def test_web_search_results_are_filtered_by_domain() -> None:
    assert is_allowed("https://en.wikipedia.org/wiki/Oslo", ["wikipedia.org"], [])
    assert is_allowed("https://wikipedia.org/wiki/Oslo", ["https://wikipedia.org/wiki"], [])
    assert not is_allowed("https://notwikipedia.org/", ["wikipedia.org"], [])
    assert not is_allowed("https://a.example/x", [], ["a.example"])
    assert not is_allowed("https://[bad/", [], [])


def test_the_search_path_is_appended_to_the_endpoint_url() -> None:
    assert str(search_url("http://s.test")) == "http://s.test/search"
    assert str(search_url("http://s.test/searx/")) == "http://s.test/searx/search"
    assert str(search_url("http://s.test/search")) == "http://s.test/search"
