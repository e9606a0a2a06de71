"""The searchable text of a request, extracted from its stored bodies.

The response comes first, then the conversation from its end: the start of a long conversation
was indexed with an earlier request.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from gateway.canon.json_values import decode_or_none
from gateway.relay.exchange.delta_texts import DELTA_NAMES, STRING_CONTENT
from gateway.relay.exchange.log_record import Bodies

# Indexed characters per request; up to half are reserved for the response.
MAX_CHARS = 32_000
_CHUNK_CHARS = 1000
# Longer runs without whitespace are taken for base64.
_LONGEST_RUN = 511
_HALF_RUN = (_LONGEST_RUN + 1) // 2
_RUN = re.compile(rf"\S{{{_LONGEST_RUN + 1},}}")
_ESCAPED_WHITESPACE = re.compile(r"\\[ntr]")

_CONVERSATION = ("messages", "input", "contents", "prompt")
# Fields without human-readable text.
_SKIPPED = frozenset(
    {
        "data",
        "encrypted_content",
        "logprobs",
        "object",
        "role",
        "signature",
        "thoughtSignature",
        "type",
        "usage",
        "usageMetadata",
    }
)
# The fields of stream events that carry text, with names of tools and messages of errors. To
# decode each event would take several times as long.
_DELTA = re.compile(
    rb'"([acdmnprt](?:%b|essage|ame))": ?"(%b)"' % (DELTA_NAMES, STRING_CONTENT), re.DOTALL
)


def search_text(bodies: Bodies | None, error: str) -> str:
    """The text of a request and its response, newest first, at most MAX_CHARS."""
    if bodies is None:
        return error[:MAX_CHARS]
    response = bodies.upstream_response if bodies.same_response else bodies.client_response
    response_text = _join_texts([error, *_response_texts(response or b"")], MAX_CHARS // 2)
    request_text = _join_texts(
        _request_texts(bodies.client_request or b""), MAX_CHARS - len(response_text)
    )
    return f"{response_text} {request_text}"


def _join_texts(texts: list[str], max_length: int) -> str:
    if sum(map(len, texts)) + len(texts) <= max_length:  # most requests
        return _clean_text(" ".join(texts))
    parts: list[str] = []
    size = 0
    for text in texts:
        if size >= max_length:
            break
        part = _clean_text(text[: 4 * max_length])[: max_length - size]
        parts.append(part)
        size += len(part) + 1
    return " ".join(parts)


def _clean_text(text: str) -> str:
    if _may_have_run(text):
        text = _RUN.sub(" ", text)
    return _ESCAPED_WHITESPACE.sub(" ", text) if "\\" in text else text


def _may_have_run(text: str) -> bool:
    """Whether a part of half a run's length has no space. The pattern takes 50 times as long."""
    for end in range(_HALF_RUN, len(text) + 1, _HALF_RUN):
        if " " not in text[end - _HALF_RUN : end]:
            return True
    return False


def _request_texts(body: bytes) -> list[str]:
    decoded_body = decode_or_none(body)
    if not isinstance(decoded_body, dict):
        # Truncated when it was stored, or not JSON: its end is the newest part.
        return _split_chunks(body[-MAX_CHARS:].decode("utf-8", "replace"))[::-1]
    texts: list[str] = []
    for name in _CONVERSATION:
        if name in decoded_body:
            texts += _collect_strings(decoded_body.pop(name))[::-1]
    return texts + _collect_strings(decoded_body)


def _split_chunks(text: str) -> list[str]:
    return [text[start : start + _CHUNK_CHARS] for start in range(0, len(text), _CHUNK_CHARS)]


def _response_texts(body: bytes) -> list[str]:
    decoded_body = decode_or_none(body)
    if decoded_body is not None:
        return _collect_strings(decoded_body)
    fragments: dict[bytes, list[bytes]] = {}
    is_truncated_json = body.startswith((b"{", b"[")) and body.find(b"}\n{") < 0
    if not is_truncated_json:
        for name, fragment in _DELTA.findall(body):
            fragments.setdefault(name, []).append(fragment)
    if fragments:
        return [_unescape(b"".join(parts)) for parts in fragments.values()]
    return [body[:MAX_CHARS].decode("utf-8", "replace")]


def _unescape(content: bytes) -> str:
    """Unescape the content of a JSON string; invalid content is returned unchanged."""
    if content.find(b"\\") < 0:
        return content.decode("utf-8", "replace")
    text = decode_or_none(b'"%b"' % content)
    return text if isinstance(text, str) else content.decode("utf-8", "replace")


def _collect_strings(value: Any) -> list[str]:
    if type(value) is str:
        return [value]
    strings: list[str] = []
    if type(value) is list or type(value) is dict:
        # Of a value that is nested too deeply, the strings so far.
        with contextlib.suppress(RecursionError):
            _append_strings(value, strings)
    return strings


def _append_strings(container: list[Any] | dict[str, Any], strings: list[str]) -> None:
    """Append all strings within, in order. Nested generators would take twice the time."""
    if type(container) is list:
        for item in container:
            kind = type(item)
            if kind is str:
                strings.append(item)
            elif kind is dict or kind is list:
                _append_strings(item, strings)
        return
    for name, item in container.items():  # type: ignore[union-attr]
        kind = type(item)
        if kind is str:
            if name not in _SKIPPED:
                strings.append(item)
        elif (kind is dict or kind is list) and name not in _SKIPPED:
            _append_strings(item, strings)
