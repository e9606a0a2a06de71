"""Translation of dialects with the model in the path: the path is passed beside the body."""

from __future__ import annotations

from gateway.api.translate import _split_request
from gateway.simulate import translate

BODY = {"contents": [{"parts": [{"text": "hi"}]}]}


def test_model_and_stream_are_read_from_the_path() -> None:
    path = "/v1beta/models/gw:streamGenerateContent?alt=sse"
    body, headers = _split_request({"path": path, "body": BODY, "headers": {"X-A": "b"}})
    assert body == {**BODY, "model": "gw", "stream": True}
    assert headers == {"X-A": "b"}
    translation = translate.request("gemini", "openai", body, headers, "gpt-4.1")
    assert translation["body"]["model"] == "gpt-4.1"
    assert translation["body"]["stream"] is True


def test_the_same_dialect_passes_without_the_model_in_its_body() -> None:
    translation = translate.request(
        "gemini", "gemini", {**BODY, "model": "gw"}, {}, "gemini-2.5-pro"
    )
    assert translation["passthrough"]
    assert translation["body"] == BODY
    assert translation["path"] == "/v1beta/models/gemini-2.5-pro:generateContent"


def test_a_bare_body_is_accepted_as_a_request() -> None:
    assert _split_request({**BODY, "model": "gw"}) == ({**BODY, "model": "gw"}, {})
