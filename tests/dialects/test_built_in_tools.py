"""Provider-executed tools: support by each target, and the reports.

Rendered requests also pass the vendor's own rules (`tests.fakes`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for
from gateway.simulate import translate
from tests.each import each
from tests.fakes import (
    anthropic_rules,
    bedrock_rules,
    cohere_rules,
    gemini_rules,
    ollama_rules,
    openai_rules,
    responses_rules,
)
from tests.fakes.script import Refusal

Json = dict[str, Any]
Report = set[tuple[str, str]]

NOVA = "us.amazon.nova-2-lite-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
VERSION = {"anthropic-version": "2023-06-01"}
CALLED: Json = {"type": "function", "name": "f", "parameters": {"type": "object"}}
# As Codex sends it in every turn.
CACHED_SEARCH = {"type": "web_search", "external_web_access": False}
LIVE_SEARCH = {"type": "web_search"}


def plain_chat(body: Json) -> Refusal | None:
    """Return OpenAI's refusal for a server that also accepts built-in tool types."""
    tools = [tool for tool in body.get("tools", ()) if tool["type"] in {"function", "custom"}]
    body = {**body, "model": "gpt-4o", "tools": tools}
    if not tools:
        del body["tools"]
    return openai_rules.refusal(body)


RULES: dict[str, tuple[str, Callable[[Json], Refusal | None]]] = {
    "anthropic": (
        "claude-opus-5-5",
        lambda body: anthropic_rules.refusal(body, VERSION, counting=False),
    ),
    "gemini": ("gemini-3.8-flash", lambda body: gemini_rules.refusal(body, "gemini-3.8-flash")),
    "bedrock": (CLAUDE, lambda body: bedrock_rules.refusal(CLAUDE, body)),
    "openai_chat": ("gpt-4o", openai_rules.refusal),
    "openai": ("gpt-4o", openai_rules.refusal),
    "openrouter": ("meta-llama/llama-4", plain_chat),
    "deepseek": ("deepseek-chat", openai_rules.deepseek_refusal),
    "mistral": ("mistral-large-latest", lambda body: None),
    "cohere": ("command-a-03-2025", cohere_rules.refusal),
    "ollama": ("qwen3", lambda body: ollama_rules.refusal("/api/chat", body)),
}


def translate_request(
    target: str, model: str, request: Json, source: str = "openai_responses"
) -> tuple[Json, Report]:
    """Return the rendered body for a provider, and the report."""
    translation = translate.request(
        source, target, {"model": "gw", "input": "hi", **request}, {}, model
    )
    return translation["body"], {(row["field"], row["action"]) for row in translation["report"]}


# --- built-in tools beside functions -----------------------------------------------------


def test_gemini_3_combines_search_and_functions() -> None:
    body, report = translate_request(
        "gemini",
        "gemini-3.8-flash",
        {"tools": [CALLED, LIVE_SEARCH], "tool_choice": "auto"},
    )
    assert gemini_rules.refusal(body, "gemini-3.8-flash") is None
    assert [set(tool) for tool in body["tools"]] == [{"functionDeclarations"}, {"googleSearch"}]
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert report == set()


def test_a_forced_function_stays_forced_beside_a_search() -> None:
    request = {"tools": [CALLED, LIVE_SEARCH], "tool_choice": {"type": "function", "name": "f"}}
    body, _ = translate_request("gemini", "gemini-3.8-flash", request)
    assert gemini_rules.refusal(body, "gemini-3.8-flash") is None
    assert body["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]},
        "includeServerSideToolInvocations": True,
    }


@each("preset", ["gemini", "vertex"])
@each("model", ["gemini-2.5-flash", "gemini-2.5-pro"])
def test_gemini_2_5_gets_the_functions_without_the_search(preset: str, model: str) -> None:
    body, report = translate_request(preset, model, {"tools": [CALLED, LIVE_SEARCH]})
    assert gemini_rules.refusal(body, model) is None
    assert [set(tool) for tool in body["tools"]] == [{"functionDeclarations"}]
    assert report == {("tools[1]", "dropped")}


@each("model", ["gemini-2.5-flash", "gemini-3.8-flash"])
def test_a_search_without_functions_needs_no_tool_config_flag(model: str) -> None:
    body, report = translate_request("gemini", model, {"tools": [LIVE_SEARCH]})
    assert gemini_rules.refusal(body, model) is None
    assert body["tools"] == [{"googleSearch": {}}]
    assert "toolConfig" not in body
    assert report == set()


def test_vertex_gets_no_tool_config_flag() -> None:
    body, report = translate_request("vertex", "gemini-3.8-flash", {"tools": [CALLED, LIVE_SEARCH]})
    assert [set(tool) for tool in body["tools"]] == [{"functionDeclarations"}, {"googleSearch"}]
    assert "toolConfig" not in body
    assert report == set()


def test_code_run_by_gemini_precedes_the_call_that_follows_it() -> None:
    """Gemini returns its code calls; clients of other dialects get the function calls only."""
    parts = [
        {
            "toolCall": {"id": "s", "toolType": "GOOGLE_SEARCH_WEB", "args": {}},
            "thoughtSignature": "QQ",
        },
        {"toolResponse": {"id": "s", "toolType": "GOOGLE_SEARCH_WEB"}, "thoughtSignature": "QQ"},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "Qg"},
    ]
    reply = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    traits = traits_for("gemini", "gemini-3.8-flash")
    response = DIALECTS["gemini"].provider.parse_response(reply, traits, None)
    assert [
        type(part).__name__ for part in response.parts if type(part).__name__ != "Reasoning"
    ] == [
        "Native",
        "Native",
        "ToolCall",
    ]
    assert response.finish.reason == "tool"


# --- a search that must not read the live web --------------------------------------------


@each("target", RULES)
def test_an_index_search_never_becomes_a_live_search(target: str) -> None:
    model, refusal = RULES[target]
    fields = {"tools": [CALLED, CACHED_SEARCH], "tool_choice": "auto", "max_output_tokens": 99}
    translation = translate.request(
        "openai_responses", target, {"model": "gw", "input": "hi", **fields}, {}, model
    )
    if translation["path"].endswith("/responses"):
        assert CACHED_SEARCH in translation["body"]["tools"]
        return
    body = translation["body"]
    assert refusal(body) is None
    assert ("tools[1]", "dropped") in {(r["field"], r["action"]) for r in translation["report"]}
    assert "search" not in msgspec.json.encode(body).decode().lower()


def test_a_live_search_is_still_sent_where_there_is_one() -> None:
    kinds = {"anthropic": "web_search_20260318", "openrouter": "openrouter:web_search"}
    for target, kind in kinds.items():
        tools = [CALLED, {"type": "web_search", "external_web_access": True}]
        body, _ = translate_request(target, RULES[target][0], {"tools": tools})
        assert kind in {tool.get("type") for tool in body["tools"]}


def test_a_chat_clients_index_search_is_sent_to_responses() -> None:
    tools = [{"type": "web_search", "external_web_access": False}]
    params = {"messages": [{"role": "user", "content": "hi"}], "tools": tools}
    translation = translate.request(
        "openai_chat", "openai_responses", {"model": "gw", **params}, {}, "o3"
    )
    assert translation["body"]["tools"] == [{"type": "web_search", "external_web_access": False}]


# --- the version of Anthropic's search ---------------------------------------------------


@each(
    ("preset", "model", "kind"),
    [
        ("anthropic", "claude-haiku-4-5", "web_search_20250305"),
        ("anthropic", "claude-sonnet-4-5-20250929", "web_search_20250305"),
        ("anthropic", "claude-3-7-sonnet-latest", "web_search_20250305"),
        ("anthropic", "claude-opus-4-6", "web_search_20260318"),
        ("anthropic", "claude-opus-5-5", "web_search_20260318"),
        ("azure-anthropic", "claude-haiku-4-5", "web_search_20250305"),
        ("vertex-anthropic", "claude-opus-5-5", "web_search_20250305"),
    ],
)
def test_the_search_tool_has_a_version_supported_by_the_model(
    preset: str, model: str, kind: str
) -> None:
    body, _ = translate_request(preset, model, {"tools": [LIVE_SEARCH]})
    assert [tool["type"] for tool in body["tools"]] == [kind]
    if model in anthropic_rules.MODELS and "model" in body:
        assert anthropic_rules.refusal(body, VERSION, counting=False) is None


# --- a choice of a tool that is not sent -------------------------------------------------

NAMED = {"type": "mcp", "server_label": "s", "server_url": "https://s.org"}


@each("target", RULES)
@each(
    ("tool", "choice"),
    [
        (NAMED, {"type": "mcp", "server_label": "s"}),
        (CACHED_SEARCH, {"type": "web_search"}),
        (LIVE_SEARCH, {"type": "web_search"}),
        (
            CACHED_SEARCH,
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
        ),
        (
            CACHED_SEARCH,
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}],
            },
        ),
    ],
    ids=["mcp", "cached", "live", "allowed", "allowed_both"],
)
def test_a_tool_choice_is_dropped_with_its_tool(target: str, tool: Json, choice: Json) -> None:
    model, refusal = RULES[target]
    fields = {"tools": [CALLED, tool], "tool_choice": choice, "max_output_tokens": 99}
    translation = translate.request(
        "openai_responses", target, {"model": "gw", "input": "hi", **fields}, {}, model
    )
    if translation["path"].endswith("/responses"):
        assert translation["passthrough"] or responses_rules.refusal(translation["body"]) is None
        return
    report = {r["field"]: r["action"] for r in translation["report"]}
    assert refusal(translation["body"]) is None, translation["body"]
    if report.get("tools[1]") == "dropped":
        # A choice that also allows another tool still holds for it.
        assert "tool_choice" in report or len(choice.get("tools", ())) > 1
        # A choice of one tool that can not be sent takes no other tool with it.
        assert choice["type"] == "allowed_tools" or b'"f"' in msgspec.json.encode(
            translation["body"]
        )


@each("options", [{}, {"search_context_size": "low"}])
@each("target", ["gemini", "nova"])
def test_only_a_search_with_options_is_approximated(target: str, options: Json) -> None:
    preset, model = {"gemini": ("gemini", "gemini-3.8-flash"), "nova": ("bedrock", NOVA)}[target]
    params = {"messages": [{"role": "user", "content": "hi"}], "web_search_options": options}
    translation = translate.request("openai_chat", preset, {"model": "gw", **params}, {}, model)
    fields = {row["field"] for row in translation["report"] if row["action"] == "approximated"}
    assert fields == ({"web_search_options"} if options else set())


GOOGLE_SEARCH: Json = {
    "excludeDomains": ["b.org"],
    "timeRangeFilter": {"startTime": "2026-01-01T00:00:00Z"},
}


@each(
    ("target", "tool", "expected_losses"),
    [
        ("anthropic", {"blocked_domains": ["b.org"]}, {"timeRangeFilter"}),
        ("openrouter", {"excluded_domains": ["b.org"]}, {"timeRangeFilter"}),
        ("openai", {}, {"timeRangeFilter", "excludeDomains"}),
    ],
)
def test_googles_excluded_domains_are_translated_or_reported(
    target: str, tool: Json, expected_losses: set[str]
) -> None:
    model, refusal = RULES[target]
    request = {
        "contents": [{"parts": [{"text": "hi"}]}],
        "tools": [{"googleSearch": GOOGLE_SEARCH}],
    }
    request["generationConfig"] = {"maxOutputTokens": 99}
    translation = translate.request("gemini", target, {"model": "gw", **request}, {}, model)
    body, report = translation["body"], translation["report"]
    (sent_tool,) = body["tools"]
    assert sent_tool.get("parameters", sent_tool).items() >= tool.items()
    assert target == "openai" or refusal(body) is None
    fields = {(row["field"], row["action"]) for row in report}
    assert fields == {(f"tools[0].googleSearch.{field}", "dropped") for field in expected_losses}


@each("target", ["anthropic", "gemini"])
def test_sources_that_are_always_shown_are_no_loss(target: str) -> None:
    """A Responses client gets the URLs of a search whether or not it includes them."""
    include = ["web_search_call.action.sources"]
    request = {"tools": [LIVE_SEARCH], "include": include, "max_output_tokens": 99}
    _, report = translate_request(target, RULES[target][0], request)
    assert report == set()
    _, report = translate_request(target, RULES[target][0], {**request, "tools": [CALLED]})
    assert report == {("include", "dropped")}


# --- limits ---------------------------------------------------------------------------------------


def test_max_tool_calls_limits_claudes_searches() -> None:
    request = {"tools": [LIVE_SEARCH], "max_tool_calls": 3, "max_output_tokens": 99}
    body, report = translate_request("anthropic", "claude-opus-5-5", request)
    assert body["tools"][0]["max_uses"] == 3
    assert report == set()


def test_max_tool_calls_of_several_tools_is_approximated() -> None:
    interpreter = {"type": "code_interpreter", "container": {"type": "auto"}}
    request = {"tools": [LIVE_SEARCH, interpreter], "max_tool_calls": 3, "max_output_tokens": 99}
    body, report = translate_request("anthropic", "claude-opus-5-5", request)
    assert body["tools"][0]["max_uses"] == 3
    assert report == {("max_tool_calls", "approximated")}


@each("target", ["gemini", "deepseek", "bedrock", "cohere", "ollama"])
def test_max_tool_calls_is_reported_where_nothing_limits_calls(target: str) -> None:
    request = {"tools": [CALLED], "max_tool_calls": 3, "max_output_tokens": 99}
    _, report = translate_request(target, RULES[target][0], request)
    assert ("max_tool_calls", "dropped") in report


# --- tools whose data belongs to their provider ---------------------------------------------------


@each("target", ["anthropic", "gemini", "mistral", "xai"])
def test_a_file_search_is_reported_with_its_reason(target: str) -> None:
    tool = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    request = {"model": "gw", "input": "hi", "tools": [tool], "max_output_tokens": 99}
    translation = translate.request("openai_responses", target, request, {}, "m")
    [row] = [row for row in translation["report"] if row["field"] == "tools[0]"]
    assert row["note"].startswith("only OpenAI's models")
    assert "vs_1" not in str(translation["body"])


def test_googles_file_search_is_reported_with_its_reason() -> None:
    request = {
        "model": "gw",
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "tools": [{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/1"]}}],
    }
    translation = translate.request("gemini", "openai_responses", request, {}, "gpt-5.6-sol")
    [row] = translation["report"]
    assert row["note"].startswith("only Google's models")


@each("target", ["mistral", "xai"])
def test_chat_apis_without_a_search_report_it(target: str) -> None:
    """Mistral searches in its Agents API only, xAI in its Responses API only."""
    body, report = translate_request(target, "m", {"tools": [LIVE_SEARCH]})
    assert "tools" not in body and "search_parameters" not in body
    assert ("tools[0]", "dropped") in report
