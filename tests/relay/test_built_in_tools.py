"""OpenAI's built-in tools, which run in its Responses API only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.relay.harness import Reply, completion, gateway, provider, route, snapshot

Json = dict[str, Any]

MESSAGES: Json = {
    "model": "m",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "hi"}],
}
SEARCH: Json = {"type": "web_search_20250305", "name": "web_search"}
FUNCTION: Json = {"name": "web_search", "input_schema": {"type": "object"}}


def response(request: httpx.Request) -> httpx.Response:
    if not request.url.path.endswith("/responses"):
        return completion()
    text = {"type": "output_text", "text": "hello", "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [text]}
    body = {"id": "r", "object": "response", "status": "completed", "output": [item]}
    return httpx.Response(200, json=body)


@pytest.mark.parametrize(
    ("model", "tools", "path"),
    [
        ("gpt-4.1", [SEARCH], "/responses"),
        ("gpt-4.1", [{"type": "code_execution_20250825", "name": "code_execution"}], "/responses"),
        ("gpt-4.1", [FUNCTION], "/chat/completions"),
        ("gpt-4.1", [], "/chat/completions"),
        ("gpt-4.1-nano", [SEARCH], "/chat/completions"),
        ("gpt-3.5-turbo", [SEARCH], "/chat/completions"),
    ],
)
async def test_built_in_tools_choose_the_api_that_has_them(
    tmp_path: Path, model: str, tools: list[Json], path: str
) -> None:
    registry = snapshot(route("m", provider("a", preset="openai"), model=model))
    async with gateway(tmp_path, registry, a=response) as gw:
        reply = await gw.post("/v1/messages", {**MESSAGES, "tools": tools})
        [upstream_request] = gw.upstreams.requests
    assert upstream_request.url.path == path
    assert reply.json()["content"] == [{"type": "text", "text": "hello"}]
    kinds = [tool["type"] for tool in json.loads(upstream_request.content).get("tools", ())]
    if path == "/responses":
        assert kinds in (["web_search"], ["code_interpreter"])
        assert "x-dragoman-dropped" not in reply.headers
    elif tools == [SEARCH]:
        assert (kinds, reply.headers["x-dragoman-dropped"]) == ([], "tools[0]")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gpt-4.1", "/responses"),
        ("gpt-5-search-api", "/chat/completions"),
        ("gpt-4o-search-preview", "/chat/completions"),
        ("gpt-4.1-nano", "/chat/completions"),
    ],
)
async def test_a_chat_clients_search_uses_the_models_search_api(
    tmp_path: Path, model: str, path: str
) -> None:
    """Only OpenAI's search models accept `web_search_options`; others search in Responses."""
    registry = snapshot(route("m", provider("a", preset="openai"), model=model))
    body = {"model": "m", "messages": MESSAGES["messages"], "web_search_options": {}}
    async with gateway(tmp_path, registry, a=response) as gw:
        await gw.post("/v1/chat/completions", body)
        [upstream_request] = gw.upstreams.requests
    assert upstream_request.url.path == path


# --- xAI, which has some of OpenAI's tools and fewer of their options -----------------------------

_XAI_TOOL_FIELDS: dict[str, frozenset[str]] = {
    "function": frozenset({"type", "name", "description", "parameters", "strict"}),
    "web_search": frozenset({"type", "filters", "enable_image_understanding"}),
    "x_search": frozenset({"type", "allowed_x_handles", "from_date"}),
    "code_interpreter": frozenset({"type"}),
    "file_search": frozenset({"type", "vector_store_ids", "max_num_results"}),
    "mcp": frozenset(
        {"type", "server_label", "server_url", "authorization", "allowed_tools", "require_approval"}
    ),
}
_XAI_ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning"})


def xai(request: httpx.Request) -> httpx.Response:
    """Respond as xAI's Responses API, which is strict about tools, their fields and items."""
    if not request.url.path.endswith("/responses"):
        return completion()
    body = json.loads(request.content)
    for tool in body["tools"]:
        known_fields = _XAI_TOOL_FIELDS.get(tool["type"])
        assert known_fields is not None, f"unknown tool {tool}"
        assert tool.keys() <= known_fields, f"rejected fields {tool.keys() - known_fields}"
    kinds = {item["type"] for item in body["input"]}
    assert kinds <= _XAI_ITEMS, f"data did not match any variant of ModelInput: {kinds}"
    choice = body.get("tool_choice", "auto")
    assert isinstance(choice, str) or choice["type"] == "function"
    return response(request)


SEARCH_ITEM: Json = {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}


async def ask_grok(
    tmp_path: Path, path: str, body: Json, model: str = "grok-4.3"
) -> tuple[httpx.Request, Reply]:
    registry = snapshot(route("m", provider("a", preset="xai"), model=model))
    async with gateway(tmp_path, registry, a=xai) as gw:
        reply = await gw.post(path, {"model": "m", **body})
        assert reply.status == 200, reply.body
        [upstream_request] = gw.upstreams.requests
    return upstream_request, reply


CHAT: Json = {"messages": MESSAGES["messages"]}
XAI_CASES: dict[str, tuple[str, Json, list[Json], set[str]]] = {
    "chat options": (
        "/v1/chat/completions",
        {**CHAT, "web_search_options": {"search_context_size": "low"}},
        [{"type": "web_search"}],
        {"web_search_options.search_context_size"},
    ),
    "x_search in chat": (
        "/v1/chat/completions",
        {**CHAT, "tools": [{"type": "x_search", "allowed_x_handles": ["xai"]}]},
        [{"type": "x_search", "allowed_x_handles": ["xai"]}],
        set(),
    ),
    "messages": (
        "/v1/messages",
        {**MESSAGES, "tools": [{**SEARCH, "blocked_domains": ["b.example"], "max_uses": 2}]},
        [{"type": "web_search", "filters": {"excluded_domains": ["b.example"]}}],
        {"tools[0].max_uses"},
    ),
    "code in messages": (
        "/v1/messages",
        {
            **MESSAGES,
            "tools": [
                {"type": "code_execution_20250825", "name": "code_execution"},
                {"name": "f", "input_schema": {"type": "object"}},
            ],
        },
        [
            {"type": "code_interpreter"},
            {
                "type": "function",
                "name": "f",
                "strict": False,
                "parameters": {"type": "object", "properties": {}},
            },
        ],
        set(),
    ),
    "responses": (
        "/v1/responses",
        {
            "input": "hi",
            "tools": [
                {
                    **SEARCH_ITEM,
                    "search_context_size": "high",
                    "user_location": {"type": "approximate", "city": "Oslo"},
                },
                {"type": "code_interpreter", "container": {"type": "auto"}},
                {"type": "x_search", "from_date": "2026-01-01"},
                {"type": "file_search", "vector_store_ids": ["collection_1"]},
                {"type": "image_generation"},
            ],
        },
        [
            SEARCH_ITEM,
            {"type": "code_interpreter"},
            {"type": "x_search", "from_date": "2026-01-01"},
            {"type": "file_search", "vector_store_ids": ["collection_1"]},
        ],
        {
            "tools[0].search_context_size",
            "tools[0].user_location",
            "tools[4]",
        },
    ),
    "a vector store of OpenAI's": (
        "/v1/responses",
        {
            "input": "hi",
            "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}, {"type": "x_search"}],
        },
        [{"type": "x_search"}],
        {"tools[0]"},
    ),
    "mcp": (
        "/v1/responses",
        {
            "input": "hi",
            "tools": [
                {
                    "type": "mcp",
                    "server_label": "docs",
                    "server_url": "https://mcp.example",
                    "require_approval": "never",
                },
                {"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail"},
            ],
        },
        [
            {
                "type": "mcp",
                "server_label": "docs",
                "server_url": "https://mcp.example",
                "require_approval": "never",
            }
        ],
        {"tools[1]"},
    ),
}


@pytest.mark.parametrize("case", XAI_CASES)
async def test_xai_runs_its_tools_in_responses(tmp_path: Path, case: str) -> None:
    path, body, tools, dropped_fields = XAI_CASES[case]
    upstream_request, reply = await ask_grok(tmp_path, path, body)
    assert upstream_request.url.path == "/responses"
    assert json.loads(upstream_request.content)["tools"] == tools
    reported = reply.headers.get("x-dragoman-dropped", "")
    assert set(filter(None, reported.split(", "))) == dropped_fields


NAMED: Json = {"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}}


async def test_a_named_built_in_tool_is_required_at_xai(tmp_path: Path) -> None:
    upstream_request, reply = await ask_grok(tmp_path, "/v1/messages", {**MESSAGES, **NAMED})
    assert json.loads(upstream_request.content)["tool_choice"] == "required"
    assert reply.headers["x-dragoman-approximated"] == "tool_choice"


@pytest.mark.parametrize(
    ("model", "tools"),
    [
        ("grok-4.3", []),
        ("grok-3", [{"type": "web_search"}]),
        # As Codex sends it: a search of xAI's always reads the live web.
        ("grok-4.3", [{"type": "web_search", "external_web_access": False}]),
        ("grok-4.3", [{"type": "image_generation"}]),
    ],
    ids=["no tools", "older model", "cached search", "unknown tool"],
)
async def test_other_requests_go_to_xais_chat(
    tmp_path: Path, model: str, tools: list[Json]
) -> None:
    upstream_request, reply = await ask_grok(
        tmp_path, "/v1/responses", {"input": "hi", "tools": tools}, model
    )
    assert upstream_request.url.path == "/chat/completions"
    assert reply.headers.get("x-dragoman-dropped") == ("tools[0]" if tools else None)


async def test_searches_in_a_history_are_not_sent_to_xai(tmp_path: Path) -> None:
    """xAI rejects a request with an unknown item type (CLIProxyAPI#4282)."""
    history: list[Json] = [
        {"type": "message", "role": "user", "content": "hi"},
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "q"},
        },
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "container_id": "c",
            "code": "print(1)",
            "outputs": [{"type": "logs", "logs": "1"}],
        },
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "call_id": "xs_call_1",
            "name": "x_keyword_search",
            "input": "{}",
            "status": "completed",
        },
        {"type": "message", "role": "assistant", "content": "hello"},
        {"type": "message", "role": "user", "content": "and?"},
    ]
    body = {"input": history, "tools": [{"type": "web_search"}]}
    upstream_request, reply = await ask_grok(tmp_path, "/v1/responses", body)
    texts = [item.get("content") for item in json.loads(upstream_request.content)["input"]]
    assert "hello" in str(texts)
    assert "print(1)" in str(texts)
    assert "input[1]" in reply.headers["x-dragoman-dropped"]
    assert "input[3]" in reply.headers["x-dragoman-dropped"]


X_SEARCH_CALL: Json = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "xs_call_1",
    "name": "x_keyword_search",
    "input": '{"query":"q"}',
    "status": "completed",
}


def searched_x(request: httpx.Request) -> httpx.Response:
    """Respond with an X search by xAI, which is written as a custom tool call."""
    body = json.loads(request.content)
    text = {"type": "output_text", "text": "hello", "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [text]}
    response = {"id": "r", "object": "response", "status": "completed"}
    if not body.get("stream"):
        output = [X_SEARCH_CALL, message]
        return httpx.Response(200, json={**response, "output": output})
    item: Json = {"output_index": 0, "item_id": "ctc_1"}
    events: list[Json] = [
        {"type": "response.created", "response": {**response, "output": []}},
        {"type": "response.output_item.added", **item, "item": {**X_SEARCH_CALL, "input": ""}},
        {"type": "response.custom_tool_call_input.delta", **item, "delta": '{"query":"q"}'},
        {"type": "response.custom_tool_call_input.done", **item, "input": '{"query":"q"}'},
        {"type": "response.output_item.done", **item, "item": X_SEARCH_CALL},
        {"type": "response.output_item.done", "output_index": 1, "item": message},
        {"type": "response.completed", "response": {**response, "output": []}},
    ]
    frames = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
    return httpx.Response(200, text=frames, headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_search_of_x_is_no_call_of_the_client(tmp_path: Path, stream: bool) -> None:
    registry = snapshot(route("m", provider("a", preset="xai"), model="grok-4.3"))
    body = {"model": "m", **CHAT, "tools": [{"type": "x_search"}], "stream": stream}
    async with gateway(tmp_path, registry, a=searched_x) as gw:
        reply = await gw.post("/v1/chat/completions", body)
    assert reply.status == 200
    assert "hello" in reply.body.decode()
    assert "tool_calls" not in reply.body.decode()
    assert '"finish_reason":"stop"' in reply.body.decode().replace(" ", "")
