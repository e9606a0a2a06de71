"""A client's Messages body is parsed into a canonical request, or an error names the field."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    CacheBreakpoint,
    Document,
    Image,
    Native,
    Reasoning,
    ReasoningConfig,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.canon.signature import wrap_signature
from gateway.dialects.anthropic_messages import DIALECT
from tests.dialects.anthropic_messages.make import (
    PDF,
    PNG,
    USER,
    assistant,
    body,
    parse,
    request_body,
    result,
    text,
    tool,
    tool_use_block,
    user,
)


def part_of(block: dict[str, Any]) -> Any:
    """Return the canonical part of a block in a user message."""
    return parse(request_body(user(block))).turns[0].parts[0]


def test_a_minimal_request_is_parsed():
    request = parse(body())
    assert (request.model, request.max_output, request.stream) == ("gw", 100, False)
    assert request.turns[0].parts == (Text(text="hi", path="messages[0]"),)
    assert request.extra == {}


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_sampling_fields_are_accepted_with_both_api_versions(version: str):
    request = parse(body(temperature=0.5, top_p=1, top_k=4), anthropic_version=version)
    assert request.version == version
    assert (request.sampling.temperature, request.sampling.top_k) == (0.5, 4)


def test_a_client_without_a_version_header_gets_the_older_version():
    assert parse(body()).version == "2023-06-01"


def test_betas_are_split_and_trimmed():
    assert parse(body(), anthropic_beta="a-1, b-2,,c-3").betas == ("a-1", "b-2", "c-3")


def test_fields_without_a_canonical_equivalent_are_stored_by_path():
    request = parse(
        body(
            context_management={"edits": []},
            container=None,
            output_config={"effort": "low", "task_budget": {"total": 5}},
            metadata={"user_id": "u", "team": "t"},
            messages=[user(text(weight=3)), assistant(tool_use_block(caller={"type": "code"}))],
        )
    )
    assert request.extra == {
        "anthropic_messages": {
            "context_management": {"edits": []},
            "output_config.task_budget": {"total": 5},
            "metadata.team": "t",
            "messages[0].content[0].weight": 3,
            "messages[1].content[0].caller": {"type": "code"},
        }
    }


def test_the_direct_caller_of_a_call_is_not_reported():
    assert (
        parse(request_body(USER, assistant(tool_use_block(caller={"type": "direct"})))).extra == {}
    )


# --- blocks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ({"type": "base64", "media_type": "image/png", "data": PNG}, {"data": PNG}),
        ({"type": "url", "url": "https://x/y.png"}, {"url": "https://x/y.png"}),
        ({"type": "file", "file_id": "file_1"}, {"file_id": "file_1"}),
    ],
    ids=["base64", "url", "file"],
)
def test_an_image_is_read_from_each_source(source: dict[str, Any], fields: dict[str, str]):
    image = part_of({"type": "image", "source": source})
    media_type = "image/png" if "data" in fields else None
    assert image == Image(**fields, media_type=media_type, path="messages[0].content[0]")


@pytest.mark.parametrize("value", [None, "image/jpeg"], ids=["absent", "contradicting"])
def test_the_media_type_comes_from_the_bytes(value: str | None):
    source = {"type": "base64", "media_type": value, "data": PNG}
    assert part_of({"type": "image", "source": source}).media_type == "image/png"


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        (
            {"type": "base64", "media_type": "application/pdf", "data": PDF},
            {"data": PDF, "media_type": "application/pdf"},
        ),
        (
            {"type": "text", "media_type": "text/plain", "data": "words"},
            {"text": "words", "media_type": "text/plain"},
        ),
        ({"type": "url", "url": "https://x/y.pdf"}, {"url": "https://x/y.pdf"}),
        ({"type": "file", "file_id": "f"}, {"file_id": "f"}),
        (
            {"type": "content", "content": "a"},
            {"parts": (Text(text="a", path="messages[0].content[0].source.content"),)},
        ),
        (
            {"type": "content", "content": [text("a")]},
            {"parts": (Text(text="a", path="messages[0].content[0].source.content[0]"),)},
        ),
    ],
    ids=["pdf", "text", "url", "file", "content string", "content blocks"],
)
def test_a_document_is_read_from_each_source(source: dict[str, Any], fields: dict[str, Any]):
    block = {
        "type": "document",
        "source": source,
        "title": "t",
        "context": "c",
        "citations": {"enabled": True},
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    assert part_of(block) == Document(
        **fields,
        title="t",
        context="c",
        citations=True,
        cache=CacheBreakpoint("1h"),
        path="messages[0].content[0]",
    )


def test_a_search_result_is_a_document_that_others_can_read_too():
    block = {
        "type": "search_result",
        "source": "https://x",
        "title": "t",
        "content": [text("found")],
    }
    part = part_of(block)
    assert isinstance(part, Document)
    assert (part.context, part.title) == ("https://x", "t")
    assert [inner.text for inner in part.parts or () if isinstance(inner, Text)] == ["found"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "container_upload", "file_id": "f"},
        {"type": "of_next_year", "x": [1]},
        {"type": "image", "source": {"type": "hologram"}},
        {"type": "document", "source": {"type": "scroll"}},
    ],
    ids=lambda block: block["type"],
)
def test_a_block_known_only_to_this_dialect_is_preserved(block: dict[str, Any]):
    expected = Native(dialect="anthropic_messages", data=block, path="messages[0].content[0]")
    assert part_of(block) == expected


def test_citations_are_preserved_and_parsed():
    native = {
        "type": "web_search_result_location",
        "url": "https://x",
        "title": "t",
        "cited_text": "q",
        "encrypted_index": "E",
    }
    request = parse(request_body(USER, assistant(text("a", citations=[native]))))
    part = request.turns[1].parts[0]
    assert isinstance(part, Text)
    (citation,) = part.citations
    assert (citation.url, citation.title, citation.quote) == ("https://x", "t", "q")
    assert citation.native == native


def test_a_gateway_token_is_replaced_by_its_state():
    state = Signature(provider="deepseek", model="d", kind="text", value="v")
    block = {"type": "thinking", "thinking": "t", "signature": wrap_signature(state)}
    request = parse(request_body(USER, assistant(block)))
    path = "messages[1].content[0]"
    assert request.turns[1].parts == (Reasoning(text="t", signature=state, path=path),)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "thinking", "thinking": "t", "signature": "S"},
            Reasoning(text="t", signature=Signature(value="S")),
        ),
        ({"type": "thinking", "thinking": "t"}, Reasoning(text="t")),
        (
            {"type": "redacted_thinking", "data": "D"},
            Reasoning(redacted=True, signature=Signature(kind="redacted", value="D")),
        ),
    ],
    ids=["signed", "unsigned", "redacted"],
)
def test_native_reasoning_has_no_origin(block: dict[str, Any], expected: Reasoning):
    part = parse(request_body(USER, assistant(block))).turns[1].parts[0]
    assert isinstance(part, Reasoning)
    assert (part.text, part.signature, part.redacted) == (
        expected.text,
        expected.signature,
        expected.redacted,
    )


def test_calls_and_results_are_read_with_their_nested_places():
    request = parse(
        request_body(
            USER,
            assistant(tool_use_block(input={"a": 1}, cache_control={"type": "ephemeral"})),
            user(result(content=[text("x")], is_error=False), result("c2", "")),
        )
    )
    assert request.turns[1].parts == (
        ToolCall(
            id="c1",
            name="f",
            arguments={"a": 1},
            cache=CacheBreakpoint(),
            path="messages[1].content[0]",
        ),
    )
    assert request.turns[2].parts == (
        ToolResult(
            id="c1",
            parts=(Text(text="x", path="messages[2].content[0].content[0]"),),
            is_error=False,
            path="messages[2].content[0]",
        ),
        ToolResult(id="c2", path="messages[2].content[1]"),
    )


def test_a_system_message_among_the_others_keeps_its_own_effort():
    system_message = {"role": "system", "content": "env", "output_config": {"effort": "low"}}
    turn = parse(request_body(USER, system_message)).turns[1]
    assert (turn.role, turn.effort, turn.path) == ("system", "low", "messages[1]")


def test_deep_nesting_of_results_does_not_nest_our_calls():
    inner: Any = "x"
    for _ in range(2000):
        inner = [result(content=inner)]
    part = part_of(inner[0])
    assert isinstance(part, ToolResult)
    assert isinstance(part.parts[0], Native)


# --- the other fields ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"thinking": None}, None),
        ({"thinking": {"type": "disabled"}}, ReasoningConfig(mode="off")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            ReasoningConfig(mode="budget", budget=2048),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            ReasoningConfig(mode="auto", visible="none"),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            ReasoningConfig(mode="auto", visible="summary"),
        ),
        (
            {"output_config": {"effort": "max"}},
            ReasoningConfig(effort="max", effort_covers_output=True),
        ),
    ],
    ids=["absent", "null", "disabled", "budget", "omitted", "summarized", "effort alone"],
)
def test_reasoning_controls_are_read(fields: dict[str, Any], expected: ReasoningConfig | None):
    assert parse(body(**fields)).reasoning == expected


@pytest.mark.parametrize(
    ("thinking", "key"),
    [
        ({"type": "between_tools"}, "thinking.type"),
        ({"type": "adaptive", "display": "updates"}, "thinking.display"),
    ],
)
def test_an_unknown_thinking_value_is_stored_for_the_report(thinking: dict[str, str], key: str):
    request = parse(body(thinking=thinking))
    assert request.reasoning is not None
    assert request.reasoning.mode == "auto"
    assert list(request.extra["anthropic_messages"]) == [key]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice(mode="auto")),
        ({"type": "none"}, ToolChoice(mode="none")),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            ToolChoice(mode="any", parallel=False),
        ),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="named", names=("f",))),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_tool_choice_is_read(choice: dict[str, Any], expected: ToolChoice):
    assert parse(body(tool_choice=choice)).tool_choice == expected


def test_tools_are_read_with_all_their_fields():
    request = parse(
        body(
            tools=[
                tool(
                    description="d",
                    strict=True,
                    defer_loading=True,
                    cache_control={"type": "ephemeral"},
                    input_examples=[{}],
                    type="custom",
                ),
                {"type": "web_search_20260318", "name": "web_search", "max_uses": 3},
                {"name": "bare"},
            ]
        )
    )
    assert request.tools == (
        Tool(
            name="f",
            description="d",
            schema={"type": "object", "properties": {}},
            strict=True,
            defer=True,
            cache=CacheBreakpoint(),
            dialect="anthropic_messages",
            extra={"input_examples": [{}]},
            path="tools[0]",
        ),
        Tool(
            name="web_search",
            kind="server",
            dialect="anthropic_messages",
            native={"type": "web_search_20260318", "name": "web_search", "max_uses": 3},
            path="tools[1]",
        ),
        Tool(name="bare", path="tools[2]"),
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
            "output_config.format",
        ),
        ({"output_format": {"type": "json_schema", "schema": {}}}, "output_format"),
    ],
    ids=["present", "legacy"],
)
def test_the_schema_of_the_response_is_read_from_either_field(fields: dict[str, Any], path: str):
    request = parse(body(**fields))
    assert (request.output.format, request.output.schema) == ("schema", {})
    assert request.client_path("schema") == f"{path}.schema"


def test_the_session_of_claude_code_is_found_in_its_user_id():
    output_text = '{"device_id":"d","account_uuid":"","session_id":"s-1"}'
    meta = parse(body(metadata={"user_id": output_text})).meta
    assert (meta.user_id, meta.session_key) == (output_text, "s-1")


@pytest.mark.parametrize("value", ["u-1", "{broken", '{"session_id":5}', "[1]"])
def test_any_other_user_id_names_no_session(value: str):
    meta = parse(body(metadata={"user_id": value})).meta
    assert (meta.user_id, meta.session_key) == (value, None)


@pytest.mark.parametrize(
    ("said_tier", "tier"), [("auto", None), ("standard_only", "default"), (None, None)]
)
def test_the_service_tier_is_read(said_tier: str | None, tier: str | None):
    assert parse(body(service_tier=said_tier)).meta.service_tier == tier


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"system": ""},
        {"system": None},
        {"system": []},
        {"stop_sequences": None},
        {"metadata": {}},
        {"metadata": {"user_id": None}},
        {"output_config": {}},
        {"context_management": None},
        {"tool_choice": None},
    ],
    ids=str,
)
def test_empty_values_equal_absent_fields(fields: dict[str, Any]):
    assert parse(body(**fields)) == parse(body())


def test_a_message_may_have_null_content():
    assert parse(request_body(USER, {"role": "assistant", "content": None})).turns[1].parts == ()


def test_a_token_count_request_needs_no_max_tokens():
    request = DIALECT.client.parse_request(
        {"model": "m", "messages": [USER]}, {"x-dragoman-verb": "count_tokens"}
    )
    assert request.max_output is None


# --- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        ({"max_tokens": 1, "messages": [USER]}, "model"),
        ({"model": "m", "messages": [USER]}, "max_tokens"),
        (body(max_tokens="9"), "max_tokens"),
        (body(max_tokens=-1), "max_tokens"),
        (body(max_tokens=10**30), "max_tokens"),
        (body(max_tokens=1.5), "max_tokens"),
        (body(messages=None), "messages"),
        (body(messages=[]), "messages"),
        (body(messages={}), "messages"),
        (body(messages=["x"]), "messages[0]"),
        (request_body({"content": "x"}), "messages[0].role"),
        (request_body({"role": "wizard", "content": "x"}), "messages[0].role"),
        (request_body({"role": ["user"], "content": "x"}), "messages[0].role"),
        (request_body({"role": "user"}), "messages[0].content"),
        (request_body({"role": "user", "content": 5}), "messages[0].content"),
        (request_body(user("x")), "messages[0].content[0]"),  # type: ignore[arg-type]
        (request_body(user({"text": "x"})), "messages[0].content[0].type"),
        (request_body(user({"type": "text"})), "messages[0].content[0].text"),
        (request_body(user({"type": "image"})), "messages[0].content[0].source"),
        (
            request_body(user({"type": "image", "source": {"type": "base64", "data": 5}})),
            "messages[0].content[0].source.data",
        ),
        (request_body(user(result(content=7))), "messages[0].content[0].content"),
        (request_body(user(result(is_error="no"))), "messages[0].content[0].is_error"),
        (request_body(USER, assistant(tool_use_block(input="{}"))), "messages[1].content[0].input"),
        (request_body(USER, assistant(tool_use_block(name=None))), "messages[1].content[0].name"),
        (request_body(user(text(cache_control="yes"))), "messages[0].content[0].cache_control"),
        (body(system=5), "system"),
        (body(system=[{"type": "image", "source": {}}]), "system[0].type"),
        (
            request_body(USER, {"role": "system", "content": [{"type": "x"}]}),
            "messages[1].content[0].type",
        ),
        (body(tools={}), "tools"),
        (body(tools=[{}]), "tools[0].name"),
        (body(tools=[tool(input_schema=5)]), "tools[0].input_schema"),
        (body(tool_choice="auto"), "tool_choice"),
        (body(tool_choice={"type": "maybe"}), "tool_choice.type"),
        (body(tool_choice={}), "tool_choice.type"),
        (body(tool_choice={"type": "tool"}), "tool_choice.name"),
        (body(thinking={"type": "hard"}), "thinking.type"),
        (body(thinking={"type": "enabled"}), "thinking.budget_tokens"),
        (body(output_config={"effort": "ultra"}), "output_config.effort"),
        (body(output_config={"format": {"type": "xml"}}), "output_config.format.type"),
        (
            body(output_config={"format": {"type": "json_schema"}}),
            "output_config.format.schema",
        ),
        (body(stop_sequences=[1]), "stop_sequences[0]"),
        (body(service_tier="gold"), "service_tier"),
        (body(temperature="hot"), "temperature"),
        (body(temperature=10**9), "temperature"),
        (body(stream="yes"), "stream"),
        (body(metadata={"user_id": 7}), "metadata.user_id"),
    ],
)
def test_an_invalid_field_is_named(request_body: dict[str, Any], param: str):
    with pytest.raises(GatewayError) as exc_info:
        parse(request_body)
    error = exc_info.value.error
    assert (error.kind, error.param) == ("invalid_request", param)
    assert param in error.message
