"""Guardrails on passthrough endpoints: forms, batches, their responses, request guardrails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.guardrails.guardrail import Guardrail, PatternSettings
from gateway.routing.snapshot import Snapshot
from tests.relay.card_number import CARD, shows_card
from tests.relay.harness import ADMIN, PacedBody, completion, gateway, provider, route, snapshot
from tests.relay.test_passthrough import form, parts_of

PII = PatternSettings(pii=("credit_card",))
MASK = Guardrail(name="mask", settings=PII, action="mask", check_responses=True, everywhere=True)
CHAT = "/v1/chat/completions"


def guarded_registry(*guardrails: Guardrail, attached: tuple[str, ...] = ()) -> Snapshot:
    test_route = route("r", provider("up"), guardrails=attached)
    return snapshot(test_route, guardrails={g.name: g for g in guardrails})


async def test_the_text_fields_of_a_form_are_masked(tmp_path: Path) -> None:
    body, headers = form(model="r", prompt=f"about {CARD}", file=("a.wav", b"RIFF", "audio/wav"))
    answer_upstream = lambda _: httpx.Response(200, json={"text": "hi"})  # noqa: E731 - an upstream
    async with gateway(tmp_path, guarded_registry(MASK), up=answer_upstream) as live:
        reply = await live.post("/v1/audio/transcriptions", body, headers=headers)
        parts = parts_of(live.upstreams.requests[0])
    assert reply.status == 200
    assert parts["prompt"] == b"about [CREDIT_CARD]"
    assert parts["file"] == b"RIFF"


async def test_a_form_is_blocked(tmp_path: Path) -> None:
    body, headers = form(model="r", prompt=CARD, image=("a.png", b"x", "image/png"))
    block = msgspec.structs.replace(MASK, action="block")
    async with gateway(tmp_path, guarded_registry(block), up=lambda _: httpx.Response(500)) as live:
        reply = await live.post("/v1/images/edits", body, headers=headers)
        assert live.upstreams.requests == []
    assert reply.json()["error"]["code"] == "guardrail_blocked"


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("application/json", json.dumps({"text": CARD}), '{"text":"[CREDIT_CARD]"}'),
        ("text/plain", f"it is {CARD}", "it is [CREDIT_CARD]"),
        (
            "text/event-stream",
            f'data: {{"type":"transcript.text.delta","delta":"{CARD[:8]}"}}\n\n'
            f'data: {{"type":"transcript.text.delta","delta":"{CARD[8:]}"}}\n\n'
            f'data: {{"type":"transcript.text.done","text":"{CARD}"}}\n\ndata: [DONE]\n\n',
            'data: {"type":"transcript.text.done","text":"[CREDIT_CARD]"}\n\ndata: [DONE]\n\n',
        ),
    ],
    ids=["json", "text", "stream"],
)
async def test_a_transcript_is_masked(
    tmp_path: Path, kind: str, content: str, expected: str
) -> None:
    body, headers = form(model="r", file=("a.wav", b"RIFF", "audio/wav"))
    response = httpx.Response(200, content=content, headers={"content-type": kind})
    async with gateway(tmp_path, guarded_registry(MASK), up=lambda _: response) as live:
        reply = await live.post("/v1/audio/transcriptions", body, headers=headers)
        row = await live.record()
    assert reply.body.decode() == expected
    assert row.guardrails[-1].outcome == "masked"


async def test_a_blocked_transcript_is_not_sent(tmp_path: Path) -> None:
    body, headers = form(model="r", file=("a.wav", b"RIFF", "audio/wav"))
    block = msgspec.structs.replace(MASK, action="block")
    answer_upstream = lambda _: httpx.Response(200, json={"text": CARD})  # noqa: E731 - an upstream
    async with gateway(tmp_path, guarded_registry(block), up=answer_upstream) as live:
        reply = await live.post("/v1/audio/transcriptions", body, headers=headers)
    assert reply.status == 400
    assert not shows_card(reply.body)


def batch_line(text: str, model: str = "r") -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": CARD, "method": "POST", "url": CHAT, "body": body}


def completion_of(text: str) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


def message_of(text: str) -> dict[str, Any]:
    return {"id": "m", "type": "message", "content": [{"type": "text", "text": text}]}


def upload(*lines: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content = "\n".join(json.dumps(line) for line in lines).encode()
    return form(purpose="batch", file=("b.jsonl", content, "application/jsonl"))


def up_file(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"id": "file-1", "object": "file"})


@pytest.mark.parametrize("attached", [False, True], ids=["of all requests", "of the line's route"])
async def test_the_lines_of_a_batch_file_are_masked(tmp_path: Path, attached: bool) -> None:
    guard = msgspec.structs.replace(MASK, everywhere=not attached)
    registry = guarded_registry(guard, attached=("mask",) if attached else ())
    body, headers = upload(batch_line("hello"), batch_line(f"pay {CARD}"))
    async with gateway(tmp_path, registry, up=up_file) as live:
        reply = await live.post("/v1/files", body, headers=headers)
        upstream_file = parts_of(live.upstreams.requests[0])["file"]
    assert reply.status == 200, reply.body
    first, second = [json.loads(line) for line in upstream_file.splitlines()]
    assert first["body"]["messages"][0]["content"] == "hello"
    assert second["body"]["messages"][0]["content"] == "pay [CREDIT_CARD]"
    assert second["custom_id"] == CARD, "results are matched by it"


@pytest.mark.parametrize("names", [("decoy", "file"), ("file", "decoy"), ("file", "file")])
async def test_a_batch_is_one_file(tmp_path: Path, names: tuple[str, str]) -> None:
    """With two files, the provider could read the one that was not checked."""
    block = msgspec.structs.replace(MASK, action="block")
    first, second = (json.dumps(batch_line(text)).encode() for text in ("hello", CARD))
    parts = [("b.jsonl", data, "application/jsonl") for data in (first, second)]
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), part[0].encode(), part[1])
        for name, part in zip(names, parts, strict=True)
    )
    purpose = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    async with gateway(tmp_path, guarded_registry(block), up=up_file) as live:
        reply = await live.post("/v1/files", purpose + body + b"--x--\r\n", headers=headers)
        assert live.upstreams.requests == []
    assert reply.status == 400, reply.body
    assert reply.json()["error"]["param"] == "file"


@pytest.mark.parametrize("more", [b"", b'; filename="p"'], ids=["twice", "as a file"])
async def test_a_batch_has_one_purpose(tmp_path: Path, more: bytes) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="purpose"'
    body = head + more + b"\r\n\r\nbatch\r\n" + (b"" if more else head + b"\r\n\r\nvision\r\n")
    line = json.dumps(batch_line(CARD)).encode()
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="b"\r\n\r\n' + line
    headers = {"content-type": "multipart/form-data; boundary=x"}
    async with gateway(tmp_path, guarded_registry(MASK), up=up_file) as live:
        reply = await live.post("/v1/files", body + file + b"\r\n--x--\r\n", headers=headers)
        assert live.upstreams.requests == []
    assert (reply.status, reply.json()["error"]["param"]) == (400, "purpose")


async def test_a_blocked_line_of_a_batch_is_named(tmp_path: Path) -> None:
    block = msgspec.structs.replace(MASK, action="block")
    body, headers = upload(batch_line("hello"), batch_line(CARD))
    async with gateway(tmp_path, guarded_registry(block), up=up_file) as live:
        reply = await live.post("/v1/files", body, headers=headers)
        assert live.upstreams.requests == []
    error = reply.json()["error"]
    assert error["code"] == "guardrail_blocked"
    assert error["message"] == "line 2 of the file: the request was blocked by the guardrail `mask`"


async def test_no_text_hides_in_a_duplicate_field_of_a_batch(tmp_path: Path) -> None:
    content = json.dumps(batch_line("hello")).replace(
        '"content": ', f'"content": "{CARD}", "content": ', 1
    )
    assert CARD in content
    body, headers = form(purpose="batch", file=("b.jsonl", content.encode(), "application/jsonl"))
    async with gateway(tmp_path, guarded_registry(MASK), up=up_file) as live:
        reply = await live.post("/v1/files", body, headers=headers)
    assert (reply.status, live.upstreams.requests) == (400, [])
    assert (
        "line 1 of the file: an object in the request has a field twice"
        in reply.json()["error"]["message"]
    )


async def test_an_anthropic_batch_has_the_guardrails_of_its_routes(tmp_path: Path) -> None:
    claude = route("r", provider("up", "anthropic_messages"), guardrails=("mask",))
    guard = msgspec.structs.replace(MASK, everywhere=False)
    params = {"model": "r", "max_tokens": 5, "messages": [{"role": "user", "content": CARD}]}
    body = {"requests": [{"custom_id": "1", "params": params}]}
    answer_upstream = lambda _: httpx.Response(200, json={"id": "msgbatch_1"})  # noqa: E731 - an upstream
    registry = snapshot(claude, guardrails={"mask": guard})
    async with gateway(tmp_path, registry, up=answer_upstream) as live:
        headers = {"anthropic-version": "2023-06-01"}
        reply = await live.post("/v1/messages/batches", body, headers=headers)
        upstream_body = json.loads(live.upstreams.requests[0].content)
    assert reply.status == 200, reply.body
    assert upstream_body["requests"][0]["params"]["messages"][0]["content"] == "[CREDIT_CARD]"


RESULTS = [
    {"id": "1", "custom_id": "a", "response": {"status_code": 200, "body": completion_of("hello")}},
    {
        "id": "2",
        "custom_id": "b",
        "response": {"status_code": 200, "body": {**completion_of(CARD), "logprobs": [CARD]}},
    },
    {"custom_id": "c", "result": {"type": "succeeded", "message": message_of(CARD)}},
    {"custom_id": "d", "result": {"type": "expired"}},
]


@pytest.mark.parametrize("action", ["mask", "block"])
async def test_the_results_of_a_batch_are_checked(tmp_path: Path, action: Any) -> None:
    content = b"".join(json.dumps(line).encode() + b"\n" for line in RESULTS)
    kind = {"content-type": "application/octet-stream"}
    pieces = [content[n : n + 50] for n in range(0, len(content), 50)]
    answer_upstream = lambda _: httpx.Response(200, headers=kind, stream=PacedBody(*pieces))  # noqa: E731
    guard = msgspec.structs.replace(MASK, action=action)
    async with gateway(tmp_path, guarded_registry(guard), up=answer_upstream) as live:
        reply = await live.post("/v1/files/file-1/content", b"", method="GET", key=ADMIN)
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert lines[0] == RESULTS[0]
    assert lines[3] == RESULTS[3]
    if action == "mask":
        masked_body = {**completion_of("[CREDIT_CARD]"), "logprobs": []}
        assert lines[1]["response"]["body"] == masked_body
        assert lines[2]["result"]["message"] == message_of("[CREDIT_CARD]")
        return
    assert lines[1]["response"] is None
    assert lines[1]["error"]["code"] == "guardrail_blocked"
    assert lines[2]["result"]["type"] == "errored"
    assert not shows_card(reply.body)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x00" * 100, b'{\n "a": 1\n}', b""], ids=str)
async def test_other_files_are_relayed_unchanged(tmp_path: Path, content: bytes) -> None:
    kind = {"content-type": "application/octet-stream"}
    answer_upstream = lambda _: httpx.Response(200, headers=kind, stream=PacedBody(content))  # noqa: E731
    async with gateway(tmp_path, guarded_registry(MASK), up=answer_upstream) as live:
        reply = await live.post("/v1/files/file-1/content", b"", method="GET", key=ADMIN)
    assert reply.body == content


# --- guardrails that a request names --------------------------------------------------------

OPTIONAL = Guardrail(name="cards", settings=PII, action="mask")


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "r", "messages": [{"role": "user", "content": CARD}], **more}


async def test_a_request_adds_guardrails(tmp_path: Path) -> None:
    async with gateway(tmp_path, guarded_registry(OPTIONAL), up=lambda _: completion()) as live:
        await live.post(CHAT, chat())
        await live.post(CHAT, chat(guardrails=["cards"]))
        without, with_it = [json.loads(r.content) for r in live.upstreams.requests]
    assert without["messages"][0]["content"] == CARD
    assert with_it["messages"][0]["content"] == "[CREDIT_CARD]"
    assert "guardrails" not in with_it


async def test_a_request_removes_no_guardrail(tmp_path: Path) -> None:
    response = chat(guardrails=[], disable_global_guardrail=True, disable_global_guardrails=True)
    registry = guarded_registry(MASK, OPTIONAL, attached=("cards",))
    async with gateway(tmp_path, registry, up=lambda _: completion()) as live:
        await live.post(CHAT, response)
        upstream_body = json.loads(live.upstreams.requests[0].content)
        row = await live.record()
    assert upstream_body == {**chat(), "model": "gpt-4.1"} | {
        "messages": [{"role": "user", "content": "[CREDIT_CARD]"}]
    }
    assert [result.name for result in row.guardrails] == ["cards", "mask", "mask"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["none"], "there is no active guardrail `none`"),
        ([{"cards": {}}], "must be the name of a guardrail"),
        (3, "must be a list"),
        (["cards"] * 51, "at most 50 names"),
    ],
    ids=["unknown", "parameters", "number", "many"],
)
async def test_invalid_names_of_guardrails_are_refused(
    tmp_path: Path, value: Any, reason: str
) -> None:
    async with gateway(tmp_path, guarded_registry(OPTIONAL), up=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat(guardrails=value))
        assert live.upstreams.requests == []
    assert reply.status == 400
    assert reason in reply.json()["error"]["message"]
    assert reply.json()["error"]["param"].startswith("guardrails")
