"""Probes of formats other than plain text: images, JSON, reasoning, cache breakpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.request import CacheBreakpoint, Output, ReasoningConfig, Text
from gateway.canon.traits import Traits
from gateway.doctor import judges as on
from gateway.doctor.request_parts import RED_IMAGE, assume_reasoning, assume_traits, request_of
from gateway.doctor.values import Probe

FORMS = "Images, JSON, reasoning"
MOODS = ("calm", "rough")
_SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"type": "string", "enum": list(MOODS)},
        "waves": {"type": "integer"},
        "words": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["mood", "waves", "words"],
    "additionalProperties": False,
}
# Longer than the minimum prefix of most caches.
_HANDBOOK = "The keeper of the light writes down wind, sea and sky at every full hour. " * 90


def with_cache_marks(traits: Traits) -> Mapping[str, Any]:
    """Assume cache breakpoints on blocks if the tables have none."""
    has_marks = traits.cache not in {"none", "implicit"}
    return {} if has_marks else {"cache": "cache_control"}


FORM_PROBES = (
    Probe(
        name="image",
        group=FORMS,
        title="Image",
        summary="The color of a small red image.",
        criterion="Red in the response.",
        request=request_of("Which color fills this image? Answer in one word.", RED_IMAGE),
        assume=assume_traits(images=True),
        required_paths=("image",),
        judge=on.response_contains_any("red", "crimson", "scarlet"),
    ),
    Probe(
        name="json",
        group=FORMS,
        title="JSON object",
        summary="Any JSON object, with the provider's JSON mode.",
        criterion="A JSON object without surrounding text.",
        request=request_of(
            "Describe the sea as a JSON object with one key, mood.", output=Output(format="json")
        ),
        assume=assume_traits(structured="schema"),
        required_paths=("format", "output"),
        judge=on.json_object,
    ),
    Probe(
        name="schema",
        group=FORMS,
        title="JSON schema",
        summary="JSON for a strict schema with an enum, a number and a list.",
        criterion="Exactly the fields of the schema, each with the right type.",
        request=request_of(
            "Describe the sea as JSON.",
            output=Output(format="schema", name="sea", schema=_SCHEMA, strict=True),
        ),
        assume=assume_traits(structured="schema"),
        required_paths=("schema", "format", "output"),
        judge=on.json_of({"mood": str, "waves": int, "words": list}, mood=MOODS),
    ),
    Probe(
        name="thinking",
        group=FORMS,
        title="Reasoning",
        summary="A short reasoning before the response.",
        criterion="Reasoning in the response, or a count of reasoning tokens.",
        request=request_of(
            "Which is larger, 17 times 23 or 19 times 21? Think first.",
            reasoning=ReasoningConfig(mode="auto", effort="low", visible="summary"),
            max_output=4096,
        ),
        assume=assume_reasoning,
        required_paths=("reasoning", "effort"),
        judge=on.supported_if_reasoned,
        deadline_s=90.0,
    ),
    Probe(
        name="cache",
        group=FORMS,
        title="Cache breakpoints",
        summary=f"A cache breakpoint after instructions of {len(_HANDBOOK):,} characters.",
        criterion="The request is accepted and tokens are written to the cache.",
        request=request_of(
            "What does the keeper write down? One line.",
            instructions=(Text(text=_HANDBOOK, cache=CacheBreakpoint(), path="cache"),),
        ),
        assume=with_cache_marks,
        required_paths=("cache",),
        judge=on.caches,
    ),
)
