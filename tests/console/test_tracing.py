"""Translation traces map each request value to its upstream path, for all golden cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.tracing.changes import Trace, compare_bodies
from console.tracing.diff_lines import MAX_ITEMS, align_lines, json_lines, unfolded_leaves
from console.tracing.json_values import Pointer, leaves, pointer_text
from console.tracing.notes import ApiNames, change_notes, parse_path
from console.tracing.sides import compare_sides
from console.tracing.stream_timeline import GAP_MS, build_timeline, parse_events
from console.tracing.tracer import trace
from console.tracing.translation_path import TranslationPath
from gateway.providers.capabilities import edits_for, traits_for
from gateway.providers.catalog import resolve_preset
from gateway.relay.exchange.log_record import Chunk

CASES = Path(__file__).parent.parent / "dialects" / "cases"
RELAYED_PRESETS = {"openai_chat", "anthropic", "deepseek", "mistral", "azure_openai"}


def cases() -> list[Any]:
    """Return the cases that translate between two supported dialects."""
    bodies = [json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))]
    return [
        pytest.param(case, id=case["name"])
        for case in bodies
        if {case["from"], case["to"]} <= RELAYED_PRESETS
        and "stream" not in case
        and "status" not in case["request"]
    ]


def streams() -> list[Any]:
    """Return the streams between two supported dialects."""
    bodies = [json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))]
    return [
        pytest.param(case, id=case["name"])
        for case in bodies
        if {case["from"], case["to"]} <= RELAYED_PRESETS and "stream" in case
    ]


def translation_path(source: str, target: str, model: str = "m") -> TranslationPath:
    client, upstream = resolve_preset(source), resolve_preset(target)
    assert client is not None
    assert upstream is not None
    return TranslationPath(
        client=client.dialect,
        upstream=upstream.dialect,
        traits=traits_for(upstream.name, model),
        edits=(*upstream.edits, *edits_for(upstream.name, model)),
        request_id="req_1",
        model="asked",
    )


def traced(case: dict[str, Any]) -> tuple[Trace, Any, Any]:
    request = case["request"]
    body = request.get("body", request)
    translation = translation_path(case["from"], case["to"], case["expected"]["body"]["model"])
    request_trace = trace(
        body, translation.translate_request, known_pairs={("model",): ("model",)}, budget_s=20.0
    )
    return request_trace, body, translation.translate_request(body)


def parse_pointer(text: str) -> Pointer:
    return tuple(int(part) if part.isdigit() else part for part in text.split("/")[1:])


@pytest.mark.parametrize("case", cases())
def test_every_leaf_of_both_sides_has_a_mark(case: dict[str, Any]):
    request_trace, body, upstream_body = traced(case)
    assert request_trace.complete
    assert set(request_trace.source) == {pointer for pointer, _ in leaves(body)}
    assert set(request_trace.target) == {pointer for pointer, _ in leaves(upstream_body)}


@pytest.mark.parametrize("case", cases())
def test_links_match_their_mark(case: dict[str, Any]):
    request_trace, body, upstream_body = traced(case)
    ours, theirs = dict(leaves(body)), dict(leaves(upstream_body))
    for pointer, mark in request_trace.source.items():
        assert all(link in theirs for link in mark.links), pointer_text(pointer)
        if mark.kind == "same":
            assert theirs[pointer] == ours[pointer], pointer_text(pointer)
        if mark.kind == "dropped":
            assert mark.links == ()
        if mark.kind == "moved" and mark.links and isinstance(ours[pointer], str):
            assert any(ours[pointer] in str(theirs[link]) for link in mark.links), pointer_text(
                pointer
            )


@pytest.mark.parametrize("case", cases())
def test_a_dropped_value_changes_nothing_when_it_is_another(case: dict[str, Any]):
    """A dropped value does not affect the upstream request, whatever it is."""
    request_trace, body, upstream_body = traced(case)
    translation = translation_path(case["from"], case["to"], case["expected"]["body"]["model"])
    for pointer, mark in request_trace.source.items():
        value = dict(leaves(body))[pointer]
        if mark.kind != "dropped" or not isinstance(value, str) or pointer[-1] in {"type", "role"}:
            continue
        changed = json.loads(json.dumps(body))
        parent = changed
        for part in pointer[:-1]:
            parent = parent[part]
        parent[pointer[-1]] = f"{value}Zq"
        second = _translated_or_refused(translation, changed)
        assert second in (None, upstream_body), pointer_text(pointer)


def _translated_or_refused(translation: TranslationPath, body: Any) -> Any:
    from gateway.canon.errors import GatewayError

    try:
        return translation.translate_request(body)
    except GatewayError:
        return None


@pytest.mark.parametrize("case", cases())
def test_dropped_fields_have_no_upstream_path(case: dict[str, Any]):
    """The report is by whole fields; a part of a field may have an upstream path."""
    request_trace, _, _ = traced(case)
    for row in case["expected"]["report"]:
        path = parse_path(row["field"])
        hit = [mark.kind for p, mark in request_trace.source.items() if p == path]
        if row["action"] == "dropped" and hit:
            assert hit[0] in {"dropped", "converted"}, row


def test_known_translations_link_their_places():
    """Field by field for both directions."""
    named = {case.values[0]["name"]: case.values[0] for case in cases()}
    case = next(c for c in named.values() if c["from"] == "anthropic" and c["to"] == "openai_chat")
    request_trace, _, _ = traced(case)
    assert request_trace.source[parse_pointer("/max_tokens")].kind == "moved"
    assert request_trace.source[parse_pointer("/max_tokens")].links == (
        parse_pointer("/max_completion_tokens"),
    )
    assert request_trace.source[parse_pointer("/system/0/text")].links == (
        parse_pointer("/messages/0/content/0/text"),
    )
    assert request_trace.source[parse_pointer("/system/0/cache_control/type")].kind == "dropped"
    assert request_trace.source[parse_pointer("/top_k")].kind == "dropped"
    assert (
        request_trace.source[parse_pointer("/tool_choice/disable_parallel_tool_use")].kind
        == "converted"
    )
    assert request_trace.source[parse_pointer("/tools/0/input_schema/type")].links == (
        parse_pointer("/tools/0/function/parameters/type"),
    )
    assert request_trace.source[parse_pointer("/model")].kind == "converted"


def test_a_streamed_request_reports_its_added_fields():
    body = {
        "model": "m",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
    }
    request_trace = trace(body, translation_path("anthropic", "openai_chat").translate_request)
    assert request_trace.source[("stream",)].kind == "same"
    assert request_trace.target[("stream_options", "include_usage")].kind == "added"


def test_a_large_body_is_bounded():
    tools = [
        {
            "name": f"tool_{n}",
            "description": "x" * 300,
            "input_schema": {
                "type": "object",
                "properties": {f"p{k}": {"type": "string", "minLength": k} for k in range(12)},
            },
        }
        for n in range(60)
    ]
    body = {
        "model": "m",
        "max_tokens": 9,
        "tools": tools,
        "messages": [{"role": "user", "content": "x"}],
    }
    request_trace = trace(
        body, translation_path("anthropic", "openai_chat").translate_request, runs=50, budget_s=0.3
    )
    assert not request_trace.complete
    assert request_trace.runs <= 51
    assert len(list(unfolded_leaves(body))) < len(list(leaves(body)))


def test_a_passthrough_trace_compares_paths():
    changes = compare_bodies({"model": "a", "x": 1, "gone": 2}, {"model": "b", "x": 1, "new": 3})
    assert {pointer_text(p): m.kind for p, m in changes.source.items()} == {
        "/model": "converted",
        "/x": "same",
        "/gone": "dropped",
    }
    assert changes.target[("new",)].kind == "added"


def test_a_response_translation_is_traced_too():
    translation = translation_path("anthropic", "openai_chat")
    request = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    response = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
    request_trace = trace(response, translation.response_translator(request))
    content = request_trace.source[parse_pointer("/choices/0/message/content")]
    assert (content.kind, content.links) == ("moved", (parse_pointer("/content/0/text"),))
    assert request_trace.source[parse_pointer("/usage/completion_tokens")].links == (
        parse_pointer("/usage/output_tokens"),
    )
    assert request_trace.source[parse_pointer("/choices/0/finish_reason")].kind == "converted"


# Lines


@pytest.mark.parametrize("case", cases())
def test_all_lines_of_both_sides_are_shown_once_and_in_order(case: dict[str, Any]):
    request_trace, body, upstream_body = traced(case)
    left, right = (
        json_lines(body, request_trace.source),
        json_lines(upstream_body, request_trace.target),
    )
    rows = align_lines(left, right, request_trace)
    assert [row.left for row in rows if row.left] == left
    assert [row.right for row in rows if row.right] == right


@pytest.mark.parametrize("case", cases())
def test_the_shown_lines_equal_the_body(case: dict[str, Any]):
    """Short bodies can be reassembled from the shown lines."""
    body = {
        name: value
        for name, value in traced(case)[1].items()
        if len(json.dumps(value)) < 120 and not (isinstance(value, list) and len(value) > MAX_ITEMS)
    }
    text = "".join(text for line in json_lines(body, {}) for _, text in line.tokens)
    assert msgspec.json.decode(text) == body


def test_long_lists_and_texts_are_folded():
    body = {"messages": [{"n": n} for n in range(34)], "text": "a" * 1000}
    lines = json_lines(body, {})
    assert [t for line in lines for kind, t in line.tokens if kind == "more"] == ["… 31"]
    assert len([line for line in lines if line.kind == "fold"]) == 1
    assert all(len("".join(t for _, t in line.tokens)) < 200 for line in lines)


json_values = st.recursive(
    st.sampled_from([None, True, 0, 7, "", "a", "bc"]),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=10,
)


@settings(max_examples=60)
@given(json_values, json_values)
def test_any_two_bodies_can_be_aligned(first: Any, other: Any):
    left, right = {"a": first}, {"a": other}
    changes = compare_bodies(left, right)
    ours, theirs = json_lines(left, changes.source), json_lines(right, changes.target)
    rows = align_lines(ours, theirs, changes)
    assert [row.left for row in rows if row.left] == ours
    assert [row.right for row in rows if row.right] == theirs
    assert all(row.left or row.right for row in rows)


# Notes


def test_notes_prefer_the_translators_own_message():
    source = {"top_k": 4, "a": {"b": [{"c": "text"}, {"c": "text"}]}}
    request_trace = trace(source, lambda body: {"x": [item["c"] for item in body["a"]["b"]]})
    notes = change_notes(
        request_trace,
        [{"field": "top_k", "action": "dropped", "note": "no equivalent"}],
        source,
        {"x": ["text", "text"]},
    )
    assert (notes[0].kind, notes[0].source, notes[0].explanation) == (
        "dropped",
        "/top_k",
        "The provider's API has no `top_k`, so it was removed.",
    )
    moved = [note for note in notes if note.kind == "moved"]
    assert [(note.source, note.target, note.count) for note in moved] == [("/a/b/*/c", "/x/*", 2)]


TOOLS = {
    "model": "m",
    "max_tokens": 9,
    "top_k": 5,
    "system": "Be brief.",
    "tools": [
        {
            "name": "look_up",
            "input_schema": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "kind": {"type": "string"}},
                "required": ["id"],
            },
        }
    ],
    "messages": [{"role": "user", "content": "Look up 7."}],
}


def test_a_subtree_that_moved_is_one_change():
    translation = translation_path("anthropic", "openai_chat")
    request_trace = trace(TOOLS, translation.translate_request)
    notes = change_notes(request_trace, [], TOOLS, translation.translate_request(TOOLS))
    moved = {(note.source, note.target) for note in notes if note.kind == "moved"}
    assert ("/tools/0/input_schema", "/tools/0/function/parameters") in moved
    assert not any("properties" in source for source, _target in moved)


def test_moved_fields_are_aligned():
    translation = translation_path("anthropic", "openai_chat")
    request_trace = trace(
        TOOLS, translation.translate_request, known_pairs={("model",): ("model",)}
    )
    upstream_body = translation.translate_request(TOOLS)
    sides = compare_sides(request_trace, TOOLS, upstream_body, [])
    facing: dict[Any, Any] = {}
    for row in sides["rows"]:
        if row.left and row.right:
            facing.setdefault(row.left.pointer, row.right.pointer)
    assert facing["max_tokens",] == ("max_completion_tokens",)
    assert facing["tools",] == ("tools",)
    assert facing["tools", 0, "input_schema"] == ("tools", 0, "function", "parameters")
    assert facing["messages",] == ("messages",)
    for row in sides["rows"]:
        for number in row.left.links if row.left else ():
            counterpart = next(
                r.right for r in sides["rows"] if r.right and r.right.number == number
            )
            assert row.left.number in counterpart.links


def test_only_losses_are_listed_with_their_parent_fields():
    translation = translation_path("anthropic", "openai_chat")
    request_trace = trace(
        TOOLS, translation.translate_request, known_pairs={("model",): ("model",)}
    )
    upstream_body = translation.translate_request(TOOLS)
    adaptations = [{"field": "top_k", "action": "dropped", "note": "no equivalent"}]
    names = ApiNames("Anthropic Messages", "OpenAI Chat")
    sides = compare_sides(request_trace, TOOLS, upstream_body, adaptations, names, losses_only=True)
    assert [row.left.pointer for row in sides["rows"] if row.left] == [(), ("top_k",), ()]
    (item,) = sides["notes"]
    assert item.note.explanation == "OpenAI Chat has no `top_k`, so it was removed."
    assert "Anthropic Messages" in item.note.advice


def test_paths_of_adaptations_become_pointers():
    assert (
        pointer_text(parse_path("messages[2].content[0].a~b/c")) == "/messages/2/content/0/a~0b~1c"
    )


# Streams


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_stream_events_are_independent_of_chunk_boundaries(sizes: list[int]):
    data = b"".join(b'data: {"n": %d}\n\n' % n for n in range(6))
    chunks, done = [], 0
    for at_ms, size in enumerate(sizes):
        size = min(size, len(data) - done)
        chunks.append(Chunk(float(at_ms), size))
        done += size
    assert [event.text for event in parse_events(data, chunks)] == [
        f'{{"n": {n}}}' for n in range(6)
    ]


def test_an_event_has_the_time_of_its_last_byte():
    data = b'data: {"n": 1}\n\ndata: {"n": 2}\n\n'
    events = parse_events(data, [Chunk(5.0, 16), Chunk(700.0, 4), Chunk(900.0, 12)])
    assert [event.at_ms for event in events] == [5.0, 900.0]
    line = build_timeline(events, [], lambda frame: [])
    assert [pair.gap_ms for pair in line.pairs] == [0.0, 895.0]
    assert GAP_MS < 895


def test_only_changed_fields_of_a_stream_event_are_shown():
    data = b'data: {"id": "c", "n": 1}\n\ndata: {"id": "c", "n": 2}\n\n'
    assert [event.changed_fields for event in parse_events(data, [])] == [
        '{"id":"c","n":1}',
        '{"n":2, …}',
    ]


@pytest.mark.parametrize("case", streams())
def test_every_client_event_of_a_golden_stream_has_its_upstream_event(case: dict[str, Any]):
    translation = translation_path(case["to"], case["from"])
    frames = [frame for frame in case["stream"] if frame != "EOF"]
    wire = b"".join(_wire(frame) for frame in frames)
    request = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
    }
    upstream = parse_events(wire, [])
    live, feed = translation.stream_translator(request), translation.stream_translator(request)
    client_wire = [f for event in upstream for f in live(_frame(event))]
    client = parse_events(b"".join(_encoded(f) for f in client_wire), [])
    line = build_timeline(upstream, client, feed)
    assert [e for pair in line.pairs for e in pair.client] == client
    assert len(client) > 2


def _wire(frame: Any) -> bytes:
    if isinstance(frame, str):
        return f"data: {frame}\n\n".encode()
    if set(frame) == {"event", "data"}:
        return f"event: {frame['event']}\ndata: {json.dumps(frame['data'])}\n\n".encode()
    return f"data: {json.dumps(frame)}\n\n".encode()


def _frame(event: Any) -> Any:
    from gateway.framing.sse import Frame

    return Frame(event.event_name, event.text.encode())


def _encoded(frame: Any) -> bytes:
    from gateway.framing.sse import encode

    return encode(frame.data, frame.event.encode())
