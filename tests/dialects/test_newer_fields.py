"""Newer fields of the vendors' types, which other APIs name differently or do not have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat.chat_completion import Moderation as ChatCompletionModeration
from openai.types.responses.response import Moderation as ResponsesModeration

from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.simulate import translate
from tests.each import each

Json = dict[str, Any]
Report = set[tuple[str, str]]

MODELS = {
    "anthropic": "claude-opus-5-5",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
    "gemini": "gemini-3.8-flash",
    "ollama": "qwen3",
    "openai_chat": "gpt-4.1",
    "openai_responses": "gpt-5.6-sol",
}
SCHEMA: Json = {
    "type": "object",
    "properties": {"my_key": {"type": "integer"}},
    "required": ["my_key"],
    "additionalProperties": False,
}


def translate_request(source: str, target: str, request: Json) -> tuple[Json, Report]:
    translation = translate.request(source, target, {"model": "m", **request}, {}, MODELS[target])
    rows = translation["report"]
    return translation["body"], {(row["field"], row["action"]) for row in rows}


# --- Gemini -------------------------------------------------------------------------------


def gemini(config: Json) -> Json:
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    return {"contents": contents, "generationConfig": config}


@each("media_type", ["application/json", "APPLICATION_JSON"])
def test_response_format_is_the_schema_of_the_output(media_type: str) -> None:
    """google-genai 3.4 deprecates `response_schema` in its favor."""
    text = {"mimeType": media_type, "schema": SCHEMA}
    body, report = translate_request(
        "gemini", "openai_chat", gemini({"responseFormat": [{"text": text}]})
    )
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert not {field for field, _ in report if "responseFormat" in field}


def test_response_format_without_a_schema_is_json() -> None:
    text = {"mimeType": "application/json"}
    body, _ = translate_request(
        "gemini", "openai_chat", gemini({"responseFormat": [{"text": text}]})
    )
    assert body["response_format"] == {"type": "json_object"}


@each("name", ["responseSchema", "responseJsonSchema"])
def test_an_enum_as_text_is_an_instruction_elsewhere(name: str) -> None:
    config = {"responseMimeType": "text/x.enum", name: {"type": "STRING", "enum": ["a b", "c"]}}
    for target in MODELS.keys() - {"gemini"}:
        body, report = translate_request("gemini", target, gemini(config))
        assert "unchanged:\\na b\\nc" in json.dumps(body)
        assert ("generationConfig.responseMimeType", "approximated") in report
        assert not {action for _, action in report} & {"dropped"}
    google = DIALECTS["gemini"]
    request = google.client.parse_request({"model": "m", **gemini(config)}, {})
    body = google.provider.render_request(request, Traits()).body
    assert body["generationConfig"] == {
        "responseMimeType": "text/x.enum",
        "responseJsonSchema": {"type": "string", "enum": ["a b", "c"]},
    }
    assert "systemInstruction" not in body


def test_an_enum_as_text_without_texts_is_reported_by_the_clients_field() -> None:
    config = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}}
    _, report = translate_request("gemini", "openai_chat", gemini(config))
    assert report == {
        ("generationConfig.responseMimeType", "dropped"),
        ("generationConfig.responseSchema", "dropped"),
    }


def test_response_formats_of_other_media_are_reported() -> None:
    formats = [{"text": {"mimeType": "text/plain"}}, {"audio": {"mimeType": "audio/wav"}}]
    _, report = translate_request("gemini", "openai_chat", gemini({"responseFormat": formats}))
    assert ("generationConfig.responseFormat", "dropped") in report
    unknown = [{"text": {"mimeType": ["x"]}}]
    _, report = translate_request("gemini", "openai_chat", gemini({"responseFormat": unknown}))
    assert ("generationConfig.responseFormat", "dropped") in report


@each(
    ("name", "value"),
    [
        ("mediaResolution", {"level": "MEDIA_RESOLUTION_HIGH"}),
        ("videoMetadata", {"fps": 2}),
        ("mediaProcessing", "AGENTIC"),
    ],
)
def test_fields_of_media_in_a_result_are_reported(name: str, value: Any) -> None:
    media = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}, name: value}
    _, report = translate_request("gemini", "anthropic", {"contents": contents_with(media)})
    for path in MEDIA_PATHS:
        assert (f"{path}.{name}", "dropped") in report


@each(
    "media",
    [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo=", "displayName": "cat"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example", "displayName": "c"}},
    ],
)
def test_the_name_of_an_image_is_reported(media: Json) -> None:
    """A function's response refers to its images by their names."""
    _, report = translate_request("gemini", "anthropic", {"contents": contents_with(media)})
    (kind,) = media
    for path in MEDIA_PATHS:
        assert (f"{path}.{kind}.displayName", "dropped") in report


MEDIA_PATHS = ["contents[0].parts[0]", "contents[2].parts[0].functionResponse.parts[0]"]


def contents_with(media: Json) -> list[Json]:
    """Return contents with media in a message and in a result."""
    call = {"id": "c", "name": "f", "args": {}}
    result = {"id": "c", "name": "f", "response": {"output": "x"}, "parts": [media]}
    return [
        {"role": "user", "parts": [media]},
        {"role": "model", "parts": [{"functionCall": call}]},
        {"role": "user", "parts": [{"functionResponse": result}]},
    ]


# --- tools of OpenAI's Responses ---------------------------------------------------------------


@each("target", [target for target in MODELS if target != "openai_responses"])
def test_options_of_free_text_tools_are_reported(target: str) -> None:
    tool = {"type": "custom", "name": "exec", "async": True, "allowed_callers": ["programmatic"]}
    _, report = translate_request("openai_responses", target, {"input": "hi", "tools": [tool]})
    expected = {("tools[0].async", "dropped"), ("tools[0].allowed_callers", "dropped")}
    assert expected <= report or ("tools", "dropped") in report


# --- reasoning ---------------------------------------------------------------------------------


@each(
    ("target", "model"),
    [
        ("openai_responses", "gpt-5.6-sol"),
        ("openai_chat", "gpt-5.1"),
        ("openai_chat", "gpt-4.1"),
        ("deepseek", "deepseek-v4"),
        ("gemini", "gemini-3.8-flash"),
        ("gemini", "gemini-2.5-flash"),
        ("ollama", "qwen3"),
        ("cohere", "command-a-reasoning-08-2025"),
        ("cohere", "command-a-03-2025"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "us.amazon.nova-2-lite-v1:0"),
    ],
)
def test_an_effort_without_thinking_is_reported(target: str, model: str) -> None:
    """Claude's effort also limits its texts and calls; other models' effort is of reasoning."""
    request = {
        "model": "m",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "disabled"},
        "output_config": {"effort": "high"},
    }
    translation = translate.request("anthropic_messages", target, request, {}, model)
    fields = [row["field"] for row in translation["report"]]
    assert fields.count("output_config.effort") == 1


# --- fields that OpenAI's Chat and Responses share ---------------------------------------------


CACHE_OPTIONS: Json = {
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "prompt_cache_retention": "24h",
}


def test_cache_options_of_chat_reach_responses() -> None:
    """OpenAI's newer models call functions only in Responses, which has the same options."""
    function = {"type": "function", "function": {"name": "f"}}
    request = {"messages": [{"role": "user", "content": "hi"}], "tools": [function]}
    translation = translate.request(
        "openai_chat", "openai", {"model": "m", **request, **CACHE_OPTIONS}, {}, "gpt-5.6-sol"
    )
    assert translation["path"] == "/responses"
    assert translation["body"].items() >= CACHE_OPTIONS.items()
    assert translation["report"] == []


def test_cache_options_of_chat_are_reported_by_other_dialects() -> None:
    request = {"messages": [{"role": "user", "content": "hi"}], **CACHE_OPTIONS}
    _, report = translate_request("openai_chat", "gemini", request)
    assert report == {(name, "dropped") for name in CACHE_OPTIONS}


MODERATION: Json = {
    "model": "omni-moderation-latest",
    "policy": {"input": {"mode": "block"}, "output": None},
}
FLAGGED: Json = {
    "type": "moderation_result",
    "model": "omni-moderation-2026",
    "flagged": True,
    "categories": {"violence": True},
    "category_scores": {"violence": 0.9},
    "category_applied_input_types": {"violence": ["text"]},
}
FAILED: Json = {"type": "error", "code": "server_error", "message": "no result"}


def test_moderation_of_chat_reaches_responses() -> None:
    """OpenAI's newer models call functions only in Responses, which moderates the same way."""
    request = {"messages": [{"role": "user", "content": "hi"}], "moderation": MODERATION}
    body, report = translate_request("openai_chat", "openai_responses", request)
    assert body["moderation"] == MODERATION
    assert report == set()
    _, report = translate_request("openai_chat", "anthropic", request)
    assert ("moderation", "dropped") in report


@pytest.mark.parametrize("is_stream", [False, True])
def test_results_of_moderation_in_responses_reach_chat(is_stream: bool) -> None:
    message = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed"}
    output = [{**message, "content": [{"type": "output_text", "text": "hi", "annotations": []}]}]
    fields = {"id": "resp_1", "model": "m", "status": "completed", "output": output}
    response = {**fields, "moderation": {"input": FLAGGED, "output": FAILED}}
    source, client = DIALECTS["openai_responses"].provider, DIALECTS["openai_chat"].client
    if is_stream:
        created = {"type": "response.created", "response": {**fields, "output": []}}
        frames = [created, {"type": "response.completed", "response": response}]
        events = translate.stream("openai_responses", "openai_chat", frames, "m")["events"]
        [chat] = [event for event in events if "moderation" in event]
    else:
        chat, report = client.render_response(
            source.parse_response(response, Traits(), None),
            ResponseContext(id="1", created=1, model="m"),
        )
        assert report == ()
    assert chat["moderation"] == {
        "input": {
            "type": "moderation_results",
            "model": "omni-moderation-2026",
            "results": [FLAGGED],
        },
        "output": FAILED,
    }
    ChatCompletionModeration.model_validate(chat["moderation"])


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("further_results", [[], [{**FLAGGED, "flagged": False}]])
def test_results_of_moderation_in_chat_reach_responses(
    is_stream: bool, further_results: list[Json]
) -> None:
    """Responses has one result for each side: that which flags the text."""
    results = {"type": "moderation_results", "model": "m", "results": [*further_results, FLAGGED]}
    moderation = {"input": results, "output": FAILED}
    source, client = DIALECTS["openai_chat"].provider, DIALECTS["openai_responses"].client
    choice = {"index": 0, "finish_reason": "stop"}
    chat: Json = {"id": "c", "model": "m"}
    if is_stream:
        chunks = [
            {**chat, "choices": [{**choice, "delta": {"content": "hi"}}]},
            {**chat, "choices": [], "moderation": moderation},
        ]
        translation = translate.stream("openai_chat", "openai_responses", chunks, "m")
        response, report = translation["events"][-1]["data"]["response"], translation["report"]
    else:
        message = {"role": "assistant", "content": "hi"}
        body = {**chat, "choices": [{**choice, "message": message}], "moderation": moderation}
        response, report = client.render_response(
            source.parse_response(body, Traits(), None),
            ResponseContext(id="1", created=1, model="m"),
        )
    assert response["moderation"] == {"input": FLAGGED, "output": FAILED}
    ResponsesModeration.model_validate(response["moderation"])
    assert len(report) == len(further_results)


# --- predicted outputs of OpenAI's Chat ----------------------------------------------------------


def test_the_parts_of_a_prediction_are_sent_as_one_string() -> None:
    """Mistral accepts only a string (`Prediction` of mistralai)."""
    parts = [{"type": "text", "text": "a = 1\n"}, {"type": "text", "text": "b = 2\n"}]
    prediction = {"type": "content", "content": parts}
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    translation = translate.request(
        "openai_chat", "mistral", {**request, "prediction": prediction}, {}, "mistral-large-latest"
    )
    assert translation["body"]["prediction"] == {"type": "content", "content": "a = 1\nb = 2\n"}
    assert translation["report"] == []


# --- files of OpenAI's Responses -----------------------------------------------------------------


FILE: Json = {
    "type": "input_file",
    "filename": "a.pdf",
    "file_data": "data:application/pdf;base64,JVBERi0=",
    "detail": "low",
}
FILE_INPUT: list[Json] = [
    {"role": "user", "content": [FILE]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": [FILE]},
]


@each("target", ["anthropic", "gemini", "openai_chat"])
def test_the_detail_of_a_file_is_reported(target: str) -> None:
    _, report = translate_request("openai_responses", target, {"input": FILE_INPUT})
    assert ("input[0].content[0].detail", "dropped") in report
    assert ("input[2].output[0].detail", "dropped") in report


def test_the_detail_of_a_file_reaches_responses() -> None:
    """A continued response is not passed through: the gateway has the earlier items."""
    request = {"model": "m", "input": FILE_INPUT, "previous_response_id": "resp_0"}
    earlier = {"role": "user", "content": "hi"}
    stored = {"resp_0": {"id": "resp_0", "input": [earlier], "output": []}}
    model = MODELS["openai_responses"]
    translation = translate.request(
        "openai_responses", "openai_responses", request, {}, model, stored
    )
    files = json.dumps(translation["body"]["input"])
    assert files.count('"detail": "low"') == 2
    assert translation["report"] == []


@each("value", [None, "auto"])
def test_the_default_detail_of_a_file_is_not_reported(value: str | None) -> None:
    items = [{"role": "user", "content": [{**FILE, "detail": value}]}]
    _, report = translate_request("openai_responses", "openai_chat", {"input": items})
    assert report == set()


# --- searches ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "request_body", "field"),
    [
        (
            "anthropic_messages",
            "openai_responses",
            {
                "max_tokens": 99,
                "messages": [{"role": "user", "content": "hi"}],
                "tools": [
                    {
                        "type": "web_search_20260318",
                        "name": "web_search",
                        "response_inclusion": "excluded",
                    }
                ],
            },
            "tools[0].response_inclusion",
        ),
        (
            "openai_responses",
            "anthropic",
            {
                "input": "hi",
                "tools": [{"type": "web_search_preview", "search_content_types": ["image"]}],
            },
            "tools[0].search_content_types",
        ),
        (
            "openai_responses",
            "anthropic",
            {
                "input": "hi",
                "tools": [
                    {"type": "web_search_preview", "search_content_types": ["text", "image"]}
                ],
            },
            "tools[0].search_content_types",
        ),
        (
            "gemini",
            "anthropic",
            {
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "tools": [{"googleSearch": {"searchTypes": {"imageSearch": {}}}}],
            },
            "tools[0].googleSearch.searchTypes",
        ),
    ],
    ids=["response_inclusion", "search_content_types", "text_and_image", "searchTypes"],
)
def test_options_of_one_providers_search_are_reported(
    source: str, target: str, request_body: Json, field: str
) -> None:
    _, report = translate_request(source, target, request_body)
    assert (field, "dropped") in report


# Fields of Anthropic's search tool that request nothing of the search itself.
TOOL_FIELDS: Json = {
    "cache_control": {"type": "ephemeral"},
    "strict": True,
    "allowed_callers": ["code_execution_20260120"],
}
TOOL_DEFAULTS: Json = {
    "cache_control": None,
    "strict": False,
    "allowed_callers": ["direct"],
    "defer_loading": False,
}


def anthropic_search(**fields: Any) -> Json:
    tool = {"type": "web_search_20260318", "name": "web_search", **fields}
    messages = [{"role": "user", "content": "hi"}]
    return {"max_tokens": 99, "messages": messages, "tools": [tool]}


@each("target", ["openai_responses", "gemini"])
@each("name", TOOL_FIELDS)
def test_fields_of_anthropics_search_tool_are_reported(target: str, name: str) -> None:
    request_body = anthropic_search(**{name: TOOL_FIELDS[name]})
    _, report = translate_request("anthropic_messages", target, request_body)
    assert report == {(f"tools[0].{name}", "dropped")}


@each("target", ["openai_responses", "gemini"])
def test_defaults_of_anthropics_search_tool_are_no_loss(target: str) -> None:
    request_body = anthropic_search(**TOOL_DEFAULTS)
    _, report = translate_request("anthropic_messages", target, request_body)
    assert not report


# --- service tiers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "request_body", "field"),
    [
        (
            "bedrock_converse",
            "openai_chat",
            {
                "messages": [{"role": "user", "content": [{"text": "hi"}]}],
                "serviceTier": {"type": "reserved"},
            },
            "serviceTier",
        ),
        (
            "bedrock_converse",
            "openai_responses",
            {
                "messages": [{"role": "user", "content": [{"text": "hi"}]}],
                "serviceTier": {"type": "reserved"},
            },
            "serviceTier",
        ),
        (
            "openai_responses",
            "openai_chat",
            {"input": "hi", "service_tier": "ultrafast"},
            "service_tier",
        ),
    ],
    ids=["reserved-chat", "reserved-responses", "ultrafast-chat"],
)
def test_a_tier_that_openai_does_not_accept_is_reported(
    source: str, target: str, request_body: Json, field: str
) -> None:
    """OpenAI Chat has no `ultrafast`, and both APIs refuse Bedrock's `reserved`."""
    body, report = translate_request(source, target, request_body)
    assert "service_tier" not in body
    assert (field, "dropped") in report


def test_a_tier_that_openai_accepts_is_sent() -> None:
    messages = [{"role": "user", "content": "hi"}]
    tier = {"service_tier": "scale"}
    body, _ = translate_request("openai_chat", "openai_responses", {"messages": messages, **tier})
    assert body["service_tier"] == "scale"


# --- cache breakpoints, callers and fields of other roles -------------------------------------

CACHED: Json = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
CACHED_PARTS: list[Json] = [
    {"type": "search_result", "source": "s", "title": "t", "content": [CACHED]},
    {"type": "document", "source": {"type": "content", "content": [CACHED]}},
]


def anthropic_request(*content: Json) -> Json:
    parts = [*content, {"type": "text", "text": "q"}]
    return {"max_tokens": 99, "messages": [{"role": "user", "content": parts}]}


@each("part", CACHED_PARTS)
def test_a_breakpoint_in_a_document_follows_it_at_bedrock(part: Json) -> None:
    body, report = translate_request("anthropic_messages", "bedrock", anthropic_request(part))
    _, cache_point, _ = body["messages"][0]["content"]
    assert (cache_point, report) == ({"cachePoint": {"type": "default"}}, set())


@each("part", CACHED_PARTS)
def test_a_breakpoint_in_a_document_is_reported_for_cohere(part: Json) -> None:
    _, report = translate_request("anthropic_messages", "cohere", anthropic_request(part))
    assert ("cache_control", "dropped") in report


def test_a_breakpoint_on_audio_is_reported_for_gemini() -> None:
    audio = {
        "type": "input_audio",
        "input_audio": {"data": "UklGRgAAAABXQVZF", "format": "wav"},
        "prompt_cache_breakpoint": {"mode": "explicit"},
    }
    _, report = translate_request(
        "openai_chat", "gemini", {"messages": [{"role": "user", "content": [audio]}]}
    )
    assert ("prompt_cache_breakpoint", "dropped") in report


@each("kind", ["function", "custom_tool"])
def test_the_program_that_called_a_tool_is_reported(kind: str) -> None:
    caller = {"caller": {"type": "program", "caller_id": "prog_1"}}
    text = {"arguments": "{}"} if kind == "function" else {"input": ""}
    call = {"type": f"{kind}_call", "call_id": "c", "name": "f", **text, "async": True, **caller}
    output = {"type": f"{kind}_call_output", "call_id": "c", "output": "o", **caller}
    direct = {"type": "function_call", "call_id": "d", "name": "f", "arguments": "{}"}
    direct |= {"caller": {"type": "direct"}, "async": False}
    items = [{"role": "user", "content": "q"}, call, output, direct]
    _, report = translate_request("openai_responses", "cohere", {"input": items})
    dropped = {field for field, action in report if action == "dropped"}
    assert dropped == {"input[1].async", "input[1].caller", "input[2].caller"}


def test_fields_of_other_roles_of_an_ollama_message_are_reported() -> None:
    calls = [{"function": {"name": "f", "arguments": {}}}]
    messages = [
        {"role": "user", "content": "q", "thinking": "hm", "tool_calls": calls},
        {"role": "user", "content": "q", "thinking": "", "tool_calls": [], "tool_name": None},
    ]
    _, report = translate_request("ollama", "openai_chat", {"messages": messages})
    assert report == {
        ("messages[0].thinking", "dropped"),
        ("messages[0].tool_calls", "dropped"),
    }


def test_the_state_of_another_providers_reasoning_does_not_reach_mistral() -> None:
    """OpenRouter's details came to the client by passthrough, without the gateway's token."""
    detail = {"type": "reasoning.text", "text": "hm", "signature": "secret-state", "index": 0}
    response = {"role": "assistant", "content": "a", "reasoning_details": [detail]}
    messages = [{"role": "user", "content": "q"}, response, {"role": "user", "content": "r"}]
    translation = translate.request(
        "openai_chat", "mistral", {"model": "m", "messages": messages}, {}, "magistral-medium"
    )
    assert "secret-state" not in str(translation["body"])
    assert [(row["field"], row["action"]) for row in translation["report"]] == [
        ("messages[1].reasoning_details", "dropped")
    ]


@each(
    "part",
    [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        {"functionResponse": {"id": "c", "name": "f", "response": {"output": "o"}}},
    ],
)
def test_state_on_a_part_that_carries_none_is_reported(part: Json) -> None:
    """Only reasoning, text and calls of the model have state that is sent back."""
    call = {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "f", "args": {}}}]}
    user = {"role": "user", "parts": [{**part, "thoughtSignature": "QUJD"}, {"text": "q"}]}
    _, report = translate_request("gemini", "openai_chat", {"contents": [call, user]})
    assert ("contents[1].parts[0].thoughtSignature", "dropped") in report


def test_fields_of_the_assistant_in_a_users_chat_message_are_reported() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [
        {"role": "user", "content": "q", "reasoning_content": "hm", "tool_calls": calls},
        {"role": "user", "content": "q", "reasoning_content": None, "tool_calls": []},
    ]
    _, report = translate_request("openai_chat", "cohere", {"messages": messages})
    assert report == {
        ("messages[0].reasoning_content", "dropped"),
        ("messages[0].tool_calls", "dropped"),
    }
