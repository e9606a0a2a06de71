"""The catalogue of providers: one row each."""

from __future__ import annotations

from gateway.providers.profile import Preset

ROWS: tuple[Preset, ...] = (
    Preset(name="openai", title="OpenAI", dialect="openai_chat",
           base_url="https://api.openai.com/v1", env=("OPENAI_API_KEY",), litellm=("openai",)),
    Preset(name="anthropic", title="Anthropic", dialect="anthropic_messages",
           base_url="https://api.anthropic.com", auth="x-api-key", env=("ANTHROPIC_API_KEY",), litellm=("anthropic",)),
    Preset(name="demo", title="Demo", dialect="openai_chat", base_url="demo://local", auth="none", local=True),
    Preset(name="custom", title="Custom (OpenAI)", dialect="openai_chat", base_url=""),
)

PRESETS: dict[str, Preset] = {row.name: row for row in ROWS}


def resolve(name: str) -> Preset | None:
    """The preset a name stands for: its own, a dialect's or LiteLLM's; None if unknown."""
    return PRESETS.get({"openai_chat": "openai", "anthropic_messages": "anthropic"}.get(name, name))
