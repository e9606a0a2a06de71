"""Targets that run a request's built-in tools, and routes that prefer them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.canon.request import Tool
from gateway.dialects import DIALECTS
from gateway.routing.built_in_tools import BUILT_IN_TOOLS, built_in_tools_of, runs_tool
from gateway.routing.candidates import Decision, RequestFeatures, select_candidates
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.snapshot import Provider, Route, Target, model_of
from tests.relay.harness import completion, gateway, provider, snapshot
from tests.relay.harness import route as live_route

Json = dict[str, Any]


def target(preset: str, dialect: str, model: str) -> Target:
    named = Provider(id=1, name=preset, preset=preset, dialect=dialect, base_url="http://x")
    return Target(id=1, model=model_of(named, model))


OPENAI = target("openai", "openai_chat", "gpt-5.6")
RESPONSES = target("openai_responses", "openai_responses", "gpt-5.6")
CLAUDE = target("anthropic", "anthropic_messages", "claude-opus-5-5")
GEMINI = target("gemini", "gemini", "gemini-3.8-flash")
GROK = target("xai", "openai_chat", "grok-4.3")
LLAMA = target("groq", "openai_chat", "llama-3.3-70b")
TARGETS = [OPENAI, RESPONSES, CLAUDE, GEMINI, GROK, LLAMA]


@pytest.mark.parametrize(
    ("tool", "runners"),
    [
        ("web_search", [OPENAI, RESPONSES, CLAUDE, GEMINI, GROK]),
        ("x_search", [GROK]),
        ("code_interpreter", [OPENAI, RESPONSES, CLAUDE, GEMINI, GROK]),
        ("mcp", [OPENAI, RESPONSES, CLAUDE, GROK]),
        ("image_generation", [OPENAI, RESPONSES]),
        ("file_search", [OPENAI, RESPONSES, GROK]),
        ("openai_file_search", [OPENAI, RESPONSES]),
        ("google_file_search", [GEMINI]),
    ],
)
def test_targets_that_run_a_built_in_tool_are_detected(tool: str, runners: list[Target]) -> None:
    assert [t.model.label for t in TARGETS if runs_tool(t, tool)] == [
        t.model.label for t in runners
    ]


def test_each_tool_is_run_by_some_target() -> None:
    assert all(any(runs_tool(t, tool) for t in TARGETS) for tool in BUILT_IN_TOOLS)


@pytest.mark.parametrize(
    ("dialect", "tools", "keys"),
    [
        ("openai_responses", [{"type": "file_search", "vector_store_ids": ["vs_1"]}], "openai_file_search"),
        ("openai_responses", [{"type": "file_search", "vector_store_ids": ["c_1"]}], "file_search"),
        ("openai_responses", [{"type": "web_search"}], "web_search"),
        # As Codex sends it in every turn.
        ("openai_responses", [{"type": "web_search", "external_web_access": False}], ""),
        ("openai_responses", [{"type": "local_shell"}], ""),
        ("gemini", [{"fileSearch": {"fileSearchStoreNames": ["s"]}}], "google_file_search"),
        ("gemini", [{"googleSearch": {}}], "web_search"),
        ("gemini", [{"codeExecution": {}}], "code_interpreter"),
        ("anthropic_messages", [{"type": "code_execution_20250825", "name": "code_execution"}], "code_interpreter"),
        ("anthropic_messages", [{"name": "web_search", "input_schema": {"type": "object"}}], ""),
    ],
)  # fmt: skip
def test_built_in_tools_of_a_request_are_detected(
    dialect: str, tools: list[Json], keys: str
) -> None:
    body: Json = {"model": "m", "max_tokens": 9, "tools": tools}
    body |= {"gemini": {"contents": [{"parts": [{"text": "hi"}]}]}}.get(
        dialect, {"messages": [{"role": "user", "content": "hi"}], "input": "hi"}
    )
    parsed: tuple[Tool, ...] = DIALECTS[dialect].client.parse_request(body, {}).tools
    assert built_in_tools_of(parsed) == frozenset(filter(None, [keys]))


def select_from(
    *targets: Target,
    tool: str = "openai_file_search",
    health: dict[str, CircuitState] | None = None,
    required: bool = True,
) -> Decision:
    chosen = Route(id=1, name="r", targets=targets, require_capabilities=required)
    features = RequestFeatures(built_in_tools=frozenset({tool}))
    return select_candidates([chosen], features, health or {}, {}, 0.0, lambda: 0.5)


def labels(decision: Decision) -> list[str]:
    return [candidate.target.model.label for candidate in decision.candidates]


def test_a_target_that_runs_the_tool_is_preferred() -> None:
    decision = select_from(LLAMA, OPENAI, CLAUDE)
    assert labels(decision) == ["openai/gpt-5.6"]
    assert {skip.reason for skip in decision.skipped} == {
        "it does not support search of OpenAI's vector stores, which another target does"
    }


def test_all_targets_stay_where_none_runs_the_tool() -> None:
    assert labels(select_from(LLAMA, CLAUDE)) == [LLAMA.model.label, CLAUDE.model.label]


def test_all_targets_stay_without_required_capabilities() -> None:
    assert len(labels(select_from(LLAMA, OPENAI, required=False))) == 2


def test_a_target_in_cooldown_is_not_waited_for() -> None:
    resting = CircuitState(open_until=100.0)
    assert labels(select_from(LLAMA, OPENAI, health={"openai/gpt-5.6": resting})) == [
        LLAMA.model.label
    ]


async def test_a_live_request_goes_to_the_target_of_its_stores(tmp_path: Path) -> None:
    first, second = provider("a", preset="groq"), provider("b", preset="openai")
    registry = snapshot(live_route("m", first, second, require_capabilities=True))
    tool = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    item = {"id": "m", "type": "message", "role": "assistant", "content": []}
    body = {"id": "r", "object": "response", "status": "completed", "output": [item]}

    def respond(request: Any) -> Any:
        return completion(body=json.dumps(body).encode())

    async with gateway(tmp_path, registry, a=respond, b=respond) as gw:
        await gw.post("/v1/responses", {"model": "m", "input": "hi", "tools": [tool]})
        assert [upstream_request.url.host for upstream_request in gw.upstreams.requests] == [
            "b.test"
        ]
