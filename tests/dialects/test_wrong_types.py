"""Each value of an example is replaced by a list or an object without an exception.

Requests and responses are accepted or rejected with a GatewayError, streams are read to their end.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect, ResponseContext
from gateway.framing.sse import Frame
from gateway.providers.catalog import resolve_preset
from gateway.simulate.translate import without_verb
from tests.dialects.full_responses import FULL_RESPONSES

HERE = Path(__file__).parent
CONTEXT = ResponseContext(id="1", created=1, model="m", include_usage=True)
GENERATING = [dialect for name, dialect in DIALECTS.items() if name != "openai_embeddings"]
CLIENTS = [dialect for dialect in GENERATING if dialect.serves_clients]


def _dialect(name: str) -> Dialect:
    name = without_verb(name)
    if name in DIALECTS:
        return DIALECTS[name]
    preset = resolve_preset(name)
    assert preset is not None
    return DIALECTS[preset.dialect]


def _cases(only: str) -> list[Any]:
    problems = []
    for path in sorted(HERE.glob("*cases/*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        if only in case and "status" not in case[only] and _dialect(case["from"]) in GENERATING:
            problems.append(pytest.param(case, id=case["name"]))
    return problems


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*path, key))


def with_wrong_types(document: Any) -> Iterator[Any]:
    """Yield the document with one value replaced, for each value and each replacement."""
    for *parents, key in list(_paths(document)):
        for wrong_value in ([], [[]], {"type": []}):
            changed = copy.deepcopy(document)
            container = changed
            for name in parents:
                container = container[name]
            container[key] = wrong_value
            yield changed


def parse(dialect: Dialect, body: Any, headers: dict[str, str]) -> Request | None:
    """Return the canonical request; None if it is rejected."""
    try:
        return dialect.client.parse_request(body, headers)
    except GatewayError:
        return None


@pytest.mark.parametrize("case", _cases("request"))
def test_a_request_is_accepted_or_rejected(case: dict[str, Any]) -> None:
    source, request = _dialect(case["from"]), case["request"]
    for body in with_wrong_types(request.get("body", request)):
        parsed_request = parse(source, body, request.get("headers", {}))
        for target in GENERATING if parsed_request is not None else ():
            try:
                rendered_request = target.provider.render_request(parsed_request, Traits())
            except GatewayError:
                continue
            msgspec.json.encode(rendered_request.body)


def parse_response(dialect: Dialect, body: Any) -> Response | None:
    """Return the canonical response; None if it is rejected."""
    try:
        return dialect.provider.parse_response(body, Traits(), None)
    except GatewayError:
        return None


@pytest.mark.parametrize("name", FULL_RESPONSES)
def test_a_response_is_accepted_or_rejected(name: str) -> None:
    for body in with_wrong_types(FULL_RESPONSES[name]):
        response = parse_response(DIALECTS[name], body)
        for client in CLIENTS if response is not None else ():
            response_body, _ = client.client.render_response(response, CONTEXT)
            msgspec.json.encode(response_body)


def _events(stream: list[Any]) -> list[tuple[str, Any]]:
    """Return the events of a case: their names, and their data as JSON."""
    events = []
    for event in stream:
        named = isinstance(event, dict) and "event" in event
        data = event["data"] if named else event
        if isinstance(data, dict):
            events.append((event["event"] if named else "", data))
    return events


@pytest.mark.parametrize("case", _cases("stream"))
def test_a_stream_is_read_to_its_end(case: dict[str, Any]) -> None:
    source = _dialect(case["from"])
    names, documents = zip(*_events(case["stream"]), strict=True)
    for number, changed in enumerate(with_wrong_types(list(documents))):
        client = CLIENTS[number % len(CLIENTS)]
        parser = source.provider.stream_parser(Traits(), None)
        renderer = client.client.stream_renderer(CONTEXT)
        for name, data in zip(names, changed, strict=True):
            for event in parser.feed(Frame(event=name, data=msgspec.json.encode(data))):
                renderer.feed(event)
        for event in parser.close():
            renderer.feed(event)


@pytest.mark.parametrize("name", [{}, [], 5])
def test_a_name_of_a_foreign_tool_may_be_of_any_type(name: Any) -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [function, {"type": "retrieval", "name": name}, {"type": "retrieval"}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }
    chat = DIALECTS["openai_chat"]
    rendered_request = chat.provider.render_request(chat.client.parse_request(body, {}), Traits())
    assert rendered_request.body["tool_choice"] == body["tool_choice"]
