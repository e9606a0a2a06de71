"""Opaque state in `thoughtSignature`, which is base64, as is the gateway's token in it.

The official SDKs decode the field, so a bare token would not pass them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.request import Part, Reasoning, Signature, Turn
from gateway.canon.signature import is_from_target, unwrap_signature, wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.gemini.names import (
    NEXT_PART_SIGNATURE,
    SAME_PART_SIGNATURE,
    SKIP_SIGNATURE,
    Json,
)
from gateway.dialects.shared import state_tokens
from gateway.dialects.shared.state_tokens import REASONING_REFUSED, Fields

MISSING_SIGNATURE = "no thought signature is known for this step: the validator skips it"
_SIGNATURE_NAMES = ("thoughtSignature", "thought_signature")
_CALL_NAMES = ("functionCall", "function_call")
# Parts that only carried the signature, which the API rejects or ignores without it.
_EMPTY_PARTS: tuple[Json, ...] = ({}, {"text": ""}, {"text": "", "thought": True})


def parse_signature(value: str | None, kind: str = SAME_PART_SIGNATURE) -> Signature | None:
    """The signature inside a gateway token, or the native value itself."""
    if not value:
        return None
    return unwrap_signature(_decode_base64_text(value)) or Signature(kind=kind, value=value)


def _decode_base64_text(value: str) -> str:
    """The text under the base64 of either alphabet; empty where it is no text."""
    try:
        padded = value + "=" * (-len(value) % 4)
        return base64.urlsafe_b64decode(padded.replace("+", "-").replace("/", "_")).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def render_signature(signature: Signature) -> str:
    """The token that stands for the state towards a client."""
    return base64.b64encode(wrap_signature(signature).encode()).decode()


def is_gemini(signature: Signature) -> bool:
    """Whether the value is a signature as Gemini writes it, whichever dialect carried it."""
    return signature.kind in {NEXT_PART_SIGNATURE, SAME_PART_SIGNATURE, "thought_signature"}


def can_be_replayed(signature: Signature | None, traits: Traits, *, native: bool) -> bool:
    """Whether the target may see this state again.

    A client of this dialect may bring values that passed through to it unwrapped.
    """
    if signature is None or not signature.value or not is_gemini(signature):
        return False
    return is_from_target(signature, traits) or (native and not signature.provider)


def merge_split_reasoning(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Joins reasoning that a client stored as the fragments of a stream.

    The last piece of a thought of another dialect's model has no words, but the token that
    all of them are signed by; chats of Google's SDK keep every chunk as a content of its own.
    """
    merged_turns: list[Turn] = []
    unsigned_fragments: list[
        tuple[int, int]
    ] = []  # (turn, part) of the preceding unsigned reasoning
    for turn in turns:
        parts: list[Part] = []
        if turn.role != "assistant":
            unsigned_fragments = []
        for part in turn.parts:
            if not isinstance(part, Reasoning):
                unsigned_fragments = []
            elif part.signature is None:
                unsigned_fragments.append((len(merged_turns), len(parts)))
            else:
                part = _join_reasoning(part, merged_turns, parts, unsigned_fragments)
                unsigned_fragments = []
            parts.append(part)
        merged_turns.append(replace(turn, parts=tuple(parts)))
    return tuple(replace(t, parts=_drop_merged_parts(t.parts)) for t in merged_turns)


_MERGED_PART = Reasoning(text="", path="taken")


def _join_reasoning(
    last_fragment: Reasoning,
    turns: list[Turn],
    parts: list[Part],
    unsigned_fragments: list[tuple[int, int]],
) -> Reasoning:
    """The complete reasoning that ends with this fragment; the earlier fragments are removed."""
    signature = last_fragment.signature
    if (
        last_fragment.text
        or last_fragment.redacted
        or signature is None
        or not signature.provider
        or is_gemini(signature)
    ):
        return last_fragment
    texts: list[str] = []
    for turn, part_index in unsigned_fragments:
        turn_parts = list(turns[turn].parts) if turn < len(turns) else parts
        fragment = turn_parts[part_index]
        assert isinstance(fragment, Reasoning)
        texts.append(fragment.text)
        turn_parts[part_index] = _MERGED_PART
        if turn < len(turns):
            turns[turn] = replace(turns[turn], parts=tuple(turn_parts))
    return replace(last_fragment, text="".join(texts))


def _drop_merged_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part is not _MERGED_PART)


# --- passthrough -------------------------------------------------------------------------


def drop_state(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body without thought signatures, and a report.

    A model that requires them gets the value that its validator skips.
    """
    markers = tuple(f'"{name}"'.encode() for name in _SIGNATURE_NAMES + _CALL_NAMES)
    return state_tokens.edit_items(fields, "contents", markers, _drop_content_state, traits)


def _drop_content_state(
    content: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
    """The content without signatures; None if it held nothing else."""
    parts = content.get("parts")
    if not isinstance(parts, list):
        return content
    requires_signature = traits.replay_reasoning == "required_on_tools"
    remaining: list[object] = []
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            remaining.append(part)
            continue
        part_path = f"{path}.parts[{index}]"
        signatures = [name for name in _SIGNATURE_NAMES if name in part]
        unsigned = {name: value for name, value in part.items() if name not in signatures}
        report += [dropped(f"{part_path}.{name}", REASONING_REFUSED) for name in signatures]
        if requires_signature and any(name in part for name in _CALL_NAMES):
            requires_signature = False  # the first call of a content stands for all
            unsigned["thoughtSignature"] = SKIP_SIGNATURE
            if not signatures:
                report.append(approximated(part_path, MISSING_SIGNATURE))
        if not signatures or unsigned not in _EMPTY_PARTS:
            remaining.append(unsigned)
    return {**content, "parts": remaining} if remaining else None
