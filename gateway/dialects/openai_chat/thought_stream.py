"""What a provider wants back with a thought, collected while the thought streams."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Signature
from gateway.dialects.fields import compact
from gateway.dialects.openai_chat.reasoning import DETAILS

Json = dict[str, Any]
# Fields of a detail that come in pieces; of the others the last one counts.
_GROWING = frozenset({"text", "summary", "data", "signature"})


class ThoughtState:
    """The opaque state of the present thought."""

    def __init__(self) -> None:
        self._details: list[Json] = []
        self._signature = ""

    @property
    def held(self) -> bool:
        """Whether there are details that only the provider can read."""
        return bool(self._details) and any(
            detail.get("signature") or detail.get("data") for detail in self._details
        )

    def sign(self, signature: Any) -> None:
        """Note a signature that stands for itself (Mistral)."""
        if isinstance(signature, str):
            self._signature = signature

    def add(self, pieces: list[Json]) -> None:
        """Join pieces of `reasoning_details`: the same type and index is one detail."""
        for piece in pieces:
            last = self._details[-1] if self._details else None
            if last is None or _key(last) != _key(piece):
                self._details.append(dict(piece))
            else:
                _grow(last, piece)

    def take(self, provider: str, model: str) -> Signature:
        """The state so far, for the block that ends; for plain text only who thought it."""
        kind, value = "text", ""
        if self.held:
            kind, value = DETAILS, compact(self._details)
        elif self._signature:
            kind, value = "signature", self._signature
        self._details, self._signature = [], ""
        return Signature(provider=provider, model=model, kind=kind, value=value)


def _key(detail: Json) -> tuple[Any, Any]:
    return detail.get("type"), detail.get("index")


def _grow(detail: Json, piece: Json) -> None:
    for key, value in piece.items():
        old = detail.get(key)
        if key in _GROWING and isinstance(value, str) and isinstance(old, str):
            detail[key] = old + value
        elif value is not None:
            detail[key] = value
