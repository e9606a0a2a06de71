"""Rendering of canonical requests for providers with given traits, and the report."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    Audio,
    CacheBreakpoint,
    Citation,
    Document,
    Image,
    Meta,
    Native,
    Output,
    ReasoningConfig,
    Request,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.canon.request import ToolCall as Call
from tests.dialects.openai_chat.make import (
    PDF,
    PNG,
    USER,
    assistant_calls,
    body,
    call,
    render,
    reported_fields,
    request_body,
    result,
    tool,
)
from tests.fakes import openai_rules


def user(*parts: Any, **fields: Any) -> Request:
    """Return a request with one user turn of these parts."""
    return Request(
        model="gw", turns=(Turn(role="user", parts=parts, path="messages[0]"),), **fields
    )


def from_anthropic(*parts: Any, **fields: Any) -> Request:
    """Return the same request from an Anthropic client."""
    return user(*parts, version="2023-06-01", **fields)


# --- limits and sampling -------------------------------------------------------------


def test_the_model_sent_is_the_targets():
    assert render(body()).body == {"model": "acme-1", "messages": [USER]}


def test_the_limit_has_the_targets_name_and_fits_it():
    rendered_request = render(
        body(max_tokens=128000), max_tokens_field="max_tokens", max_output=4096
    )
    assert rendered_request.body["max_tokens"] == 4096
    item = rendered_request.report[0]
    assert (item.path, item.action) == ("max_tokens", "approximated")
    assert (item.before, item.after) == (128000, 4096)


@pytest.mark.parametrize(
    ("fields", "flags", "expected", "report"),
    [
        ({"temperature": 1.8}, {"temperature_max": 1.0}, {"temperature": 1.0}, "approximated"),
        ({"temperature": 0.1}, {"sampling": False}, {}, "dropped"),
        ({"top_p": 0.1}, {"sampling": False}, {}, "dropped"),
        ({"top_k": 5}, {}, {}, "dropped"),
        ({"top_k": 5}, {"top_k": True}, {"top_k": 5}, None),
        ({"min_p": 0.5}, {}, {}, "dropped"),
        ({"min_p": 0.5}, {"min_p": True}, {"min_p": 0.5}, None),
        ({"repetition_penalty": 1.5}, {}, {}, "dropped"),
        ({"frequency_penalty": 1.0}, {"penalties": False}, {}, "dropped"),
        ({"presence_penalty": 1.0}, {}, {"presence_penalty": 1.0}, None),
        ({"seed": 1}, {"seed": False}, {}, "dropped"),
        ({"random_seed": 1}, {}, {"seed": 1}, None),
        ({"random_seed": 1}, {"seed": False}, {}, "dropped"),
        ({"safe_prompt": False}, {}, {}, None),
        ({"logit_bias": {"1": 2}}, {"logit_bias": False}, {}, "dropped"),
        ({"logit_bias": {"1": 2}}, {}, {"logit_bias": {"1": 2}}, None),
        ({"stop": ["a", "b"]}, {"stop_max": 1}, {"stop": ["a"]}, "approximated"),
        ({"stop": ["a", "b"]}, {"stop_max": 0}, {}, "dropped"),
        ({"stop": list("abcdef")}, {"stop_max": None}, {"stop": list("abcdef")}, None),
        ({"n": 3}, {}, {"n": 3}, None),
        ({"n": 3}, {"n_max": 2}, {"n": 2}, "approximated"),
        ({"n": 3}, {"n_max": 1}, {}, "approximated"),
        ({"n": 1}, {}, {}, None),
        ({"logprobs": True}, {}, {"logprobs": True}, None),
        ({"logprobs": True}, {"logprobs": False}, {}, "dropped"),
        ({"user": "u"}, {}, {"safety_identifier": "u"}, None),
        ({"user": "u"}, {"user_field": "user"}, {"user": "u"}, None),
        ({"user": "u"}, {"user_field": "none"}, {}, "dropped"),
        ({"prompt_cache_key": "k"}, {"session_field": "none"}, {}, "dropped"),
        ({"metadata": {"a": "b"}}, {"metadata": False}, {}, "dropped"),
        ({"store": True}, {"store": False}, {}, "dropped"),
        ({"store": False}, {"store": False}, {}, None),
        ({"store": False}, {}, {"store": False}, None),
        ({"service_tier": "flex"}, {}, {"service_tier": "flex"}, None),
        ({"service_tier": "flex"}, {"service_tier": False}, {}, "dropped"),
        ({"verbosity": "low"}, {}, {}, "dropped"),
        ({"verbosity": "low"}, {"verbosity": True}, {"verbosity": "low"}, None),
    ],
    ids=str,
)
def test_a_field_is_sent_or_reported(
    fields: dict[str, Any], flags: dict[str, Any], expected: dict[str, Any], report: str | None
):
    rendered_request = render(body(**fields), **flags)
    sent = rendered_request.body
    other_fields = {name: sent[name] for name in sent.keys() - {"model", "messages"}}
    assert other_fields == expected
    assert reported_fields(rendered_request.report) == (
        [(next(iter(fields)), report)] if report else []
    )


def test_reasoning_models_get_sampling_when_reasoning_is_off():
    flags: dict[str, Any] = {"sampling": False, "reasoning": True, "efforts": ("none", "low")}
    off = render(body(temperature=0.5, reasoning_effort="none"), **flags)
    assert off.body["temperature"] == 0.5
    low = render(body(temperature=0.5, reasoning_effort="low"), **flags)
    assert "temperature" not in low.body


def test_log_probabilities_are_requested_for_a_stream():
    rendered_request = render(body(stream=True, logprobs=True))
    assert rendered_request.body["logprobs"] is True
    assert reported_fields(rendered_request.report) == []


@pytest.mark.parametrize(
    "user_id", ['{"device_id":"d","session_id":"s"}', "x" * 200], ids=["structure", "long"]
)
def test_a_long_or_personal_user_id_is_hashed(user_id: str):
    request = Request(model="gw", meta=Meta(user_id=user_id))
    rendered_safety_identifier = render(request).body["safety_identifier"]
    assert rendered_safety_identifier.startswith("sha256:")
    assert len(rendered_safety_identifier) <= 128
    assert rendered_safety_identifier == render(request).body["safety_identifier"]


def test_a_session_that_was_read_out_of_the_user_id_is_not_reported_twice():
    meta = Meta(user_id="{}", session_key="s")
    paths = {"user_id": "metadata.user_id", "session_key": "metadata.user_id"}
    request = Request(model="gw", meta=meta, client_paths=paths)
    rendered_request = render(request, user_field="none", session_field="none")
    assert reported_fields(rendered_request.report) == [("metadata.user_id", "dropped")]


# --- streams -------------------------------------------------------------------------


def test_usage_is_always_requested_in_a_stream():
    assert render(body(stream=True)).body["stream_options"] == {"include_usage": True}


def test_a_target_without_stream_options_gets_none():
    request = body(stream=True, stream_options={"include_usage": True})
    rendered_request = render(request, stream_options=False)
    assert "stream_options" not in rendered_request.body
    assert reported_fields(rendered_request.report) == [("stream_options", "dropped")]


def test_other_stream_options_of_the_client_are_sent():
    request = body(stream=True, stream_options={"include_obfuscation": False})
    rendered_stream_options = render(request).body["stream_options"]
    assert rendered_stream_options == {"include_usage": True, "include_obfuscation": False}


# --- messages ------------------------------------------------------------------------


def test_instructions_are_one_message_with_the_targets_role():
    request = request_body(
        {"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER
    )
    rendered_message = render(request, system_role="developer").body["messages"][0]
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert rendered_message == {"role": "developer", "content": texts}


def test_a_target_with_string_content_gets_strings():
    request = request_body(
        {"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER
    )
    assert render(request, text_parts=False).body["messages"][0]["content"] == "a\n\nb"


def test_a_later_system_message_stays_where_it_is():
    request = request_body(USER, {"role": "system", "content": "late"})
    assert render(request).body["messages"][1] == {"role": "system", "content": "late"}


def test_claude_codes_attribution_block_is_dropped():
    blocks = (
        Text(text="x-anthropic-billing-header: cc_version=1;", path="system[0]"),
        Text(text="You are", path="system[1]"),
    )
    rendered_request = render(Request(model="gw", instructions=blocks))
    assert rendered_request.body["messages"] == [{"role": "system", "content": "You are"}]
    assert reported_fields(rendered_request.report) == [("system[0]", "dropped")]


def test_names_of_messages_are_sent():
    request = request_body({"role": "user", "name": "Ann", "content": "x"})
    assert render(request).body["messages"][0]["name"] == "Ann"


def test_names_and_refusals_are_dropped_for_targets_without_them():
    refusal_message = {"role": "assistant", "content": None, "refusal": "no"}
    rendered_request = render(
        request_body({**USER, "name": "Ann"}, refusal_message, USER), no_name_or_refusal=True
    )
    assert rendered_request.body["messages"] == [USER, {"role": "assistant", "content": "no"}, USER]
    assert reported_fields(rendered_request.report) == [
        ("messages[0].name", "dropped"),
        ("messages[1].refusal", "approximated"),
    ]


@pytest.mark.parametrize(
    ("flag", "content"), [("null", None), ("empty", ""), ("omit", "absent")], ids=str
)
def test_a_message_with_only_calls_has_the_content_its_target_requires(flag: str, content: Any):
    rendered_message = render(
        request_body(USER, assistant_calls(call()), result()), empty_content=flag
    ).body["messages"][1]
    assert rendered_message.get("content", "absent") == content


def test_images_of_a_tool_result_follow_all_results_of_the_turn():
    results = (
        ToolResult(id="a", parts=(Image(data=PNG, media_type="image/png", path="p"),), path="r"),
        ToolResult(id="b", parts=(Text(text="t"),)),
    )
    turns = (
        Turn(role="assistant", parts=(Call(id="a", name="f"), Call(id="b", name="f"))),
        Turn(role="user", parts=(*results, Text(text="go on"))),
    )
    rendered_request = render(Request(model="gw", turns=turns))
    rendered_messages = rendered_request.body["messages"]
    assert [message["role"] for message in rendered_messages] == [
        "assistant",
        "tool",
        "tool",
        "user",
    ]
    assert (
        rendered_messages[1]["content"]
        == "[image 1 of this tool result is attached to the next user message]"
    )
    assert [part["type"] for part in rendered_messages[3]["content"]] == [
        "text",
        "image_url",
        "text",
    ]
    assert rendered_messages[3]["content"][0]["text"] == "[image 1 from tool result a]"
    assert reported_fields(rendered_request.report) == [("p", "approximated")]
    assert openai_rules.refusal({**rendered_request.body, "model": "gpt-4.1"}) is None


@pytest.mark.parametrize(
    ("part", "kind", "types"),
    [
        (
            Document(parts=(Text(text="t"), Image(data=PNG, media_type="image/png")), title="T"),
            "document",
            ["text", "text", "text", "image_url"],
        ),
        (Audio(data="UklG", format="wav"), "audio", ["text", "input_audio"]),
    ],
    ids=["a document with an image", "audio"],
)
def test_a_tool_message_contains_text_only(part: Any, kind: str, types: list[str]):
    turns = (
        Turn(role="assistant", parts=(Call(id="a", name="f"),)),
        Turn(role="user", parts=(ToolResult(id="a", parts=(part,), path="r"),)),
    )
    rendered_request = render(Request(model="gw", turns=turns), audio=True)
    _, tool_message, user_message = rendered_request.body["messages"]
    note = f"[{kind} 1 of this tool result is attached to the next user message]"
    assert tool_message["content"] == note
    assert [item["type"] for item in user_message["content"]] == types


def test_images_in_results_are_sent_if_the_target_supports_them():
    content = [{"type": "image_url", "image_url": {"url": "https://x/y"}}]
    rendered_request = render(
        request_body(USER, assistant_calls(call()), result("c1", content)), tool_result_images=True
    )
    assert rendered_request.body["messages"][2]["content"] == content
    assert rendered_request.report == ()


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ((Text(text="boom"),), "Error: boom"),
        ((), "Error"),
        (
            (Text(text="a"), Text(text="b")),
            [{"type": "text", "text": "Error: a"}, {"type": "text", "text": "b"}],
        ),
    ],
    ids=["text", "nothing", "texts"],
)
def test_a_failed_result_is_marked_in_its_text(parts: tuple[Any, ...], content: Any):
    turns = (
        Turn(role="assistant", parts=(Call(id="a", name="f", arguments={}),)),
        Turn(role="user", parts=(ToolResult(id="a", parts=parts, is_error=True, path="r"),)),
    )
    rendered_request = render(Request(model="gw", turns=turns))
    assert rendered_request.body["messages"][1]["content"] == content
    assert reported_fields(rendered_request.report) == [("r.is_error", "approximated")]


def test_a_missing_tool_result_gets_a_placeholder():
    rendered_request = render(
        request_body(USER, assistant_calls(call("c1"), call("c2")), result("c1"), USER)
    )
    rendered_messages = rendered_request.body["messages"]
    assert rendered_messages[3] == {
        "role": "tool",
        "tool_call_id": "c2",
        "content": "Error: [no result provided]",
    }
    assert reported_fields(rendered_request.report) == [
        ("messages[1].tool_calls[1]", "approximated")
    ]


def test_call_ids_follow_the_targets_rule_everywhere():
    rendered_request = render(
        request_body(USER, assistant_calls(call("call_long.id")), result("call_long.id")),
        tool_id_rule="mistral9",
    )
    rendered_messages = rendered_request.body["messages"]
    rewritten = rendered_messages[1]["tool_calls"][0]["id"]
    assert len(rewritten) == 9
    assert rendered_messages[2]["tool_call_id"] == rewritten
    assert reported_fields(rendered_request.report) == [
        ("messages[1].tool_calls[0].id", "approximated")
    ]


def test_a_tool_message_has_the_tool_name_if_required():
    rendered_body = render(
        request_body(USER, assistant_calls(call(name="f")), result()), tool_result_name=True
    ).body
    assert rendered_body["messages"][2]["name"] == "f"


def test_a_trailing_assistant_message_is_refused():
    with pytest.raises(GatewayError) as error:
        render(request_body(USER, {"role": "assistant", "content": "The"}))
    assert error.value.error.kind == "unsupported_param"
    assert error.value.error.param == "messages[1]"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("prefix", ({"prefix": True}, {})),
        (
            "continue_final_message",
            ({}, {"continue_final_message": True, "add_generation_prompt": False}),
        ),
        ("none", ({}, {})),
    ],
    ids=str,
)
def test_a_trailing_assistant_message_is_sent_where_prefill_is_supported(field: str, expected: Any):
    rendered_request = render(
        request_body(USER, {"role": "assistant", "content": "The"}),
        prefill=True,
        prefill_field=field,
    )
    on_message, on_body = expected
    assert rendered_request.body["messages"][1] == {
        "role": "assistant",
        "content": "The",
        **on_message,
    }
    assert {
        k: v for k, v in rendered_request.body.items() if k not in {"model", "messages"}
    } == on_body


def test_an_empty_turn_is_not_sent():
    native = Native(dialect="anthropic_messages", data={"type": "server_tool_use"}, path="m[1]")
    turns = (
        Turn(role="user", parts=(Text(text="a"),)),
        Turn(role="assistant", parts=(native,)),
        Turn(role="user", parts=(Text(text="b"),)),
    )
    rendered_request = render(Request(model="gw", turns=turns))
    assert [message["role"] for message in rendered_request.body["messages"]] == ["user", "user"]
    assert reported_fields(rendered_request.report) == [("m[1]", "dropped")]


# --- media ---------------------------------------------------------------------------


def only_part(request: Request, **flags: Any) -> Any:
    """Return the only rendered content part, and the report."""
    rendered_request = render(request, **flags)
    content = rendered_request.body["messages"][0]["content"]
    actual_content = content[0] if isinstance(content, list) and len(content) == 1 else content
    return actual_content, reported_fields(rendered_request.report)


def test_an_image_is_sent_as_a_data_url_with_its_detected_type():
    image = Image(data=PNG, media_type="image/jpeg", detail="low")
    url = {"url": f"data:image/png;base64,{PNG}", "detail": "low"}
    assert only_part(user(image)) == ({"type": "image_url", "image_url": url}, [])


@pytest.mark.parametrize(
    ("part", "flags", "word"),
    [
        (Image(url="https://x", path="p"), {"images": False}, "image"),
        (Image(url="https://x", path="p"), {"image_urls": False}, "image"),
        (Document(data=PDF, path="p"), {"pdf": False}, "document"),
        (Audio(data="QQ==", format="wav", path="p"), {"audio": False}, "audio"),
    ],
    ids=["image", "image url", "document", "audio"],
)
def test_unsupported_media_is_replaced_by_a_note(part: Any, flags: dict[str, Any], word: str):
    content, report = only_part(user(part), **flags)
    assert content.startswith(f"[{word} omitted: ")
    assert report == [("p", "dropped")]


def test_audio_is_sent_where_supported():
    content, _ = only_part(user(Audio(data="QQ==", format="wav")), audio=True)
    assert content == {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("application/pdf", "document.pdf"),
        ("text/plain", "document.txt"),
        ("text/csv", "document.csv"),
        (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "document.docx",
        ),
    ],
)
def test_a_document_is_sent_as_a_file(media_type: str, name: str):
    content, report = only_part(user(Document(data=PDF, media_type=media_type)))
    file = {"filename": name, "file_data": f"data:{media_type};base64,{PDF}"}
    assert content == {"type": "file", "file": file}
    assert report == []


@pytest.mark.parametrize(
    ("part", "chunk", "report"),
    [
        (
            Document(data=PDF, title="T", path="p"),
            {"document_url": f"data:application/pdf;base64,{PDF}", "document_name": "T"},
            [("p", "approximated")],
        ),
        (Document(url="https://x/a.pdf"), {"document_url": "https://x/a.pdf"}, []),
        (Document(file_id="F"), {"file_id": "F"}, []),
        (Audio(data="QQ==", format="wav"), {"input_audio": "QQ=="}, []),
    ],
    ids=["bytes", "address", "id", "sound"],
)
def test_files_and_audio_are_sent_as_strings(part: Any, chunk: Any, report: Any):
    content, sent_report = only_part(user(part), media_chunks=True, audio=True)
    kind = next(iter(chunk)) if "file_id" not in chunk else "file"
    assert content == {"type": kind, **chunk}
    assert sent_report == report


def test_a_text_document_is_sent_as_text_under_its_title():
    content, report = only_part(user(Document(text="body", title="T", path="p")))
    assert content == "T\n\nbody"
    assert report == [("p", "approximated")]


def test_a_document_of_parts_is_sent_as_its_parts():
    content, _ = only_part(user(Document(parts=(Text(text="a"), Text(text="b")), path="p")))
    assert content == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def test_unsupported_file_fields_are_reported():
    document = Document(data=PDF, context="c", citations=True, path="p")
    _, report = only_part(user(document))
    assert report == [("p.citations", "dropped"), ("p.context", "dropped")]


def test_a_file_id_of_the_same_dialect_is_sent():
    content, _ = only_part(user(Document(file_id="file-1", title="a.pdf")))
    assert content == {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}}


@pytest.mark.parametrize(
    "request_",
    [
        from_anthropic(Document(file_id="file_1", path="p")),
        from_anthropic(Image(file_id="file_1", path="p")),
        user(Document(url="https://x/a.pdf", path="p")),
    ],
    ids=["a foreign document", "a foreign image", "a document by URL"],
)
def test_unfetchable_files_are_refused(request_: Request):
    with pytest.raises(GatewayError) as error:
        render(request_)
    assert error.value.error.kind == "unsupported_param"
    assert error.value.error.param == "p"


def test_a_document_by_url_is_sent_where_supported():
    content, _ = only_part(user(Document(url="https://x/a.pdf")), document_urls=True)
    assert content["file"]["file_data"] == "https://x/a.pdf"


def test_parts_that_only_chat_has_are_passed_on():
    part = {"type": "video_url", "video_url": {"url": "https://x"}}
    assert render(request_body({"role": "user", "content": [part]})).body["messages"][0][
        "content"
    ] == [part]


# --- cache marks ---------------------------------------------------------------------

MARKED = user(
    Text(text="a", cache=CacheBreakpoint(), path="messages[0].content[0]"),
    Text(text="b", cache=CacheBreakpoint(ttl="1h"), path="messages[0].content[1]"),
    tools=(Tool(name="f", cache=CacheBreakpoint()),),
    cache=CacheBreakpoint(),
)


@pytest.mark.parametrize("cache", ["none", "implicit", "cachePoint"])
def test_cache_marks_that_are_not_understood_are_reported_once(cache: str):
    rendered_request = render(MARKED, cache=cache)
    assert "cache" not in str(rendered_request.body)
    assert reported_fields(rendered_request.report) == [("cache_control", "dropped")]


def test_openais_cache_breakpoints_are_on_the_parts():
    parts = render(MARKED, cache="breakpoints").body["messages"][0]["content"]
    assert parts[0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert parts[1]["prompt_cache_breakpoint"] == {"mode": "explicit", "ttl": "12h"}


def test_openrouters_cache_breakpoints_are_placed_like_anthropics():
    rendered_body = render(MARKED, cache="cache_control").body
    assert rendered_body["messages"][0]["content"][1]["cache_control"] == {
        "type": "ephemeral",
        "ttl": "1h",
    }
    assert rendered_body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert rendered_body["cache_control"] == {"type": "ephemeral"}


def test_a_cache_point_of_a_result_is_on_its_last_part():
    turns = (
        Turn(role="assistant", parts=(Call(id="a", name="f", arguments={}),)),
        Turn(
            role="user",
            parts=(ToolResult(id="a", parts=(Text(text="r"),), cache=CacheBreakpoint()),),
        ),
    )
    rendered_message = render(Request(model="gw", turns=turns), cache="cache_control").body[
        "messages"
    ][1]
    mark = {"cache_control": {"type": "ephemeral"}}
    assert rendered_message["content"] == [{"type": "text", "text": "r", **mark}]


# --- the form of the response ----------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def test_a_schema_without_a_name_gets_one_and_is_strict():
    request = Request(model="gw", output=Output(format="schema", schema=SCHEMA))
    rendered_json_schema = render(request).body["response_format"]["json_schema"]
    assert rendered_json_schema == {"name": "output", "strict": True, "schema": SCHEMA}


def test_a_chat_clients_loose_schema_stays_loose():
    inner = {"name": "n", "schema": {"type": "object", "properties": {"a": {}}}}
    request = body(response_format={"type": "json_schema", "json_schema": inner})
    assert render(request).body["response_format"]["json_schema"] == {**inner, "strict": False}


def test_a_schema_is_converted_to_strict_and_that_is_reported():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    paths = {"schema": "output_config.format.schema"}
    output = Output(format="schema", schema=schema)
    rendered_request = render(Request(model="gw", output=output, client_paths=paths))
    rendered_schema = rendered_request.body["response_format"]["json_schema"]["schema"]
    assert openai_rules.strict_schema_problem(rendered_schema) is None
    assert rendered_schema["properties"]["a"] == {"type": ["string", "null"]}
    assert reported_fields(rendered_request.report) == [
        ("output_config.format.schema", "approximated")
    ]


def test_a_schema_without_an_object_at_its_root_is_not_strict():
    output = Output(format="schema", schema={"type": "array", "items": {}})
    rendered_request = render(Request(model="gw", output=output))
    assert rendered_request.body["response_format"]["json_schema"]["strict"] is False
    assert reported_fields(rendered_request.report) == [("schema", "approximated")]


def test_a_target_with_json_mode_only_gets_the_schema_as_an_instruction():
    output = Output(format="schema", schema=SCHEMA)
    rendered_request = render(Request(model="gw", output=output), structured="json")
    assert rendered_request.body["response_format"] == {"type": "json_object"}
    assert '"additionalProperties":false' in rendered_request.body["messages"][0]["content"]
    assert reported_fields(rendered_request.report) == [("schema", "approximated")]


def test_a_target_without_json_mode_gets_an_instruction():
    rendered_request = render(body(response_format={"type": "json_object"}), structured="none")
    assert "response_format" not in rendered_request.body
    assert "JSON" in rendered_request.body["messages"][0]["content"]
    assert reported_fields(rendered_request.report) == [("response_format", "approximated")]


# --- the rest ------------------------------------------------------------------------


def test_unknown_fields_of_the_same_dialect_are_sent():
    assert render(body(future={"a": 1})).body["future"] == {"a": 1}


def test_unknown_fields_of_another_dialect_are_reported():
    extra = {"anthropic_messages": {"context_management": {"edits": []}}}
    rendered_request = render(Request(model="gw", extra=extra))
    assert reported_fields(rendered_request.report) == [("context_management", "dropped")]


def test_unknown_fields_inside_messages_are_reported():
    rendered_request = render(request_body({"role": "user", "content": "x", "weight": 1}))
    assert rendered_request.body["messages"] == [{"role": "user", "content": "x"}]
    assert reported_fields(rendered_request.report) == [("messages[0].weight", "dropped")]


def test_an_unknown_field_never_replaces_one_that_is_written():
    extra = {"openai_chat": {"model": "other", "messages": []}}
    assert render(Request(model="gw", extra=extra)).body["model"] == "acme-1"


def test_no_loss_is_reported_twice():
    request = user(
        Image(url="https://x", path="p"),
        Image(url="https://y", path="p"),
        reasoning=ReasoningConfig(mode="auto"),
        tool_choice=ToolChoice(mode="any"),
    )
    report = reported_fields(render(request, images=False).report)
    assert len(report) == len(set(report))


def test_equal_requests_render_equal_bytes():
    request = request_body(USER, assistant_calls(call("c.1")), result("c.1"), tools=[tool("a.b")])
    assert render(request, tool_id_rule="mistral9") == render(request, tool_id_rule="mistral9")


def test_media_in_an_assistant_message_is_reported():
    turns = (
        Turn(role="assistant", parts=(Text(text="a"), Document(data=PDF, path="p"))),
        Turn(role="user", parts=(Text(text="b"),)),
    )
    rendered_request = render(Request(model="gw", turns=turns))
    assert rendered_request.body["messages"][0] == {"role": "assistant", "content": "a"}
    assert reported_fields(rendered_request.report) == [("p", "dropped")]


def test_sources_of_earlier_responses_are_reported():
    text = Text(text="a", citations=(Citation(url="https://x"),), path="p")
    turns = (Turn(role="assistant", parts=(text,)), Turn(role="user", parts=(Text(text="b"),)))
    assert reported_fields(render(Request(model="gw", turns=turns)).report) == [
        ("p.citations", "dropped")
    ]
