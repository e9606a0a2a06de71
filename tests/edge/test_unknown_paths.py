"""Errors with status 404: a path, a model or another object that does not exist."""

from __future__ import annotations

from pathlib import Path

from gateway.edge.endpoints import is_edge_path
from tests.each import each
from tests.relay.harness import KEY, gateway, provider, route, snapshot

CHAT = {"model": "cheap", "messages": [{"role": "user", "content": "hi"}]}


@each("path", ["/v1/threads", "/v1/chat/nope", "/v2/nope"])
async def test_an_unknown_path_is_not_reported_as_an_unknown_model(
    tmp_path: Path, path: str
) -> None:
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        reply = await gw.post(path, CHAT)
    error = reply.json()["error"]
    assert (reply.status, error["code"]) == (404, "unknown_url")
    assert path in error["message"]


@each(
    ("path", "dialect"),
    [
        ("/openai/assistants", "openai_chat"),
        ("/openai/deployments/gpt-4o/extensions/chat", "openai_chat"),
        ("/engines/gpt-4o/search", "openai_chat"),
        ("/mistral/agents", "openai_chat"),
        ("/gemini/interactions", "gemini"),
        ("/vertex_ai/interactions", "gemini"),
        ("/cohere/classify", "cohere"),
        ("/bedrock/agents", "bedrock_converse"),
        ("/api/pull", "ollama"),
        ("/api/create", "ollama"),
        ("/api/blobs/sha256:29fdb92e", "ollama"),
    ],
)
async def test_an_unknown_path_of_a_vendor_is_an_error_in_its_format(
    tmp_path: Path, path: str, dialect: str
) -> None:
    """Its SDK shows the message; the console would respond for its pages."""
    assert is_edge_path(path)
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        reply = await gw.post(path, CHAT)
    body = reply.json()
    error = {"ollama": body, "cohere": body, "bedrock_converse": body}.get(dialect) or body["error"]
    field = "error" if dialect == "ollama" else "message"
    assert (reply.status, path in error[field], "status" in error) == (
        404,
        True,
        dialect == "gemini",
    )


async def test_an_unknown_model_has_the_code_of_openai(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        reply = await gw.post("/v1/chat/completions", CHAT | {"model": "nope"})
    error = reply.json()["error"]
    assert (reply.status, error["code"], error["param"]) == (404, "model_not_found", "model")


async def test_an_unknown_stored_prompt_is_not_reported_as_an_unknown_model(
    tmp_path: Path,
) -> None:
    body = {"model": "cheap", "input": "hi", "prompt": {"id": "greeting"}}
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        reply = await gw.post("/v1/responses", body)
    error = reply.json()["error"]
    assert (reply.status, error["code"], error["param"]) == (404, None, "prompt.id")


async def test_an_unknown_method_of_gemini_is_not_a_wrong_http_method(tmp_path: Path) -> None:
    """A client cannot mend it with another HTTP method, which status 405 would suggest."""
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        reply = await gw.post("/v1beta/models/cheap:predictLongRunning", {})
        listed = await gw.post("/v1beta/models/cheap", {})
    error = reply.json()["error"]
    assert (reply.status, error["status"]) == (404, "NOT_FOUND")
    assert "predictLongRunning" in error["message"]
    assert listed.status == 405


async def test_an_unknown_list_of_bedrock_is_an_error_in_its_form(tmp_path: Path) -> None:
    """Claude Code asks for it, and continues with the model of its settings."""
    path = "/inference-profiles"
    assert is_edge_path(path)
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        reply = await gw.post(path, b"", method="GET")
    assert (reply.status, path in reply.json()["message"]) == (404, True)
    assert reply.headers["x-amzn-errortype"] == "ResourceNotFoundException"


@each("path", ["/v1/files", "/v1/batches", "/v1/files/abc", "/upload/v1beta/files"])
async def test_a_google_client_is_not_sent_files_of_openai(tmp_path: Path, path: str) -> None:
    """The google-genai SDK calls Gemini's own files and batches at the same paths."""
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        headers = {"x-goog-api-key": KEY, "authorization": ""}
        reply = await gw.post(path, b"", method="GET", headers=headers)
    error = reply.json()["error"]
    assert (reply.status, error["status"]) == (404, "NOT_FOUND")
    assert path in error["message"]
    assert not gw.upstreams.requests


def test_uploads_to_google_are_refused_by_the_edge() -> None:
    assert is_edge_path("/upload/v1beta/files")
