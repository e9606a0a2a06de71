"""Opaque state in `thoughtSignature`, which is base64 and so is the gateway's token there.

The official SDKs decode the field, so a bare token would not pass them.
"""

from __future__ import annotations

import base64
import binascii

from gateway.canon.request import Signature
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
