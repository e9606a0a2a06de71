"""Translation examples use live state if available; otherwise the missing input is reported."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

CASES = Path(__file__).parents[1] / "dialects" / "cases"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
URL = "https://example.org/a.png"


def post_translate(api: Client, source: str, target: str, request: Any, **more: Any) -> Any:
    body = {"from": source, "to": target, "request": request, **more}
    return api.post("/api/translate", body, content_type="application/json")


def case() -> dict[str, Any]:
    """Return the golden case of a Chat tool history translated for Gemini without its state."""
    (path,) = CASES.glob("09_*.json")
    return dict(json.loads(path.read_text()))


def test_a_golden_case_gets_the_stored_reasoning_state(api: Client) -> None:
    translation_case = case()
    bare = post_translate(
        api,
        translation_case["from"],
        translation_case["to"],
        translation_case["request"],
        model="gemini-3.8-flash",
    ).json()
    turns = [turn for turn in bare["body"]["contents"] if turn["role"] == "model"]
    (calls,) = [[p for p in turn["parts"] if "functionCall" in p] for turn in turns]
    assert [entry["field"] for entry in bare["runtime_inputs"]] == ["messages[2]"]
    # The response as Gemini gave it: its own state on the first call.
    function_calls = [{"functionCall": call["functionCall"]} for call in calls]
    function_calls[0]["thoughtSignature"] = "c2lnbmF0dXJl"
    response = {"candidates": [{"content": {"parts": function_calls}, "finishReason": "STOP"}]}
    response = post_translate(
        api,
        translation_case["from"],
        translation_case["to"],
        translation_case["request"],
        model="gemini-3.8-flash",
        responses=[response],
    ).json()
    assert response["runtime_inputs"] == []
    parts = [p for t in response["body"]["contents"] for p in t["parts"] if "functionCall" in p]
    assert parts[0]["thoughtSignature"] == "c2lnbmF0dXJl"


def picture() -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": URL}}
    return {"model": "gemini-3.8-flash", "messages": [{"role": "user", "content": [image]}]}


def test_a_supplied_file_replaces_its_url(api: Client) -> None:
    files = {URL: {"data": PIXEL}}
    body = post_translate(api, "openai_chat", "gemini", picture(), files=files).json()
    (part,) = body["body"]["contents"][0]["parts"]
    assert part["inlineData"] == {"mimeType": "image/png", "data": PIXEL}
    assert [row["action"] for row in body["report"]] == ["approximated"]


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
def test_without_files_the_response_lists_the_runtime_inputs(
    api: Client, settings: Any, on: bool
) -> None:
    settings.FETCH_MEDIA = on
    body = post_translate(api, "openai_chat", "gemini", picture()).json()
    assert [row["field"] for row in body["runtime_inputs"]] == (
        ["messages[0].content[0]"] if on else []
    )


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"files": {URL: {"data": "!"}}}, "files"),
        (
            {"files": {URL: {"data": "aGVsbG8=", "media_type": "text/plain"}}},
            "messages[0].content[0]",
        ),
    ],
    ids=["no_base64", "no_picture"],
)
def test_an_invalid_file_is_refused(api: Client, more: Any, param: str) -> None:
    response = post_translate(api, "openai_chat", "gemini", picture(), **more)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("target", "model"),
    [("anthropic", "claude-opus-5-5"), ("bedrock", "m"), ("cohere", "m"), ("ollama", "m")],
)
def test_several_choices_are_shown_as_the_calls_of_live_traffic(
    api: Client, target: str, model: str
) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": 3}
    reply = post_translate(api, "openai_chat", target, body, model=model)
    assert reply.status_code == 200, reply.content
    translated = reply.json()
    assert "n" not in translated["body"]
    [addition] = translated["runtime_inputs"]
    assert addition["field"] == "n"
    assert addition["note"].startswith("live traffic sends 3 calls")
