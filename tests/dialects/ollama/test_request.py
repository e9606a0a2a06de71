"""Requests: parsing, rendering and reports."""

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
    Request,
    Sampling,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tests.dialects.ollama.make import (
    PNG,
    USER,
    assistant_calls,
    body,
    parse,
    render,
    reported_fields,
    request_body,
    result,
    tool,
)


def user(*parts: Any, **fields: Any) -> Request:
    return Request(
        model="gw", turns=(Turn(role="user", parts=parts, path="messages[0]"),), **fields
    )


@pytest.mark.parametrize(("stream", "expected"), [(None, True), (True, True), (False, False)])
def test_a_request_streams_unless_stream_is_false(stream: bool | None, expected: bool) -> None:
    assert parse(body(stream=stream)).stream is expected
    assert parse(body()).stream is True
    assert render(body(stream=stream)).body["stream"] is expected


def test_options_round_trip() -> None:
    options = {
        "num_predict": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "seed": 3,
        "stop": ["x"],
        "repeat_penalty": 1.1,
        "num_ctx": 4096,
        "mirostat": 1,
    }
    rendered_request = render(body(options=options, keep_alive="5m"))
    assert rendered_request.body["options"] == options
    assert rendered_request.body["keep_alive"] == "5m"
    assert rendered_request.report == ()


@pytest.mark.parametrize(("limit", "expected"), [(7, 7), (0, 0), (-1, None), (-2, None)])
def test_a_negative_token_limit_means_no_limit(limit: int, expected: int | None) -> None:
    request = parse(body(options={"num_predict": limit}))
    assert request.max_output == expected
    num_predict = render(request).body.get("options", {}).get("num_predict")
    assert num_predict == (None if limit == -1 else limit)


@pytest.mark.parametrize(
    ("think", "expected"),
    [
        (None, None),
        (True, ReasoningConfig(mode="auto")),
        (False, ReasoningConfig(mode="off")),
        ("high", ReasoningConfig(effort="high")),
        ("none", ReasoningConfig(mode="off")),
    ],
)
def test_the_think_field_is_parsed(think: Any, expected: ReasoningConfig | None) -> None:
    assert parse(body(think=think)).reasoning == expected


@pytest.mark.parametrize(
    ("reasoning", "efforts", "expected", "report"),
    [
        (ReasoningConfig(mode="auto"), (), True, []),
        (ReasoningConfig(mode="off"), (), False, []),
        (ReasoningConfig(effort="none"), (), False, []),
        # GPT-OSS ignores `false`, and would reason with the effort medium.
        (ReasoningConfig(mode="off"), ("low", "high"), "low", [("reasoning", "approximated")]),
        (ReasoningConfig(effort="none"), ("low", "high"), "low", [("effort", "approximated")]),
        (ReasoningConfig(mode="off"), ("none", "high"), False, []),
        (ReasoningConfig(effort="high"), (), True, [("effort", "approximated")]),
        (ReasoningConfig(effort="high"), ("low", "medium", "high"), "high", []),
        (ReasoningConfig(effort="max"), ("low", "high"), "high", [("effort", "approximated")]),
        (ReasoningConfig(effort="minimal"), ("low", "high"), "low", []),
        (
            ReasoningConfig(mode="budget", budget=900),
            ("low", "high"),
            "low",
            [("budget", "approximated")],
        ),
        (ReasoningConfig(mode="budget", budget=900), (), True, [("budget", "approximated")]),
    ],
)
def test_the_reasoning_effort_is_sent_in_the_models_levels(
    reasoning: ReasoningConfig, efforts: tuple[str, ...], expected: Any, report: list[Any]
) -> None:
    rendered_request = render(user(Text(text="x"), reasoning=reasoning), efforts=efforts)
    assert rendered_request.body["think"] == expected
    assert reported_fields(rendered_request.report) == report


def test_a_model_without_reasoning_gets_no_think_field() -> None:
    rendered_request = render(
        user(Text(text="x"), reasoning=ReasoningConfig(effort="low")), reasoning=False
    )
    assert "think" not in rendered_request.body
    assert reported_fields(rendered_request.report) == [("effort", "dropped")]
    off = render(user(Text(text="x"), reasoning=ReasoningConfig(mode="off")), reasoning=False)
    assert "think" not in off.body
    assert off.report == ()


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (None, Output()),
        ("", Output()),
        ("json", Output(format="json")),
        ({}, Output(format="json")),
        (SCHEMA, Output(format="schema", schema=SCHEMA)),
    ],
)
def test_the_response_format_is_parsed(form: Any, expected: Output) -> None:
    assert parse(body(format=form)).output == expected


def test_a_schema_is_sent_as_format_or_in_the_prompt() -> None:
    request = user(Text(text="x"), output=Output(format="schema", schema=SCHEMA, name="n"))
    assert render(request).body["format"] == SCHEMA
    rendered_limited = render(request, structured="json")
    assert rendered_limited.body["format"] == "json"
    assert "JSON Schema" in rendered_limited.body["messages"][0]["content"]
    none = render(request, structured="none")
    assert "format" not in none.body
    assert reported_fields(none.report) == [("schema", "approximated")]


def test_calls_without_ids_get_positional_ids_and_results_are_paired() -> None:
    request = parse(
        request_body(
            USER,
            assistant_calls(("f", {"a": 1}), ("g", {}), ("f", {"a": 2})),
            result("f", "one"),
            result("f", "two"),
            result("g", "three"),
        )
    )
    calls = [part for part in request.turns[1].parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("call_1_0", "f", {"a": 1}),
        ("call_1_1", "g", {}),
        ("call_1_2", "f", {"a": 2}),
    ]
    results = [part for part in request.turns[2].parts if isinstance(part, ToolResult)]
    assert [(r.id, r.parts[0].text) for r in results] == [  # type: ignore[union-attr]
        ("call_1_0", "one"),
        ("call_1_2", "two"),
        ("call_1_1", "three"),
    ]


@pytest.mark.parametrize("names", [{}, {"tool_name": "f"}], ids=["unnamed", "named"])
def test_results_belong_to_the_calls_of_all_assistant_messages_before(names: Any) -> None:
    # As Strands Agents sends a turn: each block as a message, and results without a name.
    text = {"role": "assistant", "content": "I look."}
    results = [{"role": "tool", "content": content, **names} for content in ("one", "two")]
    first, second = (assistant_calls(("f", {"a": n})) for n in (1, 2))
    request = parse(request_body(USER, first, text, second, *results))
    answered = [(part.id, part.parts[0].text) for part in request.turns[-1].parts]  # type: ignore[union-attr]
    assert answered == [("call_1_0", "one"), ("call_3_0", "two")]
    request = parse(request_body(USER, first, results[0], second, results[1]))
    assert [part.id for part in request.turns[-1].parts] == ["call_3_0"]  # type: ignore[union-attr]


def test_a_call_id_precedes_the_position() -> None:
    call = {"id": "c9", "function": {"name": "f", "arguments": {}}}
    message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [call, assistant_calls(("f", {}))["tool_calls"][0]],
    }
    request = parse(
        request_body(USER, message, result(tool_call_id="call_1_1"), result(tool_call_id="c9"))
    )
    assert [part.id for part in request.turns[2].parts] == ["call_1_1", "c9"]  # type: ignore[union-attr]


def test_results_are_sent_in_the_order_of_the_calls() -> None:
    calls = (ToolCall(id="a", name="f", arguments={}), ToolCall(id="b", name="f", arguments={}))
    results = tuple(ToolResult(id=i, parts=(Text(text=i),)) for i in ("b", "a"))
    request = Request(
        model="gw",
        turns=(
            Turn(role="user", parts=(Text(text="x"),)),
            Turn(role="assistant", parts=calls),
            Turn(role="user", parts=results),
        ),
    )
    messages = render(request).body["messages"]
    assert [m["content"] for m in messages if m["role"] == "tool"] == ["a", "b"]
    assert [m["tool_name"] for m in messages if m["role"] == "tool"] == ["f", "f"]
    assert "id" not in messages[1]["tool_calls"][0]


@pytest.mark.parametrize(
    ("choice", "names", "report"),
    [
        (ToolChoice(mode="auto"), ["f", "g"], []),
        (ToolChoice(mode="any"), ["f", "g"], [("tool_choice", "dropped")]),
        (ToolChoice(mode="none"), [], [("tool_choice", "approximated")]),
        (ToolChoice(mode="named", names=("g",)), ["g"], [("tool_choice", "approximated")]),
        (ToolChoice(mode="allowed", names=("f",)), ["f"], [("tool_choice", "approximated")]),
        (ToolChoice(parallel=False), ["f", "g"], [("parallel", "dropped")]),
    ],
)
def test_a_tool_choice_is_enforced_by_omitting_tools(
    choice: ToolChoice, names: list[str], report: list[Any]
) -> None:
    offered = (Tool(name="f", path="tools[0]"), Tool(name="g", path="tools[1]"))
    rendered_request = render(user(Text(text="x"), tools=offered, tool_choice=choice))
    assert [t["function"]["name"] for t in rendered_request.body.get("tools", [])] == names
    assert reported_fields(rendered_request.report) == report


def test_a_free_text_tool_is_a_function_with_one_string() -> None:
    custom = Tool(
        name="p", kind="custom", description="d", format={"definition": "g"}, path="tools[0]"
    )
    rendered_request = render(user(Text(text="x"), tools=(custom,)))
    function = rendered_request.body["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert function["description"].endswith("g")
    assert rendered_request.custom_tools == {"p"}
    assert reported_fields(rendered_request.report) == [("tools[0].format", "approximated")]


def test_the_media_type_of_an_image_is_detected_from_its_bytes() -> None:
    request = parse(request_body({**USER, "images": [PNG, f"data:image/jpeg;base64,{PNG}"]}))
    images = [part for part in request.turns[0].parts if isinstance(part, Image)]
    assert [image.media_type for image in images] == ["image/png", "image/png"]
    assert render(request).body["messages"][0]["images"] == [PNG, PNG]


@pytest.mark.parametrize(
    "part",
    [
        Image(url="https://x/y.png", path="messages[0].content[1]"),
        Document(data="JVBERi0xLjQK", path="messages[0].content[1]"),
    ],
    ids=["image url", "pdf"],
)
def test_an_unsupported_attachment_is_replaced_by_text(part: Any) -> None:
    rendered_request = render(user(Text(text="x"), part))
    assert "omitted" in rendered_request.body["messages"][0]["content"]
    assert reported_fields(rendered_request.report) == [("messages[0].content[1]", "dropped")]


def test_an_image_in_a_result_moves_to_the_next_user_message() -> None:
    request = Request(
        model="gw",
        turns=(
            Turn(role="user", parts=(Text(text="x"),)),
            Turn(role="assistant", parts=(ToolCall(id="a", name="f", arguments={}),)),
            Turn(
                role="user",
                parts=(
                    ToolResult(id="a", parts=(Image(data=PNG, path="p"),), is_error=True, path="r"),
                    Text(text="see?"),
                ),
            ),
        ),
    )
    rendered_request = render(request)
    *_, response, after = rendered_request.body["messages"]
    assert response["content"].startswith("Error: [image 1")
    assert after["images"] == [PNG]
    assert after["content"].endswith("see?")
    assert reported_fields(rendered_request.report) == [
        ("p", "approximated"),
        ("r.is_error", "approximated"),
    ]


@pytest.mark.parametrize(
    ("signature", "remaining"),
    [
        (None, True),
        (Signature(provider="acme", model="acme-1", kind="text"), True),
        (Signature(provider="other", model="acme-1", kind="text"), False),
    ],
)
def test_reasoning_is_sent_back_to_its_model(signature: Signature | None, remaining: bool) -> None:
    thought = Reasoning(text="hm", signature=signature, path="t")
    request = Request(
        model="gw",
        turns=(
            Turn(role="user", parts=(Text(text="x"),)),
            Turn(role="assistant", parts=(thought, Text(text="y"))),
            Turn(role="user", parts=(Text(text="z"),)),
        ),
    )
    rendered_request = render(request)
    assert rendered_request.body["messages"][1].get("thinking") == ("hm" if remaining else None)
    assert reported_fields(rendered_request.report) == ([] if remaining else [("t", "dropped")])


def test_unsupported_content_is_reported() -> None:
    meta = Meta(user_id="u", session_key="s", metadata={"a": "b"}, service_tier="flex", store=True)
    rendered_request = render(
        user(Text(text="x"), meta=meta, sampling=Sampling(logit_bias={"1": 1})),
    )
    assert set(reported_fields(rendered_request.report)) == {
        ("logit_bias", "dropped"),
        ("user_id", "dropped"),
        ("session_key", "dropped"),
        ("metadata", "dropped"),
        ("service_tier", "dropped"),
        ("store", "dropped"),
    }


def test_a_prompt_is_a_chat_of_one_message() -> None:
    request = parse(
        {
            "model": "gw",
            "prompt": "Say hi",
            "system": "Be brief",
            "images": [PNG],
            "suffix": "!",
            "raw": True,
            "options": {"num_predict": 5},
        }
    )
    assert [text.text for text in request.instructions] == ["Be brief"]
    assert request.turns[0].parts[0] == Text(text="Say hi", path="prompt")
    assert request.max_output == 5
    rendered_request = render(request)
    assert [m["role"] for m in rendered_request.body["messages"]] == ["system", "user"]
    assert set(reported_fields(rendered_request.report)) == {
        ("suffix", "dropped"),
        ("raw", "dropped"),
    }


@pytest.mark.parametrize(
    ("invalid_value", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"role": "wizard"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "images": [5]}]}, "messages[0].images[0]"),
        ({"messages": [assistant_calls((5, {}))]}, "messages[0].tool_calls[0].function.name"),
        (
            {"messages": [assistant_calls(("f", [1]))]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": {"num_predict": -3}}, "options.num_predict"),
        ({"options": [1]}, "options"),
        ({"think": "very"}, "think"),
        ({"think": 5}, "think"),
        ({"format": "xml"}, "format"),
        ({"stream": "yes"}, "stream"),
        ({"model": None}, "model"),
    ],
)
def test_an_invalid_field_is_named(invalid_value: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as error:
        parse({**body(), **invalid_value})
    assert error.value.error.param == param


def test_an_empty_prompt_is_refused_with_its_param() -> None:
    with pytest.raises(GatewayError) as error:
        parse({"model": "gw", "prompt": ""})
    assert error.value.error.param == "prompt"


def test_a_schema_of_true_in_a_tool_is_an_empty_one() -> None:
    """ "json: cannot unmarshal bool into Go struct field" (can1357/oh-my-pi#4488)."""
    parameters = {"type": "object", "properties": {"a": True}}
    rendered_request = render(user(tools=(Tool(name="f", schema=parameters),)))
    (sent_tool,) = rendered_request.body["tools"]
    assert sent_tool["function"]["parameters"] == {"type": "object", "properties": {"a": {}}}


def test_fields_that_a_system_message_cannot_have_are_reported() -> None:
    system = {"role": "system", "content": "Be brief", "images": [PNG], "name": "boss"}
    rendered_request = render(request_body(system, USER))
    assert set(reported_fields(rendered_request.report)) == {
        ("messages[0].images", "dropped"),
        ("messages[0].name", "dropped"),
    }


def test_unknown_fields_are_sent_or_reported_by_level() -> None:
    request = parse(request_body({**USER, "mood": 1}, tools=[tool(strict=True)], shift=True))
    assert request.extra == {"ollama": {"shift": True, "messages[0].mood": 1}}
    rendered_request = render(request)
    assert rendered_request.body["shift"] is True
    assert rendered_request.body["tools"][0]["function"]["strict"] is True
    assert reported_fields(rendered_request.report) == [("messages[0].mood", "dropped")]


def test_prefill_is_refused_for_a_model_without_it() -> None:
    request = request_body(USER, {"role": "assistant", "content": "Once"})
    assert render(request).body["messages"][-1]["content"] == "Once"
    with pytest.raises(GatewayError) as error:
        render(request, prefill=False)
    assert error.value.error.kind == "unsupported_param"


def test_several_responses_are_refused() -> None:
    with pytest.raises(GatewayError) as error:
        render(user(Text(text="x"), sampling=Sampling(n=2)))
    assert (error.value.error.kind, error.value.error.param) == ("unsupported_param", "n")
