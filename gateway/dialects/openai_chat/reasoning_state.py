"""Collects the state that a provider requires back with reasoning, while it streams."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Signature
from gateway.dialects.openai_chat.reasoning import DETAILS
from gateway.dialects.shared.fields import compact_json

Json = dict[str, Any]
# Fields of a detail that stream in fragments; for others the last value counts.
_STREAMED_FIELDS = frozenset({"text", "summary", "data", "signature"})


class ReasoningStateCollector:
    """The opaque state of the current reasoning block."""

    def __init__(self) -> None:
        self._details: list[Json] = []
        # Fragments of the streamed fields of the last detail.
        self._fragments: dict[str, list[str]] = {}
        self._signature = ""
        # Whether a detail contains opaque state.
        self.has_state = False

    def set_signature(self, signature: Any) -> None:
        """Set a signature outside of any detail (Mistral)."""
        if isinstance(signature, str):
            self._signature = signature

    def add(self, details: list[Json]) -> None:
        """Add deltas of `reasoning_details`: equal type and index is one detail."""
        for detail in details:
            if detail.get("signature") or detail.get("data"):
                self.has_state = True
            last_detail = self._details[-1] if self._details else None
            if last_detail is None or _detail_key(last_detail) != _detail_key(detail):
                self._join_fragments()
                self._details.append(dict(detail))
            else:
                self._extend_detail(last_detail, detail)

    def take_signature(self, provider: str, model: str) -> Signature:
        """The state of the block that ends; without state, only the model that created it."""
        self._join_fragments()
        kind, value = "text", ""
        if self.has_state:
            kind, value = DETAILS, compact_json(self._details)
        elif self._signature:
            kind, value = "signature", self._signature
        self._details, self._signature, self.has_state = [], "", False
        return Signature(provider=provider, model=model, kind=kind, value=value)

    def _extend_detail(self, detail: Json, fragment: Json) -> None:
        for key, value in fragment.items():
            current = detail.get(key)
            if key in _STREAMED_FIELDS and isinstance(value, str) and isinstance(current, str):
                self._fragments.setdefault(key, [current]).append(value)
            elif value is not None:
                self._fragments.pop(key, None)
                detail[key] = value

    def _join_fragments(self) -> None:
        """Join the fragments of the last detail."""
        for key, fragments in self._fragments.items():
            self._details[-1][key] = "".join(fragments)
        self._fragments = {}


def _detail_key(detail: Json) -> tuple[Any, Any]:
    return detail.get("type"), detail.get("index")
