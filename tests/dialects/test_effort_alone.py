"""Claude's effort, which is for the whole response and not only for its reasoning."""

from __future__ import annotations

from typing import Any

from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for
from gateway.simulate import translate
from tests.each import each

EFFORT: dict[str, Any] = {"output_config": {"effort": "low"}}
CONVERSE_BODY: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "q"}]}]}
MESSAGES_BODY: dict[str, Any] = {"max_tokens": 4000, "messages": [{"role": "user", "content": "q"}]}
OPUS = ("claude-opus-4-6", "us.anthropic.claude-opus-4-6-v1")


@each(
    ("client", "body"),
    [
        ("anthropic_messages", MESSAGES_BODY | EFFORT),
        ("bedrock_converse", CONVERSE_BODY | {"outputConfig": {"effort": "low"}}),
        ("bedrock_converse", CONVERSE_BODY | {"additionalModelRequestFields": EFFORT}),
    ],
)
def test_an_effort_does_not_turn_claudes_thinking_on(client: str, body: dict[str, Any]) -> None:
    """It is for the whole response, with or without thinking, which the request leaves off."""
    anthropic, bedrock = (
        translate.request(client, target, {"model": "m", "vendor_field": 1, **body}, {}, model)
        for target, model in zip(("anthropic", "bedrock"), OPUS, strict=True)
    )
    assert anthropic["body"]["output_config"] == {"effort": "low"}
    assert "thinking" not in anthropic["body"]
    sent = {"outputConfig": bedrock["body"].get("outputConfig")}
    sent |= {"fields": bedrock["body"].get("additionalModelRequestFields")}
    assert sent in (
        {"outputConfig": {"effort": "low"}, "fields": None},
        {"outputConfig": None, "fields": EFFORT},  # passed through
    )


@each("thinking", [{"type": "disabled"}, {"type": "enabled", "budget_tokens": 2000}])
@each("target", [0, 1])
def test_an_effort_remains_where_thinking_is_off(target: int, thinking: dict[str, Any]) -> None:
    tools = {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}
    body = {"model": "m", **MESSAGES_BODY, **EFFORT, **tools, "thinking": thinking}
    body |= {"tool_choice": {"type": "any"}, "cache_control": {"type": "ephemeral"}}
    provider = ("anthropic", "bedrock")[target]
    request = DIALECTS["anthropic_messages"].client.parse_request(body, {})
    dialect = ("anthropic_messages", "bedrock_converse")[target]
    rendered = DIALECTS[dialect].provider.render_request(
        request, traits_for(provider, OPUS[target])
    )
    config = rendered.body.get("output_config") or rendered.body.get("outputConfig")
    assert config == {"effort": "low"}
    assert "effort" not in " ".join(item.path for item in rendered.report)
