"""Opaque provider state, wrapped so that a foreign client can carry it.

A token is `dgm1.` + base64url(JSON {p, m, k, v, i, t}) without padding: provider
preset, upstream model, kind, value, item id, and the thought's words where the client
does not see them (its maker wants them back as they were). The readable spelling
`dgm1.{p,m,k,v}` of the wire documentation is understood too, never written.
Deterministic: the same state gives the same token in every turn, or prompt
caches would miss.
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
# How a token begins in JSON: as it is, or in base64 where a field holds bytes.
TOKENS = (b'"dgm1.', b'"ZGdtMS')
_READABLE = re.compile(r"^\{([^,{}]*),([^,{}]*),([^,{}]*),(.*)\}$", re.S)
_SNAPSHOT_DATE = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d|latest)$")


class _Token(msgspec.Struct, frozen=True, omit_defaults=True):
    p: str
    m: str
    k: str
    v: str = ""
    i: str = ""
    t: str = ""


def wrap(signature: Signature) -> str:
    """The token that stands for `signature` towards a client of another dialect."""
    token = _Token(
        p=signature.provider,
        m=signature.model,
        k=signature.kind,
        v=signature.value,
        i=signature.item,
        t=signature.words,
    )
    return PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def unwrap(text: str) -> Signature | None:
    """The state in a token; None for anything that is not one of ours."""
    if not text.startswith(PREFIX):
        return None
    payload = text[len(PREFIX) :]
    readable = _READABLE.match(payload)
    if readable:
        provider, model, kind, value = readable.groups()
        if kind.startswith("rs_"):  # a reasoning item of OpenAI's, told by its id
            kind, item = "encrypted_content", kind
        else:
            item = ""
        return Signature(provider=provider, model=model, kind=kind, value=value, item=item)
    try:
        raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        token = msgspec.json.decode(raw, type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return Signature(
        provider=token.p, model=token.m, kind=token.k, value=token.v, item=token.i, words=token.t
    )


def hidden(words: str, signature: Signature) -> Signature:
    """The state of a thought whose words the client is not shown: they travel in the token."""
    return replace(signature, words=words) if words and signature.provider else signature


def recovered(words: str, signature: Signature | None) -> tuple[str, Signature | None]:
    """A thought's words and state, the words taken from the token where they travelled there."""
    if signature is None or not signature.words:
        return words, signature
    return words or signature.words, replace(signature, words="")


def family(model: str) -> str:
    """A model id without its vendor path and snapshot date: what state is bound to."""
    return _SNAPSHOT_DATE.sub("", model.rpartition("/")[2].lower())


def belongs(signature: Signature | None, traits: Traits) -> bool:
    """Whether the chosen upstream made this state and so may see it again."""
    if signature is None or not signature.provider:
        return False
    return signature.provider == traits.kind and family(signature.model) == family(traits.model)
