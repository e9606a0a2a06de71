"""Rules of the wire documentation that combine several features of the Google, Ollama, Amazon
and Cohere dialects, one example each, through the live code.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.response import Response
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.providers.capabilities import traits_for
from gateway.simulate import translate

Json = dict[str, Any]
Rows = set[tuple[str, str]]

HI: Json = {"role": "user", "content": "q"}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
COMMAND, REASONER = "command-a-03-2025", "command-a-reasoning-08-2025"


def translate_request(source: str, target: str, model: str, request: Json) -> tuple[Json, Rows]:
    """Return the rendered body for a provider, and the report."""
    translation = translate.request(source, target, {"model": "gw", **request}, {}, model)
    return translation["body"], {(row["field"], row["action"]) for row in translation["report"]}


def parse_response(dialect: str, body: Json) -> Response:
    """Return the canonical response of a provider's whole response."""
    return DIALECTS[dialect].provider.parse_response(body, traits_for(dialect, "m"), None)


# --- Gemini ------------------------------------------------------------------------------


def candidate(*parts: Json, **more: Any) -> Json:
    """Return a chunk with these parts."""
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}]}


def test_a_result_without_an_id_is_not_paired_with_a_call_with_one() -> None:
    calls = [
        {"functionCall": {"id": "own", "name": "f", "args": {}}},
        {"functionCall": {"name": "f", "args": {}}},
    ]
    results = [
        {"functionResponse": {"name": "f", "response": {"output": "of the second"}}},
        {"functionResponse": {"id": "own", "name": "f", "response": {"output": "of the first"}}},
    ]
    contents = [
        {"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": calls},
        {"role": "user", "parts": results},
    ]
    body, report = translate_request("gemini", "openai_chat", "gpt-4.1", {"contents": contents})
    annotation = {m["tool_call_id"]: m["content"] for m in body["messages"] if m["role"] == "tool"}
    assert annotation == {"own": "of the first", "call_1_1": "of the second"}
    assert report == set()


SOURCES = {
    "groundingChunks": [{"web": {"uri": "https://a.org", "title": "A"}}],
    "groundingSupports": [
        {"segment": {"endIndex": 7, "text": "Zürich"}, "groundingChunkIndices": [0]}
    ],
}
SIGNED = {"thoughtSignature": "U0lH"}


@pytest.mark.parametrize(
    "last",
    [
        candidate({"text": "", **SIGNED}, finishReason="STOP", groundingMetadata=SOURCES),
        candidate({"text": ".", **SIGNED}, finishReason="STOP", groundingMetadata=SOURCES),
        candidate(finishReason="STOP", groundingMetadata=SOURCES),
        candidate({"functionCall": {"name": "f"}}, finishReason="STOP", groundingMetadata=SOURCES),
    ],
    ids=["signature after it", "signature beside it", "nothing more", "a call after it"],
)
def test_late_citations_are_rendered(last: Json) -> None:
    frames = [candidate({"text": "Zürich"}), last]
    events = translate.stream("gemini", "openai_chat", frames, "m")["events"]
    deltas = [e["choices"][0]["delta"] for e in events if isinstance(e, dict) and e["choices"]]
    [annotation] = [row for delta in deltas for row in delta.get("annotations", [])]
    assert annotation["url_citation"] == {
        "url": "https://a.org",
        "title": "A",
        "start_index": 0,
        "end_index": 6,
    }


def test_a_block_in_the_middle_ends_the_text_and_reports_its_tokens() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2},
    }
    frames = [candidate({"text": "hel"}), blocked]
    events = translate.stream("gemini", "anthropic", frames, "m")["events"]
    blocks = [
        (e["event"], e["data"]["index"]) for e in events if e["event"].startswith("content_block_")
    ]
    block_events = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert blocks == [(name, 0) for name in block_events] + [(name, 1) for name in block_events]
    [ended] = [e["data"] for e in events if e["event"] == "message_delta"]
    assert ended["delta"]["stop_reason"] == "refusal"
    assert (ended["usage"]["input_tokens"], ended["usage"]["output_tokens"]) == (5, 2)


def test_a_paused_turn_is_reported_to_a_gemini_client() -> None:
    translation = translate.stream(
        "gemini", "gemini", [candidate(finishReason="CONTINUATION")], "m"
    )
    assert translation["events"][-1]["candidates"][0]["finishReason"] == "STOP"
    rows = [(row["field"], row["action"]) for row in translation["report"]]
    assert rows == [("candidates[0].finishReason", "approximated")]
    response = parse_response("gemini", candidate(finishReason="CONTINUATION"))
    context = ResponseContext(id="1", created=1, model="m")
    _, report = DIALECTS["gemini"].client.render_response(response, context)
    assert [row.path for row in report] == ["candidates[0].finishReason"]


# --- several providers -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "model"),
    [("gemini", "gemini-2.5-flash"), ("bedrock_converse", CLAUDE), ("cohere", COMMAND)],
)
def test_dropped_empty_texts_are_reported_except_beside_calls(target: str, model: str) -> None:
    function = {"name": "f", "arguments": "{}"}
    call = {"id": "1", "type": "function", "function": function}
    messages = [
        HI,
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "y"}]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    body, report = translate_request(
        "openai_chat", target, model, {"messages": messages, "tools": tools}
    )
    assert report == {("messages[1]", "dropped"), ("messages[2].content[0]", "dropped")}
    assert "''" not in str(body)


def test_an_empty_text_stays_for_ollama() -> None:
    messages = [HI, {"role": "assistant", "content": ""}, HI]
    body, report = translate_request("openai_chat", "ollama", "llama3.2", {"messages": messages})
    assert body["messages"][1] == {"role": "assistant", "content": ""}
    assert report == set()


@pytest.mark.parametrize(
    ("target", "model", "path"),
    [("bedrock_converse", CLAUDE, "additionalModelRequestFields"), ("cohere", REASONER, "")],
)
@pytest.mark.parametrize(
    ("request_body", "field"),
    [({"thinkingLevel": "HIGH"}, "thinkingLevel"), ({"thinkingBudget": 9000}, "thinkingBudget")],
)
def test_a_reduced_thinking_budget_is_reported_for_the_requesting_field(
    target: str, model: str, path: str, request_body: Json, field: str
) -> None:
    config = {"maxOutputTokens": 6000, "thinkingConfig": request_body}
    contents = [{"role": "user", "parts": [{"text": "q"}]}]
    request = {"contents": contents, "generationConfig": config}
    body, report = translate_request("gemini", target, model, request)
    thinking = (body[path] if path else body)["thinking"]
    assert 4976 in thinking.values()
    assert report == {(f"generationConfig.thinkingConfig.{field}", "approximated")}


TEXT_FILE = base64.b64encode("grüezi".encode()).decode()


def test_a_text_file_is_sent_as_text_to_text_only_models() -> None:
    part = {"inlineData": {"mimeType": "text/plain", "data": TEXT_FILE}}
    request = {"contents": [{"role": "user", "parts": [part, {"text": "q"}]}]}
    body, report = translate_request("gemini", "cohere", COMMAND, request)
    assert body["documents"] == [{"id": "doc_0", "data": {"text": "grüezi"}}]
    assert report == set()
    body, report = translate_request("gemini", "ollama", "llama3.2", request)
    assert body["messages"] == [{"role": "user", "content": "grüezi\n\nq"}]
    assert report == {("contents[0].parts[0]", "approximated")}


def test_a_result_may_be_a_file_of_plain_text_at_cohere() -> None:
    file = {"type": "input_file", "file_data": f"data:text/plain;base64,{TEXT_FILE}"}
    items = [
        HI,
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [file]},
    ]
    body, report = translate_request("openai_responses", "cohere", COMMAND, {"input": items})
    [annotation] = body["messages"][-1]["content"]
    assert annotation["document"]["data"] == {"text": "grüezi"}
    assert report == set()


@pytest.mark.parametrize("file", ["JVBERi0xLjQ=", base64.b64encode(b"\xff\xfe").decode(), "%"])
def test_cohere_refuses_inputs_that_are_not_text(file: str) -> None:
    part = {"inlineData": {"mimeType": "text/plain", "data": file}}
    with pytest.raises(GatewayError) as error:
        translate_request("gemini", "cohere", COMMAND, {"contents": [{"parts": [part]}]})
    assert error.value.error.kind == "unsupported_param"


# --- responses ---------------------------------------------------------------------------


def test_a_tool_plan_follows_its_reasoning() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "t"}],
        "tool_plan": "p",
        "tool_calls": [call],
    }
    response = parse_response(
        "cohere", {"id": "1", "finish_reason": "TOOL_CALL", "message": message}
    )
    kinds = [type(part).__name__ for part in response.parts]
    assert kinds == ["Reasoning", "Text", "ToolCall"]


def test_an_ollama_response_that_is_not_done_is_an_error() -> None:
    cut = {"model": "m", "message": {"role": "assistant", "content": "hel"}, "done": False}
    with pytest.raises(GatewayError) as error:
        parse_response("ollama", cut)
    assert error.value.error.kind == "upstream_error"
    assert (
        parse_response("ollama", {**cut, "done": True, "done_reason": "stop"}).finish.reason
        == "stop"
    )


@pytest.mark.parametrize("dialect", ["gemini", "ollama", "cohere", "bedrock_converse"])
def test_every_overload_status_is_an_overload_error(dialect: str) -> None:
    for status in (503, 529):
        annotation = translate.error(dialect, "anthropic", status, {"retry-after": "7"}, "")
        assert annotation["status"] == 529
        assert annotation["body"]["error"]["type"] == "overloaded_error"
        assert annotation["headers"]["retry-after"] == "7"


@pytest.mark.parametrize("dialect", ["gemini", "ollama", "cohere", "bedrock_converse"])
def test_an_unpaid_account_is_a_quota_error(dialect: str) -> None:
    annotation = translate.error(dialect, "openai_chat", 402, {}, {"message": "no credit"})
    assert annotation["status"] == 429
    assert annotation["body"]["error"]["code"] == "insufficient_quota"


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("gemini", "gemini-2.5-flash"),
        ("bedrock_converse", CLAUDE),
        ("cohere", COMMAND),
        ("ollama", "qwen3"),
    ],
)
def test_a_free_text_tool_is_reported_once(target: str, model: str) -> None:
    """Golden case 06 reports its grammar, if it has one, otherwise the tool."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    tools = [
        {"type": "custom", "name": "plain", "description": "d"},
        {"type": "custom", "name": "formal", "description": "d", "format": grammar},
    ]
    body, report = translate_request(
        "openai_responses", target, model, {"input": [HI], "tools": tools}
    )
    assert report == {("tools[0]", "approximated"), ("tools[1].format", "approximated")}
    assert r"The input must match this lark grammar:\nstart: /x/" in str(body)
