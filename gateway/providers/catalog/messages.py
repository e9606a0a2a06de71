"""Providers with Anthropic's Messages API: a new one is a row here.

Their base URL ends before `/v1/messages`, as the Anthropic SDKs expect it.
"""

from __future__ import annotations

from gateway.providers.catalog.shared import ANTHROPIC, MESSAGES_COMPATIBLE, drop_edits
from gateway.providers.profile import Edit, Preset

# Claude Code's auto mode sends local paths in it.
_DROP_SAFEGUARDS = drop_edits("only Anthropic uses Claude Code's safeguards", "safeguards")

MESSAGES_PRESETS: tuple[Preset, ...] = (
    Preset(
        name="anthropic",
        title="Anthropic",
        dialect="anthropic_messages",
        base_url="https://api.anthropic.com",
        auth="x-api-key",
        env=("ANTHROPIC_API_KEY",),
        docs="https://platform.claude.com/docs/en/api/messages",
        litellm=("anthropic",),
        aliases=("anthropic_messages", "messages", "claude"),
        traits=ANTHROPIC,
        prices="anthropic",
    ),
    Preset(
        name="deepseek-anthropic",
        logo="deepseek",
        title="DeepSeek (Anthropic API)",
        dialect="anthropic_messages",
        base_url="https://api.deepseek.com/anthropic",
        auth="x-api-key",
        env=("DEEPSEEK_API_KEY",),
        docs="https://api-docs.deepseek.com/guides/anthropic_api",
        traits={
            **MESSAGES_COMPATIBLE,
            "reasoning": True,
            "reasoning_modes": ("enabled", "disabled"),
            "efforts": ("low", "high", "max"),
            "effort_map": {"minimal": "low", "medium": "high", "xhigh": "high", "ultra": "max"},
            "replay_reasoning": "required_on_tools",
            "forced_tools": False,
            "images": False,
            "pdf": False,
            "top_k": False,
            "temperature_max": 2.0,
            "cache": "implicit",
            "max_output": 384_000,
            "context_window": 1_000_000,
        },
        edits=(
            *_DROP_SAFEGUARDS,
            *drop_edits("DeepSeek ignores it", "container", "mcp_servers", "top_k", "service_tier"),
        ),
        prices="deepseek",
    ),
    Preset(
        name="minimax",
        title="MiniMax",
        dialect="anthropic_messages",
        base_url="https://api.minimax.io/anthropic",
        auth="x-api-key",
        env=("MINIMAX_API_KEY",),
        docs="https://platform.minimax.io/docs/api-reference/text-anthropic-api",
        litellm=("minimax",),
        aliases=("minimax_anthropic",),
        traits={
            **MESSAGES_COMPATIBLE,
            "reasoning": True,
            "reasoning_modes": ("enabled", "disabled"),
            "replay_reasoning": "native",
            "top_k": False,
            "stop_max": 0,
            "pdf": False,
        },
        edits=(
            *_DROP_SAFEGUARDS,
            *drop_edits(
                "MiniMax ignores it",
                "top_k",
                "stop_sequences",
                "service_tier",
                "mcp_servers",
                "context_management",
                "container",
            ),
            # https://github.com/MiniMax-AI/MiniMax-M2.7/issues/43: a 400 for the system messages
            # that Claude Code sends since 2.1.154.
            Edit(
                op="map",
                path="messages[].role",
                value={"system": "user"},
                reason="MiniMax rejects system messages in the conversation",
            ),
            # The range of its `temperature` is (0, 1].
            Edit(op="min", path="temperature", value=0.01, reason="MiniMax rejects 0"),
        ),
        prices="minimax",
    ),
    Preset(
        name="ollama-anthropic",
        logo="ollama",
        title="Ollama (Anthropic API)",
        dialect="anthropic_messages",
        base_url="http://127.0.0.1:11434",
        auth="x-api-key",
        env=("OLLAMA_API_KEY",),
        docs="https://docs.ollama.com/api/anthropic-compatibility",
        traits={
            **MESSAGES_COMPATIBLE,
            "reasoning_modes": ("enabled", "disabled"),
            "forced_tools": False,
            "parallel_toggle": False,
            "image_urls": False,
            "pdf": False,
            "cache": "none",
            "user_field": "none",
        },
        edits=(
            *_DROP_SAFEGUARDS,
            *drop_edits("Ollama does not support this field", "tool_choice", "metadata"),
        ),
        local=True,
    ),
    Preset(
        name="moonshot-anthropic",
        logo="moonshot",
        title="Moonshot AI (Anthropic API)",
        dialect="anthropic_messages",
        base_url="https://api.moonshot.ai/anthropic",
        auth="x-api-key",
        env=("MOONSHOT_API_KEY",),
        docs="https://platform.moonshot.ai/docs/guide/agent-support",
        traits={**MESSAGES_COMPATIBLE, "reasoning_modes": ("enabled", "disabled"), "pdf": False},
        edits=_DROP_SAFEGUARDS,
        prices="moonshotai",
    ),
    Preset(
        name="zai-anthropic",
        logo="zai",
        title="Z.ai (Anthropic API)",
        dialect="anthropic_messages",
        base_url="https://api.z.ai/api/anthropic",
        auth="x-api-key",
        env=("ZAI_API_KEY",),
        docs="https://docs.z.ai/devpack/tool/claude",
        traits={**MESSAGES_COMPATIBLE, "reasoning_modes": ("enabled", "disabled"), "pdf": False},
        edits=_DROP_SAFEGUARDS,
        prices="zai",
    ),
    Preset(
        name="custom-anthropic",
        logo="custom",
        title="Any Anthropic-compatible server",
        dialect="anthropic_messages",
        base_url="",
        url_example="http://127.0.0.1:8000",
        auth="x-api-key",
        docs="https://platform.claude.com/docs/en/api/messages",
        aliases=("anthropic_compatible", "custom_messages"),
        traits=MESSAGES_COMPATIBLE,
    ),
)
