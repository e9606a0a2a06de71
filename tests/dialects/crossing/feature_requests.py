"""The dialect-independent requests of the matrix, and the markers that identify them upstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.dialects.anthropic_messages.make import PNG

Json = dict[str, Any]

SYSTEM = "Be brief and kind."
RESPONSE = 'Hello, 世界 😀.\n"Done" \\ <b>'
THOUGHT = "Hm, let me see about that."
PREAMBLE = "I look it up."
VERDICT = '{"verdict_field":"yes"}'
SCHEMA: Json = {
    "type": "object",
    "properties": {"verdict_field": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["verdict_field"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Tool:
    """A function tool."""

    name: str
    description: str
    schema: Json


WEATHER = Tool(
    "get_weather",
    "Weather of a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}},
        "required": ["city"],
    },
)
CLOCK = Tool("get_time", "Time of the day.", {"type": "object", "properties": {}})
ARGUMENTS: Json = {"city": 'Zürich "HB"', "unit": "celsius", "near": [1, 2.5, None, {"a": True}]}
# What each tool gave back, in the order of the calls.
RESULTS = ("21 degrees", "noon")


@dataclass(frozen=True)
class FeatureRequest:
    """A request; `previous_response` is the client's record of the earlier response.

    Strict upstreams choose their response by the text of `user`.
    """

    user: str
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    image: bool = False
    schema: bool = False
    thinking: bool = False
    settings: bool = False
    previous_response: Any = None
    results: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class FeatureMarker:
    """A requested feature: the bytes that prove it upstream, and its field in client dialects."""

    name: str
    bytes: bytes
    paths: tuple[str, ...]


IMAGE_MARKER = FeatureMarker(
    "image", PNG[:40].encode(), ("messages", "input", "contents", "prompt")
)
SCHEMA_MARKER = FeatureMarker(
    "schema",
    b"verdict_field",
    (
        *("response_format", "text.format", "output_config", "generationConfig", "format"),
        "outputConfig",
    ),
)
FEATURE_MARKERS: dict[str, tuple[FeatureMarker, ...]] = {
    "text": (),
    "settings": (
        FeatureMarker("temperature", b"0.25", ("temperature",)),
        FeatureMarker(
            "max_output",
            b"777",
            ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxTokens"),
        ),
        FeatureMarker("stop", b"END!", ("stop",)),
        FeatureMarker("seed", b"4242", ("seed",)),
        FeatureMarker("top_k", b"39", ("top_k", "topK", "k")),
        FeatureMarker("user", b"user-7f3", ("user", "metadata.user_id", "safety_identifier")),
    ),
    "tools": (
        FeatureMarker("tool", b"get_weather", ("tools",)),
        FeatureMarker("description", b"Weather of a city.", ("tools",)),
        FeatureMarker("parameters", b"kelvin", ("tools",)),
    ),
    "thinking": (),
    "image": (IMAGE_MARKER,),
    "schema": (SCHEMA_MARKER,),
}
FEATURES = tuple(FEATURE_MARKERS)


def request_of(feature: str, *, stream: bool) -> FeatureRequest:
    """Return the request for a feature."""
    tools = {"tools": (WEATHER, CLOCK), "thinking": (WEATHER,)}.get(feature, ())
    return FeatureRequest(
        user=f"the {feature} please",
        stream=stream,
        tools=tools,
        image=feature == "image",
        schema=feature == "schema",
        thinking=feature == "thinking",
        settings=feature == "settings",
    )
