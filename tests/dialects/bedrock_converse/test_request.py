"""Requests rendered for Bedrock, field by field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.canon.errors import GatewayError
from gateway.canon.media import SEARCH_RESULT_MEDIA_TYPE
from gateway.canon.request import (
    Audio,
    CacheBreakpoint,
    Document,
    Image,
    Meta,
    Output,
    Reasoning,
    ReasoningConfig,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.dialects.bedrock_converse import DIALECT
from tests.dialects.bedrock_converse.make import (
    CLAUDE,
    CLAUDE_NOW,
    LLAMA,
    NOVA,
    USER_TURN,
    client_request,
    render,
    reported_fields,
    request_with_turns,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"
F = Tool(name="f", schema={"type": "object", "properties": {}}, path="tools[0]")
CALL = Turn(
    role="assistant", parts=(ToolCall(id="c1", name="f", arguments={}, path="c"),), path="a"
)


def user(*parts: Any) -> Turn:
    return Turn(role="user", parts=parts, path="messages[9]")


def result(*parts: Any, **fields: Any) -> ToolResult:
    return ToolResult(id="c1", parts=parts, path="r", **fields)


def content(turn: Turn, model: str = CLAUDE) -> list[dict[str, Any]]:
    actual_content: list[dict[str, Any]] = render(request_with_turns(turn), model).body["messages"][
        0
    ]["content"]
    return actual_content


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("us.amazon.nova-pro-v1:0", False, "/model/us.amazon.nova-pro-v1%3A0/converse"),
        ("x", True, "/model/x/converse-stream"),
        (
            "arn:aws:b:us-east-1:1:p/q",
            False,
            "/model/arn%3Aaws%3Ab%3Aus-east-1%3A1%3Ap%2Fq/converse",
        ),
    ],
)
def test_the_model_is_in_the_path(model: str, stream: bool, path: str) -> None:
    assert DIALECT.provider.path(model, stream=stream, verb="generate") == path


def test_a_token_count_names_the_model_instead_of_the_inference_profile() -> None:
    path = DIALECT.provider.path("eu.anthropic.claude-x", stream=False, verb="count_tokens")
    assert path == "/model/anthropic.claude-x/count-tokens"
    body = render(client_request(tools=(F,), max_output=5)).body
    count = DIALECT.token_count_body(body, CLAUDE)
    assert count["input"]["converse"].keys() == {"messages", "toolConfig"}


def test_media_are_sent_as_bytes() -> None:
    blocks = content(
        user(
            Text(text="look"),
            Image(data=PNG),
            Document(data=PDF, title="My_report (v1.2).pdf"),
            Document(data=PDF, title="My_report (v1.2).pdf"),
            Document(text="plain"),
        )
    )
    assert blocks[1] == {"image": {"format": "png", "source": {"bytes": PNG}}}
    names = [block["document"]["name"] for block in blocks if "document" in block]
    assert names == ["My report (v1 2) pdf", "My report (v1 2) pdf (2)", "Document"]
    assert blocks[-1]["document"]["format"] == "txt"
    assert base64.b64decode(blocks[-1]["document"]["source"]["bytes"]) == b"plain"


def test_a_document_gets_a_text_beside_it() -> None:
    rendered_request = render(request_with_turns(user(Document(data=PDF))))
    assert [list(block) for block in rendered_request.body["messages"][0]["content"]] == [
        ["document"],
        ["text"],
    ]
    assert reported_fields(rendered_request.report) == [("messages[9]", "approximated")]


def test_documents_above_the_limit_of_a_message_move_to_the_next() -> None:
    turns = [user(*(Document(data=PDF, path="d") for _ in range(3))) for _ in range(2)]
    rendered_request = render(request_with_turns(*turns))
    rendered_messages = rendered_request.body["messages"]
    assert [message["role"] for message in rendered_messages] == ["user", "assistant", "user"]
    counts = [sum("document" in b for b in message["content"]) for message in rendered_messages]
    assert counts == [5, 0, 1]
    assert ("messages[9]", "approximated") in reported_fields(rendered_request.report)


def test_a_url_is_reported_and_an_s3_location_is_sent() -> None:
    rendered_request = render(request_with_turns(user(Image(url="https://x/y.png", path="i"))))
    assert "omitted" in rendered_request.body["messages"][0]["content"][0]["text"]
    assert reported_fields(rendered_request.report) == [("i", "dropped")]
    (block,) = content(user(Image(url="s3://bucket/y.jpg")))
    assert block["image"] == {
        "format": "jpeg",
        "source": {"s3Location": {"uri": "s3://bucket/y.jpg"}},
    }


def test_audio_is_refused_by_name() -> None:
    with pytest.raises(GatewayError, match="audio") as error:
        render(
            request_with_turns(
                user(Audio(data="AAAA", format="wav", path="messages[9].content[0]"))
            )
        )
    assert error.value.error.param == "messages[9].content[0]"


def test_an_image_in_a_result_stays_there_if_the_model_supports_it() -> None:
    turns = (USER_TURN, CALL, user(result(Text(text="see"), Image(data=PNG))))
    inside = render(request_with_turns(*turns, tools=(F,))).body["messages"][2]["content"]
    assert [list(b) for b in inside[0]["toolResult"]["content"]] == [["text"], ["image"]]
    rendered_request = render(
        request_with_turns(*turns, tools=(F,)), "us.meta.llama3-2-90b-instruct-v1:0"
    )
    after = [list(block) for m in rendered_request.body["messages"][2:] for block in m["content"]]
    assert after == [["toolResult"], ["text"], ["image"]]
    assert ("r", "approximated") in reported_fields(rendered_request.report)


def test_a_failed_result_is_sent_as_status_or_text() -> None:
    turns = (USER_TURN, CALL, user(result(Text(text="boom"), is_error=True)))
    block = render(request_with_turns(*turns, tools=(F,)), NOVA).body["messages"][2]["content"][0]
    assert block["toolResult"]["status"] == "error"
    block = render(request_with_turns(*turns, tools=(F,)), LLAMA).body["messages"][2]["content"][0]
    assert block["toolResult"]["content"] == [{"text": "Error:"}, {"text": "boom"}]
    assert "status" not in block["toolResult"]


def test_text_beside_results_moves_into_a_result_if_required() -> None:
    turns = (USER_TURN, CALL, user(result(), Text(text="and now?")))
    rendered_request = render(request_with_turns(*turns, tools=(F,)), LLAMA)
    (block,) = rendered_request.body["messages"][2]["content"]
    assert block["toolResult"]["content"] == [{"text": "and now?"}]
    assert ("messages[9]", "approximated") in reported_fields(rendered_request.report)


def test_a_history_with_calls_has_its_tools_named() -> None:
    rendered_request = render(request_with_turns(USER_TURN, CALL, user(result(Text(text="ok")))))
    (tool,) = rendered_request.body["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "f"
    assert ("tools", "approximated") in reported_fields(rendered_request.report)


def test_no_tools_are_offered_where_none_may_be_called() -> None:
    rendered_request = render(client_request(tools=(F,), tool_choice=ToolChoice(mode="none")))
    assert "toolConfig" not in rendered_request.body
    assert rendered_request.report == ()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(mode="auto"), {"auto": {}}),
        (ToolChoice(mode="any"), {"any": {}}),
        (ToolChoice(mode="named", names=("f",)), {"tool": {"name": "f"}}),
        (ToolChoice(mode="allowed", names=("f",), required=True), {"any": {}}),
    ],
)
def test_a_tool_choice_in_bedrocks_form(choice: ToolChoice, expected: dict[str, Any]) -> None:
    assert (
        render(client_request(tools=(F,), tool_choice=choice)).body["toolConfig"]["toolChoice"]
        == expected
    )


def test_parallel_false_is_sent_in_claudes_form() -> None:
    choice = ToolChoice(mode="any", parallel=False)
    body = render(client_request(tools=(F,), tool_choice=choice)).body
    assert body["additionalModelRequestFields"]["tool_choice"] == {
        "type": "any",
        "disable_parallel_tool_use": True,
    }
    rendered_request = render(
        client_request(tools=(F,), tool_choice=choice, client_paths={"parallel": "p"}), NOVA
    )
    assert reported_fields(rendered_request.report) == [("p", "dropped")]


def test_cache_breakpoints_are_placed_after_their_block() -> None:
    hour, plain = CacheBreakpoint(ttl="1h"), CacheBreakpoint()
    rendered_request = render(
        client_request(
            instructions=(Text(text="s", cache=hour),),
            tools=(Tool(name="f", cache=plain),),
            turns=(user(Text(text="a", cache=plain), Text(text="b")),),
        )
    )
    body = rendered_request.body
    assert body["system"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert body["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default"}}
    assert [next(iter(block)) for block in body["messages"][0]["content"]] == [
        "text",
        "cachePoint",
        "text",
    ]
    assert rendered_request.report == ()


def test_nova_gets_no_lifetime_of_an_hour() -> None:
    hour = Text(text="s", cache=CacheBreakpoint(ttl="1h"))
    rendered_request = render(
        client_request(instructions=(hour, hour), client_paths={"cache": "cc"}), NOVA
    )
    assert rendered_request.body["system"][1] == {"cachePoint": {"type": "default"}}
    assert reported_fields(rendered_request.report) == [("cc", "approximated")]


def test_four_cache_points_are_sent_and_lost_ones_reported() -> None:
    marked = tuple(Text(text=str(i), cache=CacheBreakpoint()) for i in range(6))
    rendered_request = render(request_with_turns(user(*marked), client_paths={"cache": "cc"}))
    blocks = rendered_request.body["messages"][0]["content"]
    assert sum("cachePoint" in block for block in blocks) == 4
    assert "cachePoint" not in blocks[1]
    assert reported_fields(rendered_request.report) == [("cc", "approximated")]
    assert reported_fields(
        render(request_with_turns(user(*marked), client_paths={"cache": "cc"}), LLAMA).report
    ) == [("cc", "dropped")]


@pytest.mark.parametrize(
    ("model", "reasoning", "more", "config"),
    [
        (
            CLAUDE,
            ReasoningConfig(mode="budget", budget=2000),
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            None,
        ),
        (
            CLAUDE_NOW,
            ReasoningConfig(effort="low"),
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            {"effort": "low"},
        ),
        (CLAUDE_NOW, ReasoningConfig(mode="off"), {"thinking": {"type": "disabled"}}, None),
        (
            "us.amazon.nova-2-lite-v1:0",
            ReasoningConfig(effort="xhigh"),
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
            None,
        ),
        (
            "openai.gpt-oss-120b-1:0",
            ReasoningConfig(effort="low"),
            {"reasoning_effort": "low"},
            None,
        ),
        (LLAMA, ReasoningConfig(effort="low"), None, None),
    ],
)
def test_reasoning_is_requested_in_each_model_familys_form(
    model: str,
    reasoning: ReasoningConfig,
    more: dict[str, Any] | None,
    config: dict[str, Any] | None,
) -> None:
    body = render(client_request(reasoning=reasoning, max_output=9000), model).body
    assert body.get("additionalModelRequestFields") == more
    assert body.get("outputConfig") == config


def test_thinking_raises_the_default_max_tokens() -> None:
    rendered_request = render(
        client_request(reasoning=ReasoningConfig(mode="budget", budget=20_000))
    )
    assert rendered_request.body["inferenceConfig"] == {"maxTokens": 28_192}
    assert reported_fields(rendered_request.report) == [("max_tokens", "defaulted")]


@pytest.mark.parametrize("model", [CLAUDE, CLAUDE_NOW])
@pytest.mark.parametrize("replayed", [True, False])
def test_reasoning_that_calls_without_theirs_skip_is_reported(model: str, replayed: bool) -> None:
    """Claude skips its reasoning in the response after such calls, without an error."""
    signature = Signature(provider="bedrock", model=model, value="s")
    thought = (Reasoning(text="t", signature=signature, path="t"),) if replayed else ()
    calls = replace(CALL, parts=(*thought, *CALL.parts))
    reasoning = ReasoningConfig(mode="budget", budget=2000)
    rendered_request = render(
        request_with_turns(
            USER_TURN,
            calls,
            user(result(Text(text="r", path="p"))),
            tools=(F,),
            reasoning=reasoning,
            max_output=9000,
        ),
        model,
    )
    skips = not replayed and model == CLAUDE
    report = {item.path: item.reason for item in rendered_request.report}
    assert report.get("reasoning", "").startswith("no reasoning in this response") is skips


SEARCH_RESULT = Document(
    title="T",
    context="https://x.test",
    parts=(Text(text="one", path="d.content[0]"), Text(text="two", path="d.content[1]")),
    media_type=SEARCH_RESULT_MEDIA_TYPE,
    citations=True,
    path="d",
)


@pytest.mark.parametrize("nested", [True, False])
def test_a_search_result_is_text_for_models_without_them(nested: bool) -> None:
    """The field is only supported by Claude (botocore's service model)."""
    parts = (result(SEARCH_RESULT),) if nested else (SEARCH_RESULT,)
    turns = (USER_TURN, CALL, user(*parts)) if nested else (user(*parts),)
    request = request_with_turns(*turns, tools=(F,))
    blocks = render(request, CLAUDE).body["messages"][-1]["content"]
    assert "searchResult" in str(blocks)
    for model in (NOVA, LLAMA):
        rendered_request = render(request, model)
        (block,) = rendered_request.body["messages"][-1]["content"]
        if nested:
            (block,) = block["toolResult"]["content"]
        assert block == {"text": "T\nhttps://x.test\n\none\n\ntwo"}
        assert reported_fields(rendered_request.report) == [
            ("d", "approximated"),
            ("d.citations", "dropped"),
        ]


def test_sampling_fields_are_dropped_with_thinking() -> None:
    rendered_request = render(
        client_request(
            reasoning=ReasoningConfig(mode="budget", budget=2000),
            max_output=9000,
            sampling=Sampling(temperature=0.2, top_p=0.97, top_k=3),
        )
    )
    assert rendered_request.body["inferenceConfig"] == {"maxTokens": 9000, "topP": 0.97}
    assert reported_fields(rendered_request.report) == [
        ("temperature", "dropped"),
        ("top_k", "dropped"),
    ]


@pytest.mark.parametrize(
    ("effort", "config", "report"),
    [
        (
            "medium",
            {"maxTokens": 9000, "temperature": 0.2, "topP": 0.9, "stopSequences": ["x"]},
            [],
        ),
        (
            "high",
            {"stopSequences": ["x"]},
            [("max_output", "dropped"), ("temperature", "dropped"), ("top_p", "dropped")],
        ),
    ],
)
def test_nova_accepts_no_limit_or_sampling_with_high_effort(
    effort: str, config: dict[str, Any], report: list[tuple[str, str]]
) -> None:
    """A ValidationException of Nova 2 otherwise (extended thinking, nova2-userguide)."""
    rendered_request = render(
        client_request(
            reasoning=ReasoningConfig(effort=effort),
            max_output=9000,
            sampling=Sampling(temperature=0.2, top_p=0.9, stop=("x",)),
        ),
        "us.amazon.nova-2-lite-v1:0",
    )
    assert rendered_request.body["inferenceConfig"] == config
    assert reported_fields(rendered_request.report) == report


def test_nova_caches_messages_and_no_tools() -> None:
    """AWS: tools are no field for cache checkpoints of Nova."""
    mark = CacheBreakpoint()
    request = client_request(
        tools=(Tool(name="f", cache=mark, path="tools[0]"),),
        turns=(Turn(role="user", parts=(Text(text="a", cache=mark),)),),
    )
    rendered_request = render(request, NOVA)
    assert len(rendered_request.body["toolConfig"]["tools"]) == 1
    assert rendered_request.body["messages"][0]["content"][1] == {"cachePoint": {"type": "default"}}
    assert reported_fields(rendered_request.report) == [("cache_control", "dropped")]
    assert len(render(request, CLAUDE).body["toolConfig"]["tools"]) == 2


@pytest.mark.parametrize(
    ("model", "max_tokens"),
    [(NOVA, 10_000), ("us.amazon.nova-2-lite-v1:0", 32_000), (CLAUDE, 32_000)],
)
def test_the_output_limit_of_an_agent_fits_the_model(model: str, max_tokens: int) -> None:
    """Claude Code requests 32,000 tokens of a model that it does not know."""
    rendered_request = render(client_request(max_output=32_000), model)
    assert rendered_request.body["inferenceConfig"]["maxTokens"] == max_tokens
    assert bool(rendered_request.report) == (max_tokens < 32_000)


@pytest.mark.parametrize(
    "model",
    ["us.amazon.nova-micro-v1:0", "us.meta.llama3-2-3b-instruct-v1:0", LLAMA],
)
def test_a_text_model_gets_a_note_in_place_of_an_image(model: str) -> None:
    image = Image(data=PNG, media_type="image/png", path="p")
    rendered_request = render(request_with_turns(user(image)), model)
    assert "omitted" in rendered_request.body["messages"][0]["content"][0]["text"]
    assert reported_fields(rendered_request.report) == [("p", "dropped")]


def test_nova_continues_an_assistant_message() -> None:
    """As in the request schema of its user guide."""
    prefill = Turn(role="assistant", parts=(Text(text="{"),), path="a")
    rendered_request = render(request_with_turns(USER_TURN, prefill), NOVA)
    assert rendered_request.body["messages"][-1] == {
        "role": "assistant",
        "content": [{"text": "{"}],
    }
    with pytest.raises(GatewayError) as error:
        render(request_with_turns(USER_TURN, prefill), LLAMA)
    assert error.value.error.kind == "unsupported_param"


def test_nova_gets_tool_schemas_with_three_fields_at_the_root() -> None:
    """It ignores or rejects the others, which Claude Code and zod send in each tool."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/s"}, "b": {"type": "object", "title": "B"}},
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"s": {"type": "string"}},
    }
    request = client_request(tools=(Tool(name="f", schema=schema, path="tools[0]"),))
    rendered_request = render(request, NOVA)
    (tool,) = rendered_request.body["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"] == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "object", "title": "B"}},
        "required": ["a"],
    }
    assert reported_fields(rendered_request.report) == [("tools[0].schema", "approximated")]
    (tool,) = render(request, CLAUDE).body["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"] == schema


@pytest.mark.parametrize(
    ("model", "top_p", "report"),
    [(CLAUDE, None, [("top_p", "dropped")]), (NOVA, 0.8, []), (LLAMA, 0.8, [])],
)
def test_claude_accepts_a_temperature_or_a_top_p(
    model: str, top_p: float | None, report: list[tuple[str, str]]
) -> None:
    """A ValidationException of Claude 4.1 and newer otherwise (BerriAI/litellm#15070)."""
    rendered_request = render(client_request(sampling=Sampling(temperature=0.3, top_p=0.8)), model)
    assert rendered_request.body["inferenceConfig"].get("topP") == top_p
    assert rendered_request.body["inferenceConfig"]["temperature"] == 0.3
    assert reported_fields(rendered_request.report) == report


@pytest.mark.parametrize(
    ("model", "top_k", "model_fields", "report"),
    [
        (NOVA, 5, {"inferenceConfig": {"topK": 5}}, []),
        (NOVA, 250, {"inferenceConfig": {"topK": 128}}, [("top_k", "approximated")]),
        (NOVA, -1, None, [("top_k", "dropped")]),
        ("us.amazon.nova-2-lite-v1:0", 0, {"inferenceConfig": {"topK": 0}}, []),
        (CLAUDE, 250, {"top_k": 250}, []),
        (LLAMA, 5, None, [("top_k", "dropped")]),
    ],
)
def test_top_k_is_a_field_of_the_model(
    model: str, top_k: int, model_fields: dict[str, Any] | None, report: list[tuple[str, str]]
) -> None:
    rendered_request = render(client_request(sampling=Sampling(top_k=top_k)), model)
    assert rendered_request.body.get("additionalModelRequestFields") == model_fields
    assert reported_fields(rendered_request.report) == report


def test_reasoning_is_sent_back_only_to_its_provider() -> None:
    own_signature = Signature(provider="bedrock", model=CLAUDE, value="S")
    other = Signature(provider="anthropic", model="claude-sonnet-4-5", value="S")
    turns = (
        USER_TURN,
        Turn(
            role="assistant",
            parts=(
                Reasoning(text="hm", signature=own_signature),
                Reasoning(
                    redacted=True,
                    signature=Signature(**{**_all(own_signature), "kind": "redacted"}),
                ),
                Reasoning(text="no", signature=other, path="t"),
                Text(text="yes"),
            ),
        ),
        USER_TURN,
    )
    rendered_request = render(request_with_turns(*turns))
    assert rendered_request.body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "S"}}},
        {"reasoningContent": {"redactedContent": "S"}},
        {"text": "yes"},
    ]
    assert reported_fields(rendered_request.report) == [("t", "dropped")]


def _all(signature: Signature) -> dict[str, Any]:
    return {name: getattr(signature, name) for name in signature.__struct_fields__}


def test_a_schema_is_sent_as_text() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    output = Output(format="schema", schema=schema, name="an answer")
    told_form = render(client_request(output=output), CLAUDE).body["outputConfig"]["textFormat"]
    inner = told_form["structure"]["jsonSchema"]
    assert inner["name"] == "an_answer"
    assert json.loads(inner["schema"])["properties"] == schema["properties"]
    rendered_request = render(client_request(output=output), LLAMA)
    assert "JSON Schema" in rendered_request.body["system"][-1]["text"]
    assert reported_fields(rendered_request.report) == [("schema", "approximated")]


def test_system_turns_in_the_middle_are_hoisted_and_a_last_one_becomes_a_user_turn() -> None:
    middle = Turn(role="system", parts=(Text(text="rule"),), path="m")
    response = Turn(role="assistant", parts=(Text(text="ok"),))
    rendered_request = render(request_with_turns(USER_TURN, middle, response, USER_TURN))
    assert rendered_request.body["system"] == [{"text": "rule"}]
    assert reported_fields(rendered_request.report) == [("m", "approximated")]
    last = render(request_with_turns(USER_TURN, response, middle)).body["messages"][-1]
    assert last == {"role": "user", "content": [{"text": "<system>\nrule\n</system>"}]}


def test_labels_contain_the_user_and_valid_metadata() -> None:
    meta = Meta(user_id="{json}", metadata={"team": "blue", "bad": "a|b"})
    rendered_request = render(
        client_request(meta=meta, client_paths={"user_id": "user", "metadata": "metadata"})
    )
    labels = rendered_request.body["requestMetadata"]
    assert labels["user"].startswith("sha256:")
    assert labels["team"] == "blue"
    assert reported_fields(rendered_request.report) == [
        ("user", "approximated"),
        ("metadata.bad", "dropped"),
    ]


def test_betas_supported_by_bedrock_are_sent_to_claude() -> None:
    betas = ("interleaved-thinking-2025-05-14", "claude-code-20250219")
    more = render(client_request(betas=betas)).body["additionalModelRequestFields"]
    assert more == {"anthropic_beta": ["interleaved-thinking-2025-05-14"]}
    assert "additionalModelRequestFields" not in render(client_request(betas=betas), NOVA).body


def test_several_responses_are_refused() -> None:
    with pytest.raises(GatewayError, match="one choice"):
        render(client_request(sampling=Sampling(n=2)))


def test_a_tool_result_of_the_model_is_reported_as_dropped():
    result = ToolResult(id="a", parts=(Text(text="x"),), path="m[1].c[0]")
    turn = Turn(role="assistant", parts=(result, Text(text="t")))
    rendered = render(request_with_turns(USER_TURN, turn, USER_TURN))
    assert rendered.body["messages"][1]["content"] == [{"text": "t"}]
    assert reported_fields(rendered.report) == [("m[1].c[0]", "dropped")]
