"""Parsing of a Chat client's fields into a canonical request, or an error with the field."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import CacheBreakpoint, Output, ReasoningConfig, Tool, ToolChoice
from tests.dialects.openai_chat.make import body, parse, request_body, tool


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 1e300}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"max_completion_tokens": 10**30}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"seed": 2**70}, "seed"),
        ({"stop": [1]}, "stop[0]"),
        ({"stop": {}}, "stop"),
        ({"logit_bias": {"5": "x"}}, "logit_bias.5"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"tools": {}}, "tools"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [tool(parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [tool(), {"name": "x"}]}, "tools[1].type"),
        ({"functions": [{"name": 1}]}, "functions[0].name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"thinking": "on"}, "thinking"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"metadata": []}, "metadata"),
        ({"user": 1}, "user"),
        ({"prediction": "x"}, "prediction"),
        ({"web_search_options": True}, "web_search_options"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_an_invalid_field_is_named(fields: dict[str, Any], param: str):
    with pytest.raises(GatewayError) as exc_info:
        parse(body(**fields))
    error = exc_info.value.error
    assert error.kind == "invalid_request"
    assert error.param == param
    assert param in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": None},
        {"stop": None},
        {"stop": []},
        {"metadata": None},
        {"response_format": None},
        {"stream_options": None},
        {"logit_bias": {}},
        {"tool_choice": None},
        {"user": None},
        {"reasoning_effort": None},
        {"service_tier": "auto"},
        {"unknown": None},
    ],
    ids=str,
)
def test_an_empty_field_equals_an_absent_one(fields: dict[str, Any]):
    request = parse(body(**fields))
    assert request.tools == ()
    assert request.sampling.stop == ()
    assert request.tool_choice is None
    assert request.extra == {}
    assert request.meta.service_tier is None


def test_limits_and_sampling_are_read():
    request = parse(
        body(
            max_tokens=9,
            temperature=1,
            top_p=0.5,
            top_k=3,
            min_p=0.1,
            frequency_penalty=1,
            presence_penalty=-1,
            repetition_penalty=1.1,
            seed=7,
            stop="END",
            n=2,
            logprobs=True,
            top_logprobs=4,
            logit_bias={"5": -100},
        )
    )
    sampling = request.sampling
    assert request.max_output == 9
    assert request.client_path("max_output") == "max_tokens"
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 0.5, 3)
    assert (sampling.min_p, sampling.repetition_penalty) == (0.1, 1.1)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (1.0, -1.0)
    assert (sampling.seed, sampling.stop, sampling.n) == (7, ("END",), 2)
    assert (sampling.logprobs, sampling.top_logprobs) == (True, 4)
    assert sampling.logit_bias == {"5": -100}


def test_max_completion_tokens_precedes_max_tokens():
    request = parse(body(max_tokens=1, max_completion_tokens=2))
    assert request.max_output == 2
    assert request.client_path("max_output") == "max_completion_tokens"


def test_a_number_of_log_probabilities_is_understood():
    sampling = parse(body(logprobs=5)).sampling
    assert (sampling.logprobs, sampling.top_logprobs) == (True, 5)


def test_mistrals_name_of_the_seed_is_understood():
    request = parse(body(random_seed=3))
    assert request.sampling.seed == 3
    assert request.client_path("seed") == "random_seed"
    assert not request.extra
    assert parse(body(random_seed=3, seed=7)).sampling.seed == 7


def test_an_integer_may_be_written_with_a_decimal_point():
    assert parse(body(max_tokens=8.0)).max_output == 8


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "xhigh"}, ReasoningConfig(effort="xhigh")),
        ({"reasoning_effort": "none"}, ReasoningConfig(mode="off")),
        ({"reasoning_effort": "default"}, None),
        ({"reasoning_effort": "med"}, ReasoningConfig(effort="medium")),
        ({"thinking": {"type": "enabled"}}, ReasoningConfig(mode="auto")),
        ({"thinking": {"type": "disabled"}}, ReasoningConfig(mode="off")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            ReasoningConfig(mode="budget", budget=2000),
        ),
        (
            {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
            ReasoningConfig(mode="auto", effort="max"),
        ),
        ({"reasoning": {"effort": "low"}}, ReasoningConfig(effort="low")),
        ({"reasoning": {"effort": "none"}}, ReasoningConfig(mode="off")),
        ({"reasoning": {"max_tokens": 500}}, ReasoningConfig(mode="budget", budget=500)),
        ({"reasoning": {"enabled": True}}, ReasoningConfig(mode="auto")),
        ({"reasoning": {"enabled": False}}, ReasoningConfig(mode="off")),
        (
            {"reasoning": {"effort": "low", "exclude": True}},
            ReasoningConfig(effort="low", visible="none"),
        ),
        ({"include_reasoning": False}, ReasoningConfig(visible="none")),
        ({}, None),
    ],
    ids=str,
)
def test_every_form_of_a_reasoning_request_is_parsed(fields: dict[str, Any], expected: object):
    assert parse(body(**fields)).reasoning == expected


def test_the_path_of_the_effort_is_the_clients_field():
    assert parse(body(reasoning_effort="low")).client_path("effort") == "reasoning_effort"
    assert parse(body(reasoning={"effort": "low"})).client_path("effort") == "reasoning.effort"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="any")),
        ("any", ToolChoice(mode="any")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice(mode="named", names=("f",))),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice(mode="named", names=("f",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            ToolChoice(mode="allowed", names=("f",), required=True),
        ),
    ],
    ids=str,
)
def test_every_tool_choice_is_understood(value: Any, expected: ToolChoice):
    assert parse(body(tools=[tool()], tool_choice=value)).tool_choice == expected


def test_parallel_tool_calls_alone_makes_a_tool_choice_without_a_mode():
    assert parse(body(parallel_tool_calls=False)).tool_choice == ToolChoice(parallel=False)


def test_the_older_forms_of_tools_and_choice_are_understood():
    request = parse(body(functions=[{"name": "f", "parameters": {}}], function_call={"name": "f"}))
    assert request.tools == (Tool(name="f", schema={}, path="functions[0]"),)
    # The older form has room for one call; the client did not write that.
    assert request.tool_choice == ToolChoice(mode="named", names=("f",), parallel=False)
    assert request.client_path("tool_choice") == "function_call"
    assert request.client_path("parallel") == ""


def test_a_function_tool_keeps_fields_that_only_chat_has():
    item = {**tool("f", description="d", strict=True, x_hint=1), "defer_loading": True}
    parsed_tool = parse(body(tools=[item])).tools[0]
    assert (parsed_tool.description, parsed_tool.strict, parsed_tool.defer) == ("d", True, True)
    assert (parsed_tool.dialect, parsed_tool.extra) == ("openai_chat", {"x_hint": 1})
    assert parsed_tool.path == "tools[0]"


def test_a_custom_tool_keeps_its_grammar():
    grammar = {"type": "grammar", "grammar": {"definition": "start: A", "syntax": "lark"}}
    item = {"type": "custom", "custom": {"name": "c", "description": "d", "format": grammar}}
    parsed_tool = parse(body(tools=[item])).tools[0]
    assert (parsed_tool.kind, parsed_tool.name, parsed_tool.format) == ("custom", "c", grammar)


def test_web_search_options_are_a_server_tool():
    parsed_tool = parse(body(web_search_options={"search_context_size": "low"})).tools[0]
    assert (parsed_tool.kind, parsed_tool.name, parsed_tool.dialect) == (
        "server",
        "web_search",
        "openai_chat",
    )
    assert parsed_tool.path == "web_search_options"


def test_a_tool_of_an_unknown_type_is_preserved_unchanged():
    item = {"type": "web_search_preview", "size": 1}
    parsed_tool = parse(body(tools=[item])).tools[0]
    assert (parsed_tool.kind, parsed_tool.native) == ("server", item)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "text"}, Output()),
        ({"type": "json_object"}, Output(format="json")),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            Output(format="schema", name="n", schema={"type": "object"}, strict=False),
        ),
    ],
    ids=["text", "json", "schema"],
)
def test_every_response_format_is_understood(value: Any, expected: Output):
    assert parse(body(response_format=value)).output == expected


def test_the_parts_of_a_schema_have_the_clients_paths():
    inner = {"name": "n", "schema": {}, "strict": True}
    request = parse(body(response_format={"type": "json_schema", "json_schema": inner}))
    assert request.client_path("schema") == "response_format.json_schema.schema"
    assert request.client_path("name") == "response_format.json_schema.name"
    assert request.client_path("format") == "response_format"


def test_the_user_fields_are_parsed():
    request = parse(
        body(
            user="u",
            safety_identifier="s",
            prompt_cache_key="k",
            metadata={"a": "b"},
            service_tier="fast",
            store=False,
        )
    )
    meta = request.meta
    assert (meta.user_id, meta.session_key, meta.metadata) == ("s", "k", {"a": "b"})
    assert (meta.service_tier, meta.store) == ("priority", False)
    assert request.client_path("user_id") == "safety_identifier"
    assert parse(body(user="u")).client_path("user_id") == "user"


def test_include_usage_is_parsed_from_stream_options():
    assert parse(body(stream=True)).include_usage is None
    request = parse(body(stream=True, stream_options={"include_usage": True}))
    assert (request.stream, request.include_usage) == (True, True)


def test_unknown_fields_are_preserved_for_the_same_dialect():
    request = parse(body(future={"a": 1}, stream_options={"include_obfuscation": False}))
    assert request.extra == {
        "openai_chat": {"future": {"a": 1}, "stream_options": {"include_obfuscation": False}}
    }


def test_a_request_level_cache_breakpoint_is_parsed():
    assert parse(body(cache_control={"type": "ephemeral", "ttl": "1h"})).cache == CacheBreakpoint(
        ttl="1h"
    )


def test_unknown_fields_of_a_message_are_stored_by_path():
    request = parse(request_body({"role": "user", "content": "x", "weight": 1, "none": None}))
    assert request.extra == {"openai_chat": {"messages[0].weight": 1}}


def test_a_body_is_not_changed_by_reading_it():
    request = body(tools=[tool()], stream_options={"include_usage": True}, x=1)
    before = repr(request)
    parse(request)
    assert repr(request) == before
