"""Fields of a response that only Google has: a parser collects them, Gemini clients get them.

`Response.extra` has them as `{"response": fields, "candidate": fields, "grounding": fields}`.
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.gemini.context import NAME, Json

# Why a prompt was refused, if the provider is Google; clients of other dialects get a refusal.
PROMPT_FEEDBACK = "promptFeedback"
# What is parsed; the parser's canonical values are rendered instead.
_RESPONSE_FIELDS = frozenset(
    {"candidates", PROMPT_FEEDBACK, "usageMetadata", "modelVersion", "responseId"}
)
_CANDIDATE_FIELDS = frozenset(
    {"content", "finishReason", "finishMessage", "index", "groundingMetadata", "tokenCount"}
)
_GROUNDING_FIELDS = frozenset({"groundingChunks", "groundingSupports", "webSearchQueries"})
_USAGE_FIELDS = (
    "promptTokensDetails",
    "cacheTokensDetails",
    "candidatesTokensDetails",
    "toolUsePromptTokensDetails",
    "trafficType",
    "serviceTier",
)


class GoogleFields:
    """Collects the fields of one candidate and its response; later chunks replace values."""

    def __init__(self) -> None:
        self._fields: dict[str, Json] = {}

    def add(self, chunk: Json, candidate: Json) -> None:
        """Add the fields of a chunk and of its candidate."""
        self._add("response", chunk, _RESPONSE_FIELDS)
        self._add("candidate", candidate, _CANDIDATE_FIELDS)
        grounding = candidate.get("groundingMetadata")
        if isinstance(grounding, dict):
            self._add("grounding", grounding, _GROUNDING_FIELDS)

    def _add(self, name: str, fields: Json, parsed_fields: frozenset[str]) -> None:
        others = {key: fields[key] for key in fields.keys() - parsed_fields}
        if others := {key: value for key, value in others.items() if value is not None}:
            self._fields[name] = self._fields.get(name, {}) | others

    def extra(self) -> dict[str, Json]:
        """The value for `Response.extra`; empty if there are no fields."""
        return {NAME: self._fields} if self._fields else {}


def prompt_feedback(chunk: Json) -> dict[str, Json]:
    """The value for `Response.extra` of a refused prompt; empty if there is a response, too."""
    if chunk.get("candidates"):
        return {}
    return {NAME: {"response": {PROMPT_FEEDBACK: chunk.get(PROMPT_FEEDBACK)}}}


def google_fields(extra: dict[str, Json], name: str) -> Json:
    """The fields of this name in a `Response.extra`."""
    fields: Json = extra.get(NAME, {}).get(name, {})
    return fields


def usage_details(native: dict[str, Any]) -> Json:
    """The details in a provider's `usageMetadata`; empty if another dialect reported the usage."""
    if "promptTokenCount" not in native:
        return {}
    return {name: native[name] for name in _USAGE_FIELDS if native.get(name) is not None}
