"""An upstream that repeats its credential: no client, row or body contains it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing import eventstream
from gateway.providers.profile import Secret
from gateway.providers.redact import Redactor, encoded_forms
from gateway.relay.exchange.delta_texts import delta_spans
from gateway.relay.exchange.recorder import Recorder
from tests.relay.harness import (
    DONE,
    PacedBody,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)

# Of no known shape, and with characters that URLs and JSON write in another way.
SECRET = 'pläin+cred/9"1x%77Zq'.replace("ä", "a")
FORMS = {
    "plain": SECRET,
    "url": quote(SECRET, safe=""),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "basic": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "urlsafe": base64.urlsafe_b64encode(f"ab{SECRET}cd".encode()).decode(),
}
BODY = {"model": "r", "messages": [{"role": "user", "content": "x"}]}


def _reveals_secret(text: str) -> bool:
    """Return whether a text contains enough of a secret to be usable."""
    return any(form[3:-3] in text for form in (*FORMS.values(), json.dumps(SECRET)[1:-1]))


def _secret_provider(dialect: str = "openai_chat", **changes: Any) -> Any:
    return provider("up", dialect, credential=Secret(SECRET), **changes)


def _stored_text(row: Any) -> str:
    return msgspec.json.encode(row).decode() + "".join(
        (data or b"").decode("utf-8", "replace")
        for data in (
            row.bodies.client_request,
            row.bodies.upstream_request,
            row.bodies.upstream_response,
            row.bodies.client_response,
        )
    )


RESPONSES: dict[str, Callable[[], httpx.Response]] = {
    "response": completion,
    "stream": lambda: sse(chunk("hi"), chunk(None, "stop"), DONE),
    "error": lambda: refusal(400),
}


@pytest.mark.parametrize("kind", RESPONSES)
@pytest.mark.parametrize("form", FORMS)
async def test_a_header_that_repeats_the_key_is_masked(
    tmp_path: Path, form: str, kind: str
) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        response = RESPONSES[kind]()
        response.headers["x-ratelimit-limit-requests"] = f"5 for {FORMS[form]}"
        response.headers["x-ratelimit-reset-requests"] = "6m0.5s"
        return response

    async with gateway(tmp_path, snapshot(route("r", _secret_provider())), up=respond) as gw:
        reply = await gw.post("/v1/chat/completions", BODY | {"stream": kind == "stream"})
    assert reply.headers["x-ratelimit-limit-requests"].startswith("5 for ")
    assert reply.headers["x-ratelimit-reset-requests"] == "6m0.5s"
    assert not _reveals_secret(str(reply.headers))


@pytest.mark.parametrize("field", ["message", "param", "code", "extra", "top"])
@pytest.mark.parametrize("form", FORMS)
async def test_an_error_that_repeats_the_key_is_not_passed_on(
    tmp_path: Path, field: str, form: str
) -> None:
    echo = f"got {FORMS[form]} as key"
    error = {"message": "no", "type": "x", "param": None, "code": None, field: echo}
    body = {"error": error, **({"debug": {"headers": [echo]}} if field == "top" else {})}
    async with gateway(
        tmp_path,
        snapshot(route("r", _secret_provider())),
        up=lambda _: httpx.Response(400, json=body),
    ) as gw:
        reply = await gw.post("/v1/chat/completions", BODY)
        assert reply.status == 400
        assert not _reveals_secret(reply.body.decode())
        assert not _reveals_secret(_stored_text(await gw.record()))


async def test_an_error_without_a_secret_is_unchanged(tmp_path: Path) -> None:
    body = {"error": {"message": "no", "type": "x", "param": "temperature", "own": {"a": [1]}}}
    async with gateway(
        tmp_path,
        snapshot(route("r", _secret_provider())),
        up=lambda _: httpx.Response(400, json=body),
    ) as gw:
        assert (await gw.post("/v1/chat/completions", BODY)).json() == body


@pytest.mark.parametrize("client", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_an_error_in_a_stream_does_not_repeat_the_key(
    tmp_path: Path, client: str, pieces: int
) -> None:
    error = {"error": {"message": f"bad key {SECRET}", "code": 500, "raw": FORMS["basic"]}}
    event = b"data: " + json.dumps(error).encode() + b"\n\n"
    size = len(event) // pieces + 1
    parts = [event[start : start + size] for start in range(0, len(event), size)]
    torn = [item for part in parts for item in (part, 0.01)]
    body = {**BODY, "stream": True, "max_tokens": 50}
    async with gateway(
        tmp_path, snapshot(route("r", _secret_provider())), up=lambda _: sse(chunk("hi"), *torn)
    ) as gw:
        reply = await gw.post(client, body)
        assert reply.status == 200
        assert b"hi" in reply.body
        assert b"bad key" in reply.body
        assert not _reveals_secret(reply.body.decode())
        assert not _reveals_secret(_stored_text(await gw.record()))


def _texts(stream: bytes) -> str:
    """Return the joined texts of a stream's deltas."""
    texts: list[str] = []

    def collect(fields: dict[str, Any]) -> dict[str, Any]:
        texts.extend(fields[name] for name in _TEXT_FIELDS & fields.keys() if fields[name])
        return fields

    for line in stream.split(b"\n"):
        if line.startswith(b"data: {"):
            json.loads(line[6:], object_hook=collect)
    return "".join(text for text in texts if isinstance(text, str))


_TEXT_FIELDS = {"content", "arguments", "text", "partial_json"}


def _in_arguments(text: str) -> bytes:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    call["function"] = {**call["function"], "arguments": text}
    delta = {"delta": {"tool_calls": [call]}, "index": 0, "finish_reason": None}
    return chunk(None, choices=[delta])


@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize("write", [chunk, _in_arguments], ids=["text", "arguments"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_key_split_over_chunks_is_not_stored(
    tmp_path: Path, path: str, write: Callable[[str], bytes], size: int
) -> None:
    """The client has received them, as a stream is not delayed; the log has asterisks."""
    text = f"my task-list: {SECRET}."
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    stream = [*map(write, pieces), chunk(None, "stop"), b"data: [DONE]\n\n"]
    async with gateway(
        tmp_path,
        snapshot(route("r", _secret_provider()), log_bodies=True),
        up=lambda _: sse(*stream),
    ) as gw:
        reply = await gw.post(path, {**BODY, "max_tokens": 9, "stream": True})
        assert _reveals_secret(_texts(reply.body))
        bodies = (await gw.record()).bodies
    assert bodies is not None
    assert b"".join(stream).count(b"data: ") == (bodies.upstream_response or b"").count(b"data: ")
    for stored in (bodies.upstream_response, bodies.client_response):
        if stored is not None:
            assert not _reveals_secret(_texts(stored))
            assert "*" * (len(SECRET) - 2) in _texts(stored)


def _choice(text: str, number: int) -> dict[str, Any]:
    return {"index": number, "delta": {"content": text}, "finish_reason": None}


def _choices_in_one(pieces: list[str]) -> list[bytes]:
    return [
        chunk(None, choices=[_choice(f"-{n}-", 1), _choice(piece, 0), _choice("}{", 2)])
        for n, piece in enumerate(pieces)
    ]


def _choices_apart(pieces: list[str]) -> list[bytes]:
    return [
        frame
        for n, piece in enumerate(pieces)
        for frame in (
            chunk(None, choices=[_choice(piece, 0)]),
            chunk(None, choices=[_choice(f'\\" {n}', 1)]),
        )
    ]


def _calls_in_turn(pieces: list[str]) -> list[bytes]:
    def call(text: str, number: int) -> bytes:
        tool_call: dict[str, Any] = {"index": number, "id": f"c{number}", "type": "function"}
        tool_call["function"] = {"name": "f", "arguments": text}
        return chunk(None, choices=[{"delta": {"tool_calls": [tool_call]}, "index": 0}])

    return [frame for n, piece in enumerate(pieces) for frame in (call(piece, 0), call(f" {n}", 1))]


def _reasoning_between(pieces: list[str]) -> list[bytes]:
    return [
        frame
        for n, piece in enumerate(pieces)
        for frame in (
            chunk(piece),
            chunk(None, choices=[{"delta": {"reasoning_content": f"{n}?"}, "index": 0}]),
        )
    ]


def _texts_by_field(stream: bytes) -> list[str]:
    """Return the text of each choice, tool call and field of a Chat stream."""
    texts: dict[tuple[Any, ...], str] = {}
    for line in stream.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            delta, number = choice["delta"], choice["index"]
            texts_by_field = {
                (number, name): delta.get(name) for name in ("content", "reasoning_content")
            }
            for call in delta.get("tool_calls") or ():
                texts_by_field[number, "call", call["index"]] = call["function"]["arguments"]
            for field, text in texts_by_field.items():
                texts[field] = texts.get(field, "") + (text or "")
    return list(texts.values())


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(
    "write", [_choices_apart, _choices_in_one, _calls_in_turn, _reasoning_between]
)
async def test_a_key_split_over_interleaved_chunks_is_not_stored(
    tmp_path: Path, write: Callable[[list[str]], list[bytes]], size: int
) -> None:
    """Chunks of other choices, calls or fields come between those of one."""
    output_text = f"my task-list: {SECRET}."
    pieces = [output_text[start : start + size] for start in range(0, len(output_text), size)]
    stream = [*write(pieces), chunk(None, "stop"), b"data: [DONE]\n\n"]
    async with gateway(
        tmp_path,
        snapshot(route("r", _secret_provider()), log_bodies=True),
        up=lambda _: sse(*stream),
    ) as gw:
        reply = await gw.post("/v1/chat/completions", {**BODY, "n": 3, "stream": True})
        assert any(map(_reveals_secret, _texts_by_field(reply.body)))
        bodies = (await gw.record()).bodies
    assert bodies is not None and bodies.upstream_response is not None
    stored = _texts_by_field(bodies.upstream_response)
    assert not any(map(_reveals_secret, stored))
    assert any("*" * (len(SECRET) - 2) in text for text in stored)
    assert len(stored) == len(_texts_by_field(b"".join(stream))), "nothing else is hidden"


def _anthropic(text: str, number: int) -> bytes:
    delta = {"type": "input_json_delta", "partial_json": text}
    event = {"type": "content_block_delta", "index": number, "delta": delta}
    return b"event: content_block_delta\ndata: " + json.dumps(event).encode() + b"\n\n"


def _responses(text: str, number: int) -> bytes:
    event = {"type": "response.output_text.delta", "output_index": number, "content_index": 0}
    return b"data: " + json.dumps({**event, "delta": text}).encode() + b"\n\n"


def _gemini(text: str, number: int) -> bytes:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": number}
    return b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\n\n"


def _converse(text: str, number: int) -> bytes:
    event = {"contentBlockIndex": number, "delta": {"text": text}, "p": "ab{"}
    return eventstream.encode(json.dumps(event).encode(), "contentBlockDelta")


@pytest.mark.parametrize("write", [_anthropic, _responses, _gemini, _converse])
def test_a_secret_is_masked_in_each_block_of_a_stream(write: Callable[[str, int], bytes]) -> None:
    recorder = Recorder()
    recorder.enabled, recorder.limit = True, 10**6
    recorder.add_redactor(Redactor([SECRET]))
    for n, letter in enumerate(f"it is {SECRET}, so"):
        recorder.record_upstream(write(letter, 3))
        recorder.record_upstream(write(f"{n} ", 4))
    bodies = recorder.bodies({}, [], stream=True)
    assert bodies is not None and bodies.upstream_response is not None
    texts = [
        bodies.upstream_response[slice(*span)] for span in delta_spans(bodies.upstream_response)
    ]
    assert b"".join(texts[::2]) == b"it is %b, so" % (b"*" * len(json.dumps(SECRET)[1:-1]))
    assert b"".join(texts[1::2]) == b"".join(b"%d " % n for n in range(len(texts) // 2))


async def test_a_passthrough_response_does_not_repeat_the_key(tmp_path: Path) -> None:
    text = f"event: error\ndata: {SECRET}\n\n".encode()
    parts = [item for start in range(len(text)) for item in (text[start : start + 1], 0.0)]
    response = lambda _: httpx.Response(  # noqa: E731
        200, headers={"content-type": "text/event-stream"}, stream=PacedBody(*parts)
    )
    async with gateway(tmp_path, snapshot(route("r", _secret_provider())), up=response) as gw:
        reply = await gw.post(
            "/v1/images/generations", {"model": "r", "prompt": "x", "stream": True}
        )
        assert reply.status == 200
        assert reply.body == text.replace(SECRET.encode(), b"*" * len(SECRET))


@pytest.mark.parametrize("before", [0, 90, 95, 99, 100, 104])
def test_a_secret_across_the_limit_is_blanked_before_the_cut(before: int) -> None:
    recorder = Recorder()
    recorder.enabled, recorder.limit = True, 100
    recorder.add_redactor(Redactor([SECRET]))
    for data in (b"x" * before, SECRET[:5].encode(), SECRET[5:].encode(), b"y" * 300):
        recorder.record_upstream(data)
    bodies = recorder.bodies({}, [], stream=True)
    assert bodies is not None
    stored = bodies.upstream_response or b""
    assert len(stored) == 100
    assert set(stored) <= set(b"xy*")
    assert bodies.truncated == ["upstream_response"]


@pytest.mark.parametrize(
    "name",
    [
        "proxy-authorization",
        "x-auth",
        "x-amzn-oidc-jwt",
        "cf-access-jwt-assertion",
        "x-client-secret",
        "x-session-id",
        "x-db-password",
        "cookie",
        "x-csrf-token",
        "x-api-key",
    ],
)
def test_a_header_that_carries_a_credential_is_not_stored(name: str) -> None:
    recorder = Recorder()
    recorder.enabled, recorder.limit = True, 100
    bodies = recorder.bodies({name: "value", "user-agent": "me"}, [], stream=False)
    assert bodies is not None
    assert bodies.client_headers == {name: "***", "user-agent": "me"}


def test_a_secret_in_any_header_is_not_stored() -> None:
    recorder = Recorder()
    recorder.enabled, recorder.limit = True, 100
    recorder.add_redactor(Redactor([SECRET]))
    bodies = recorder.bodies({"x-trace": SECRET}, [(b"x-echo", SECRET.encode())], stream=False)
    assert bodies is not None
    assert bodies.client_headers == {"x-trace": "*" * len(SECRET)}
    assert bodies.response_headers == {"x-echo": "*" * len(SECRET)}


async def test_a_secret_header_and_parameter_of_the_provider_are_secrets_too(
    tmp_path: Path,
) -> None:
    target_provider = _secret_provider(
        headers=(("x-gateway-token", "hush-hush-1"),), query=(("key", "quiet-quiet-2"),)
    )
    body = {"error": {"message": "no", "seen": ["hush-hush-1", "quiet-quiet-2"]}}
    async with gateway(
        tmp_path, snapshot(route("r", target_provider)), up=lambda _: httpx.Response(400, json=body)
    ) as gw:
        reply = await gw.post("/v1/chat/completions", BODY)
        assert b"hush" not in reply.body + _stored_text(await gw.record()).encode()
        assert b"quiet" not in reply.body + _stored_text(await gw.record()).encode()


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=16),
    before=st.binary(max_size=4),
    after=st.binary(max_size=4),
)
def test_each_encoding_of_a_secret_is_found(secret: str, before: bytes, after: bytes) -> None:
    redactor = Redactor([secret])
    raw = before + secret.encode() + after
    for echo in (raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        clean = redactor.redact(echo)
        assert clean != echo
        assert len(clean) == len(echo)
        assert not any(form in clean for form in redactor.forms)
    for echo in (quote(secret, safe="").encode(), msgspec.json.encode({"x": f"a{secret}"})):
        assert redactor.redact(echo) != echo
    assert all(len(form) >= 6 for form in encoded_forms(secret))
