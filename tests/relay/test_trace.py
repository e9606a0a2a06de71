"""Upstream requests have a request id and a trace context."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from gateway.relay.upstream.http1 import Transport
from tests.relay.harness import completion, gateway, provider, route, snapshot
from tests.relay.test_http1 import OK, request_of, server

BODY = {"model": "r", "messages": [{"role": "user", "content": "hi"}]}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00")


async def upstream_headers(tmp_path: Path, headers: dict[str, str]) -> tuple[httpx.Headers, str]:
    """Return the upstream headers, and the id in the log."""
    registry = snapshot(route("r", provider("one")))
    async with gateway(tmp_path, registry, one=lambda _: completion()) as gw:
        await gw.post("/v1/chat/completions", BODY, headers=headers)
        (row,) = await gw.rows(1)
        return gw.upstreams.requests[0].headers, row.id


async def test_a_clients_trace_is_passed_on(tmp_path: Path) -> None:
    traceparent = {"traceparent": PARENT, "tracestate": "vendor=1"}
    headers, request_id = await upstream_headers(tmp_path, traceparent)
    assert {name: headers[name] for name in traceparent} == traceparent
    assert headers["x-request-id"] == request_id


@pytest.mark.parametrize(
    "traceparent", ["", "x", PARENT.upper(), "00-" + "0" * 32 + PARENT[35:], "f" * 60_000]
)
async def test_a_trace_is_created_where_there_is_none(tmp_path: Path, traceparent: str) -> None:
    headers, _ = await upstream_headers(
        tmp_path, {"traceparent": traceparent, "tracestate": "vendor=1"}
    )
    assert FORM.fullmatch(headers["traceparent"])
    assert "tracestate" not in headers


@pytest.mark.parametrize(
    ("traceparent", "logged"),
    [
        (PARENT, (PARENT[3:35], PARENT[36:52])),
        (PARENT.upper(), ("", "")),
        ("f" * 60_000, ("", "")),
        ("", ("", "")),
    ],
)
async def test_the_log_has_the_clients_trace_and_span(
    tmp_path: Path, traceparent: str, logged: tuple[str, str]
) -> None:
    """Client spans and requests are joined by these, without OpenTelemetry in the gateway."""
    registry = snapshot(route("r", provider("one")))
    async with gateway(tmp_path, registry, one=lambda _: completion()) as gw:
        await gw.post("/v1/chat/completions", BODY, headers={"traceparent": traceparent})
        (row,) = await gw.rows(1)
    assert (row.trace_id, row.parent_span_id) == logged
    assert row.span_id == ""


async def test_headers_of_one_request_are_sent_on_the_wire() -> None:
    heads: list[bytes] = []

    async def serve(reader, writer) -> None:  # noqa: ANN001 - as in `answering`
        for _ in range(2):
            heads.append((await request_of(reader))[0])
            writer.write(OK)

    transport = Transport()
    async with server(serve) as url:
        for number in (b"1", b"2"):
            extra = ((b"x-request-id", number),)
            response = await transport.exchange(
                "POST", httpx.URL(url), httpx.Headers({"host": "h"}), b"{}", 5.0, extra
            )
            await response.read()
            response.close()
        with pytest.raises(httpx.LocalProtocolError):
            extra = ((b"x-request-id", b"1\r\nx: y"),)
            await transport.exchange(
                "POST", httpx.URL(url), httpx.Headers({"host": "h"}), b"{}", 5.0, extra
            )
        await transport.aclose()
    assert [re.findall(rb"x-request-id: (\d)", head) for head in heads] == [[b"1"], [b"2"]]
