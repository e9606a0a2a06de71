"""Opaque provider state, wrapped so that a client of another dialect can carry it.

A token is `dgm1.` + base64url(JSON {p, m, k, v, i, t}) without padding: provider
preset, upstream model, kind, value, item id, and the reasoning text if the client does not
see it (the provider requires it back unchanged). The readable form
`dgm1.{p,m,k,v}` of the wire documentation is accepted too, but never created.
Deterministic: the same state gives the same token in every turn, so that prompt caches hit.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec
from msgspec.structs import replace

from gateway.canon.request import Signature
from gateway.canon.traits import Traits

PREFIX = "dgm1."
# The prefix of ids of Messages blocks that represent a search or code run by another provider.
FOREIGN_SEARCH = "srvtoolu_dgm_"
# The prefix of the container in a Responses item for code that another provider ran.
FOREIGN_CONTAINER = "cntr_dgm_"
# The beginning of a token in JSON: plain, in base64 (for fields with bytes), and of such ids.
TOKEN_STARTS = (b'"dgm1.', b'"ZGdtMS', b'"srvtoolu_dgm_', b'"cntr_dgm_')
# The beginning of a citation's index in a Messages body, where another provider found the source.
FOREIGN_CITATIONS = (b'"encrypted_index":""', b'"encrypted_index": ""')
TOKEN = re.compile(b"|".join(map(re.escape, TOKEN_STARTS)))
# What Gemini's clients send for a call that has no signature, plain or in base64
# (ai.google.dev, thought signatures).
_PLACEHOLDERS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
_PLACEHOLDER_VALUES = frozenset(
    {*_PLACEHOLDERS, *(base64.b64encode(text.encode()).decode() for text in _PLACEHOLDERS)}
)
_READABLE_TOKEN = re.compile(r"^\{([^,{}]*),([^,{}]*),([^,{}]*),(.*)\}$", re.S)
_SNAPSHOT_DATE = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d|latest)$")


class _Token(msgspec.Struct, frozen=True, omit_defaults=True):
    p: str
    m: str
    k: str
    v: str = ""
    i: str = ""
    t: str = ""


def wrap_signature(signature: Signature) -> str:
    """The token that represents `signature` to a client of another dialect."""
    token = _Token(
        p=signature.provider,
        m=signature.model,
        k=signature.kind,
        v=signature.value,
        i=signature.item_id,
        t=signature.reasoning_text,
    )
    return PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def unwrap_signature(text: str) -> Signature | None:
    """The state in a token; None for anything that is not a token of the gateway."""
    if not text.startswith(PREFIX):
        return None
    payload = text[len(PREFIX) :]
    match = _READABLE_TOKEN.match(payload)
    if match:
        provider, model, kind, value = match.groups()
        if kind.startswith("rs_"):  # a reasoning item of OpenAI, recognized by its id
            kind, item = "encrypted_content", kind
        else:
            item = ""
        return Signature(provider=provider, model=model, kind=kind, value=value, item_id=item)
    try:
        payload_bytes = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        token = msgspec.json.decode(payload_bytes, type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return Signature(
        provider=token.p,
        model=token.m,
        kind=token.k,
        value=token.v,
        item_id=token.i,
        reasoning_text=token.t,
    )


def hide_reasoning_text(reasoning_text: str, signature: Signature) -> Signature:
    """The state with the reasoning text in it, for a client that does not see the text."""
    return (
        replace(signature, reasoning_text=reasoning_text)
        if reasoning_text and signature.provider
        else signature
    )


def recover_reasoning_text(
    reasoning_text: str, signature: Signature | None
) -> tuple[str, Signature | None]:
    """The reasoning text and its state; a text inside the state is moved out of it."""
    if signature is None or not signature.reasoning_text:
        return reasoning_text, signature
    return reasoning_text or signature.reasoning_text, replace(signature, reasoning_text="")


def is_placeholder(signature: Signature) -> bool:
    """Whether a client sent this where there is no state."""
    return signature.value in _PLACEHOLDER_VALUES


def model_family(model: str) -> str:
    """A model id without its vendor path and snapshot date; state is bound to it."""
    return _SNAPSHOT_DATE.sub("", model.rpartition("/")[2].lower())


def is_from_target(signature: Signature | None, traits: Traits) -> bool:
    """Whether the target created this state, so that it may be sent to it."""
    if signature is None or not signature.provider:
        return False
    return signature.provider == traits.preset and model_family(signature.model) == model_family(
        traits.model
    )
