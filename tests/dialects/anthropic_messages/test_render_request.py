"""Canonical requests are rendered for Anthropic models, and losses are reported."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
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
from tests.dialects.anthropic_messages.make import (
    USER,
    USER_TURN,
    assistant,
    body,
    client_request,
    losses_of,
    parse,
    render,
    request_body,
    text,
    tool,
)

F = Tool(name="f", schema={"type": "object", "properties": {}}, path="tools[0]")


# --- the limit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_output", "flags", "expected", "reported"),
    [
        (50, {}, 50, []),
        (None, {}, 8192, [("max_tokens", "defaulted")]),
        (None, {"max_output": 4096}, 4096, [("max_tokens", "defaulted")]),
        (None, {"default_max_output": 32000}, 32000, [("max_tokens", "defaulted")]),
        (50_000, {"max_output": 4096}, 4096, [("max_output", "approximated")]),
    ],
    ids=["given", "absent", "small model", "route default", "too much"],
)
def test_max_tokens_is_always_sent(
    max_output: int | None, flags: dict[str, Any], expected: int, reported: list[tuple[str, str]]
):
    rendered_request = render(client_request(max_output=max_output), **flags)
    assert rendered_request.body["max_tokens"] == expected
    assert [(item.path, item.action) for item in rendered_request.report] == reported


@pytest.mark.parametrize(
    ("stream", "tools", "flags", "expected"),
    [
        (True, (F,), {}, 32_000),
        (True, (), {}, 8192),
        (False, (F,), {}, 8192),
        (True, (F,), {"max_output": 8192}, 8192),
        (True, (F,), {"agent_max_output": 100}, 100),
    ],
    ids=["agent", "no tools", "whole", "small model", "route default"],
)
def test_the_default_max_tokens_with_tools_allows_long_calls(
    stream: bool, tools: tuple[Tool, ...], flags: dict[str, Any], expected: int
):
    request = client_request(max_output=None, stream=stream, tools=tools)
    assert render(request, **flags).body["max_tokens"] == expected


# --- sampling --------------------------------------------------------------------------


def test_sampling_is_sent_with_the_older_version_where_supported():
    request = parse(body(temperature=0.5, top_k=3), anthropic_version="2026-10-21")
    rendered_request = render(request)
    assert (rendered_request.body["temperature"], rendered_request.body["top_k"]) == (0.5, 3)
    assert rendered_request.headers["anthropic-version"] == "2023-06-01"


def test_without_sampling_the_clients_version_is_passed_on():
    assert render(parse(body(), anthropic_version="2026-10-21")).headers == {
        "anthropic-version": "2026-10-21"
    }
    assert render(client_request()).headers == {"anthropic-version": "2023-06-01"}


def test_a_model_that_rejects_sampling_gets_none():
    sampling = Sampling(temperature=0.2, top_p=0.5, top_k=3)
    rendered_request = render(client_request(sampling=sampling), sampling=False)
    assert not rendered_request.body.keys() & {"temperature", "top_p", "top_k"}
    assert losses_of(rendered_request) == [
        ("temperature", "dropped"),
        ("top_p", "dropped"),
        ("top_k", "dropped"),
    ]


def test_temperature_is_clamped_and_takes_precedence_over_top_p():
    rendered_request = render(client_request(sampling=Sampling(temperature=1.5, top_p=0.5)))
    assert rendered_request.body["temperature"] == 1.0
    assert "top_p" not in rendered_request.body
    assert losses_of(rendered_request) == [("temperature", "approximated"), ("top_p", "dropped")]


def test_a_reasoning_model_accepts_only_a_large_top_p():
    sampling = Sampling(temperature=0.5, top_p=0.96, top_k=3)
    rendered_request = render(
        client_request(sampling=sampling, reasoning=ReasoningConfig(mode="auto"))
    )
    assert rendered_request.body["top_p"] == 0.96
    assert losses_of(rendered_request) == [("temperature", "dropped"), ("top_k", "dropped")]


def test_temperature_one_is_no_loss_with_reasoning():
    request = client_request(
        sampling=Sampling(temperature=1), reasoning=ReasoningConfig(mode="auto")
    )
    assert losses_of(render(request)) == []


def test_fields_that_the_dialect_never_had_are_reported_each():
    sampling = Sampling(
        min_p=0.1,
        frequency_penalty=0.5,
        presence_penalty=0.0,
        repetition_penalty=1.1,
        seed=7,
        logprobs=True,
        top_logprobs=2,
        logit_bias={"5": 1.0},
    )
    assert losses_of(render(client_request(sampling=sampling))) == [
        ("min_p", "dropped"),
        ("frequency_penalty", "dropped"),
        ("repetition_penalty", "dropped"),
        ("seed", "dropped"),
        ("logit_bias", "dropped"),
        ("logprobs", "dropped"),
        ("top_logprobs", "dropped"),
    ]


def test_blank_stop_sequences_are_omitted():
    rendered_request = render(client_request(sampling=Sampling(stop=("\n", "END"))))
    assert rendered_request.body["stop_sequences"] == ["END"]
    assert losses_of(rendered_request) == [("stop", "dropped")]


@pytest.mark.parametrize(("limit", "stop"), [(2, ["a", "b"]), (0, None), (None, ["a", "b", "c"])])
def test_stop_sequences_are_limited_to_the_targets_maximum(
    limit: int | None, stop: list[str] | None
):
    rendered_request = render(
        client_request(sampling=Sampling(stop=("a", "b", "c"))), stop_max=limit
    )
    assert rendered_request.body.get("stop_sequences") == stop


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(n=2)}, "n"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ],
)
def test_unsupported_response_parameters_are_refused(fields: dict[str, Any], param: str):
    with pytest.raises(GatewayError) as error:
        render(client_request(**fields))
    assert error.value.error.kind == "unsupported_param"
    assert error.value.error.param == param


# --- tools -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        (ToolChoice(mode="auto"), {"type": "auto"}),
        (ToolChoice(mode="any"), {"type": "any"}),
        (ToolChoice(mode="none"), {"type": "none"}),
        (ToolChoice(mode="named", names=("f",)), {"type": "tool", "name": "f"}),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (
            ToolChoice(mode="any", parallel=False),
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        (ToolChoice(mode="none", parallel=False), {"type": "none"}),
        (ToolChoice(mode="auto", parallel=True), {"type": "auto"}),
        (ToolChoice(parallel=True), None),
    ],
    ids=str,
)
def test_tool_choice_is_sent(choice: ToolChoice | None, expected: dict[str, Any] | None):
    rendered_request = render(client_request(tools=(F,), tool_choice=choice))
    assert rendered_request.body.get("tool_choice") == expected
    assert losses_of(rendered_request) == []


def test_a_choice_without_tools_is_omitted():
    rendered_request = render(client_request(tool_choice=ToolChoice(mode="any")))
    assert "tool_choice" not in rendered_request.body
    assert losses_of(rendered_request) == [("tool_choice", "dropped")]


@pytest.mark.parametrize(("required", "kind"), [(True, "any"), (False, "auto")])
def test_only_the_allowed_subset_of_tools_is_sent(kind: str, *, required: bool):
    tools = (F, Tool(name="g", path="tools[1]"))
    choice = ToolChoice(mode="allowed", names=("g",), required=required)
    rendered_request = render(client_request(tools=tools, tool_choice=choice))
    assert [item["name"] for item in rendered_request.body["tools"]] == ["g"]
    assert rendered_request.body["tool_choice"] == {"type": kind}
    assert losses_of(rendered_request) == [("tool_choice", "approximated")]


def test_a_forced_tool_choice_becomes_auto_where_unsupported():
    request = client_request(tools=(F,), tool_choice=ToolChoice(mode="any"))
    rendered_request = render(request, forced_tools=False)
    assert rendered_request.body["tool_choice"] == {"type": "auto"}
    assert losses_of(rendered_request) == [("tool_choice", "approximated")]


def test_parallel_calls_stay_enabled_where_they_cannot_be_disabled():
    request = client_request(tools=(F,), tool_choice=ToolChoice(parallel=False))
    rendered_request = render(request, parallel_toggle=False)
    assert "tool_choice" not in rendered_request.body
    assert losses_of(rendered_request) == [("parallel", "dropped")]


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ({"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}, "tools[0].format"),
        (
            {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}},
            "tools[0].format",
        ),
        ({"type": "text"}, "tools[0]"),
        (None, "tools[0]"),
    ],
    ids=["responses grammar", "chat grammar", "text", "none"],
)
def test_a_free_text_tool_is_a_function_with_one_string(form: Any, path: str):
    custom = Tool(
        name="apply_patch", kind="custom", description="Edit", format=form, path="tools[0]"
    )
    rendered_request = render(client_request(tools=(custom,)))
    (function,) = rendered_request.body["tools"]
    assert function["input_schema"]["required"] == ["input"]
    assert function["description"].startswith("Edit")
    grammar = "\n\nThe input must match this lark grammar:\nstart: /.+/"
    assert (grammar in function["description"]) is (path == "tools[0].format")
    assert rendered_request.custom_tools == {"apply_patch"}
    assert losses_of(rendered_request) == [(path, "approximated")]


def test_a_tool_without_a_schema_gets_an_empty_one():
    (rendered_tool,) = render(client_request(tools=(Tool(name="f"),))).body["tools"]
    assert rendered_tool == {"name": "f", "input_schema": {"type": "object", "properties": {}}}


def test_the_root_of_a_schema_becomes_an_object():
    tool = Tool(
        name="f", schema={"anyOf": [{"type": "object"}], "description": "d"}, path="tools[0]"
    )
    rendered_request = render(client_request(tools=(tool,)))
    assert rendered_request.body["tools"][0]["input_schema"] == (F.schema or {}) | {
        "description": "d"
    }
    assert losses_of(rendered_request) == [("tools[0]", "approximated")]


def test_own_server_tools_are_sent_and_others_reported():
    server_tool = {"type": "web_search_20260318", "name": "web_search"}
    theirs = Tool(
        name="file_search",
        kind="server",
        dialect="openai_responses",
        native={"type": "file_search"},
        path="tools[0]",
    )
    assert render(body(tools=[server_tool])).body["tools"] == [server_tool]
    rendered_request = render(client_request(tools=(theirs,)))
    assert "tools" not in rendered_request.body
    assert losses_of(rendered_request) == [("tools[0]", "dropped")]


@pytest.mark.parametrize(
    "native",
    [
        {
            "web_search_options": {
                "search_context_size": "low",
                "user_location": {"type": "approximate", "approximate": {"country": "DE"}},
            }
        },
        {
            "type": "web_search",
            "search_context_size": "low",
            "user_location": {"type": "approximate", "country": "DE"},
        },
    ],
    ids=["chat", "responses"],
)
def test_another_dialects_web_search_is_anthropics(native: dict[str, Any]):
    search = Tool(name="web_search", kind="server", dialect="x", native=native, path="p")
    rendered_request = render(client_request(tools=(search,)), web_search="web_search_20260318")
    assert rendered_request.body["tools"] == [
        {
            "type": "web_search_20260318",
            "name": "web_search",
            "user_location": {"type": "approximate", "country": "DE"},
        }
    ]
    assert losses_of(rendered_request) == [("p.search_context_size", "dropped")]
    assert losses_of(render(client_request(tools=(search,)))) == [("p", "dropped")]


def test_the_domains_of_a_web_search_are_sent():
    native = {"type": "web_search", "filters": {"allowed_domains": ["example.com"]}}
    search = Tool(name="web_search", kind="server", dialect="x", native=native, path="p")
    rendered_request = render(client_request(tools=(search,)), web_search="web_search_20260318")
    assert rendered_request.body["tools"][0]["allowed_domains"] == ["example.com"]


def test_further_fields_of_own_tools_are_sent():
    tool_fields = tool(input_examples=[{}], defer_loading=True)
    assert render(body(tools=[tool_fields])).body["tools"] == [tool_fields]


def test_names_that_are_illegal_or_too_long_are_mapped_back():
    long = "mcp__" + "x" * 80
    rendered_request = render(client_request(tools=(Tool(name="a.b"), Tool(name=long))))
    short, shortened = (item["name"] for item in rendered_request.body["tools"])
    assert (short, len(shortened)) == ("a_b", 64)
    assert rendered_request.client_names == {"a_b": "a.b", shortened: long}


def test_calls_in_the_history_get_their_tools_named_where_none_are_offered():
    turns = (
        USER_TURN,
        Turn(role="assistant", parts=(ToolCall(id="c", name="f", arguments={}),), path="m"),
        Turn(role="user", parts=(ToolResult(id="c"),), path="m"),
    )
    rendered_request = render(client_request(turns=turns))
    assert [item["name"] for item in rendered_request.body["tools"]] == ["f"]
    assert rendered_request.body["tool_choice"] == {"type": "none"}
    assert losses_of(rendered_request) == [("tools", "approximated")]


# --- reasoning -------------------------------------------------------------------------

ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OLD = {"reasoning_modes": ("enabled", "disabled"), "efforts": ()}


@pytest.mark.parametrize(
    ("reasoning", "flags", "expected", "effort", "reported"),
    [
        (ReasoningConfig(effort="high"), {}, ADAPTIVE, "high", []),
        (ReasoningConfig(effort="minimal"), {}, ADAPTIVE, "low", [("effort", "approximated")]),
        (
            ReasoningConfig(effort="xhigh"),
            {"efforts": ("low", "medium", "high", "max")},
            ADAPTIVE,
            "high",
            [("effort", "approximated")],
        ),
        (
            ReasoningConfig(effort="medium"),
            {"efforts": ("low", "high"), "effort_map": {"medium": "high"}},
            ADAPTIVE,
            "high",
            [("effort", "approximated")],
        ),
        (ReasoningConfig(mode="off"), {}, {"type": "disabled"}, None, []),
        (ReasoningConfig(effort="none"), {}, {"type": "disabled"}, None, []),
        (
            ReasoningConfig(mode="off"),
            {"reasoning_always_on": True},
            None,
            None,
            [("reasoning", "approximated")],
        ),
        (ReasoningConfig(mode="off"), {"reasoning_modes": ("enabled",)}, None, None, []),
        (
            ReasoningConfig(mode="auto", visible="none"),
            {},
            {"type": "adaptive", "display": "omitted"},
            None,
            [],
        ),
        (
            ReasoningConfig(mode="auto", visible="raw"),
            {},
            ADAPTIVE,
            None,
            [("visible", "approximated")],
        ),
        (
            ReasoningConfig(mode="budget", budget=5000),
            {},
            ADAPTIVE,
            "medium",
            [("budget", "approximated")],
        ),
        (
            ReasoningConfig(mode="budget", budget=5000),
            {"reasoning_modes": ("adaptive", "enabled")},
            {"type": "enabled", "budget_tokens": 5000},
            None,
            [],
        ),
        (ReasoningConfig(effort="low"), OLD, {"type": "enabled", "budget_tokens": 2048}, None, []),
        (ReasoningConfig(effort="max"), OLD, {"type": "enabled", "budget_tokens": 32000}, None, []),
        (
            ReasoningConfig(mode="auto"),
            OLD,
            {"type": "enabled", "budget_tokens": 16384},
            None,
            [("reasoning", "approximated")],
        ),
        (
            ReasoningConfig(mode="budget", budget=99),
            OLD,
            {"type": "enabled", "budget_tokens": 1024},
            None,
            [("budget", "approximated")],
        ),
        (
            ReasoningConfig(effort="high"),
            {"reasoning_modes": (), "efforts": ()},
            None,
            None,
            [("effort", "dropped")],
        ),
        (
            ReasoningConfig(mode="auto"),
            {"reasoning_modes": (), "efforts": ()},
            None,
            None,
            [("reasoning", "dropped")],
        ),
        (
            ReasoningConfig(effort="high"),
            {"efforts": ()},
            ADAPTIVE,
            None,
            [("effort", "dropped")],
        ),
    ],
)
def test_reasoning_is_requested_in_the_models_form(
    reasoning: ReasoningConfig,
    flags: dict[str, Any],
    expected: dict[str, Any] | None,
    effort: str | None,
    reported: list[tuple[str, str]],
):
    rendered_request = render(client_request(reasoning=reasoning, max_output=64_000), **flags)
    assert rendered_request.body.get("thinking") == expected
    assert rendered_request.body.get("output_config", {}).get("effort") == effort
    assert losses_of(rendered_request) == reported


@pytest.mark.parametrize(
    ("max_output", "flags", "limit", "budget"),
    [
        (4000, {}, 4000, 2976),
        (2048, {}, 2048, 1024),
        (2000, {}, 2000, None),
        (None, {}, 8192 + 16384, 16384),
        (None, {"max_output": 20_000}, 20_000, 16384),
        (None, {"max_output": 16_000}, 16_000, 14_976),
    ],
    ids=["lowered", "just enough", "no room", "limit raised", "raised to the most", "both"],
)
def test_a_budget_leaves_room_for_a_response(
    max_output: int | None, flags: dict[str, Any], limit: int, budget: int | None
):
    request = client_request(reasoning=ReasoningConfig(effort="high"), max_output=max_output)
    rendered_request = render(request, **OLD, **flags)
    assert rendered_request.body["max_tokens"] == limit
    assert rendered_request.body.get("thinking", {}).get("budget_tokens") == budget


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": (F,), "tool_choice": ToolChoice(mode="any")},
        {"turns": (USER_TURN, Turn(role="assistant", parts=(Text(text="x"),), path="m"))},
    ],
    ids=["forced tool", "prefill"],
)
def test_a_thinking_budget_is_dropped_beside_incompatible_fields(fields: dict[str, Any]):
    request = client_request(reasoning=ReasoningConfig(effort="high"), max_output=64_000, **fields)
    rendered_request = render(request, prefill=True, **OLD)
    assert "thinking" not in rendered_request.body
    assert losses_of(rendered_request) == [("reasoning", "dropped")]


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "replayed"])
def test_reasoning_skipped_for_missing_earlier_reasoning_is_reported(*, gone: bool):
    state = None if gone else Signature(provider="acme", model="acme-1", value="S")
    call = ToolCall(id="c", name="f", arguments={})
    turns = (
        USER_TURN,
        Turn(role="assistant", parts=(Reasoning(text="t", signature=state), call)),
        Turn(role="user", parts=(ToolResult(id="c"),)),
    )
    low = ReasoningConfig(effort="low")
    request = client_request(turns=turns, tools=(F,), reasoning=low, max_output=9000)
    assert losses_of(render(request, **OLD)) == ([("reasoning", "approximated")] if gone else [])


def test_adaptive_thinking_allows_a_forced_tool():
    request = client_request(
        reasoning=ReasoningConfig(effort="high"), tools=(F,), tool_choice=ToolChoice(mode="any")
    )
    assert render(request).body["thinking"]["type"] == "adaptive"


def test_a_native_clients_thinking_fields_are_sent_unchanged():
    rendered_request = render(body(output_config={"effort": "high"}))
    assert rendered_request.body["output_config"] == {"effort": "high"}
    assert "thinking" not in rendered_request.body
    rendered_request = render(body(thinking={"type": "adaptive"}))
    assert rendered_request.body["thinking"] == {"type": "adaptive"}


def test_without_thinking_the_highest_efforts_are_lowered():
    rendered_request = render(body(thinking={"type": "disabled"}, output_config={"effort": "max"}))
    assert rendered_request.body["output_config"] == {"effort": "high"}
    assert losses_of(rendered_request) == [("output_config.effort", "approximated")]


def test_interleaved_thinking_may_have_a_larger_budget():
    request = parse(
        body(thinking={"type": "enabled", "budget_tokens": 5000}, max_tokens=3000),
        anthropic_beta="interleaved-thinking-2025-05-14",
    )
    rendered_request = render(request, **OLD)
    assert rendered_request.body["thinking"]["budget_tokens"] == 5000
    assert rendered_request.headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"


def test_thinking_between_tools_is_sent_where_supported():
    asked_for = body(thinking={"type": "between_tools"})
    supported = render(asked_for, reasoning_modes=("adaptive", "between_tools"))
    assert (supported.body["thinking"], supported.report) == ({"type": "between_tools"}, ())
    unknown = render(asked_for)
    assert unknown.body["thinking"] == {"type": "adaptive"}
    assert losses_of(unknown) == [("thinking.type", "dropped")]


# --- the form of the response ------------------------------------------------------------

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


def test_a_schema_is_enforced():
    rendered_request = render(
        client_request(output=Output(format="schema", name="n", schema=CLOSED))
    )
    form = {"type": "json_schema", "schema": CLOSED}
    assert rendered_request.body["output_config"] == {"format": form}
    assert losses_of(rendered_request) == [("name", "dropped")]


@pytest.mark.parametrize(
    ("output", "flags", "path"),
    [
        (Output(format="json"), {}, "format"),
        (Output(format="schema", schema=CLOSED), {"structured": "none"}, "schema"),
        (Output(format="schema", schema={"type": "array"}), {}, "schema"),
        (
            Output(format="schema", schema={"type": "object", "properties": {"a": {"$ref": "#"}}}),
            {},
            "schema",
        ),
    ],
    ids=["json mode", "not enforced upstream", "no object", "recursive"],
)
def test_a_format_that_cannot_be_enforced_is_sent_as_an_instruction(
    output: Output, flags: dict[str, Any], path: str
):
    rendered_request = render(
        client_request(output=output, instructions=(Text(text="S"),)), **flags
    )
    assert "output_config" not in rendered_request.body
    assert [block["text"][:11] for block in rendered_request.body["system"]] == ["S", "Answer only"]
    assert losses_of(rendered_request) == [(path, "approximated")]


def test_verbosity_is_reported():
    rendered_request = render(client_request(output=Output(verbosity="low")))
    assert losses_of(rendered_request) == [("verbosity", "dropped")]


# --- the rest --------------------------------------------------------------------------


def test_the_users_id_is_sent_and_hashed_where_it_is_too_long():
    assert render(client_request(meta=Meta(user_id="u-1"))).body["metadata"] == {"user_id": "u-1"}
    rendered_request = render(client_request(meta=Meta(user_id="u" * 300)))
    assert rendered_request.body["metadata"]["user_id"].startswith("sha256:")
    assert losses_of(rendered_request) == [("user_id", "approximated")]


def test_meta_fields_without_an_equivalent_are_reported():
    meta = Meta(user_id="u", session_key="s", metadata={"a": "b"}, store=True)
    rendered_request = render(client_request(meta=meta), user_field="none")
    assert "metadata" not in rendered_request.body
    assert losses_of(rendered_request) == [
        ("user_id", "dropped"),
        ("session_key", "dropped"),
        ("metadata", "dropped"),
        ("store", "dropped"),
    ]


def test_a_session_inside_the_users_id_is_no_loss():
    rendered_request = render(body(metadata={"user_id": '{"session_id":"s"}'}))
    assert rendered_request.report == ()


@pytest.mark.parametrize(
    ("tier", "expected", "reported"),
    [
        ("default", "standard_only", []),
        ("priority", "auto", [("service_tier", "approximated")]),
        ("flex", None, [("service_tier", "dropped")]),
        ("auto", None, []),
    ],
)
def test_the_service_tier_is_sent(tier: str, expected: str | None, reported: list[tuple[str, str]]):
    rendered_request = render(client_request(meta=Meta(service_tier=tier)))
    assert rendered_request.body.get("service_tier") == expected
    assert losses_of(rendered_request) == reported


def test_unknown_fields_of_the_same_dialect_are_sent_and_others_reported():
    rendered_request = render(
        body(
            context_management={"edits": []},
            output_config={"effort": "low", "task_budget": {"total": 5}},
            metadata={"team": "t"},
            messages=[{"role": "user", "content": [text("a", weight=3)]}],
        )
    )
    assert rendered_request.body["context_management"] == {"edits": []}
    assert rendered_request.body["output_config"] == {"effort": "low", "task_budget": {"total": 5}}
    assert rendered_request.body["metadata"] == {"team": "t"}
    assert losses_of(rendered_request) == [("messages[0].content[0].weight", "dropped")]
    foreign = render(client_request(extra={"openai_chat": {"modalities": ["text"]}}))
    assert losses_of(foreign) == [("modalities", "dropped")]


def test_stream_is_sent_only_when_requested():
    assert "stream" not in render(client_request()).body
    assert render(client_request(stream=True)).body["stream"] is True


def test_the_request_is_not_changed_and_the_same_every_time():
    request = parse(request_body(USER, assistant(text("a")), USER, system="S", tools=[tool()]))
    first = render(request)
    assert render(request) == first
