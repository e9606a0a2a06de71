"""Rules of the wire documentation without a golden case, one example each.

A row has a request in one dialect and the expected fields of the body and report in another.
Rendered requests also pass the vendor's own rules (`tests.fakes`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.logprobs import logprobs_extra
from gateway.canon.request import Signature
from gateway.canon.response import Finish, Response
from gateway.canon.signature import wrap_signature
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.providers.capabilities import traits_for
from gateway.simulate import translate
from tests.fakes import anthropic_rules, openai_rules, responses_rules
from tests.fakes.script import Refusal

Json = dict[str, Any]
Rows = set[tuple[str, str]]

VERSION = {"anthropic-version": "2023-06-01"}
RULES: dict[str, Callable[[Json], Refusal | None]] = {
    "anthropic": lambda body: anthropic_rules.refusal(body, VERSION, counting=False),
    "openai_chat": openai_rules.refusal,
    "openai_responses": responses_rules.refusal,
}
MODELS = {
    "anthropic": "claude-opus-5-5",
    "openai_chat": "gpt-4.1",
    "openai_responses": "gpt-4.1",
}
HI: Json = {"role": "user", "content": "hi"}
CHAT: Json = {"messages": [HI], "max_tokens": 99}
MESSAGES: Json = {"messages": [HI], "max_tokens": 99}
RESPONSES: Json = {"input": "hi", "max_output_tokens": 99}
REQUESTS = {"openai_chat": CHAT, "anthropic": MESSAGES, "openai_responses": RESPONSES}

LONG = "call_" + "x" * 80
SHORT = f"call_{'x' * 50}_{sha256(LONG.encode()).hexdigest()[:8]}"
ANY_ROOT = {"anyOf": [{"type": "object"}], "properties": {"a": {"type": "string"}}}
PLAIN_ROOT = {"type": "object", "properties": {"a": {"type": "string"}}}
SEARCH = {
    "type": "web_search_20260318",
    "name": "web_search",
    "max_uses": 3,
    "allowed_domains": ["a.org"],
    "user_location": {"type": "approximate", "city": "Bern"},
}


def call_history(call_id: str) -> list[Json]:
    """Return a Chat history with one call and its result."""
    function = {"name": "f", "arguments": "{}"}
    call = {"id": call_id, "type": "function", "function": function}
    return [
        HI,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "r"},
    ]


def item(role: str, text: str) -> Json:
    """Return a message among the items of Responses."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": role, "content": content}


user, developer = partial(item, "user"), partial(item, "developer")
# A thought of the model that the examples send to.
OWN = wrap_signature(
    Signature(
        provider="openai_responses",
        model="gpt-4.1",
        kind="encrypted_content",
        value="E",
        item_id="rs",
    )
)


CITING_MESSAGE = item("assistant", "hello")
CITING_MESSAGE["content"] = [
    {
        "type": "output_text",
        "text": "hello",
        "annotations": [
            {"type": "url_citation", "start_index": 0, "end_index": 5, "url": "https://a.example/"}
        ],
    }
]


def request_row(
    about: str,
    source: str,
    target: str,
    request: Json,
    expected: Json,
    report: Rows,
    model: str = "",
) -> Any:
    """Return a row: fields of an otherwise ordinary request, and upstream fields (None: absent)."""
    return pytest.param(
        source, target, model or MODELS[target], request, expected, report, id=about
    )


LINES = [
    request_row(
        "a seed of 0 is a seed",
        "openai_chat",
        "anthropic",
        {"seed": 0, "presence_penalty": 0},
        {},
        {("seed", "dropped")},
    ),
    request_row(
        "a cache is warmed by as little as can be asked for",
        "anthropic",
        "openai_chat",
        {"max_tokens": 0},
        {"max_completion_tokens": 1},
        {("max_tokens", "approximated")},
    ),
    request_row(
        "what is said by leaving it out is no loss (Responses)",
        "openai_responses",
        "anthropic",
        {"truncation": "disabled", "reasoning": {"summary": "auto"}, "include": [], "tools": []},
        {"thinking": {"type": "adaptive", "display": "summarized"}, "tools": None},
        set(),
    ),
    request_row(
        "a kind of summary that the provider has no word for is told",
        "openai_responses",
        "anthropic",
        {"truncation": "auto", "reasoning": {"summary": "detailed"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {("truncation", "dropped"), ("reasoning.summary", "dropped")},
    ),
    request_row(
        "what is said by leaving it out is no loss (Chat)",
        "openai_chat",
        "anthropic",
        {"modalities": ["text"], "tools": [], "stop": None, "metadata": None},
        {"tools": None, "stop_sequences": None},
        set(),
    ),
    request_row(
        "a choice of a tool that is not sent is not sent either",
        "openai_responses",
        "anthropic",
        {
            "tools": [
                {"type": "function", "name": "f"},
                {"type": "mcp", "server_label": "s", "server_url": "https://s.org"},
            ],
            "tool_choice": {"type": "mcp", "server_label": "s"},
            "parallel_tool_calls": False,
        },
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {("tools[1]", "dropped"), ("tool_choice", "dropped")},
    ),
    request_row(
        "the root of a tool's schema is a plain object in Chat",
        "anthropic",
        "openai_chat",
        {"tools": [{"name": "f", "input_schema": ANY_ROOT}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": PLAIN_ROOT}}]},
        {("tools[0]", "approximated")},
    ),
    request_row(
        "the root of a tool's schema is a plain object in Responses",
        "anthropic",
        "openai_responses",
        {"tools": [{"name": "f", "input_schema": ANY_ROOT}]},
        {"tools": [{"type": "function", "name": "f", "strict": False, "parameters": PLAIN_ROOT}]},
        {("tools[0]", "approximated")},
    ),
    request_row(
        "a call id has at most 64 characters in Responses",
        "openai_chat",
        "openai_responses",
        {"messages": call_history(LONG)},
        {
            "input": [
                user("hi"),
                {"type": "function_call", "call_id": SHORT, "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": SHORT, "output": "r"},
            ]
        },
        {("messages[1].tool_calls[0].id", "approximated")},
    ),
    request_row(
        "a search of the web is a field of search models",
        "anthropic",
        "openai_chat",
        {"tools": [SEARCH]},
        {
            "web_search_options": {
                "user_location": {"type": "approximate", "approximate": {"city": "Bern"}}
            },
            "tools": None,
        },
        {("tools[0].max_uses", "dropped"), ("tools[0].allowed_domains", "dropped")},
        "gpt-4o-search-preview",
    ),
    request_row(
        "a search of the web is a tool at OpenRouter",
        "anthropic",
        "openrouter",
        {"tools": [SEARCH]},
        {
            "tools": [
                {
                    "type": "openrouter:web_search",
                    "parameters": {
                        "allowed_domains": ["a.org"],
                        "user_location": {"type": "approximate", "city": "Bern"},
                    },
                }
            ]
        },
        {("tools[0].max_uses", "dropped")},
        "acme/model",
    ),
    request_row(
        "a search that is demanded is the one allowed tool",
        "anthropic",
        "openai_responses",
        {"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "web_search"}],
            }
        },
        {("tools[0].max_uses", "approximated")},
    ),
    request_row(
        "log probabilities are asked for in Responses",
        "openai_chat",
        "openai_responses",
        {"logprobs": True, "top_logprobs": 2},
        {
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "top_logprobs": 2,
        },
        set(),
    ),
    request_row(
        "log probabilities are asked for in Chat",
        "openai_responses",
        "openai_chat",
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        {"logprobs": True, "top_logprobs": 2},
        set(),
    ),
    request_row(
        "JSON mode has the word JSON among the items",
        "openai_chat",
        "openai_responses",
        {
            "messages": [{"role": "system", "content": "Reply in JSON"}, HI],
            "response_format": {"type": "json_object"},
        },
        {"instructions": None, "input": [developer("Reply in JSON"), user("hi")]},
        set(),
    ),
    request_row(
        "JSON mode has the word JSON even if nobody said it",
        "openai_chat",
        "openai_responses",
        {"response_format": {"type": "json_object"}},
        {"input": [developer("Answer with JSON."), user("hi")]},
        {("response_format", "approximated")},
    ),
    request_row(
        "JSON mode leaves instructions where they are if the user says it",
        "openai_chat",
        "openai_responses",
        {
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "JSON!"}],
            "response_format": {"type": "json_object"},
        },
        {"instructions": "S", "input": [user("JSON!")]},
        set(),
    ),
    request_row(
        "reasoning without what it led to is named as the client's messages",
        "anthropic",
        "openai_responses",
        {
            "messages": [
                HI,
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "hm", "signature": OWN}],
                },
                HI,
            ]
        },
        {"input": [user("hi"), user("hi")]},
        {("messages", "dropped")},
    ),
    request_row(
        "a dialect is spoken as it is named, whatever else the provider serves",
        "openai_responses",
        "openai_chat",
        {"instructions": "be kind"},
        {"messages": [{"role": "system", "content": "be kind"}, HI], "input": None},
        set(),
    ),
    request_row(
        "an empty list of servers is no loss",
        "anthropic",
        "openai_chat",
        {"mcp_servers": [], "context_management": {}},
        {},
        set(),
    ),
    request_row(
        "sources that are not sent have the client's name",
        "openai_responses",
        "openai_chat",
        {"input": [user("hi"), CITING_MESSAGE, user("hi")]},
        {},
        {("input[1].content[0].annotations", "dropped")},
    ),
    request_row(
        "a part that is not known is left out where only text is taken",
        "openai_responses",
        "deepseek",
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "x"}]}
            ]
        },
        {"messages": [HI]},
        {("input[0].content[1]", "dropped")},
        "deepseek-chat",
    ),
]


@pytest.mark.parametrize(("source", "target", "model", "fields", "expected", "report"), LINES)
def test_a_field_is_translated_as_specified(
    source: str, target: str, model: str, fields: Json, expected: Json, report: Rows
) -> None:
    body = {"model": "gw", **REQUESTS[source], **fields}
    translation = translate.request(source, target, body, {}, model)
    assert {name: translation["body"].get(name) for name in expected} == expected
    pairs = {(line["field"], line["action"]) for line in translation["report"]}
    assert pairs == report
    if target in RULES:
        assert RULES[target](translation["body"]) is None


@pytest.mark.parametrize("source", ["openai_responses", "openai_chat", "anthropic"])
def test_an_unknown_tool_choice_type_is_refused_by_name(source: str) -> None:
    request = {"model": "gw", **REQUESTS[source], "tool_choice": {"type": []}}
    target = "openai_chat" if source == "anthropic" else "anthropic"
    with pytest.raises(GatewayError) as error:
        translate.request(source, target, request, {}, MODELS[target])
    assert str(error.value.error.param).startswith("tool_choice")


# --- responses ---------------------------------------------------------------------------

EXCHANGE = ResponseContext(id="1", created=1, model="m")
TOKEN: Json = {"token": "hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}


def test_log_probabilities_come_back_from_chat_to_responses_and_back() -> None:
    choice = {"index": 0, "finish_reason": "stop", "logprobs": {"content": [TOKEN]}}
    body = {"id": "c", "model": "m", "choices": [{**choice, "message": {"content": "hi"}}]}
    chat, responses = DIALECTS["openai_chat"], DIALECTS["openai_responses"]
    traits = traits_for("openai", "gpt-4.1")
    payload, report = responses.client.render_response(
        chat.provider.parse_response(body, traits, None), EXCHANGE
    )
    part = payload["output"][0]["content"][0]
    assert (part["logprobs"], report) == ([{**TOKEN, "bytes": []}], ())
    request_body, _ = chat.client.render_response(
        responses.provider.parse_response(payload, traits, None), EXCHANGE
    )
    assert request_body["choices"][0]["logprobs"] == {
        "content": [{**TOKEN, "bytes": []}],
        "refusal": None,
    }


def test_log_probabilities_of_a_response_without_text_are_omitted() -> None:
    response = Response(extra=logprobs_extra([TOKEN]))
    body, _ = DIALECTS["openai_responses"].client.render_response(response, EXCHANGE)
    assert body["output"] == []


@pytest.mark.parametrize(("reason", "status"), [("refusal", "completed"), ("filter", "incomplete")])
def test_a_provider_refusal_is_a_refusal_in_responses(reason: Any, status: str) -> None:
    """Chapter 3.9: a refusal is a complete response; a content filter makes it incomplete."""
    response = Response(finish=Finish(reason=reason, explanation="No."))
    body, _ = DIALECTS["openai_responses"].client.render_response(response, EXCHANGE)
    assert body["status"] == status
    assert body["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def call_stream(*pieces: str) -> list[Json]:
    """Return a Chat stream of one call whose arguments arrive in these fragments."""
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f"}}
    deltas = [first, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [d]}}]} for d in deltas]
    return [*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}]


@pytest.mark.parametrize(
    ("pieces", "arguments", "bent"),
    [
        (["[1,", "2]"], {"_raw": "[1,2]"}, True),
        (["no ", "JSON"], {"_raw": "no JSON"}, True),
        (["null"], {}, False),
        ([" ", '{"a":1}'], {"a": 1}, False),
        (['{"a"', ":1}"], {"a": 1}, False),
    ],
)
def test_streamed_arguments_are_an_object_for_messages_clients(
    pieces: list[str], arguments: Json, *, bent: bool
) -> None:
    """Chapter 3.4: unparsable arguments become `_raw`; the SDK fails on anything else."""
    translation = translate.stream("openai_chat", "anthropic", call_stream(*pieces), "")
    deltas = [e["data"]["delta"] for e in translation["events"] if "delta" in e["data"]]
    text = "".join(delta.get("partial_json", "") for delta in deltas)
    assert json.loads(text) == arguments
    assert bool(translation["report"]) is bent


# --- streams -----------------------------------------------------------------------------

CALL_CHUNK: Json = {"index": 0, "id": "c", "type": "function", "function": {"name": "f"}}
TEXT_BLOCK: list[Json] = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}},
    {"type": "content_block_stop", "index": 0},
]


def chat_chunk(delta: Json, reason: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


STREAMS_WITH_TEXT: dict[str, Callable[[str], list[Any]]] = {
    "openai_chat": lambda reason: [chat_chunk({"content": "x"}), chat_chunk({}, reason), "[DONE]"],
    "anthropic": lambda reason: [
        *TEXT_BLOCK,
        {"type": "message_delta", "delta": {"stop_reason": reason}},
        {"type": "message_stop"},
    ],
    "bedrock_converse": lambda reason: [
        {"event": "messageStart", "data": {"role": "assistant"}},
        {
            "event": "contentBlockDelta",
            "data": {"contentBlockIndex": 0, "delta": {"text": "x"}},
        },
        {"event": "contentBlockStop", "data": {"contentBlockIndex": 0}},
        {"event": "messageStop", "data": {"stopReason": reason}},
    ],
    "cohere": lambda reason: [
        {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
        {"type": "message-end", "delta": {"finish_reason": reason}},
    ],
}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("openai_chat", "tool_calls"),
        ("anthropic", "tool_use"),
        ("bedrock_converse", "tool_use"),
        ("cohere", "TOOL_CALL"),
    ],
)
def test_a_stop_for_tools_without_a_call_is_an_ordinary_stop(source: str, reason: str) -> None:
    """Chapter 3.9: clients would wait for the results of calls that do not exist."""
    stream = STREAMS_WITH_TEXT[source](reason)
    events = translate.stream(source, "openai_completions", stream, "")["events"]
    reasons = [e["choices"][0]["finish_reason"] for e in events if e != "[DONE]" and e["choices"]]
    assert reasons[-1] == "stop"
    target = "openai_chat" if source != "openai_chat" else "bedrock_converse"
    assert '"tool_' not in json.dumps(translate.stream(source, target, stream, "")["events"])


@pytest.mark.parametrize("reason", ["stop", "tool_calls"])
@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("anthropic", '"stop_reason": "tool_use"'),
        ("bedrock_converse", '"stopReason": "tool_use"'),
        ("cohere", '"finish_reason": "TOOL_CALL"'),
    ],
)
def test_a_call_makes_an_ordinary_stop_one_for_tools(
    reason: str, client: str, expected: str
) -> None:
    """Chapter 3.9, the opposite case."""
    stream = [chat_chunk({"tool_calls": [CALL_CHUNK]}), chat_chunk({}, reason), "[DONE]"]
    assert expected in json.dumps(translate.stream("openai_chat", client, stream, "")["events"])


def fragment(index: int, arguments: str) -> Json:
    """Return a fragment of a call's arguments; the call with this index has the name `f{index}`."""
    function = {"arguments": arguments}
    return chat_chunk({"tool_calls": [{"index": index, "function": function}]})


@pytest.mark.parametrize(
    ("client", "argument_field"),
    [
        ("anthropic", "partial_json"),
        ("openai_responses", "delta"),
        ("bedrock_converse", "input"),
        ("cohere", "arguments"),
    ],
)
def test_interleaved_calls_are_serialized(client: str, argument_field: str) -> None:
    """Chapter 2.2, rules 3 and 5: ordered by index, with `{}` for empty arguments."""
    calls = [{**CALL_CHUNK, "index": n, "id": f"c{n}"} for n in range(3)]
    started = [chat_chunk({"tool_calls": [call]}) for call in calls]
    deltas = [fragment(0, '{"a":'), fragment(1, '{"b"'), fragment(0, "1}"), fragment(1, ":2}")]
    stream = [*started, *deltas, chat_chunk({}, "tool_calls"), "[DONE]"]
    events = translate.stream("openai_chat", client, stream, "")["events"]
    payloads = [e["data"] for e in events if isinstance(e, dict)]
    deltas = [p for p in payloads if "delta" in (p.get("type") or "delta")]
    values = [value for p in deltas if (value := _find(p.get("delta"), argument_field))]
    assert "".join(values) == '{"a":1}{"b":2}{}'


def _find(delta: Any, field: str) -> str:
    """Return the text of this field anywhere in a delta; a string delta is its own text."""
    if isinstance(delta, str):
        return delta
    for key, value in delta.items() if isinstance(delta, dict) else ():
        if key == field and isinstance(value, str):
            return value
        if isinstance(value, dict) and (text := _find(value, field)):
            return text
    return ""


# --- errors ------------------------------------------------------------------------------


def test_a_prompt_that_is_too_long_is_the_clients_own_field() -> None:
    body = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    body["error"]["param"] = "messages"
    translation = translate.error("openai_chat", "openai_responses", 400, {}, body)
    assert translation["body"]["error"]["param"] == "input"


def test_an_exhausted_account_is_a_quota_error() -> None:
    inner = {"type": "invalid_request_error", "message": "Your credit balance is too low"}
    translation = translate.error(
        "anthropic", "openai_chat", 400, {}, {"type": "error", "error": inner}
    )
    assert (translation["status"], translation["body"]["error"]["code"]) == (
        429,
        "insufficient_quota",
    )


def test_an_error_message_contains_no_key() -> None:
    body = {"error": {"message": "Incorrect API key provided: sk-proj-12345678", "type": "x"}}
    translation = translate.error("openai_chat", "anthropic", 401, {}, body)
    assert translation["body"]["error"]["message"] == "Incorrect API key provided: ***"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-reset-requests": "6m0s"}, "360"),
        ({"x-ratelimit-reset-tokens": "1s", "x-ratelimit-remaining-tokens": "7"}, None),
        ({"x-ratelimit-reset-tokens": "1s", "retry-after": "9"}, "9"),
    ],
)
def test_the_reset_of_a_window_sets_retry_after(headers: dict[str, str], wait: str | None) -> None:
    body = {"error": {"message": "slow down", "type": "rate_limit_error"}}
    translation = translate.error("openai_chat", "anthropic", 429, headers, body)
    assert translation["headers"].get("retry-after") == wait
