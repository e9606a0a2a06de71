"""Opaque state in `thoughtSignature`, which is base64 and so is the gateway's token there.

The official SDKs decode the field, so a bare token would not pass them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.canon.request import Part, Reasoning, Signature, Turn
from gateway.canon.signature import belongs, unwrap, wrap
from gateway.canon.traits import Traits
from gateway.dialects.gemini.names import NEXT_PART, OWN_PART


def signature_in(value: str | None, kind: str = OWN_PART) -> Signature | None:
    """A gateway token's state, or the native value as it came."""
    if not value:
        return None
    return unwrap(_plain(value)) or Signature(kind=kind, value=value)


def _plain(value: str) -> str:
    """The text under the base64 of either alphabet; empty where it is no text."""
    try:
        padded = value + "=" * (-len(value) % 4)
        return base64.urlsafe_b64decode(padded.replace("+", "-").replace("/", "_")).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def signature_out(signature: Signature) -> str:
    """The token that stands for the state towards a client."""
    return base64.b64encode(wrap(signature).encode()).decode()


def is_gemini(signature: Signature) -> bool:
    """Whether the value is a signature as Gemini writes it, whichever dialect carried it."""
    return signature.kind in {NEXT_PART, OWN_PART, "thought_signature"}


def may_go_back(signature: Signature | None, traits: Traits, *, native: bool) -> bool:
    """Whether the target may see this state again.

    A client of this dialect may bring values that passed through to it unwrapped.
    """
    if signature is None or not signature.value or not is_gemini(signature):
        return False
    return belongs(signature, traits) or (native and not signature.provider)


def gathered(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns, each thought whole again whose pieces a client kept as they streamed in.

    The last piece of a thought of another dialect's model has no words, but the token that
    all of them are signed by; chats of Google's SDK keep every chunk as a content of its own.
    """
    out: list[Turn] = []
    pieces: list[tuple[int, int]] = []  # unsigned thoughts that nothing else followed: turn, part
    for turn in turns:
        parts: list[Part] = []
        if turn.role != "assistant":
            pieces = []
        for part in turn.parts:
            if not isinstance(part, Reasoning):
                pieces = []
            elif part.signature is None:
                pieces.append((len(out), len(parts)))
            else:
                part = _whole(part, out, parts, pieces)
                pieces = []
            parts.append(part)
        out.append(replace(turn, parts=tuple(parts)))
    return tuple(replace(t, parts=_kept(t.parts)) for t in out)


_TAKEN = Reasoning(text="", at="taken")


def _whole(
    last: Reasoning, turns: list[Turn], parts: list[Part], pieces: list[tuple[int, int]]
) -> Reasoning:
    """The thought that ends with this piece; the pieces before it are taken from their places."""
    state = last.signature
    if last.text or last.redacted or state is None or not state.provider or is_gemini(state):
        return last
    words: list[str] = []
    for turn, place in pieces:
        held = list(turns[turn].parts) if turn < len(turns) else parts
        piece = held[place]
        assert isinstance(piece, Reasoning)
        words.append(piece.text)
        held[place] = _TAKEN
        if turn < len(turns):
            turns[turn] = replace(turns[turn], parts=tuple(held))
    return replace(last, text="".join(words))


def _kept(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part is not _TAKEN)
