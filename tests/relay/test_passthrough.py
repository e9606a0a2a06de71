"""Passthrough calls: names, ids, keys, cost and the log."""

from __future__ import annotations

import email
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.edge.admission import key_digest
from gateway.relay.runtime import Runtime
from gateway.relay.state.resource_owners import OwnerTable, ResourceOwners
from gateway.routing.snapshot import ApiKey
from tests.relay.harness import (
    ADMIN,
    KEY,
    PEPPER,
    PacedBody,
    gateway,
    provider,
    route,
    snapshot,
    sse,
)

OTHER = "sk-dgm-other"


def form(**fields: Any) -> tuple[bytes, dict[str, str]]:
    """Return a form as httpx encodes it: its body and its headers."""
    files = {name: value for name, value in fields.items() if isinstance(value, tuple)}
    data = {name: value for name, value in fields.items() if not isinstance(value, tuple)}
    request = httpx.Request("POST", "http://x", data=data, files=files)
    return request.read(), {"content-type": request.headers["content-type"]}


def parts_of(request: httpx.Request) -> dict[str, Any]:
    """Return a form as the standard library parses it."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.content)
    payloads_by_name = {}
    for part in message.get_payload():  # type: ignore[union-attr]
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        payloads_by_name[str(name)] = part.get_payload(decode=True)  # type: ignore[union-attr]
    return payloads_by_name


async def test_a_form_is_sent_with_the_upstream_model_name(tmp_path: Path) -> None:
    wave = b"RIFF\r\n--\x00\xff" * 1000
    registry = snapshot(route("ears", provider("up"), model="whisper-1"))
    upstream_response = {"text": "hi", "usage": {"type": "duration", "seconds": 90}}
    async with gateway(
        tmp_path, registry, up=lambda r: httpx.Response(200, json=upstream_response)
    ) as live:
        body, headers = form(model="ears", language="de", file=("a.wav", wave, "audio/wav"))
        response = await live.post("/v1/audio/transcriptions", body, headers=headers)
        assert (response.status, response.json()) == (200, upstream_response)
        upstream_request = live.upstreams.requests[0]
        assert upstream_request.url.path == "/audio/transcriptions"
        assert parts_of(upstream_request) == {
            "model": b"whisper-1",
            "language": b"de",
            "file": wave,
        }
        row = await live.record()
    assert (row.endpoint, row.requested_model, row.model) == (
        "/v1/audio/transcriptions",
        "ears",
        "whisper-1",
    )
    assert row.cost_usd == Decimal("0.36") * 90 / 3600
    assert row.attempts[0].sent_bytes == len(upstream_request.content)
    assert row.bodies is not None
    assert row.bodies.client_request is not None
    logged = json.loads(row.bodies.client_request)
    assert logged["file"] == {"filename": "a.wav", "content_type": "audio/wav", "bytes": len(wave)}
    assert wave not in msgspec.msgpack.encode(row)


async def test_audio_is_streamed(tmp_path: Path) -> None:
    registry = snapshot(route("voice", provider("up"), model="tts-1"))
    kind = {"content-type": "audio/mpeg"}

    def speak(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"model": "tts-1", "input": "Hello", "voice": "nova"}
        return httpx.Response(200, headers=kind, stream=PacedBody(b"ID3\x00", 0.01, b"\xff\xfb"))

    async with gateway(tmp_path, registry, up=speak) as live:
        request_body = {"model": "voice", "input": "Hello", "voice": "nova"}
        response = await live.post("/v1/audio/speech", request_body)
        assert (response.body, response.headers["content-type"]) == (
            b"ID3\x00\xff\xfb",
            "audio/mpeg",
        )
        assert len([part for part in response.parts if part]) == 2
        row = await live.record()
    assert row.cost_usd == Decimal(15) * 5 / 1_000_000
    assert row.bodies is not None
    assert row.bodies.upstream_response == b'{"content_type":"audio/mpeg","bytes":6}'


IMAGE_USAGE = {
    "input_tokens": 100,
    "output_tokens": 1000,
    "total_tokens": 1100,
    "input_tokens_details": {"text_tokens": 60, "image_tokens": 40},
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 1000},
}


async def test_images_are_billed_by_tokens_and_not_logged(tmp_path: Path) -> None:
    registry = snapshot(route("draw", provider("up"), model="gpt-image-1.5"))
    drawn = {"created": 1, "data": [{"b64_json": "QUJD" * 100}], "usage": IMAGE_USAGE}
    async with gateway(tmp_path, registry, up=lambda r: httpx.Response(200, json=drawn)) as live:
        response = await live.post("/v1/images/generations", {"model": "draw", "prompt": "a cat"})
        assert response.json() == drawn
        row = await live.record()
    # 60 text at 5, 40 pictures in at 8, 1000 pictures out at 32, for a million.
    assert row.cost_usd == Decimal(60 * 5 + 40 * 8 + 1000 * 32) / 1_000_000
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (100, 1000, "reported")
    assert b"QUJD" not in msgspec.msgpack.encode(row)


async def test_partial_images_are_streamed_and_counted(tmp_path: Path) -> None:
    registry = snapshot(route("draw", provider("up"), model="gpt-image-1"))
    events = [
        b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image",'
        b'"b64_json":"QUJD"}\n\n',
        b'event: image_generation.completed\ndata: {"type":"image_generation.completed","usage":'
        + json.dumps(IMAGE_USAGE).encode()
        + b"}\n\n",
    ]
    async with gateway(tmp_path, registry, up=lambda r: sse(events[0], 0.01, events[1])) as live:
        request = {"model": "draw", "prompt": "a cat", "stream": True, "partial_images": 1}
        response = await live.post("/v1/images/generations", request)
        assert response.body == b"".join(events)
        assert response.headers["content-type"] == "text/event-stream"
        row = await live.record()
    assert row.cost_usd == Decimal(60 * 5 + 40 * 10 + 1000 * 40) / 1_000_000
    assert row.stream


async def test_a_broken_stream_ends_with_an_error_event(tmp_path: Path) -> None:
    registry = snapshot(route("draw", provider("up"), model="gpt-image-1"))
    broken = httpx.ReadError("gone")
    async with gateway(tmp_path, registry, up=lambda r: sse(b'data: {"a":1}\n\n', broken)) as live:
        response = await live.post("/v1/images/generations", {"model": "draw", "prompt": "a"})
        assert b'event: error\ndata: {"error":' in response.body
        assert (await live.record()).outcome == "cut"


async def test_interrupted_audio_does_not_end_cleanly(tmp_path: Path) -> None:
    registry = snapshot(route("voice", provider("up"), model="tts-1"))
    kind = {"content-type": "audio/mpeg"}

    def speak(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=kind, stream=PacedBody(b"ID3", httpx.ReadError("gone")))

    async with gateway(tmp_path, registry, up=speak) as live:
        response = await live.post("/v1/audio/speech", {"model": "voice", "input": "Hello"})
        assert not response.ended
        assert (await live.record()).outcome == "cut"


async def test_a_missing_price_is_unknown_and_not_free(tmp_path: Path) -> None:
    registry = snapshot(route("draw", provider("up"), model="dall-e-3"))
    upstream_response = {"created": 1, "data": [{"url": "https://x.test/a.png"}]}
    async with gateway(
        tmp_path, registry, up=lambda r: httpx.Response(200, json=upstream_response)
    ) as live:
        await live.post("/v1/images/generations", {"model": "draw", "prompt": "a cat"})
        row = await live.record()
    assert (row.cost_usd, row.input_tokens, row.usage_source) == (None, None, "")


async def test_an_unsupported_endpoint_error_names_providers_with_it(tmp_path: Path) -> None:
    deep = provider("deep", preset="deepseek")
    registry = snapshot(route("chat", deep), route("draw", provider("up")))
    async with gateway(tmp_path, registry) as live:
        response = await live.post("/v1/images/generations", {"model": "chat", "prompt": "a"})
    assert response.status == 400
    message = response.json()["error"]["message"]
    assert "deep, which does not support images/generations" in message
    assert "these configured providers support it: up" in message


async def test_a_refused_target_falls_back_to_the_next(tmp_path: Path) -> None:
    registry = snapshot(route("draw", provider("one"), provider("two"), model="gpt-image-1"))
    done = {"created": 1, "data": []}
    async with gateway(
        tmp_path,
        registry,
        one=lambda r: httpx.Response(503, json={"error": {"message": "busy"}}),
        two=lambda r: httpx.Response(200, json=done),
    ) as live:
        response = await live.post("/v1/images/generations", {"model": "draw", "prompt": "a"})
        assert (response.status, response.json()) == (200, done)
        assert [a.provider for a in (await live.record()).attempts] == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"{}", "application/json", "requires a form"),
        (b"--x\r\n", "multipart/form-data; boundary=x", "not a valid form"),
        (b"", "multipart/form-data", "has no boundary"),
        (b"hello", "multipart/form-data; boundary=x", "does not begin"),
    ],
    ids=["json", "cut", "no boundary", "none"],
)
async def test_a_body_that_is_no_form_is_refused(
    tmp_path: Path, body: bytes, kind: str, message: str
) -> None:
    registry = snapshot(route("ears", provider("up"), model="whisper-1"))
    async with gateway(tmp_path, registry) as live:
        response = await live.post("/v1/audio/transcriptions", body, headers={"content-type": kind})
    assert response.status == 400
    assert message in response.json()["error"]["message"]


async def test_two_models_in_a_form_are_refused(tmp_path: Path) -> None:
    """An upstream that uses the last one would use an unchecked model."""
    registry = snapshot(route("ears", provider("up"), model="whisper-1"))
    body = b"".join(
        b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\n' + name + b"\r\n"
        for name in (b"ears", b"gpt-9")
    )
    async with gateway(tmp_path, registry) as live:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        response = await live.post("/v1/audio/translations", body + b"--x--\r\n", headers=headers)
    assert response.status == 400
    assert response.json()["error"]["param"] == "model"


async def test_a_form_past_its_own_limit_is_refused(tmp_path: Path) -> None:
    registry = snapshot(route("ears", provider("up"), model="whisper-1"))
    async with gateway(tmp_path, registry) as live:
        live.runtime.config = msgspec.structs.replace(live.runtime.config, max_upload_bytes=1000)
        body, headers = form(model="ears", file=("a.wav", b"x" * 2000, "audio/wav"))
        response = await live.post("/v1/audio/transcriptions", body, headers=headers)
    assert response.status == 413


async def test_concurrent_forms_are_limited_in_memory(tmp_path: Path) -> None:
    registry = snapshot(route("ears", provider("up"), model="whisper-1"))
    body, headers = form(model="ears", file=("a.wav", b"x" * 100, "audio/wav"))
    headers["content-length"] = str(len(body))
    done = httpx.Response(200, json={"text": "hi"})
    async with gateway(tmp_path, registry, up=lambda r: done) as live:
        spools, max_bytes = live.runtime.spools, 32 * live.runtime.config.max_upload_bytes
        spools.reserved_bytes = max_bytes - len(body) + 1
        response = await live.post("/v1/audio/transcriptions", body, headers=headers)
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        spools.reserved_bytes = count = max_bytes - len(body)
        assert (await live.post("/v1/audio/transcriptions", body, headers=headers)).status == 200
        assert spools.reserved_bytes == count


async def test_a_batch_file_reserves_twice_its_size(tmp_path: Path) -> None:
    """The file is copied to a second spool with the provider's model names."""
    registry = snapshot(route("any", provider("up"), model="gpt-4.1"))
    body, headers = form(purpose="batch", file=("in.jsonl", b"{}\n" * 300_000, "text/plain"))
    headers["content-length"] = str(len(body))
    done = httpx.Response(200, json={"id": "file-1", "object": "file"})
    async with gateway(tmp_path, registry, up=lambda r: done) as live:
        spools, max_bytes = live.runtime.spools, 32 * live.runtime.config.max_upload_bytes
        spools.reserved_bytes = count = max_bytes - len(body)
        response = await live.post("/v1/files", body, headers=headers)
        assert (response.status, spools.reserved_bytes) == (503, count)
        spools.reserved_bytes = 0
        assert (await live.post("/v1/files", body, headers=headers)).status == 200
        assert parts_of(live.upstreams.requests[0])["file"] == b"{}\n" * 300_000
        assert spools.reserved_bytes == 0


async def test_a_field_that_is_too_long_is_passed_on_unparsed(tmp_path: Path) -> None:
    registry = snapshot(route("ears", provider("up"), model="whisper-1"))
    body, headers = form(model="ears", prompt="y" * 70_000, file=("a.wav", b"x", "audio/wav"))
    done = httpx.Response(200, json={"text": "hi"})
    async with gateway(tmp_path, registry, up=lambda r: done) as live:
        assert (await live.post("/v1/audio/transcriptions", body, headers=headers)).status == 200
        assert parts_of(live.upstreams.requests[0])["prompt"] == b"y" * 70_000
        row = await live.record()
        assert row.bodies is not None
        logged = json.loads(row.bodies.client_request or b"")
        assert logged["prompt"] == {"filename": None, "content_type": "", "bytes": 70_000}
        body, headers = form(model="m" * 70_000, file=("a.wav", b"x", "audio/wav"))
        response = await live.post("/v1/audio/transcriptions", body, headers=headers)
        assert (response.status, response.json()["error"]["param"]) == (400, "model")


async def test_a_wrong_method_names_the_right_ones(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("a", provider("up")))) as live:
        response = await live.post("/v1/files/file-1", b"", method="PUT")
    assert (response.status, response.headers["allow"]) == (405, "GET, DELETE")


# --- rerank -------------------------------------------------------------------------------

JINA = {
    "model": "jina-reranker-v3",
    "usage": {"total_tokens": 12},
    "results": [{"index": 1, "relevance_score": 0.9}],
}


async def test_a_cohere_client_gets_its_shape_from_voyage(tmp_path: Path) -> None:
    voyage = provider("voyage", preset="voyage", dialect="openai_embeddings")
    upstream_response = {"object": "list", "data": JINA["results"], "usage": {"total_tokens": 12}}
    registry = snapshot(route("order", voyage, model="rerank-2.5"))
    async with gateway(
        tmp_path, registry, voyage=lambda r: httpx.Response(200, json=upstream_response)
    ) as live:
        request = {"model": "order", "query": "q", "documents": ["a", "b"], "top_n": 1}
        response = await live.post("/v2/rerank", request)
        assert response.json()["results"] == JINA["results"]
        upstream_body = json.loads(live.upstreams.requests[0].content)
        assert (upstream_body["model"], upstream_body["top_k"]) == ("rerank-2.5", 1)
        row = await live.record()
    assert (row.endpoint, row.input_tokens, row.cost_usd) == ("/v2/rerank", 12, None)


async def test_an_error_of_a_rerank_has_coheres_form(tmp_path: Path) -> None:
    registry = snapshot(route("order", provider("up", preset="jina"), model="jina-reranker-v3"))
    async with gateway(
        tmp_path, registry, up=lambda r: httpx.Response(422, json={"detail": "documents is empty"})
    ) as live:
        request = {"model": "order", "query": "q", "documents": []}
        response = await live.post("/v2/rerank", request)
        assert (response.status, response.json()["message"]) == (400, "documents is empty")
        same = await live.post("/v1/rerank", request)
    assert (same.status, same.json()) == (422, {"detail": "documents is empty"})


# --- files and batches --------------------------------------------------------------------


class FileOwners:
    """A provider's files and the gateway's table of their owners."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.rows: set[tuple[str, int, str]] = set()
        self.is_away = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.strip("/").split("/")
        if parts[0] == "batches":
            request_body = json.loads(request.content)
            assert request_body["input_file_id"] in self.files
            body = {
                "id": "batch_1",
                "input_file_id": request_body["input_file_id"],
                "output_file_id": None,
            }
            return httpx.Response(200, json=body)
        if request.method == "POST":
            name = f"file-up{len(self.files)}"
            self.files[name] = parts_of(request)["file"]
            return httpx.Response(200, json={"id": name, "object": "file", "bytes": 3})
        if len(parts) == 1:
            rows = [{"id": name, "object": "file"} for name in self.files]
            return httpx.Response(200, json={"object": "list", "data": rows, "has_more": False})
        if parts[1] not in self.files:
            return httpx.Response(404, json={"error": {"message": "No such File object"}})
        if parts[-1] == "content":
            kind = {"content-type": "application/json"}
            return httpx.Response(200, headers=kind, content=self.files[parts[1]])
        return httpx.Response(200, json={"id": parts[1], "object": "file"})

    def remember(self, live: Runtime) -> None:
        """Replace the database."""

        def keep(provider: str, owner: int, ids: list[str]) -> None:
            self.rows |= {(provider, owner, id_) for id_ in ids}

        def owned_ids(provider: str, owner: int, ids: list[str]) -> set[str]:
            if self.is_away:
                raise OSError("the database is away")
            return {id_ for id_ in ids if (provider, owner, id_) in self.rows}

        live.resource_owners = ResourceOwners(OwnerTable(keep, owned_ids), live.resource_threads)


def two_keys() -> dict[bytes, ApiKey]:
    own_key = ApiKey(id=1, prefix="sk-dgm-te", name="mine", digest=key_digest(KEY, PEPPER))
    other = ApiKey(id=2, prefix="sk-dgm-ot", name="other", digest=key_digest(OTHER, PEPPER))
    return {own_key.digest: own_key, other.digest: other}


async def test_a_file_is_visible_only_to_its_key(tmp_path: Path) -> None:
    file_owners = FileOwners()
    registry = snapshot(route("gpt", provider("up")), keys=two_keys())
    async with gateway(tmp_path, registry, up=file_owners) as live:
        file_owners.remember(live.runtime)
        body, headers = form(purpose="batch", file=("a.jsonl", b'{"a":1}', "application/jsonl"))
        created_id = (await live.post("/v1/files", body, headers=headers)).json()["id"]
        assert created_id.startswith("file-dgm")
        assert "up0" not in created_id
        content = await live.post(f"/v1/files/{created_id}/content", b"", method="GET")
        assert content.body == b'{"a":1}'
        list_reply = await live.post("/v1/files?limit=5", b"", method="GET")
        assert [row["id"] for row in list_reply.json()["data"]] == [created_id]
        assert "limit=10000" in str(live.upstreams.requests[-1].url)
        batch = await live.post("/v1/batches", {"input_file_id": created_id, "endpoint": "/v1/x"})
        assert batch.json()["input_file_id"] == created_id
        assert batch.json()["id"].startswith("batch_dgm")
        # Another key sees none of it, whether by our id, the provider's or a list.
        for id_ in (
            created_id,
            "file-up0",
            created_id[:-1] + ("A" if created_id[-1] != "A" else "B"),
        ):
            refused_response = await live.post(f"/v1/files/{id_}", b"", method="GET", key=OTHER)
            assert refused_response.status == 404
        others = await live.post("/v1/files", b"", method="GET", key=OTHER)
        assert others.json()["data"] == []
        response = await live.post("/v1/batches", {"input_file_id": created_id}, key=OTHER)
        assert response.status == 404
        rows = await live.rows(9)
    assert rows[0].endpoint == "POST /v1/files"
    assert {row.endpoint for row in rows} >= {"GET /v1/files/{id}/content", "GET /v1/files"}


async def test_a_file_in_a_chat_is_sent_with_the_providers_id(tmp_path: Path) -> None:
    file_owners = FileOwners()
    registry = snapshot(route("gpt", provider("up")), route("far", provider("else")))

    def up(request: httpx.Request) -> httpx.Response:
        return file_owners(request) if "files" in request.url.path else httpx.Response(500)

    async with gateway(tmp_path, registry, up=up) as live:
        body, headers = form(purpose="user_data", file=("a.pdf", b"%PDF", "application/pdf"))
        created_id = (await live.post("/v1/files?provider=up", body, headers=headers)).json()["id"]
        part = {"type": "file", "file": {"file_id": created_id}}
        chat = {"model": "gpt", "messages": [{"role": "user", "content": [part]}]}
        await live.post("/v1/chat/completions", chat)
        assert b"file-up0" in live.upstreams.requests[-1].content
        response = await live.post("/v1/chat/completions", {**chat, "model": "far"})
        assert response.status == 400
        assert "is stored at up" in response.json()["error"]["message"]


async def test_with_several_providers_the_provider_name_is_required(tmp_path: Path) -> None:
    registry = snapshot(route("a", provider("one"), provider("two")))
    async with gateway(tmp_path, registry) as live:
        response = await live.post("/v1/files", b"", method="GET")
        assert response.status == 400
        assert "one, two; name one with `?provider=NAME`" in response.json()["error"]["message"]
        response = await live.post("/v1/files?provider=three", b"", method="GET")
        assert (response.status, response.json()["error"]["param"]) == (404, "provider")
        # An ID may be a provider's own; with the admin credential, it is not known to be another's.
        for end, method in (("", "GET"), ("", "DELETE"), ("/content", "GET")):
            path = f"/v1/files/file-unknown{end}"
            for key in (KEY, ADMIN):
                response = await live.post(path, b"", method=method, key=key)
                assert (response.status, response.json()["error"]["param"]) == (404, "id")
                assert "`file-unknown`" in response.json()["error"]["message"]


async def test_a_key_with_routes_needs_the_files_among_them(tmp_path: Path) -> None:
    keys = {
        digest_: msgspec.structs.replace(key, routes=("gpt",) if key.id == 1 else ("up/files",))
        for digest_, key in two_keys().items()
    }
    registry = snapshot(route("gpt", provider("up")), keys=keys)
    async with gateway(tmp_path, registry, up=FileOwners()) as live:
        refused_response = await live.post("/v1/files", b"", method="GET")
        assert refused_response.status == 403
        assert "allow it `up/files`" in refused_response.json()["error"]["message"]
        assert (await live.post("/v1/files", b"", method="GET", key=OTHER)).status == 200


async def test_an_anthropic_batch_is_sent_with_the_upstream_model_names(tmp_path: Path) -> None:
    claude = provider("claude", "anthropic_messages", preset="anthropic")
    registry = snapshot(
        route("smart", claude, model="claude-opus-5-5"), route("gpt", provider("up"))
    )

    def up(request: httpx.Request) -> httpx.Response:
        assert request.headers["anthropic-version"] == "2023-06-01"
        response_body = {
            "id": "msgbatch_1",
            "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results",
        }
        return httpx.Response(200, json=response_body)

    params = {"max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"anthropic-version": "2023-06-01"}
    async with gateway(tmp_path, registry, claude=up) as live:
        body = {"requests": [{"custom_id": "1", "params": {"model": "smart", **params}}]}
        payload = (await live.post("/v1/messages/batches", body, headers=headers)).json()
        assert payload["results_url"] == f"/v1/messages/batches/{payload['id']}/results"
        upstream_body = json.loads(live.upstreams.requests[0].content)
        assert upstream_body["requests"][0]["params"]["model"] == "claude-opus-5-5"
        body["requests"].append({"custom_id": "2", "params": {"model": "gpt", **params}})
        mixed = await live.post("/v1/messages/batches", body, headers=headers)
        assert mixed.status == 400
        assert mixed.json()["type"] == "error"
        assert "requests[1].params.model" in json.dumps(mixed.json())
        body["requests"][1]["params"] = {"model": "smart", "Model": "claude-other", **params}
        ambiguous = await live.post("/v1/messages/batches", body, headers=headers)
        assert ambiguous.status == 400, "a provider may ignore the case of names"
        assert "`Model` must be written `model`" in json.dumps(ambiguous.json())


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/batches", b'{"input_file_id": %b}' % (b"9" * 5000), "input_file_id"),
        ("/v1/messages/batches", b'{"requests": [{"params": {"x": 1e999}}]}', "requests"),
        ("/v1/responses", b'{"model": "r", "input": 5, "x": "item_reference"}', "input"),
    ],
)
async def test_a_value_that_cannot_be_read_is_an_error_with_its_field(
    tmp_path: Path, path: str, body: bytes, field: str
) -> None:
    registry = snapshot(route("r", provider("up")), keys=two_keys())
    async with gateway(tmp_path, registry, up=lambda _: httpx.Response(200, json={})) as live:
        reply = await live.post(path, body)
    assert reply.status == 400
    assert reply.json()["error"]["message"].startswith(field)
    assert not live.upstreams.requests
