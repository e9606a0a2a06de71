"""Names and ids in the form that a provider accepts.

The same name or id gives the same result in every turn, without state: prompt
caches and the pairing of calls with results depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_NOT_IN_BEDROCK_IDS = re.compile(r"[^a-zA-Z0-9_.:-]")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LIMIT = 64


def tool_names(names: Iterable[str], limit: int = 64) -> dict[str, str]:
    """Each client name -> the name to send: legal, at most `limit` long, unique.

    Legal names stay as they are. Another becomes legal by underscores; one that is too
    long, or would then be taken, ends in eight digits of its hash.
    """
    wanted = dict.fromkeys(names)
    sent = {name: name for name in wanted if _is_legal(name, limit)}
    taken = set(sent)
    for name in wanted:
        if name not in sent:
            sent[name] = _free_name(name, limit, taken)
            taken.add(sent[name])
    return sent


def _is_legal(name: str, limit: int) -> bool:
    return 0 < len(name) <= limit and _NOT_IN_NAMES.search(name) is None


def _free_name(name: str, limit: int, taken: set[str]) -> str:
    plain = _NOT_IN_NAMES.sub("_", name) or "_"
    candidate = plain if len(plain) <= limit else _hashed(plain, name, limit)
    salt = name
    while candidate in taken:
        candidate = _hashed(plain, salt, limit)
        salt += "_"
    return candidate


def _hashed(plain: str, salt: str, limit: int) -> str:
    return f"{plain[: limit - 9]}_{_digest(salt).hex()[:8]}"


def tool_id(rule: str, id: str) -> str:  # noqa: A002 - the word of the wire
    """The call id to send under a rule of `Traits.tool_id_rule`.

    `any` keeps it, `word` wants letters, digits, `_` and `-`, `bedrock64` the same
    with `.` and `:` in at most 64 characters, `any64` any 64, `mistral9` exactly nine
    letters or digits.
    """
    match rule:
        case "word":
            return _NOT_IN_NAMES.sub("_", id) or "_"
        case "bedrock64":
            return _bedrock_id(id)
        case "any64":
            return id if len(id) <= _ID_LIMIT else _short_id(id)
        case "mistral9":
            return id if _NINE.fullmatch(id) else _base62(_digest(id))[:9]
        case _:
            return id


def _bedrock_id(call_id: str) -> str:
    if 0 < len(call_id) <= _ID_LIMIT and _NOT_IN_BEDROCK_IDS.search(call_id) is None:
        return call_id
    return _NOT_IN_BEDROCK_IDS.sub("_", _short_id(call_id))


def _short_id(call_id: str) -> str:
    return f"{call_id[:55]}_{_digest(call_id).hex()[:8]}"


def stable_id(value: str, limit: int) -> str:
    """The id itself, or its hash where it is too long or holds structure of its own.

    Claude Code's is a JSON object with a device id in it, which is nobody else's business.
    """
    if len(value) <= limit and not value.lstrip().startswith(("{", "[")):
        return value
    return f"sha256:{_digest(value).hex()}"[:limit]


def _digest(text: str) -> bytes:
    # A lone surrogate can come out of JSON escapes and has no UTF-8 of its own.
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _base62(digest: bytes) -> str:
    number = int.from_bytes(digest, "big")
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
