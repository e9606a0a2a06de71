"""Provider-executed searches, translated between Claude's blocks and Responses items."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import ServerToolUsage

from gateway.canon.adaptation import Adaptation
from gateway.canon.fold import unfold_response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.sse import Frame
from gateway.simulate import translate
from tests.fakes import anthropic_rules, responses_rules

Json = dict[str, Any]

EXCHANGE = ResponseContext(id="1", created=1, model="m")
VERSION = {"anthropic-version": "2023-06-01"}
CLAUDE, GPT = "claude-opus-5-5", "gpt-5.6-sol"
URL = "https://a.example"
TOOL = {"type": "web_search_20260318", "name": "web_search"}


def search_call(number: int = 1, query: str = "Oslo") -> Json:
    return {
        "type": "server_tool_use",
        "id": f"srvtoolu_{number}",
        "name": "web_search",
        "input": {"query": query},
    }


def search_result(number: int = 1, *urls: str) -> Json:
    search_results = [
        {"type": "web_search_result", "url": u, "title": "A", "encrypted_content": "x"}
        for u in urls
    ]
    return {
        "type": "web_search_tool_result",
        "tool_use_id": f"srvtoolu_{number}",
        "content": search_results,
    }


FAILED = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
}
FETCHES = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_fetch",
    "input": {"url": URL},
}
TEXT_BLOCK = {"type": "text", "text": "It is in Norway."}


def events_of(data: bytes) -> list[Json]:
    lines = [line for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def message(*content: Json) -> Json:
    return {
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(content),
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def claude_stream(*content: Json) -> list[Json]:
    """Return the events of a Claude response with call arguments in fragments."""
    events: list[Json] = [
        {"type": "message_start", "message": {**message(), "id": "msg_1", "stop_reason": None}}
    ]
    for index, block in enumerate(content):
        start, deltas = block, []
        if "input" in block:
            start = {**block, "input": {}}
            arguments_json = json.dumps(block["input"])
            pieces = ["", arguments_json[:5], arguments_json[5:]]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        elif block["type"] == "text":
            start, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}})
    return [*events, {"type": "message_stop"}]


def for_responses(stream: bool, *content: Json) -> tuple[list[Json], list[Adaptation]]:
    """Return a Responses client's output for a Claude response, and the report."""
    provider, client = (
        DIALECTS["anthropic_messages"].provider,
        DIALECTS["openai_responses"].client,
    )
    if not stream:
        response = provider.parse_response(message(*content), Traits(), None)
        body, report = client.render_response(response, EXCHANGE)
        return body["output"], list(report)
    parser, renderer = provider.stream_parser(Traits(), None), client.stream_renderer(EXCHANGE)
    frames = [Frame("", json.dumps(event).encode()) for event in claude_stream(*content)]
    client_stream = b"".join(
        renderer.feed(event) for frame in frames for event in parser.feed(frame)
    )
    events = events_of(client_stream)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    done = [e for e in events if e["type"] == "response.output_item.done"]
    added = [e for e in events if e["type"] == "response.output_item.added"]
    assert [e["output_index"] for e in added] == [e["output_index"] for e in done]
    output = events[-1]["response"]["output"]
    assert [e["item"] for e in done] == output
    assert [e["item"]["id"] for e in added] == [item["id"] for item in output]
    return output, list(renderer.report)


def item(query: str, *urls: str, index: int = 0) -> Json:
    action: Json = {"type": "search", "query": query, "queries": [query]}
    if urls:
        action["sources"] = [{"type": "url", "url": url} for url in urls]
    return {
        "id": f"ws_1_{index}",
        "type": "web_search_call",
        "status": "completed",
        "action": action,
    }


@pytest.mark.parametrize("stream", [False, True])
def test_a_search_of_claudes_is_an_item_for_responses_clients(stream: bool) -> None:
    output, report = for_responses(stream, search_call(), search_result(1, URL), TEXT_BLOCK)
    assert output[0] == item("Oslo", URL)
    assert output[1]["content"][0]["text"] == TEXT_BLOCK["text"]
    assert [(row.path, row.action) for row in report] == [
        ("output.web_search_tool_result", "approximated")
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_searches_in_a_row_and_one_that_failed_keep_their_order(stream: bool) -> None:
    output, _ = for_responses(
        stream, TEXT_BLOCK, search_call(), FAILED, search_call(2, "Bergen"), search_result(2, URL)
    )
    assert [entry["type"] for entry in output] == ["message", *["web_search_call"] * 2]
    assert output[1] == {**item("Oslo", index=1), "status": "failed"}
    assert output[2] == item("Bergen", URL, index=2)


def code_run(number: int) -> list[Json]:
    """Return a code run and its result."""
    run_id = f"srvtoolu_9{number}"
    call_input = {"code": f"print({number})"}
    content = {"type": "code_execution_result", "stdout": f"{number}\n", "return_code": 0}
    use = {"type": "server_tool_use", "id": run_id, "name": "code_execution", "input": call_input}
    return [use, {"type": "code_execution_tool_result", "tool_use_id": run_id, "content": content}]


def mcp_call(number: int) -> list[Json]:
    """Return a failing call of an MCP server and its result."""
    use = {"type": "mcp_tool_use", "id": f"mcptoolu_{number}", "name": "f", "server_name": "s"}
    content = [{"type": "text", "text": f"no {number}"}]
    result = {"type": "mcp_tool_result", "is_error": True, "content": content}
    return [{**use, "input": {"n": number}}, {**result, "tool_use_id": use["id"]}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 1, 3, 2)], ids=["in order", "crossed"])
def test_parallel_searches_of_claudes_keep_their_results(
    stream: bool, order: tuple[int, ...]
) -> None:
    blocks = [
        search_call(),
        search_call(2, "Bergen"),
        search_result(1, URL),
        search_result(2, f"{URL}/2"),
    ]
    output, report = for_responses(stream, *(blocks[index] for index in order), TEXT_BLOCK)
    assert output[:2] == [item("Oslo", URL), item("Bergen", f"{URL}/2", index=1)]
    assert output[2]["content"][0]["text"] == TEXT_BLOCK["text"]
    assert {row.action for row in report} == {"approximated"}


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_of_other_tools_keep_their_results(stream: bool) -> None:
    (run, printed), (first, failed_call), (second, failed_too) = (
        code_run(1),
        mcp_call(1),
        mcp_call(2),
    )
    content = [
        first,
        second,
        failed_call,
        failed_too,
        run,
        search_call(),
        search_result(1, URL),
        printed,
        TEXT_BLOCK,
    ]
    output, report = for_responses(stream, *content)
    errors = [entry["error"]["content"][0]["text"] for entry in output[:2]]
    assert errors == ["no 1", "no 2"]
    assert [entry["status"] for entry in output[:2]] == ["failed", "failed"]
    assert output[2]["outputs"] == [{"type": "logs", "logs": "1\n"}]
    assert output[3] == item("Oslo", URL, index=3)
    assert [row.action for row in report] == ["approximated"]


@pytest.mark.parametrize("stream", [False, True])
def test_of_two_searches_only_one_has_a_result(stream: bool) -> None:
    output, _ = for_responses(
        stream, search_call(), search_call(2, "Bergen"), search_result(2, URL), TEXT_BLOCK
    )
    assert output[:2] == [item("Oslo"), item("Bergen", URL, index=1)]
    assert len(output) == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after", [[], [TEXT_BLOCK]], ids=["at the end", "before a text"])
def test_a_search_without_a_result_is_rendered_too(stream: bool, after: list[Json]) -> None:
    output, _ = for_responses(stream, search_call(), *after)
    assert output[0] == item("Oslo")
    assert len(output) == 1 + len(after)


@pytest.mark.parametrize("stream", [False, True])
def test_a_page_that_claude_opened_is_an_item_for_responses_clients(stream: bool) -> None:
    page = {"type": "web_fetch_result", "url": URL, "content": {"type": "document"}}
    result = {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": page}
    output, report = for_responses(stream, FETCHES, result, TEXT_BLOCK)
    assert output[0]["action"] == {"type": "open_page", "url": URL}
    assert [row.path for row in report] == ["output.web_fetch_tool_result"]


# --- the other way -------------------------------------------------------------------------

SEARCHED: Json = {
    "id": "ws_abc",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "Oslo", "sources": [{"type": "url", "url": URL}]},
}
ASSISTANT_MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "It is in Norway.", "annotations": []}],
}
CALL_ID = "srvtoolu_dgm_ws_abc"


def for_messages(stream: bool, *output: Json) -> tuple[list[Json], list[Adaptation]]:
    """Return a Messages client's content for an OpenAI response, and the report."""
    body = {"id": "resp_1", "object": "response", "status": "completed", "output": list(output)}
    response = DIALECTS["openai_responses"].provider.parse_response(body, Traits(), None)
    client = DIALECTS["anthropic_messages"].client
    if not stream:
        payload, report = client.render_response(response, EXCHANGE)
        return payload["content"], list(report)
    renderer = client.stream_renderer(EXCHANGE)
    content: list[Json] = []
    for event in events_of(b"".join(renderer.feed(event) for event in unfold_response(response))):
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(content)
                content.append(event["content_block"])
            case "content_block_delta" if "partial_json" in event["delta"]:
                content[event["index"]]["input"] = json.loads(event["delta"]["partial_json"])
            case "content_block_delta":
                content[event["index"]]["text"] += event["delta"]["text"]
    return content, list(renderer.report)


@pytest.mark.parametrize("stream", [False, True])
def test_a_search_of_openais_is_a_call_and_a_result_for_messages_clients(stream: bool) -> None:
    content, report = for_messages(stream, SEARCHED, ASSISTANT_MESSAGE)
    assert content == [
        {**search_call(), "id": CALL_ID},
        {
            "type": "web_search_tool_result",
            "tool_use_id": CALL_ID,
            "content": [
                {
                    "type": "web_search_result",
                    "url": URL,
                    "title": URL,
                    "encrypted_content": "",
                    "page_age": None,
                }
            ],
        },
        TEXT_BLOCK,
    ]
    assert not report


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_search_of_openai_is_reported(stream: bool) -> None:
    content, _ = for_messages(stream, {**SEARCHED, "status": "failed"})
    assert content[1] == {**FAILED, "tool_use_id": CALL_ID}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "action",
    [{"type": "open_page", "url": URL}, {"type": "find_in_page", "url": URL, "pattern": "x"}],
    ids=["open_page", "find_in_page"],
)
def test_content_without_a_block_type_is_reported(stream: bool, action: Json) -> None:
    content, report = for_messages(stream, {**SEARCHED, "action": action}, ASSISTANT_MESSAGE)
    assert content == [TEXT_BLOCK]
    assert [row.action for row in report] == ["dropped"]


# --- in histories --------------------------------------------------------------------------


def conversation(*content: Json, tools: tuple[Json, ...] = (TOOL,)) -> Json:
    return {
        "model": "m",
        "max_tokens": 99,
        "messages": [
            {"role": "user", "content": "Where is Oslo?"},
            {"role": "assistant", "content": list(content)},
            {"role": "user", "content": "And?"},
        ],
        "tools": list(tools),
    }


def reported_fields(out: Json) -> list[tuple[str, str]]:
    return [(row["field"], row["action"]) for row in out["report"] if "messages" in row["field"]]


def test_searches_in_a_history_are_items_for_openai() -> None:
    content = (
        search_call(),
        search_result(1, URL),
        TEXT_BLOCK,
        search_call(2, "Bergen"),
        {**FAILED, "tool_use_id": "srvtoolu_2"},
    )
    request = conversation(*content)
    out = translate.request("anthropic_messages", "openai_responses", request, VERSION, GPT)
    entries = [entry for entry in out["body"]["input"] if entry["type"] == "web_search_call"]
    assert all(entry.pop("id").startswith("ws_") for entry in entries)
    items = [item("Oslo", URL), {**item("Bergen"), "status": "failed"}]
    assert entries == [{k: v for k, v in entry.items() if k != "id"} for entry in items]
    assert [entry["type"] for entry in out["body"]["input"]] == [
        "message",
        "web_search_call",
        "message",
        "web_search_call",
        "message",
    ]
    assert reported_fields(out) == [("messages[1].content[1]", "approximated")]
    second = translate.request("anthropic_messages", "openai_responses", request, VERSION, GPT)
    assert responses_rules.refusal(second["body"]) is None


def test_search_results_without_a_search_tool_are_reported() -> None:
    request = conversation(search_call(), search_result(1, URL), TEXT_BLOCK, tools=())
    del request["tools"]
    out = translate.request("anthropic_messages", "openai_responses", request, VERSION, GPT)
    assert [entry["type"] for entry in out["body"]["input"]] == ["message"] * 3
    assert reported_fields(out) == [
        ("messages[1].content[0]", "dropped"),
        ("messages[1].content[1]", "dropped"),
    ]


def test_openai_searches_round_trip_through_a_messages_client() -> None:
    content, _ = for_messages(False, SEARCHED, ASSISTANT_MESSAGE)
    out = translate.request(
        "anthropic_messages", "openai_responses", conversation(*content), VERSION, GPT
    )
    (search_call,) = [e for e in out["body"]["input"] if e["type"] == "web_search_call"]
    assert search_call == {**item("Oslo", URL), "id": search_call["id"]}


@pytest.mark.parametrize("passes", [True, False])
def test_openai_searches_are_not_sent_to_claude(passes: bool) -> None:
    """This holds for passthrough and for translation."""
    content, _ = for_messages(False, SEARCHED, ASSISTANT_MESSAGE)
    request = conversation(search_call(), search_result(1, URL), *content)
    if passes:
        out = translate.request("anthropic_messages", "anthropic", request, VERSION, CLAUDE)
        assert out["passthrough"]
        body, report = out["body"], reported_fields(out)
    else:
        adapter = DIALECTS["anthropic_messages"]
        rendered_request = adapter.provider.render_request(
            adapter.client.parse_request(request, VERSION), Traits(model=CLAUDE)
        )
        body, report = (
            rendered_request.body,
            [(row.path, row.action) for row in rendered_request.report],
        )
    assert body["messages"][1]["content"] == [search_call(), search_result(1, URL), TEXT_BLOCK]
    expected_losses = [(f"messages[1].content[{index}]", "dropped") for index in (2, 3)]
    assert [row for row in report if row in expected_losses] == expected_losses
    assert anthropic_rules.refusal({**body, "model": CLAUDE}, VERSION, counting=False) is None


@pytest.mark.parametrize(
    "native_source", [[], [{"encrypted_index": "E"}]], ids=["alone", "beside its own"]
)
def test_sources_of_others_are_not_passed_to_claude(native_source: list[Json]) -> None:
    """A source without Anthropic's index is returned to the client, which sends it back."""
    source = {"type": "web_search_result_location", "url": URL, "title": "A", "cited_text": ""}
    indexes = [{"encrypted_index": ""}, *native_source]
    cited_message = {**TEXT_BLOCK, "citations": [{**source, **index} for index in indexes]}
    request = conversation(cited_message)
    out = translate.request("anthropic_messages", "anthropic", request, VERSION, CLAUDE)
    assert out["passthrough"]
    (block,) = out["body"]["messages"][1]["content"]
    assert block == (
        {**TEXT_BLOCK, "citations": [{**source, **native_source[0]}]}
        if native_source
        else TEXT_BLOCK
    )
    assert reported_fields(out) == [("messages[1].content[0].citations", "dropped")]


def test_a_responses_clients_searches_are_reported_for_claude() -> None:
    """Anthropic only accepts results with its own encrypted content."""
    request = {
        "model": "m",
        "input": [
            {"role": "user", "content": "Where?"},
            SEARCHED,
            ASSISTANT_MESSAGE,
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "web_search"}],
    }
    out = translate.request("openai_responses", "anthropic", request, {}, CLAUDE)
    assert ("input[1]", "dropped") in [(row["field"], row["action"]) for row in out["report"]]
    assert "server_tool_use" not in json.dumps(out["body"])


# --- searches of Google's ------------------------------------------------------------------

GROUNDED: Json = {
    "responseId": "r1",
    "modelVersion": "gemini-3.8-flash",
    "candidates": [
        {
            "index": 0,
            "content": {"role": "model", "parts": [{"text": "It is in Norway."}]},
            "finishReason": "STOP",
            "groundingMetadata": {
                "webSearchQueries": ["Oslo", "Oslo country"],
                "groundingChunks": [{"web": {"uri": URL, "title": "A"}}],
                "groundingSupports": [
                    {"segment": {"startIndex": 0, "endIndex": 16}, "groundingChunkIndices": [0]}
                ],
            },
        }
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7},
}


def grounded_for(client: str, stream: bool) -> Json:
    """Return the response, or the last event of the stream with its usage, for a client."""
    provider, adapter = DIALECTS["gemini"].provider, DIALECTS[client].client
    response = provider.parse_response(GROUNDED, Traits(), None)
    if not stream:
        return adapter.render_response(response, EXCHANGE)[0]
    renderer = adapter.stream_renderer(EXCHANGE)
    parser = provider.stream_parser(Traits(), None)
    frame = Frame("", json.dumps(GROUNDED).encode())
    events = [*parser.feed(frame), *parser.close()]
    return {"events": events_of(b"".join(map(renderer.feed, events)))}


@pytest.mark.parametrize("stream", [False, True])
def test_searches_of_googles_are_items_for_responses_clients(stream: bool) -> None:
    body = grounded_for("openai_responses", stream)
    output = body["events"][-1]["response"]["output"] if stream else body["output"]
    text, first, second = output
    assert [note["url"] for note in text["content"][0]["annotations"]] == [URL]
    assert first["action"] == item("Oslo", URL)["action"]
    assert second["action"] == item("Oslo country")["action"]


@pytest.mark.parametrize("stream", [False, True])
def test_searches_of_googles_are_blocks_and_counted_for_messages_clients(stream: bool) -> None:
    body = grounded_for("anthropic_messages", stream)
    if stream:
        starts = [e for e in body["events"] if e["type"] == "content_block_start"]
        kinds = [e["content_block"]["type"] for e in starts]
        (usage,) = [e["usage"] for e in body["events"] if e["type"] == "message_delta"]
    else:
        kinds, usage = [block["type"] for block in body["content"]], body["usage"]
    assert kinds == ["text", *["server_tool_use", "web_search_tool_result"] * 2]
    counts = {"web_search_requests": 2, "web_fetch_requests": 0}
    assert usage["server_tool_use"] == counts
    ServerToolUsage.model_validate(usage["server_tool_use"], strict=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("source", ["anthropic_messages", "openai_responses"])
def test_searches_of_others_are_queries_for_googles_clients(source: str, stream: bool) -> None:
    provider, client = DIALECTS[source].provider, DIALECTS["gemini"].client
    if source == "anthropic_messages":
        body = message(search_call(), search_result(1, URL), TEXT_BLOCK)
    else:
        body = {
            "id": "r",
            "object": "response",
            "status": "completed",
            "output": [SEARCHED, ASSISTANT_MESSAGE],
        }
    response = provider.parse_response(body, Traits(), None)
    if stream:
        renderer = client.stream_renderer(EXCHANGE)
        client_events = events_of(
            b"".join(map(renderer.feed, unfold_response(response))).replace(b"\r", b"")
        )
        candidate = client_events[-1]["candidates"][0]
    else:
        candidate = client.render_response(response, EXCHANGE)[0]["candidates"][0]
    assert candidate["groundingMetadata"] == {"webSearchQueries": ["Oslo"]}
