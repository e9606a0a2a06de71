"""Requests rendered for Cohere, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
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
from tests.dialects.cohere.make import (
    PLAIN,
    REASONER,
    USER_TURN,
    client_request,
    render,
    reported_fields,
    request_with_turns,
)
from tests.fakes import cohere_rules

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
VISION = "command-a-vision-07-2025"
F = Tool(name="f", schema={"type": "object", "properties": {}})
CALL = Turn(
    role="assistant", parts=(Text(text="I look."), ToolCall(id="c1", name="f", arguments={}))
)


def user(*parts: Any) -> Turn:
    return Turn(role="user", parts=parts, path="messages[9]")


def result(*parts: Any, **fields: Any) -> ToolResult:
    return ToolResult(id="c1", parts=parts, path="r", **fields)


def test_text_beside_calls_becomes_the_tool_plan() -> None:
    turns = (USER_TURN, CALL, user(result(Text(text="sunny")), Text(text="and now?")))
    messages = render(request_with_turns(*turns, tools=(F,))).body["messages"]
    assert messages[1]["tool_plan"] == "I look."
    assert "content" not in messages[1]
    assert messages[2] == {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    assert messages[3] == {"role": "user", "content": "and now?"}


def test_empty_and_failed_results_are_sent_as_text() -> None:
    rendered_request = render(request_with_turns(USER_TURN, CALL, user(result()), tools=(F,)))
    assert rendered_request.body["messages"][2]["content"] == "(empty)"
    assert reported_fields(rendered_request.report) == [("r", "approximated")]
    failed_result = user(result(Text(text="boom"), is_error=True))
    rendered_request = render(request_with_turns(USER_TURN, CALL, failed_result, tools=(F,)))
    assert rendered_request.body["messages"][2]["content"] == "Error: boom"


def test_documents_are_placed_where_they_can_be_cited() -> None:
    rendered_request = render(request_with_turns(user(Document(text="plain", title="T"))))
    assert rendered_request.body["documents"] == [
        {"id": "doc_0", "data": {"text": "plain", "title": "T"}}
    ]
    assert rendered_request.body["messages"] == [{"role": "user", "content": "See the documents."}]
    inside = user(result(Document(text="found")))
    content = render(request_with_turns(USER_TURN, CALL, inside, tools=(F,))).body["messages"][2][
        "content"
    ]
    assert content == [{"type": "document", "document": {"id": "doc_0", "data": {"text": "found"}}}]


def test_a_pdf_is_refused_by_name() -> None:
    with pytest.raises(GatewayError, match="plain-text") as error:
        render(
            request_with_turns(user(Document(data="JVBERi0xLjQK", path="messages[0].content[1]")))
        )
    assert error.value.error.param == "messages[0].content[1]"


def test_an_image_is_sent_to_a_model_with_vision() -> None:
    turn = user(Text(text="look"), Image(data=PNG, detail="low", path="i"))
    content = render(request_with_turns(turn), VISION).body["messages"][0]["content"]
    assert content[1]["image_url"] == {"url": f"data:image/png;base64,{PNG}", "detail": "low"}
    rendered_request = render(request_with_turns(turn), PLAIN)
    assert "omitted" in rendered_request.body["messages"][0]["content"][1]["text"]
    assert reported_fields(rendered_request.report) == [("i", "dropped")]


@pytest.mark.parametrize(
    ("choice", "expected", "names"),
    [
        (ToolChoice(mode="auto"), None, ["f", "g"]),
        (ToolChoice(mode="any"), "REQUIRED", ["f", "g"]),
        (ToolChoice(mode="none"), "NONE", ["f", "g"]),
        (ToolChoice(mode="named", names=("g",)), "REQUIRED", ["g"]),
        (ToolChoice(mode="allowed", names=("f",)), None, ["f"]),
    ],
)
def test_a_tool_choice_in_coheres_form(
    choice: ToolChoice, expected: str | None, names: list[str]
) -> None:
    body = render(client_request(tools=(F, Tool(name="g")), tool_choice=choice)).body
    assert body.get("tool_choice") == expected
    assert [tool["function"]["name"] for tool in body["tools"]] == names


def test_reasoning_is_sent_back_only_to_its_provider() -> None:
    own_signature = Signature(provider="cohere", model=REASONER, kind="text")
    parts = (
        Reasoning(text="hm", signature=own_signature),
        Reasoning(text="no", signature=Signature(provider="openai", model="x"), path="t"),
        Text(text="yes"),
    )
    rendered_request = render(
        request_with_turns(USER_TURN, Turn(role="assistant", parts=parts), USER_TURN)
    )
    assert rendered_request.body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "yes"},
    ]
    assert reported_fields(rendered_request.report) == [("t", "dropped")]


@pytest.mark.parametrize(
    ("reasoning", "expected", "report"),
    [
        (ReasoningConfig(effort="low"), {"type": "enabled", "token_budget": 2048}, []),
        (ReasoningConfig(effort="none"), {"type": "disabled"}, []),
        (ReasoningConfig(mode="off"), {"type": "disabled"}, []),
        (ReasoningConfig(mode="auto"), {"type": "enabled"}, []),
        (ReasoningConfig(mode="budget", budget=77), {"type": "enabled", "token_budget": 77}, []),
        (
            ReasoningConfig(mode="budget", budget=9000),
            {"type": "enabled", "token_budget": 8976},
            [("budget", "approximated")],
        ),
    ],
)
def test_reasoning_is_a_switch_and_a_budget(
    reasoning: ReasoningConfig, expected: dict[str, Any], report: list[tuple[str, str]]
) -> None:
    rendered_request = render(client_request(reasoning=reasoning, max_output=10_000))
    assert rendered_request.body["thinking"] == expected
    assert reported_fields(rendered_request.report) == report


def test_thinking_is_dropped_for_a_model_without_reasoning() -> None:
    rendered_request = render(client_request(reasoning=ReasoningConfig(effort="low")), PLAIN)
    assert "thinking" not in rendered_request.body
    assert reported_fields(rendered_request.report) == [("reasoning", "dropped")]


def test_sampling_values_are_clamped_to_the_supported_range() -> None:
    sampling = Sampling(
        top_p=0.0,
        top_k=900,
        frequency_penalty=1.5,
        presence_penalty=-1,
        temperature=0.3,
        stop=tuple("abcdef"),
    )
    rendered_request = render(client_request(sampling=sampling))
    body = rendered_request.body
    assert (body["p"], body["k"], body["frequency_penalty"]) == (0.01, 500, 1.0)
    assert body["stop_sequences"] == list("abcde")
    assert "presence_penalty" not in body
    assert {path for path, _ in reported_fields(rendered_request.report)} == {
        "top_p",
        "top_k",
        "frequency_penalty",
        "presence_penalty",
        "stop",
    }


def test_a_schema_is_the_response_format_unless_there_are_tools() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    output = Output(format="schema", schema=schema)
    assert render(client_request(output=output)).body["response_format"] == {
        "type": "json_object",
        "json_schema": schema,
    }
    rendered_request = render(client_request(output=output, tools=(F,)))
    assert reported_fields(rendered_request.report) == [("format", "dropped")]


def test_fields_without_a_cohere_equivalent_are_reported() -> None:
    meta = Meta(user_id="u", metadata={"a": "b"}, store=True, service_tier="flex")
    rendered_request = render(client_request(meta=meta, extra={"openai_chat": {"audio": {}}}))
    assert reported_fields(rendered_request.report) == [
        ("user_id", "dropped"),
        ("metadata", "dropped"),
        ("store", "dropped"),
        ("service_tier", "dropped"),
        ("audio", "dropped"),
    ]


def test_a_final_assistant_turn_is_refused() -> None:
    with pytest.raises(GatewayError, match="cannot continue"):
        render(request_with_turns(USER_TURN, Turn(role="assistant", parts=(Text(text="x"),))))


def test_a_request_without_text_is_refused() -> None:
    with pytest.raises(GatewayError, match="not empty"):
        render(request_with_turns(user(Text(text=""))))


def test_command_a_plus_gets_reasoning_and_images() -> None:
    body = render(
        request_with_turns(
            user(Text(text="what?"), Image(data=PNG, media_type="image/png")),
            reasoning=ReasoningConfig(effort="max"),
            max_output=9000,
        ),
        cohere_rules.PLUS,
    ).body
    assert body["thinking"] == {"type": "enabled", "token_budget": 7976}
    assert body["messages"][0]["content"][1]["type"] == "image_url"
    assert cohere_rules.refusal(body) is None


def test_images_of_tool_results_follow_in_a_user_message() -> None:
    image = Image(data=PNG, media_type="image/png", path="r.content[0]")
    parts = (result(image, Text(text="a map"), image), Text(text="and?"))
    rendered_request = render(
        request_with_turns(USER_TURN, CALL, user(*parts), tools=(F,)), cohere_rules.PLUS
    )
    *_, tool_message, user_message = rendered_request.body["messages"]
    assert tool_message["content"] == "\n\n".join(
        [
            "[image 1 of this tool result is attached to the next user message]",
            "a map",
            "[image 2 of this tool result is attached to the next user message]",
        ]
    )
    kinds = [item["type"] for item in user_message["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    assert user_message["content"][0]["text"] == "[image 1 from tool result c1]"
    assert reported_fields(rendered_request.report) == [("r.content[0]", "approximated")] * 2
    assert cohere_rules.refusal(rendered_request.body) is None


def test_images_of_tool_results_are_a_note_for_a_model_without_images() -> None:
    parts = (result(Image(data=PNG, media_type="image/png", path="r.content[0]")),)
    rendered_request = render(request_with_turns(USER_TURN, CALL, user(*parts), tools=(F,)))
    assert "omitted" in rendered_request.body["messages"][-1]["content"]
    assert reported_fields(rendered_request.report) == [("r.content[0]", "dropped")]
