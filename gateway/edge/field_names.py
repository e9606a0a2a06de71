"""Refuses a JSON object in which two readers could see two values of one field.

Of a name that stands there twice one reader takes the first value, another the last. Readers
in Go (Ollama, LocalAI) also take `Model` for `model`: what is routed, limited and priced here
would not be what the upstream answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from gateway.canon.errors import GatewayError, invalid

# Top-level fields of all dialects that decide about routing, limits, price or the answer's form.
INTERPRETED_FIELDS = frozenset(
    {
        *("model", "name", "stream", "stream_options", "messages", "input", "prompt", "suffix"),
        *("system", "instructions", "tools", "tool_choice", "functions", "function_call"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "options"),
        *("temperature", "top_p", "top_k", "stop", "seed", "format", "response_format", "think"),
        *("thinking", "reasoning", "reasoning_effort", "service_tier", "user", "metadata"),
        *("previous_response_id", "conversation", "store", "background", "generate", "type"),
        *("input_file_id", "requests", "query", "documents", "images", "keep_alive", "raw"),
        *("contents", "content", "generateContentRequest", "generationConfig", "serviceTier"),
        *("systemInstruction", "toolConfig", "safetySettings", "cachedContent"),
        *("session_id", "tags", "cache"),
    }
)
_CANONICAL_SPELLINGS = {name.casefold(): name for name in INTERPRETED_FIELDS}
_WHITESPACE = re.compile(rb"[ \t\r\n]*")
_NAME = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def check(body: bytes, fields: Mapping[str, msgspec.Raw]) -> None:
    """Raise GatewayError (400) naming a field that is there twice or in another case.

    `fields` is the top level of `body`. A compact body is as long as its fields and their
    punctuation together, so that nothing was left out of `fields`: it costs two sums.
    """
    names = "".join(fields)
    if not (names.isascii() and names.islower()):
        check_case(fields)
    size = len(names) + sum(map(len, fields.values())) + 4 * len(fields) + 1
    if size != len(body) and fields and body != _python_encoding(fields):
        _check_duplicates(body, fields)


def _python_encoding(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """The object as Python's `json.dumps` writes it, in which no name can be twice."""
    return b"{%b}" % b", ".join([b'"%b": %b' % (n.encode(), raw) for n, raw in fields.items()])


def check_case(names: Iterable[str]) -> None:
    """Raise GatewayError (400) for two names that differ only in case, or one of READ that does."""
    spellings: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        first_spelling = spellings.setdefault(folded, name)
        if first_spelling == name:
            first_spelling = _CANONICAL_SPELLINGS.get(folded, name)
        if first_spelling != name:
            message = (
                f"`{name[:80]}` differs from `{first_spelling[:80]}` only in case; send one of them"
            )
            if name not in INTERPRETED_FIELDS and folded in _CANONICAL_SPELLINGS:
                message = f"`{name[:80]}` must be written `{_CANONICAL_SPELLINGS[folded]}`"
            raise invalid(message, name[:80])


def _check_duplicates(body: bytes, fields: Mapping[str, msgspec.Raw]) -> None:
    """Walk through the top level: the fields must stand there in order, and nothing else."""
    offset = _skip_whitespace(body, body.index(b"{") + 1)
    last_index = len(fields) - 1
    for index, (name, raw) in enumerate(fields.items()):
        field_name, offset = _parse_name(body, offset)
        value = bytes(raw)
        end = _skip_whitespace(body, offset + len(value))
        # A number may begin as another one does: what follows tells whether it is whole.
        if field_name != name or not body.startswith(value, offset) or body[end] not in b",}":
            raise _duplicate_field(field_name)
        offset = end
        if index < last_index:
            offset = _skip_whitespace(body, offset + 1)
    if body[offset : offset + 1] != b"}":
        raise _duplicate_field(_parse_name(body, _skip_whitespace(body, offset + 1))[0])


def _parse_name(body: bytes, offset: int) -> tuple[str, int]:
    """The name that begins at a place of a valid object, and where its value begins."""
    match = _NAME.match(body, offset)
    assert match is not None
    colon = _skip_whitespace(body, match.end())
    return msgspec.json.decode(match[0], type=str), _skip_whitespace(body, colon + 1)


def _skip_whitespace(body: bytes, offset: int) -> int:
    match = _WHITESPACE.match(body, offset)
    assert match is not None
    return match.end()


def _duplicate_field(name: str) -> GatewayError:
    return invalid(f"`{name[:80]}` is given twice; send it once", name[:80])
