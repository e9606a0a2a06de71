"""Small fields that dialects could lose: each is translated or reported."""

from __future__ import annotations

import base64
import json
from typing import Any

from gateway.canon.errors import Error
from gateway.canon.events import Event, Failed
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Citation, Text
from gateway.canon.response import Finish, Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.ndjson import Decoder
from gateway.framing.sse import Frame
from gateway.simulate import translate
from tests.each import each
from tests.fakes.templates import mistral_refusal

EXCHANGE = ResponseContext(id="1", created=1, model="m")
VERSION = {"anthropic-version": "2023-06-01"}


def parse_chunks(dialect: str, *chunks: dict[str, Any]) -> Response:
    """Return the response of a stream of these chunks."""
    parser = DIALECTS[dialect].provider.stream_parser(Traits(), None)
    events: list[Event] = []
    for chunk in chunks:
        events += parser.feed(Frame("", json.dumps(chunk).encode()))
    return fold_events(events + parser.close())


def text_of(response: Response) -> Text:
    (part,) = [part for part in response.parts if isinstance(part, Text)]
    return part


# --- sources -----------------------------------------------------------------------------

URLS = ["https://a.example", "https://b.example"]
RESULTS = [{"url": URLS[0], "title": "A", "snippet": "about a"}]


@each("stream", [False, True])
def test_sources_that_perplexity_and_xai_list_are_citations(stream: bool) -> None:
    listed_names = {"citations": URLS, "search_results": RESULTS}
    if stream:
        response = parse_chunks(
            "openai_chat",
            {"choices": [{"index": 0, "delta": {"content": "It is "}}], **listed_names},
            {"choices": [{"index": 0, "delta": {"content": "so."}}], **listed_names},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **listed_names},
        )
    else:
        message = {"role": "assistant", "content": "It is so."}
        body = {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            **listed_names,
        }
        response = DIALECTS["openai_chat"].provider.parse_response(body, Traits(), None)
    part = text_of(response)
    assert [(c.url, c.title) for c in part.citations] == [(URLS[0], "A"), (URLS[1], None)]
    payload, _ = DIALECTS["anthropic_messages"].client.render_response(response, EXCHANGE)
    assert [c["url"] for c in payload["content"][0]["citations"]] == URLS


CANDIDATE = {
    "content": {"role": "model", "parts": [{"text": "Über alles."}]},
    "finishReason": "STOP",
    "index": 0,
    "citationMetadata": {
        "citationSources": [{"startIndex": 0, "endIndex": 5, "uri": URLS[0], "license": "MIT"}]
    },
    "urlContextMetadata": {
        "urlMetadata": [
            {"retrievedUrl": URLS[1], "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
            {
                "retrievedUrl": "https://c.example",
                "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR",
            },
        ]
    },
}


def test_works_that_gemini_quotes_and_pages_that_it_read_are_citations() -> None:
    part = text_of(parse_chunks("gemini", {"candidates": [CANDIDATE]}))
    assert [(c.url, c.start, c.end) for c in part.citations] == [
        (URLS[0], 0, 4),  # bytes became characters
        (URLS[1], None, None),
    ]


@each("stream", [False, True])
def test_gemini_clients_get_citation_offsets_in_bytes(stream: bool) -> None:
    source = Citation(url=URLS[0], quote="what the page says", dialect="anthropic_messages")
    placed = Citation(url=URLS[1], start=0, end=4)
    parts = (
        Text(text="Größe: "),
        Text(text="zwei Meter", citations=(source, placed)),
    )
    response = Response(parts=parts, finish=Finish(reason="stop"))
    client = DIALECTS["gemini"].client
    if stream:
        renderer = client.stream_renderer(EXCHANGE)
        lines = (
            b"".join(renderer.feed(event) for event in unfold_response(response))
            .decode()
            .split("\r\n\r\n")
        )
        body = json.loads([line for line in lines if line][-1].removeprefix("data: "))
    else:
        body, _ = client.render_response(response, EXCHANGE)
    supports = body["candidates"][0]["groundingMetadata"]["groundingSupports"]
    before = len("Größe: ".encode())
    assert [s["segment"] for s in supports] == [
        {"startIndex": before, "endIndex": before + 10, "text": "zwei Meter"},
        {"startIndex": before, "endIndex": before + 4, "text": "zwei"},
    ]


# --- errors ------------------------------------------------------------------------------


@each(
    ("message", "counts"),
    [
        (
            "This model's maximum context length is 128000 tokens. However, your messages "
            "resulted in 130112 tokens. Please reduce the length.",
            "130112 tokens > 128000 maximum",
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 "
            "tokens (4000 in the messages, 1000 in the completion).",
            "5000 tokens > 4096 maximum",
        ),
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about "
            "150000 tokens (149000 of text input, 1000 in the output).",
            "150000 tokens > 131072 maximum",
        ),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "1200000 tokens > 1048576 maximum",
        ),
        (
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 "
            "maximum context length",
            "40000 tokens > 32768 maximum",
        ),
        (
            "The model returned the following errors: prompt is too long: 215000 tokens > 200000 "
            "maximum",
            "215000 tokens > 200000 maximum",
        ),
        (
            "the request (9000 tokens) exceeds the available context size (8192 tokens), try "
            "increasing it",
            "9000 tokens > 8192 maximum",
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 8000 "
            "output tokens and your prompt contains at least 4097 input tokens, for a total of at "
            "least 12097 tokens.",
            "12097 tokens > 4096 maximum",
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum "
            "context length is 4096 tokens and your request has 5000 input tokens (8000 > 4096 - "
            "5000).",
            "5000 tokens > 4096 maximum",
        ),
        (
            "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
            "61709 tokens > 40960 maximum",
        ),
        (
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "537812 tokens > 131072 maximum",
        ),
        (
            "Your request exceeded model token limit: 262144 (requested: 300000)",
            "300000 tokens > 262144 maximum",
        ),
        ("Input is too long for requested model.", ""),
        ("maximum context length is 10 tokens. However, you requested 5 tokens", ""),
    ],
)
def test_a_context_length_error_has_the_numbers_claude_code_parses(
    message: str, counts: str
) -> None:
    error = Error(kind="context_length", message=message)
    body = DIALECTS["anthropic_messages"].client.render_error(error, "req_1").body
    rendered_message = body["error"]["message"]
    assert rendered_message.startswith(f"prompt is too long: {counts}")
    assert rendered_message.endswith(message)
    assert (" > " in rendered_message.removesuffix(message)) == bool(counts)


OPENAI_TOO_LONG = "This model's maximum context length is"
GEMINI_TOO_LONG = "exceeds the maximum number of tokens allowed"
OLLAMA_TOO_LONG = "prompt too long; exceeded max context length"


@each(
    "dialect, recognized",
    [
        ("openai_chat", OPENAI_TOO_LONG),
        ("openai_responses", OPENAI_TOO_LONG),
        ("gemini", GEMINI_TOO_LONG),
        ("bedrock_converse", "Input is too long"),
        ("cohere", "too many tokens"),
        ("ollama", OLLAMA_TOO_LONG),
    ],
)
@each("message", ["This prompt exceeds context.", "Range of input length: [1, 9]"])
def test_a_context_length_error_has_the_text_that_libraries_recognize(
    dialect: str, recognized: str, message: str
) -> None:
    """LangChain, LiteLLM and OpenCode know it by this text, also in an error of a stream."""
    client = DIALECTS[dialect].client
    error = Error(kind="context_length", message=message)
    failed = client.stream_renderer(EXCHANGE).feed(Failed(error))
    body = json.dumps(client.render_error(error, "req_1").body)
    for text in (body, failed.decode("utf-8", "replace")):
        assert recognized in text
        assert f": {message}" in text


@each(
    "dialect, message",
    [
        ("openai_chat", f"{OPENAI_TOO_LONG} 8 tokens. However, your messages resulted in 9."),
        ("gemini", f"The input token count (9) {GEMINI_TOO_LONG} (8)."),
        ("bedrock_converse", "Input is too long for requested model."),
        ("cohere", "too many tokens: total number of tokens in the prompt cannot exceed 8"),
        ("ollama", f"{OLLAMA_TOO_LONG} by 9 tokens"),
        ("ollama", "the input length exceeds the context length"),
    ],
)
def test_a_context_length_error_in_the_apis_own_words_is_unchanged(
    dialect: str, message: str
) -> None:
    error = Error(kind="context_length", message=message)
    body = DIALECTS[dialect].client.render_error(error, "req_1").body
    assert json.dumps(message) in json.dumps(body)


def test_the_explanation_of_a_refusal_reaches_gemini_clients() -> None:
    refusal_message = {
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude",
        "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": "cyber", "explanation": "It may do harm."},
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    response = DIALECTS["anthropic_messages"].provider.parse_response(
        refusal_message, Traits(), None
    )
    body, _ = DIALECTS["gemini"].client.render_response(response, EXCHANGE)
    assert body["candidates"][0]["finishMessage"] == "It may do harm."
    renderer = DIALECTS["gemini"].client.stream_renderer(EXCHANGE)
    assert b"It may do harm." in b"".join(
        renderer.feed(event) for event in unfold_response(response)
    )


# --- media, bytes ------------------------------------------------------------------------

# Nothing tells by its first bytes what it is.
IMAGE_DATA = base64.b64encode(b"picture").decode()
JPG = f"data:image/jpg;base64,{IMAGE_DATA}"


@each("target", ["anthropic", "bedrock", "gemini", "openai_responses"])
def test_image_jpg_is_sent_by_its_registered_name(target: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": JPG}}
    request = {"model": "m", "messages": [{"role": "user", "content": [picture]}]}
    out = translate.request("openai_chat", target, request, {}, "claude-sonnet-4-5")
    upstream_json = json.dumps(out["body"])
    assert "jpeg" in upstream_json
    assert "image/jpg" not in upstream_json


@each("target", ["openai", "gemini", "bedrock"])
def test_a_jpg_media_type_is_sent_as_jpeg(target: str) -> None:
    source = {"type": "base64", "media_type": "image/jpg", "data": IMAGE_DATA}
    picture = {"type": "image", "source": source}
    request = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [picture]}]}
    out = translate.request("anthropic_messages", target, request, VERSION, "claude-sonnet-4-5")
    upstream_json = json.dumps(out["body"])
    assert "jpeg" in upstream_json
    assert "image/jpg" not in upstream_json


@each("size", [1, 100])
def test_a_byte_order_mark_before_ndjson_lines_is_skipped(size: int) -> None:
    decoder, data = Decoder(), b'\xef\xbb\xbf{"a":1}\n{"b":2}\n'
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    assert [frame.data for frame in frames] == [b'{"a":1}', b'{"b":2}']


# --- tools, instructions -----------------------------------------------------------------

# As Claude Code writes it: a place that its own tool search fills later.
DEFERRED = {
    "name": "DeferredToolPlaceholder",
    "description": "not a tool",
    "input_schema": {"type": "object", "properties": {}},
    "defer_loading": True,
}
REAL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
TARGETS = ["openai", "openai_responses", "gemini", "bedrock", "cohere", "ollama"]


@each("target", TARGETS)
def test_a_placeholder_for_deferred_tools_is_no_tool(target: str) -> None:
    request = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [REAL, DEFERRED],
    }
    out = translate.request("anthropic_messages", target, request, VERSION, "m")
    assert "DeferredToolPlaceholder" not in json.dumps(out["body"])
    assert ("tools[1]", "dropped") in [(row["field"], row["action"]) for row in out["report"]]


GROUP = {
    "type": "namespace",
    "name": "agents",
    "description": "Helpers that work beside you.",
    "tools": [
        {
            "type": "function",
            "name": "spawn",
            "description": "Start one.",
            "parameters": {"type": "object", "properties": {}},
        },
        {"type": "function", "name": "stop", "parameters": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "write", "description": "Write to one."},
    ],
}


@each("target", ["anthropic", "openai", *TARGETS[2:]])
@each("field", ["tools", "input"])
def test_the_description_of_a_tool_group_is_added_to_each_tool(target: str, field: str) -> None:
    request: dict[str, Any] = {"model": "m", "input": [{"role": "user", "content": "hi"}]}
    if field == "tools":
        request["tools"] = [GROUP]
    else:
        request["input"].insert(
            0, {"type": "additional_tools", "role": "developer", "tools": [GROUP]}
        )
    out = translate.request("openai_responses", target, request, {}, "m")
    upstream_json = json.dumps(out["body"])
    assert upstream_json.count("Helpers that work beside you.") == 3
    assert upstream_json.count("Helpers that work beside you.\\n\\nStart one.") == 1
    assert not [row for row in out["report"] if row["field"].endswith(".description")]


def test_a_tool_group_is_sent_if_the_provider_supports_groups() -> None:
    client, provider = DIALECTS["openai_responses"].client, DIALECTS["openai_responses"].provider
    request = {"model": "m", "input": "hi", "tools": [GROUP]}
    out = provider.render_request(client.parse_request(request, {}), Traits(custom_tools=True)).body
    (group,) = out["tools"]
    assert (group["name"], group["description"]) == ("agents", GROUP["description"])
    assert [tool.get("description") for tool in group["tools"]] == [
        "Start one.",
        None,
        "Write to one.",
    ]


# What a target that demands a user's message is sent beside the instructions.
PLACEHOLDER = "(conversation start)"
# A client -> its body of instructions only, and their path.
INSTRUCTIONS_ONLY: dict[str, tuple[dict[str, Any], str]] = {
    "openai_chat": ({"messages": [{"role": "system", "content": "Say hello."}]}, "messages[0]"),
    "openai_responses": ({"instructions": "Say hello.", "input": []}, "instructions"),
    "ollama": ({"messages": [{"role": "system", "content": "Say hello."}]}, "messages[0]"),
}


@each("target", [*TARGETS, "mistral", "deepseek", "anthropic"])
@each("client", INSTRUCTIONS_ONLY)
def test_instructions_alone_are_a_request(client: str, target: str) -> None:
    """They are rendered unchanged if legal, otherwise as a user turn or with a placeholder."""
    value, path = INSTRUCTIONS_ONLY[client]
    out = translate.request(client, target, {"model": "m", **value}, {}, "some-model")
    upstream_json = json.dumps(out["body"])
    assert upstream_json.count("Say hello.") == 1
    rows = [(row["field"], row["action"], row.get("to")) for row in out["report"]]
    inserted = (path, "defaulted", PLACEHOLDER)
    if out["passthrough"]:
        assert not rows
    elif target in {"anthropic", "bedrock", "gemini"}:
        assert upstream_json.count(PLACEHOLDER) == 1
        assert inserted in rows
    elif target in {"cohere", "mistral"}:
        assert [message["role"] for message in out["body"]["messages"]] == ["user"]
        assert (path, "approximated", None) in rows
    else:
        assert PLACEHOLDER not in upstream_json
        assert not [row for row in rows if row[0] == path]
    if target == "mistral":
        assert mistral_refusal(out["body"]) is None


@each("target", ["anthropic", "bedrock", "gemini"])
def test_a_placeholder_is_not_reported_where_none_is_inserted(target: str) -> None:
    messages = [{"role": "system", "content": "Say hello."}, {"role": "user", "content": "Hi"}]
    out = translate.request("openai_chat", target, {"model": "m", "messages": messages}, {}, "m")
    assert PLACEHOLDER not in json.dumps(out)


@each("stream", [False, True])
def test_usage_fields_of_anthropic_survive_translation(stream: bool) -> None:
    native_usage = {"inference_geo": "eu", "speed": "fast", "iterations": [{"type": "message"}]}
    message = {**SEARCHED, "usage": {**SEARCHED["usage"], **native_usage}}
    adapter = DIALECTS["anthropic_messages"]
    response = adapter.provider.parse_response(message, Traits(), None)
    if stream:
        renderer = adapter.client.stream_renderer(EXCHANGE)
        client_stream = b"".join(renderer.feed(event) for event in unfold_response(response)).split(
            b"\n\n"
        )
        (delta,) = [line for line in client_stream if b"message_delta" in line]
        body = json.loads(delta.partition(b"data: ")[2])
    else:
        body, _ = adapter.client.render_response(response, EXCHANGE)
    assert {name: body["usage"].get(name) for name in native_usage} == native_usage


@each(
    ("target", "model"),
    [
        ("deepseek", "deepseek-chat"),
        ("anthropic", "claude-3-haiku-20240307"),
        ("bedrock", "us.amazon.nova-pro-v1:0"),
    ],
)
def test_a_schema_sent_as_an_instruction_keeps_its_description(target: str, model: str) -> None:
    form = {
        "type": "json_schema",
        "json_schema": {
            "name": "city",
            "description": "A city with its people",
            "schema": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    }
    request = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": form,
    }
    out = translate.request("openai_chat", target, request, {}, model)
    assert "A city with its people" in json.dumps(out["body"])


SEARCHED = {
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "web_search",
            "input": {"query": "Oslo"},
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [
                {
                    "type": "web_search_result",
                    "url": "https://a.example",
                    "title": "A",
                    "encrypted_content": "x",
                }
            ],
        },
        {"type": "text", "text": "It is in Norway."},
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@each("client", ["openai_responses", "openai_chat", "gemini", "ollama"])
@each("stream", [False, True])
def test_a_search_that_claude_made_is_reported_where_it_cannot_be_shown(
    client: str, stream: bool
) -> None:
    response = DIALECTS["anthropic_messages"].provider.parse_response(SEARCHED, Traits(), None)
    adapter = DIALECTS[client].client
    if stream:
        renderer = adapter.stream_renderer(EXCHANGE)
        for event in unfold_response(response):
            renderer.feed(event)
        report = tuple(renderer.report)
    else:
        _, report = adapter.render_response(response, EXCHANGE)
    assert report


def test_a_cache_breakpoint_in_a_tool_result_is_reported_for_gemini() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    text = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [text]},
    ]
    body = {"model": "m", "messages": messages}
    report = translate.request("openai_chat", "gemini", body, {}, "gemini-3-pro")["report"]
    assert "prompt_cache_breakpoint" in [row["field"] for row in report]


def test_the_options_of_a_custom_tool_that_chat_lacks_are_reported() -> None:
    tool = {"type": "custom", "name": "c", "async": True, "allowed_callers": ["programmatic"]}
    body = {"model": "m", "input": "hi", "tools": [tool]}
    report = translate.request("openai_responses", "openai_chat", body, {}, "gpt-5.4")["report"]
    fields = {row["field"] for row in report}
    assert {"tools[0].async", "tools[0].allowed_callers"} <= fields


# --- parts of a request ------------------------------------------------------------------

CITED = {
    "type": "text",
    "text": "so",
    "citations": [
        {
            "type": "char_location",
            "cited_text": "s",
            "document_index": 0,
            "document_title": None,
            "start_char_index": 0,
            "end_char_index": 1,
        }
    ],
}
CALL_OF_F = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
}
TARGETS = {
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
    "gemini": "gemini-3.8-flash",
    "mistral": "mistral-large-latest",
    "ollama": "qwen3",
    "openai_chat": "gpt-4.1",
    "openai_responses": "gpt-5.6-sol",
}


def reported_paths(target: str, *contents: Any, **fields: Any) -> set[str]:
    """Return the fields that are reported for an Anthropic request of these turns."""
    messages = [
        content if isinstance(content, dict) else {"role": "user", "content": content}
        for content in contents
    ]
    body = {"model": "m", "max_tokens": 5000, "messages": messages, **fields}
    translation = translate.request("anthropic", target, body, VERSION, TARGETS[target])
    return {row["field"] for row in translation["report"]}


@each("target", TARGETS)
def test_sources_of_a_clients_text_are_reported_wherever_they_are(target: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [CITED]}
    search = {"type": "search_result", "source": "s", "title": "t", "content": [CITED]}
    document = {"type": "document", "source": {"type": "content", "content": [CITED]}}
    assert {
        "system": "system[0].citations" in reported_paths(target, "hi", system=[CITED]),
        "user": "messages[0].content[0].citations" in reported_paths(target, [CITED]),
        "tool result": "messages[2].content[0].content[0].citations"
        in reported_paths(target, "hi", CALL_OF_F, [result]),
        "search result": "messages[0].content[0].content[0].citations"
        in reported_paths(target, [search]),
        "document": "messages[0].content[0].source.content[0].citations"
        in reported_paths(target, [document]),
    } == dict.fromkeys(["system", "user", "tool result", "search result", "document"], True)


@each("target", ["bedrock", "cohere"])
def test_an_image_in_a_document_of_text_is_reported(target: str) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
    source = {"type": "content", "content": [{"type": "text", "text": "so"}, image]}
    paths = reported_paths(target, [{"type": "document", "source": source}])
    assert "messages[0].content[0].source.content[1]" in paths


@each("target", TARGETS)
def test_a_tool_result_in_an_assistant_message_is_reported(target: str) -> None:
    """Bedrock's types allow it for tools that the provider runs."""
    block = {"toolResult": {"toolUseId": "t1", "content": [{"text": "ok"}]}}
    messages = [
        {"role": "user", "content": [{"text": "hi"}]},
        {"role": "assistant", "content": [{"text": "so"}, block]},
        {"role": "user", "content": [{"text": "hi"}]},
    ]
    body = {"messages": messages}
    translation = translate.request("bedrock_converse", target, body, {}, TARGETS[target])
    if not translation["passthrough"]:
        paths = {row["field"] for row in translation["report"]}
        assert "messages[1].content[1]" in paths


@each("target", ["openai", "openai_responses"])
def test_reasoning_is_switched_on_where_it_is_off_by_default(target: str) -> None:
    """GPT-5.1 to 5.5 do not reason without an effort."""
    body = {
        "model": "m",
        "max_tokens": 5000,
        "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "adaptive"},
    }
    field = {"openai": "reasoning_effort", "openai_responses": "reasoning"}[target]
    translation = translate.request("anthropic", target, body, VERSION, "gpt-5.2")
    sent = translation["body"][field]
    assert (sent["effort"] if isinstance(sent, dict) else sent) == "medium"
    assert ("thinking", "approximated") in {
        (row["field"], row["action"]) for row in translation["report"]
    }
    translation = translate.request("anthropic", target, body, VERSION, "gpt-5")
    assert "medium" not in str(translation["body"])


@each("target", ["openai_chat", "openai_responses"])
def test_the_json_mode_of_a_cohere_client_is_one_that_openai_accepts(target: str) -> None:
    """OpenAI answers 400 if no message contains the word JSON."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_object"},
    }
    sent = translate.request("cohere", target, body, {}, TARGETS[target])["body"]
    assert "Answer with JSON." in json.dumps(sent)
    own = translate.request("openai_chat", "mistral", body, {}, TARGETS["mistral"])["body"]
    assert own["messages"] == body["messages"]
