"""Reading of request bodies: size and time limits, decoding of one level, error messages."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.edge.admission import ClientGone, Receive, decode_object, field_value, read_body
from gateway.relay.event_loop import offload


def receiving(*messages: dict[str, Any]) -> Receive:
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        if queue:
            return queue.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def part(data: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_body_chunks_are_joined() -> None:
    receive = receiving(part(b"a", more=True), part(b"b", more=True), part(b"c", more=False))
    assert await read_body(receive, {}, 10) == b"abc"


async def test_a_large_body_is_413_after_it_was_read_to_its_end() -> None:
    receive = receiving(*[part(b"x" * 10, more=n < 9) for n in range(10)])
    with pytest.raises(GatewayError) as error:
        await read_body(receive, {}, 25)
    assert error.value.error.kind == "too_large"


async def test_a_disconnect_during_the_body_is_not_an_error() -> None:
    receive = receiving(part(b"x", more=True), {"type": "http.disconnect"})
    with pytest.raises(ClientGone):
        await read_body(receive, {}, 10)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(b"{}"), id="gzip"),
        pytest.param(bytes.fromhex("28b52ffd0002110000") + b"{}", id="zstd"),
    ],
)
def test_a_compressed_body_is_named_as_the_cause(body: bytes) -> None:
    with pytest.raises(GatewayError, match="is compressed, which is not supported") as error:
        decode_object(body)
    assert error.value.error.param == "content-encoding"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b'"x"', id="a string"),
        pytest.param(b'{"a": "\xff"}', id="not utf-8"),
        pytest.param(b'{"a": NaN}', id="not a number"),
        # Python 3.14 decodes 100,000 levels.
        pytest.param(b'{"a": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", id="deep"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as error:
        decode_object(body)
    assert error.value.error.kind == "invalid_request"


def test_parsed_body_values_are_unchanged() -> None:
    fields = decode_object(b'{"a": 1.50 , "b" : {"x" :  "\\u00e9"}}')
    assert bytes(fields["a"]) == b"1.50"
    assert bytes(fields["b"]) == b'{"x" :  "\\u00e9"}'


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(GatewayError) as error:
        field_value(decode_object(b'{"model": 5}'), "model", str, default="")
    assert error.value.error.param == "model"
    assert error.value.error.message == "model must be a string"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"model":"a","model":"b"}', "model"),
        (b'{"model":"a","messages":[],"model":"a"}', "model"),
        (b'{"n":12,"stream":true,"n":1}', "n"),
        (b'{ "model" : "a" , "mod\\u0065l" : "b" }\n', "model"),
        (b'{"stream":true,"x":1,"stream":false}', "stream"),
        (b'{"messages":[{"x":1,"messages":2}],"messages":[]}', "messages"),
        (b'{"Model":"b","model":"a"}', "Model"),
        (b'{"model":"a","Model":"b"}', "Model"),
        (b'{"STREAM":true,"model":"a"}', "STREAM"),
        ('{"model":"a","\u017ftream":true}'.encode(), "\u017ftream"),
        (b'{"model":"a","Custom":1,"custom":2}', "custom"),
        (b'{"generationConfig":{},"GenerationConfig":{}}', "GenerationConfig"),
    ],
)
def test_a_duplicate_field_is_refused(body: bytes, name: str) -> None:
    with pytest.raises(GatewayError) as error:
        decode_object(body)
    assert error.value.error.kind == "invalid_request"
    assert error.value.error.param == name


# Keys and values of which objects are made: nested ones may repeat any name.
_KEYS = st.sampled_from(["model", "stream", "a", "é", 'q"', "x\\", "", "n1"])
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["model", '","model":"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(
    pairs=st.lists(st.tuples(_KEYS, _VALUES), max_size=6),
    spaces=st.sampled_from([("", ""), (" ", ""), ("", " "), (" ", "\n"), ("\t", " ")]),
    escaped=st.booleans(),
)
def test_an_object_is_refused_only_if_it_has_a_duplicate_key(
    pairs: list[tuple[str, Any]], spaces: tuple[str, str], escaped: bool
) -> None:
    comma, colon = (f"{spaces[0]}{mark}{spaces[1]}" for mark in ",:")
    members = [
        json.dumps(name, ensure_ascii=escaped)
        + colon
        + json.dumps(value, separators=(comma, colon), ensure_ascii=not escaped)
        for name, value in pairs
    ]
    body = (spaces[1] + "{" + spaces[0] + comma.join(members) + spaces[1] + "}").encode()
    names = [name for name, _ in pairs]
    try:
        decode_object(body)
        is_refused = False
    except GatewayError:
        is_refused = True
    assert is_refused == (len(set(names)) != len(names))


@pytest.mark.parametrize("separator", [":", " :", "\n:", "\t:", "\r :"])
def test_the_number_of_fields_is_limited_whatever_their_layout(separator: str) -> None:
    body = "{" + ",".join(f'"field{n}"{separator}1' for n in range(offload.MAX_FIELDS + 1)) + "}"
    assert len(body) > offload.LARGE_BYTES
    with pytest.raises(GatewayError, match="more than 10000 fields"):
        decode_object(body.encode())
