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
_NINE_ALPHANUMERICS = re.compile(r"[a-zA-Z0-9]{9}")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LIMIT = 64
# OpenAI's Chat: "Invalid 'messages[1].tool_calls[0].id': string too long".
_CHAT_ID_LIMIT = 40
# Older surfaces of OpenAI and Azure refuse an end user's id of more characters.
USER_LIMIT = 64
LONG_USER_REASON = f"longer than {USER_LIMIT} characters: its hash is sent"


def assign_tool_names(names: Iterable[str], limit: int = 64) -> dict[str, str]:
    """Each client name -> the name to send: legal, at most `limit` long, unique.

    Legal names stay as they are. In others, underscores replace the illegal characters; one
    that is too long, or then already in use, ends in eight digits of its hash.
    """
    client_names = dict.fromkeys(names)
    sent_names = {name: name for name in client_names if _is_valid_name(name, limit)}
    used_names = set(sent_names)
    for name in client_names:
        if name not in sent_names:
            sent_names[name] = _unused_name(name, limit, used_names)
            used_names.add(sent_names[name])
    return sent_names


def assign_tool_name(name: str, limit: int, used_names: set[str]) -> str:
    """The name to send for one more client name; it is none of `used_names`."""
    if _is_valid_name(name, limit):
        return name
    return _unused_name(name, limit, used_names)


def _is_valid_name(name: str, limit: int) -> bool:
    return 0 < len(name) <= limit and _NOT_IN_NAMES.search(name) is None


def _unused_name(name: str, limit: int, used_names: set[str]) -> str:
    legal_name = _NOT_IN_NAMES.sub("_", name) or "_"
    candidate = legal_name if len(legal_name) <= limit else _with_hash(legal_name, name, limit)
    salt = name
    while candidate in used_names:
        candidate = _with_hash(legal_name, salt, limit)
        salt += "_"
    return candidate


def _with_hash(legal_name: str, salt: str, limit: int) -> str:
    return f"{legal_name[: limit - 9]}_{_name_digest(salt).hex()[:8]}"


def render_tool_id(rule: str, id: str) -> str:  # noqa: A002 - the word of the wire
    """The call id to send under a rule of `Traits.tool_id_rule`.

    `any` keeps it, `word` accepts letters, digits, `_` and `-`, `bedrock64` the same
    with `.` and `:` in at most 64 characters, `any64` any 64, `any40` any 40, `mistral9`
    exactly nine letters or digits.
    """
    match rule:
        case "word":
            return _NOT_IN_NAMES.sub("_", id) or "_"
        case "bedrock64":
            return _bedrock_id(id)
        case "any64":
            return shorten_with_hash(id, _ID_LIMIT)
        case "any40":
            return shorten_with_hash(id, _CHAT_ID_LIMIT)
        case "mistral9":
            return id if _NINE_ALPHANUMERICS.fullmatch(id) else _encode_base62(_name_digest(id))[:9]
        case _:
            return id


def _bedrock_id(call_id: str) -> str:
    if 0 < len(call_id) <= _ID_LIMIT and _NOT_IN_BEDROCK_IDS.search(call_id) is None:
        return call_id
    return _NOT_IN_BEDROCK_IDS.sub("_", f"{call_id[:55]}_{_name_digest(call_id).hex()[:8]}")


def shorten_with_hash(value: str, limit: int) -> str:
    """The value, or as much of it as fits within `limit` with eight digits of its hash."""
    if len(value) <= limit:
        return value
    return f"{value[: limit - 9]}_{_name_digest(value).hex()[:8]}"


def is_json_id(value: str) -> bool:
    """Whether an id is an object of its own, as Claude Code's are."""
    return value.lstrip().startswith(("{", "["))


def shorten_user_id(value: str, limit: int) -> str:
    """The id itself, or its hash if it is too long or structured.

    Claude Code's is a JSON object with a device id, which is not disclosed to others.
    """
    if len(value) <= limit and not is_json_id(value):
        return value
    return f"sha256:{_name_digest(value).hex()}"[:limit]


def _name_digest(text: str) -> bytes:
    # A lone surrogate can come out of JSON escapes and has no UTF-8 of its own.
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _encode_base62(digest: bytes) -> str:
    number = int.from_bytes(digest, "big")
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
