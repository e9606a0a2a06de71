"""Requests: parsing of clients' bodies, rendering for Google."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

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
from gateway.canon.signature import wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS, OPENAI_CHAT
from gateway.dialects.gemini import DIALECT
from gateway.dialects.gemini.context import NEXT_PART_SIGNATURE, SAME_PART_SIGNATURE, SKIP_SIGNATURE
from gateway.dialects.gemini.reasoning import parse_signature, render_signature
from gateway.dialects.gemini.tools import from_google_schema, to_gemini_schema
from gateway.simulate import translate
from tests.dialects.gemini.make import (
    PNG,
    STATE,
    USER_TURN,
    body,
    call,
    client_request,
    content,
    model,
    parse,
    render,
    reported_fields,
    result,
    text,
)

OWN = Signature(provider="acme", model="acme-1", kind=SAME_PART_SIGNATURE, value=STATE)


def turns(*parts: Any, role: Any = "assistant") -> tuple[Turn, ...]:
    """Return a question, this answer, and another question."""
    return (USER_TURN, Turn(role=role, parts=parts, path="messages[1]"), USER_TURN)


# --- a client's --------------------------------------------------------------------------


def test_snake_case_fields_are_parsed_too():
    request = parse(
        body(
            system_instruction={"parts": [{"text": "S"}]},
            generation_config={"max_output_tokens": 5, "top_p": 0.5, "response_schema": {}},
            tools=[{"function_declarations": [{"name": "f", "parameters": {"any_of": []}}]}],
        )
    )
    assert [part.text for part in request.instructions] == ["S"]
    assert (request.max_output, request.sampling.top_p) == (5, 0.5)
    assert request.tools[0].schema == {"anyOf": []}


def test_a_single_object_is_parsed_as_a_list_and_null_as_empty():
    """Google's own examples write `"contents": {"parts": {"text": ...}}`."""
    asked_so = {"parts": {"text": "hi", "functionCall": None, "inlineData": None}}
    request_body = body(contents=asked_so, system_instruction={"parts": {"text": "S"}}, tools=None)
    request = parse(request_body)
    assert request.turns[0].parts == (Text(text="hi", path="contents[0].parts[0]"),)
    assert [part.text for part in request.instructions] == ["S"]
    tools = {"function_declarations": {"name": "f"}}
    assert parse(body(tools=tools)).tools[0].name == "f"
    DIALECT.check_passthrough(json.dumps({"contents": asked_so, "tools": tools}).encode())


def test_calls_and_results_without_ids_are_paired():
    request = parse(
        body(
            content(text()),
            model(call("a"), call("b"), call("a", {"x": 1})),
            content(result("a"), result("b"), result("a", {"error": "no"})),
        )
    )
    calls = [part for part in request.turns[1].parts if isinstance(part, ToolCall)]
    results = [part for part in request.turns[2].parts if isinstance(part, ToolResult)]
    assert [r.id for r in results] == [c.id for c in calls]
    assert [c.id for c in calls] == ["call_1_0", "call_1_1", "call_1_2"]
    assert [r.is_error for r in results] == [None, None, True]


def test_extra_fields_of_a_part_are_sent_or_reported():
    beside = {"mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}
    image = {"inlineData": {"mimeType": "image/png", "data": PNG}, **beside}
    film = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}, **beside}
    rendered_request = render(body(content(text(), image, film)))
    assert reported_fields(rendered_request.report) == [
        ("contents[0].parts[1].mediaResolution", "dropped")
    ]
    assert rendered_request.body["contents"][0]["parts"][2] == film


def test_a_field_with_its_default_value_is_not_reported():
    assert parse(body(generationConfig={"responseModalities": ["TEXT"]})).extra == {"gemini": {}}


@pytest.mark.parametrize(
    ("config", "reasoning"),
    [
        ({}, None),
        ({"thinkingBudget": 0}, ReasoningConfig(mode="off")),
        ({"thinkingBudget": -1}, ReasoningConfig(mode="auto")),
        ({"thinkingBudget": 99}, ReasoningConfig(mode="budget", budget=99)),
        ({"thinkingLevel": "high"}, ReasoningConfig(effort="high")),
        ({"includeThoughts": True}, ReasoningConfig(visible="summary")),
        (
            {"includeThoughts": False, "thinkingLevel": "LOW"},
            ReasoningConfig(effort="low", visible="none"),
        ),
    ],
)
def test_a_thinking_config_is_read(config: dict[str, Any], reasoning: ReasoningConfig | None):
    assert parse(body(generationConfig={"thinkingConfig": config})).reasoning == reasoning


def test_a_reasoning_budget_beside_a_level_is_a_loss_in_other_dialects():
    config = {"thinkingLevel": "LOW", "thinkingBudget": 99}
    request = parse(body(generationConfig={"thinkingConfig": config}))
    assert request.reasoning == ReasoningConfig(effort="low")
    report = OPENAI_CHAT.provider.render_request(request, Traits(reasoning=True)).report
    dropped_fields = [item.path for item in report if item.action == "dropped"]
    assert "generationConfig.thinkingConfig.thinkingBudget" in dropped_fields


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice(mode="auto")),
        ({"mode": "NONE"}, ToolChoice(mode="none")),
        ({"mode": "ANY"}, ToolChoice(mode="any")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice(mode="named", names=("f",))),
        (
            {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
            ToolChoice(mode="allowed", names=("f", "g"), required=True),
        ),
        ({"mode": "VALIDATED"}, ToolChoice(mode="auto")),
        ({}, None),
    ],
)
def test_a_calling_mode_is_read(config: dict[str, Any], choice: ToolChoice | None):
    assert parse(body(toolConfig={"functionCallingConfig": config})).tool_choice == choice


@pytest.mark.parametrize("names", [{}, {"allowedFunctionNames": ["f"]}], ids=["all", "allowed"])
def test_the_mode_validated_survives_a_round_trip(names: dict[str, Any]):
    tool_config = {"functionCallingConfig": {"mode": "VALIDATED", **names}}
    functions = [{"name": "f"}, {"name": "g"}]
    request = body(tools=[{"functionDeclarations": functions}], toolConfig=tool_config)
    rendered_request = render(request)
    assert rendered_request.body["toolConfig"] == tool_config
    assert rendered_request.report == ()


@pytest.mark.parametrize(
    "dialect", ["openai_chat", "openai_responses", "anthropic_messages", "cohere"]
)
def test_the_mode_validated_makes_functions_strict(dialect: str):
    """Pydantic AI and the AI SDK request it; every other API has it for each function."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    functions = [{"name": name, "parametersJsonSchema": schema} for name in ("f", "g")]
    request = parse(
        body(
            tools=[{"functionDeclarations": functions}],
            toolConfig={"functionCallingConfig": {"mode": "VALIDATED"}},
            generationConfig={"maxOutputTokens": 99},
        )
    )
    rendered_request = DIALECTS[dialect].provider.render_request(request, Traits())
    assert rendered_request.report == ()
    sent_text = json.dumps(rendered_request.body)
    assert sent_text.count('"strict": true') == 2 or '"strict_tools": true' in sent_text


def test_the_mode_validated_is_reported_for_a_schema_that_cannot_be_strict():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = parse(
        body(
            tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
            toolConfig={"functionCallingConfig": {"mode": "VALIDATED"}},
        )
    )
    rendered_request = OPENAI_CHAT.provider.render_request(request, Traits())
    assert rendered_request.body["tools"][0]["function"]["strict"] is False
    assert reported_fields(rendered_request.report) == [
        ("toolConfig.functionCallingConfig.mode", "approximated")
    ]


@pytest.mark.parametrize(
    "config",
    [
        {"mode": "AUTO", "streamFunctionCallArguments": True},
        {"allowedFunctionNames": ["f"]},
    ],
)
def test_other_fields_of_the_calling_config_are_sent_to_google_and_reported(config: dict[str, Any]):
    """Vertex AI streams the arguments of calls on request; names alone have no effect."""
    tool_config = {"functionCallingConfig": config}
    request = body(tools=[{"functionDeclarations": [{"name": "f"}]}], toolConfig=tool_config)
    assert render(request).body["toolConfig"] == tool_config
    report = OPENAI_CHAT.provider.render_request(parse(request), Traits()).report
    assert [(item.path, item.action) for item in report] == [
        (f"toolConfig.functionCallingConfig.{name}", "dropped") for name in config if name != "mode"
    ]


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        ({"model": "gw"}, "contents"),
        ({"model": "gw", "contents": [{"role": "wizard", "parts": []}]}, "contents[0].role"),
        (body(content({})), "contents[0].parts[0]"),
        (body(content({"functionCall": {}})), "contents[0].parts[0].functionCall.name"),
        (body(content({"text": 5})), "contents[0].parts[0].text"),
        (
            body(generationConfig={"thinkingConfig": {"thinkingLevel": "HUGE"}}),
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (body(generationConfig={"maxOutputTokens": "9"}), "generationConfig.maxOutputTokens"),
        (body(systemInstruction={"parts": [call()]}), "systemInstruction.parts[0]"),
    ],
)
def test_an_invalid_value_is_refused_with_its_param(request_body: dict[str, Any], param: str):
    with pytest.raises(GatewayError) as error:
        parse(request_body)
    assert error.value.error.param == param


def test_googles_schema_becomes_json_schema():
    schema = {
        "type": "OBJECT",
        "properties": {
            "b": {"type": "STRING", "nullable": True, "enum": ["x"], "format": "enum"},
            "a": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1"},
        },
        "propertyOrdering": ["a", "b"],
    }
    google_schema = from_google_schema(schema)
    assert list(google_schema["properties"]) == ["a", "b"]
    assert google_schema["properties"] == {
        "a": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        "b": {"type": ["string", "null"], "enum": ["x", None]},
    }


@pytest.mark.parametrize("count", ["²", "9" * 5000, "-1"])
def test_a_count_that_is_not_a_number_is_sent_to_the_upstream(count: str):
    assert from_google_schema({"type": "ARRAY", "minItems": count})["minItems"] == count


# --- schemas for Google ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "fitted", "changed"),
    [
        ({"const": "x"}, {"enum": ["x"]}, ["const"]),
        ({"const": True}, {"description": "const: true"}, ["const"]),
        ({"pattern": "a", "description": "d"}, {"description": "d\n\npattern: a"}, ["pattern"]),
        ({"$ref": "#/definitions/A", "title": "t"}, {"$ref": "#/$defs/A"}, ["title"]),
        ({"allOf": [{"type": "string"}], "title": "t"}, {"type": "string", "title": "t"}, []),
        ({"enum": [None, "a"]}, {"description": 'enum: [null,"a"]'}, ["enum"]),
        (
            {"type": ["string", "null"], "enum": ["a", None], "description": "d"},
            {"description": "d", "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
            [],
        ),
        (
            {"type": ["null"], "enum": [None]},
            {"type": ["null"], "description": "enum: [null]"},
            ["enum"],
        ),
        (
            {"$ref": "#/definitions/A", "description": "d", "default": 1},
            {"description": "d\n\ndefault: 1", "anyOf": [{"$ref": "#/$defs/A"}]},
            ["default"],
        ),
        # Zod writes `$schema` in each schema; it constrains nothing.
        (
            {"properties": {"a": {"type": "string"}}, "$schema": "x"},
            {"properties": {"a": {"type": "string"}}},
            [],
        ),
        ({"$ref": "#/definitions/A", "$schema": "x"}, {"$ref": "#/$defs/A"}, []),
        (
            {"items": {"minLength": 2}, "$schema": "x"},
            {"items": {"description": "minLength: 2"}},
            ["minLength"],
        ),
    ],
)
def test_a_schema_is_fitted_into_the_subset(
    schema: dict[str, Any], fitted: dict[str, Any], changed: list[str]
):
    assert to_gemini_schema(schema) == (fitted, changed)


# --- thinking ----------------------------------------------------------------------------

TOKENS = {"reasoning_budgets": (128, 24_576)}


@pytest.mark.parametrize(
    ("reasoning", "flags", "config", "report"),
    [
        (ReasoningConfig(effort="low"), {}, {"thinkingLevel": "LOW"}, []),
        (ReasoningConfig(effort="max"), {}, {"thinkingLevel": "HIGH"}, ["effort"]),
        (
            ReasoningConfig(effort="minimal"),
            {"efforts": ("low",)},
            {"thinkingLevel": "LOW"},
            ["effort"],
        ),
        (ReasoningConfig(mode="budget", budget=2000), {}, {"thinkingLevel": "MEDIUM"}, ["budget"]),
        (ReasoningConfig(mode="auto"), {}, {}, []),
        (ReasoningConfig(mode="budget", budget=2000), TOKENS, {"thinkingBudget": 2000}, []),
        (ReasoningConfig(mode="budget", budget=9), TOKENS, {"thinkingBudget": 128}, ["budget"]),
        (ReasoningConfig(effort="high"), TOKENS, {"thinkingBudget": 24_576}, []),
        (ReasoningConfig(effort="max"), TOKENS, {"thinkingBudget": 24_576}, ["effort"]),
        (ReasoningConfig(mode="auto"), TOKENS, {"thinkingBudget": -1}, []),
    ],
)
def test_thinking_is_requested_in_the_models_form(
    reasoning: ReasoningConfig, flags: dict[str, Any], config: dict[str, Any], report: list[str]
):
    rendered_request = render(client_request(reasoning=reasoning), **flags)
    expected = {**config, "includeThoughts": True}
    assert rendered_request.body["generationConfig"]["thinkingConfig"] == expected
    assert [path for path, _ in reported_fields(rendered_request.report)] == report


@pytest.mark.parametrize(
    ("flags", "config", "bent"),
    [
        (TOKENS, {"thinkingBudget": 0}, False),
        ({**TOKENS, "reasoning_always_on": True}, {"thinkingBudget": 128}, True),
        ({}, {"thinkingLevel": "MINIMAL"}, True),
    ],
)
def test_thinking_is_switched_off_as_far_as_it_can_be(
    flags: dict[str, Any], config: dict[str, Any], bent: bool
):
    rendered_request = render(client_request(reasoning=ReasoningConfig(effort="none")), **flags)
    assert rendered_request.body["generationConfig"]["thinkingConfig"] == config
    assert bool(rendered_request.report) == bent


def test_thinking_is_dropped_for_a_model_without_reasoning():
    rendered_request = render(
        client_request(reasoning=ReasoningConfig(effort="low")), reasoning=False
    )
    assert "generationConfig" not in rendered_request.body
    assert reported_fields(rendered_request.report) == [("reasoning", "dropped")]


# --- signatures --------------------------------------------------------------------------

DEMANDS = {"replay_reasoning": "required_on_tools"}


def steps(*assistant: Any) -> tuple[Turn, ...]:
    """Return a question, a response with a call, and its result."""
    return (
        USER_TURN,
        Turn(role="assistant", parts=assistant, path="messages[1]"),
        Turn(role="user", parts=(ToolResult(id="c", parts=(Text(text="ok"),)),)),
    )


def rendered_contents(*assistant: Any) -> tuple[list[Any], list[tuple[str, str]]]:
    rendered_request = render(client_request(turns=steps(*assistant)), **DEMANDS)
    parts = rendered_request.body["contents"][1]["parts"]
    return [part.get("thoughtSignature") for part in parts], reported_fields(
        rendered_request.report
    )


CALL = ToolCall(id="c", name="f", arguments={}, path="messages[1].tool_calls[0]")


def test_a_step_without_a_signature_gets_the_sentinel():
    assert rendered_contents(CALL) == (
        [SKIP_SIGNATURE],
        [("messages[1].tool_calls", "approximated")],
    )


def test_a_reasoning_signature_moves_to_the_next_call():
    state = Signature(provider="acme", model="acme-1", kind=NEXT_PART_SIGNATURE, value=STATE)
    assert rendered_contents(Reasoning(text="hm", signature=state), CALL) == ([None, STATE], [])


def test_a_thought_whose_signature_follows_later_is_sent_back():
    state = Signature(provider="acme", model="acme-1", kind="text")
    thought = Reasoning(text="hm", signature=state)
    signed_call = replace(CALL, signature=OWN)
    turn = Turn(role="assistant", parts=(thought, Text(text="say"), signed_call))
    rendered_request = render(client_request(turns=(USER_TURN, turn)), **DEMANDS)
    parts = rendered_request.body["contents"][1]["parts"]
    assert parts[:2] == [{"text": "hm", "thought": True}, {"text": "say"}]
    assert [item for item in rendered_request.report if "reasoning" in item.reason] == []


def test_another_models_signature_is_dropped_and_reported():
    foreign = Signature(provider="anthropic", model="claude", value="S")
    request_body, report = rendered_contents(
        Reasoning(text="hm", signature=foreign, path="messages[1].r"), CALL
    )
    assert request_body == [SKIP_SIGNATURE]
    assert ("messages[1].r", "dropped") in report


def test_steps_of_earlier_turns_need_no_sentinel():
    history = (*steps(CALL), Turn(role="assistant", parts=(Text(text="done"),)), USER_TURN)
    rendered_request = render(client_request(turns=history), **DEMANDS)
    assert "thoughtSignature" not in rendered_request.body["contents"][1]["parts"][0]


def test_a_state_token_is_sent_as_base64():
    told_state = render_signature(OWN)
    assert parse_signature(told_state) == OWN
    assert parse_signature(told_state.rstrip("=")) == OWN
    assert parse_signature(STATE) == Signature(kind=SAME_PART_SIGNATURE, value=STATE)
    assert wrap_signature(OWN) not in told_state


def test_a_native_signature_of_a_native_client_is_sent_back():
    request = body(content(text()), model(call("f", thoughtSignature=STATE)), content(result("f")))
    rendered_part = render(request, **DEMANDS).body["contents"][1]["parts"][0]
    assert rendered_part["thoughtSignature"] == STATE


# --- contents ----------------------------------------------------------------------------


def test_results_are_in_the_order_of_their_calls():
    calls = [ToolCall(id=i, name=n, arguments={}) for i, n in (("1", "a"), ("2", "b"))]
    results = [ToolResult(id=i, parts=(Text(text=i),)) for i in ("2", "1")]
    history = (
        USER_TURN,
        Turn(role="assistant", parts=tuple(calls)),
        Turn(role="user", parts=tuple(results)),
    )
    parts = render(client_request(turns=history)).body["contents"][2]["parts"]
    assert [p["functionResponse"]["name"] for p in parts] == ["a", "b"]
    assert parts[0]["functionResponse"]["response"] == {"output": "1"}


@pytest.mark.parametrize(
    ("text", "is_failed", "response"),
    [
        ('{"a":1}', None, {"a": 1}),
        ("[1]", None, {"output": "[1]"}),
        ("{oops", None, {"output": "{oops"}),
        ("no", True, {"error": "no"}),
        ("", None, {"output": ""}),
    ],
)
def test_a_result_becomes_an_object(text: str, is_failed: bool | None, response: dict[str, Any]):
    parts = (Text(text=text),) if text else ()
    history = steps(CALL)[:2] + (
        Turn(role="user", parts=(ToolResult(id="c", parts=parts, is_error=is_failed),)),
    )
    part = render(client_request(turns=history)).body["contents"][2]["parts"][0]
    assert part["functionResponse"]["response"] == response


@pytest.mark.parametrize("inside", [True, False])
def test_an_image_in_a_result_is_inside_or_after_it(inside: bool):
    image = Image(data=PNG, media_type="image/png")
    history = steps(CALL)[:2] + (
        Turn(role="user", parts=(ToolResult(id="c", parts=(image,), path="m"),)),
    )
    rendered_request = render(client_request(turns=history), tool_result_images=inside)
    parts = rendered_request.body["contents"][2]["parts"]
    assert (len(parts) == 1) == inside
    assert ("parts" in parts[0]["functionResponse"]) == inside
    assert (reported_fields(rendered_request.report) == []) == inside


def test_a_later_system_message_becomes_a_user_turn():
    system = Turn(role="system", parts=(Text(text="Be kind."),), effort="low", path="messages[1]")
    rendered_request = render(client_request(turns=(USER_TURN, system)))
    assert rendered_request.body["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}, {"text": "<system>\nBe kind.\n</system>"}]}
    ]
    assert rendered_request.body["generationConfig"]["thinkingConfig"]["thinkingLevel"] == "LOW"
    assert ("messages[1]", "approximated") in reported_fields(rendered_request.report)


def test_a_model_turn_may_not_be_first_or_last():
    response = Turn(role="assistant", parts=(Text(text="x"),), path="messages[0]")
    first = render(client_request(turns=(response, USER_TURN)))
    assert first.body["contents"][0]["role"] == "user"
    assert ("messages[0]", "approximated") in reported_fields(first.report)
    with pytest.raises(GatewayError) as error:
        render(client_request(turns=(USER_TURN, response)))
    assert error.value.error.param == "messages[0]"


@pytest.mark.parametrize(
    ("part", "expected", "expected_losses"),
    [
        (Image(url="https://x/y.png", path="p"), "text", [("p", "dropped")]),
        (Image(url="gs://b/y.png", media_type="image/png", path="p"), "fileData", []),
        (Image(data=PNG, detail="high", path="p"), "inlineData", [("p.detail", "dropped")]),
        (Document(text="words", title="t", path="p"), "inlineData", [("p.title", "dropped")]),
    ],
)
def test_media_are_sent_in_googles_format(part: Any, expected: str, expected_losses: list[Any]):
    rendered_request = render(client_request(turns=(Turn(role="user", parts=(part,)),)))
    assert expected in rendered_request.body["contents"][0]["parts"][0]
    assert reported_fields(rendered_request.report) == expected_losses


def test_a_file_of_another_provider_is_refused():
    with pytest.raises(GatewayError) as error:
        render(
            client_request(turns=(Turn(role="user", parts=(Image(file_id="file-1", path="p"),)),))
        )
    assert error.value.error.param == "p"


# --- the rest ----------------------------------------------------------------------------


def test_fields_without_equivalent_are_reported():
    rendered_request = render(
        client_request(
            sampling=Sampling(min_p=0.1, logit_bias={"1": 1.0}, stop=tuple("abcdef"), n=9),
            meta=Meta(user_id="u", session_key="s", metadata={"a": "b"}),
            output=Output(format="json", name="n", verbosity="low"),
            tool_choice=ToolChoice(mode="auto", parallel=False),
            tools=(
                Tool(name="f", strict=True, path="tools[0]"),
                Tool(name="web_search_1", kind="server", dialect="x", native={}, path="tools[1]"),
                Tool(name="shell", kind="server", dialect="x", native={}, path="tools[2]"),
            ),
        ),
        metadata=False,
    )
    assert {path for path, _ in reported_fields(rendered_request.report)} == {
        *("min_p", "logit_bias", "stop", "n", "user_id", "session_key", "metadata"),
        *("name", "verbosity", "parallel", "tools[0].strict", "tools[2]"),
    }
    assert rendered_request.body["toolConfig"]["functionCallingConfig"]["mode"] == "VALIDATED"
    assert {"googleSearch": {}} in rendered_request.body["tools"]
    assert rendered_request.body["generationConfig"]["responseMimeType"] == "application/json"


def test_strict_tools_select_the_mode_validated():
    tools = (Tool(name="f", strict=True, path="tools[0]"), Tool(name="g", path="tools[1]"))
    rendered_request = render(client_request(tools=tools))
    assert rendered_request.body["toolConfig"]["functionCallingConfig"]["mode"] == "VALIDATED"
    assert reported_fields(rendered_request.report) == [("tools[0].strict", "approximated")]


def test_the_mode_validated_of_a_google_client_is_sent_unchanged():
    calling_config = {"functionCallingConfig": {"mode": "VALIDATED"}}
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    rendered_request = render(body(tools=tools, toolConfig=calling_config))
    assert rendered_request.body["toolConfig"] == calling_config
    assert rendered_request.report == ()


def test_a_strict_tool_that_is_not_allowed_does_not_change_the_mode():
    tools = (Tool(name="f", strict=True, path="tools[0]"), Tool(name="g", path="tools[1]"))
    rendered_request = render(
        client_request(tools=tools, tool_choice=ToolChoice(mode="allowed", names=("g",)))
    )
    assert rendered_request.body["toolConfig"]["functionCallingConfig"]["mode"] == "AUTO"
    assert "tools[0].strict" not in {path for path, _ in reported_fields(rendered_request.report)}


@pytest.mark.parametrize(
    ("output", "hint", "path"),
    [
        (Output(format="json", name="n"), "Answer only with one JSON object.", "format"),
        (
            Output(format="schema", name="n", schema={"type": "object"}, description="d"),
            "Answer only with JSON that follows this JSON Schema:\n"
            '{"description":"d","type":"object"}',
            "schema",
        ),
    ],
)
def test_an_older_model_gets_the_output_format_beside_tools_as_an_instruction(
    output: Output, hint: str, path: str
):
    tools = (Tool(name="f", path="tools[0]"),)
    request = client_request(output=output, tools=tools, instructions=(Text(text="s"),))
    rendered_request = render(request, structured_with_tools=False)
    assert "generationConfig" not in rendered_request.body
    assert rendered_request.body["systemInstruction"]["parts"] == [{"text": "s"}, {"text": hint}]
    assert reported_fields(rendered_request.report) == [(path, "approximated"), ("name", "dropped")]
    without_tools = render(client_request(output=output), structured_with_tools=False)
    assert without_tools.body["generationConfig"]["responseMimeType"] == "application/json"


def test_names_that_google_rejects_are_mapped_back():
    names = ("a.b:c", "1st", "ä", "ü", "_1st", "x" * 200, "a.b/d")
    rendered_request = render(client_request(tools=tuple(Tool(name=name) for name in names)))
    rendered_names = [f["name"] for f in rendered_request.body["tools"][0]["functionDeclarations"]]
    assert len(set(rendered_names)) == len(names)
    assert (rendered_names[0], rendered_names[-1]) == ("a.b:c", "a.b_d")
    assert [rendered_request.client_names.get(name, name) for name in rendered_names] == list(names)


def test_a_token_count_accepts_a_complete_request():
    request = parse({"model": "gw", "generateContentRequest": {**body(), "model": "models/else"}})
    assert request.model == "gw"
    assert len(request.turns) == 1


@pytest.mark.parametrize("name", ["generateContentRequest", "generate_content_request"])
@pytest.mark.parametrize("preset", ["gemini", "vertex"])
def test_a_counted_request_names_the_model_of_the_target(name: str, preset: str):
    """The request in the body of a token count has a name of its own; Vertex AI has no such form."""
    contents = body()["contents"]
    wrapped = {"model": "gw", name: {"model": "models/gw", "contents": contents}}
    translation = translate.request("gemini_count_tokens", preset, wrapped, {}, "gemini-3-pro")
    sent = translation["body"]
    if preset == "gemini":
        assert sent.keys() == {"generateContentRequest"}
        sent = sent["generateContentRequest"]
        assert sent.pop("model") == "models/gemini-3-pro"
    assert sent == {"contents": contents}
    assert translation["report"] == []


# --- a signature that the API refused ---------------------------------------------------


def without_state(*contents: Any, **traits: Any) -> tuple[Any, list[tuple[str, str]]]:
    """Return the contents of a passthrough body without signatures, and the report."""
    assert DIALECT.drop_reasoning_state is not None
    fields = {"contents": msgspec.Raw(msgspec.json.encode(contents))}
    rendered_content, report = DIALECT.drop_reasoning_state(fields, Traits(**traits))
    return msgspec.json.decode(rendered_content["contents"]), [
        (row.path, row.action) for row in report
    ]


def test_refused_signatures_are_dropped_in_both_spellings():
    parts = [
        {"text": "Hm", "thoughtSignature": STATE},
        {"text": "", "thought_signature": STATE},
        {"functionCall": {"name": "f"}, "thoughtSignature": STATE},
        {"functionCall": {"name": "g"}},
    ]
    asked_content, message = {"role": "user", "parts": [{"text": "Q"}]}, {"role": "model"}
    rendered_content, report = without_state(asked_content, {**message, "parts": parts})
    bare = [{"text": "Hm"}, {"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}]
    assert rendered_content == [asked_content, {**message, "parts": bare}]
    assert report == [
        ("contents[1].parts[0].thoughtSignature", "dropped"),
        ("contents[1].parts[1].thought_signature", "dropped"),
        ("contents[1].parts[2].thoughtSignature", "dropped"),
    ]


def test_a_model_that_requires_signatures_gets_the_skip_value_once_a_step():
    parts = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}]
    rendered_content, report = without_state(
        {"role": "model", "parts": parts}, replay_reasoning="required_on_tools"
    )
    signatures = [part.get("thoughtSignature") for part in rendered_content[0]["parts"]]
    assert signatures == [SKIP_SIGNATURE, None]
    assert report == [("contents[0].parts[0]", "approximated")]
