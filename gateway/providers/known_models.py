"""Model vendors: the pattern of their model names, and their current models.

A client may send such a name without a provider (`gpt-4o`); `Snapshot.route` then selects the
provider. The order of `presets` is the order of preference. `models` are listed by
`GET /v1/models`; names that only match `pattern` are accepted but not listed.

Sources: the vendors' model pages, 2026-11. A test compares `models` with the price lists.
"""

from __future__ import annotations

import re

import msgspec


class Vendor(msgspec.Struct, frozen=True):
    """A vendor of models.

    Attributes:
        presets: presets that offer its models under their own names, preferred first.
        pattern: regular expression of its model names.
        models: current models.
    """

    presets: tuple[str, ...]
    pattern: str
    models: tuple[str, ...] = ()

    def matches(self, name: str) -> bool:
        """Whether a name has the form of this vendor's names."""
        return re.fullmatch(self.pattern, name) is not None


VENDORS: tuple[Vendor, ...] = (
    Vendor(
        ("openai", "openai_responses"),
        # `gpt-oss` has open weights: others offer it, OpenAI's API does not.
        r"(?:gpt-(?!oss)|chatgpt-|o[1-9](?:$|-)|codex-|computer-use-|text-embedding-(?:3|ada)"
        r"|dall-e-|whisper-1|tts-1|omni-moderation-|sora-)[^/:]*|ft:(?:gpt|o\d)-[^/]+",
        (
            "gpt-3.5-turbo",
            "gpt-4-turbo",
            "gpt-4.1",
            "gpt-4.1-mini",
            "gpt-4.1-nano",
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-5",
            "gpt-5-mini",
            "gpt-5-nano",
            "gpt-5.1",
            "gpt-5.2",
            "gpt-5.4",
            "gpt-5.4-mini",
            "gpt-5.5",
            "gpt-6-sol",
            "gpt-6-luna",
            "o1",
            "o3",
            "o3-mini",
            "o4-mini",
            "text-embedding-3-large",
            "text-embedding-3-small",
            "gpt-image-1",
            "gpt-4o-transcribe",
            "gpt-4o-mini-tts",
        ),
    ),
    Vendor(
        ("anthropic",),
        r"claude-[^/:@]+",
        (
            "claude-fable-5",
            "claude-haiku-4-5",
            "claude-opus-4-1",
            "claude-opus-4-5",
            "claude-opus-4-6",
            "claude-opus-4-7",
            "claude-opus-4-8",
            "claude-opus-5",
            "claude-sonnet-4-5",
            "claude-sonnet-4-6",
            "claude-sonnet-5",
        ),
    ),
    Vendor(
        ("gemini", "vertex", "gemini-openai"),
        r"gemini-[^/:]+",
        (
            "gemini-2.5-flash",
            "gemini-2.5-flash-lite",
            "gemini-2.5-pro",
            "gemini-3.5-flash",
            "gemini-3.6-flash",
            "gemini-embedding-001",
        ),
    ),
    Vendor(
        ("mistral",),
        r"(?:(?:open-)?mistral|(?:open-)?mixtral|codestral|devstral|magistral|ministral|pixtral"
        r"|voxtral)-[^/:]+",
        ("mistral-large-2512", "mistral-medium-latest", "mistral-small-latest", "mistral-embed"),
    ),
    Vendor(
        ("deepseek", "deepseek-anthropic"),
        r"deepseek-(?:chat|reasoner|flash|v\d[^/:]*)",
        ("deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-pro"),
    ),
    Vendor(
        ("xai",),
        r"grok-[^/:]+",
        ("grok-3", "grok-3-mini", "grok-4-0709", "grok-4.3", "grok-code-fast-1"),
    ),
    Vendor(("cohere",), r"(?:command|c4ai|embed|rerank)-[^/:]+|command", ("command-a-03-2025",)),
    Vendor(("moonshot", "moonshot-anthropic"), r"(?:kimi|moonshot)-[^/:]+"),
    Vendor(("zai", "zai-anthropic", "zhipu"), r"glm-[^/:]+"),
    Vendor(("minimax", "minimax-openai"), r"(?i:minimax)-[^/:]+"),
    Vendor(("perplexity",), r"sonar(?:-[^/:]+)?", ("sonar", "sonar-pro")),
    Vendor(("ai21",), r"jamba-[^/:]+"),
)

# Presets whose models are neither listed nor resolved: the built-in demo has a route.
UNLISTED_PROVIDERS = frozenset({"demo"})


def find_vendor(name: str) -> Vendor | None:
    """Return the vendor whose model names match this one; None if none does."""
    return next((vendor for vendor in VENDORS if vendor.matches(name)), None)
