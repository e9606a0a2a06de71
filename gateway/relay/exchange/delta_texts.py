"""Texts that a stream carries in deltas: where its deltas are, and which of them belong together.

Works on the recorded bytes of any dialect, SSE, JSON lines or AWS's event stream, without
decoding them: only frames, a few field names and, where needed, braces are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

# Byte offsets of the content of a JSON string.
Span = tuple[int, int]

# The names of fields with text, without their first letters `acdprt`. Most names differ in it, so
# that most mismatches fail fast.
DELTA_NAMES = (
    rb"rguments|ontent|elta|artial_json|easoning_content|easoning|efusal|esponse|ext|hinking"
)
# The content of a JSON string. A quotation mark within it is escaped, so that it has no fields.
STRING_CONTENT = rb'[^"\\]*(?:\\.[^"\\]*)*'
_DELTA = rb'"(?P<name>[acdprt](?:%b))": ?"(?P<text>%b)"' % (DELTA_NAMES, STRING_CONTENT)
# The end of `"index"`, `"output_index"`, `"contentBlockIndex"` and others.
_INDEX = rb'ndex": ?(?P<index>\d+)'
_INDEX_END, _INDEX_0, _SPACED_INDEX_0 = b'ndex":', b'ndex":0', b'ndex": 0'
_DELTAS = re.compile(_DELTA, re.DOTALL)
_INDEXES = re.compile(_INDEX)
_TOKENS = re.compile(
    rb'%b|"[a-zA-Z_]*i?%b|"[^"\\]*(?:\\.[^"\\]*)*"|(?P<open>\{)|(?P<close>\})' % (_DELTA, _INDEX),
    re.DOTALL,
)
# The headers of an event of AWS's event stream end with it, and its JSON follows.
_AWS_EVENT = b":message-type\x07\x00\x05event"


def sequential_text(stream: bytes) -> bytes | None:
    """The texts of all deltas joined; None if they may belong to several texts in turn.

    They come one text after the other if no field comes again after another one, and there is
    no index but 0.
    """
    deltas = _DELTAS.findall(stream)
    if not deltas:
        return b""
    names, texts = zip(*deltas, strict=True)
    if stream.count(_INDEX_END) != stream.count(_INDEX_0) + stream.count(_SPACED_INDEX_0):
        return None
    return b"".join(texts) if len(set(names)) <= 1 or _is_sequential(names) else None


def delta_spans(stream: bytes) -> list[Span]:
    """The texts of all deltas, in order. A stream of 200 frames takes 0.1 ms."""
    return [match.span("text") for match in _DELTAS.finditer(stream)]


def interleaved_spans(stream: bytes) -> list[list[Span]]:
    """The texts of deltas by choice, content block, tool call and field; empty if in sequence.

    Deltas belong together if the objects around them have the same indexes, and their fields
    the same name. A stream of 200 frames takes 0.5 ms, or five times as long if each frame has
    several deltas.
    """
    deltas = list(_DELTAS.finditer(stream))
    indexes = [(match.start(), match[1]) for match in _INDEXES.finditer(stream)]
    if _is_sequential([match["name"] for match in deltas]) and _is_sequential(
        [index for _, index in indexes]
    ):
        return []
    separator = _AWS_EVENT if _AWS_EVENT in stream else b"\n"
    texts: dict[tuple[bytes, ...], list[Span]] = {}
    first = first_index = 0
    while first < len(deltas):
        frame_end = stream.find(separator, deltas[first].start())
        frame_end = len(stream) if frame_end < 0 else frame_end
        frame_start = max(stream.rfind(separator, 0, deltas[first].start()), 0)
        last = first + 1
        while last < len(deltas) and deltas[last].start() < frame_end:
            last += 1
        while first_index < len(indexes) and indexes[first_index][0] < frame_start:
            first_index += 1
        last_index = first_index
        while last_index < len(indexes) and indexes[last_index][0] < frame_end:
            last_index += 1
        if last - first == 1:
            values = [value for _, value in indexes[first_index:last_index]]
            key = (deltas[first]["name"], *values)
            texts.setdefault(key, []).append(deltas[first].span("text"))
        else:
            for key, span in _deltas_by_object(stream, frame_start, frame_end):
                texts.setdefault(key, []).append(span)
        first, first_index = last, last_index
    return list(texts.values())


def _is_sequential(values: Sequence[bytes]) -> bool:
    """Whether equal values are next to each other, without another value in between."""
    runs = [value for value, _ in groupby(values)]
    return len(set(runs)) == len(runs)


def _deltas_by_object(stream: bytes, start: int, end: int) -> list[tuple[tuple[bytes, ...], Span]]:
    """The deltas of one frame, with their field and the indexes of the objects around them.

    The indexes are in the order of the frame, as in a frame with one delta.
    """
    # Each object: its parent, and its indexes, which may come after its deltas.
    parents, indexes = [0], [list[tuple[int, bytes]]()]
    deltas: list[tuple[int, bytes, Span]] = []
    current = 0
    for match in _TOKENS.finditer(stream, start, end):
        if match.lastgroup == "open":
            parents.append(current)
            indexes.append([])
            current = len(parents) - 1
        elif match.lastgroup == "close":
            current = parents[current]
        elif match.lastgroup == "index":
            indexes[current].append((match.start(), match["index"]))
        elif match.lastgroup == "text":
            deltas.append((current, match["name"], match.span("text")))
    keyed_deltas = []
    for number, name, span in deltas:
        around = []
        while number:
            around += indexes[number]
            number = parents[number]
        keyed_deltas.append(((name, *(value for _, value in sorted(around))), span))
    return keyed_deltas
