"""Reading a body: bounded in bytes and time, one level decoded, faults named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.edge.body import ClientGone, Receive, decode, field, read


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


async def test_parts_are_joined() -> None:
    receive = receiving(part(b"a", more=True), part(b"b", more=True), part(b"c", more=False))
    assert await read(receive, {}, 10) == b"abc"


async def test_a_large_body_is_413_after_it_was_read_to_its_end() -> None:
    receive = receiving(*[part(b"x" * 10, more=n < 9) for n in range(10)])
    with pytest.raises(GatewayError) as caught:
        await read(receive, {}, 25)
    assert caught.value.error.kind == "too_large"


async def test_a_client_that_leaves_is_no_error() -> None:
    receive = receiving(part(b"x", more=True), {"type": "http.disconnect"})
    with pytest.raises(ClientGone):
        await read(receive, {}, 10)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b'"x"', id="a string"),
        pytest.param(b'{"a": "\xff"}', id="not utf-8"),
        pytest.param(b'{"a": NaN}', id="not a number"),
        pytest.param(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(body)
    assert caught.value.error.kind == "invalid_request"


def test_values_stay_as_they_were_written() -> None:
    fields = decode(b'{"a": 1.50 , "b" : {"x" :  "\\u00e9"}}')
    assert bytes(fields["a"]) == b"1.50"
    assert bytes(fields["b"]) == b'{"x" :  "\\u00e9"}'


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(GatewayError) as caught:
        field(decode(b'{"model": 5}'), "model", str, default="")
    assert caught.value.error.param == "model"
    assert caught.value.error.message == "model must be a string"
