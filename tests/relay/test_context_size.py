"""Ollama requests have a context length that fits the prompt and its response."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for
from gateway.relay.exchange.call import Exchange
from gateway.relay.translate.context_size import MAX_CONTEXT, context_edits
from gateway.routing.snapshot import Snapshot
from gateway.simulate import translate

Json = dict[str, Any]


def prompt(tokens: int) -> str:
    """Return a text that is estimated at about this number of tokens."""
    return "abc" * tokens


def translate_request(
    dialect: str, body: Json, model: str = "llama3.2"
) -> tuple[Json, list[Json], bool]:
    translation = translate.request(dialect, "ollama", {"model": "gw", **body}, {}, model)
    return translation["body"].get("options", {}), translation["report"], translation["passthrough"]


def chat(tokens: int, **fields: Any) -> Json:
    return {"messages": [{"role": "user", "content": prompt(tokens)}], **fields}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (chat(2000), None),
        (chat(3000), 8192),
        (chat(3000, max_tokens=1000), None),
        (chat(100, max_tokens=32_000), None),
        (chat(3000, max_tokens=32_000), 8192),
        (chat(24_000), 32768),
    ],
)
def test_the_smallest_sufficient_context_length_is_selected(
    body: Json, expected: int | None
) -> None:
    options, report, _passthrough = translate_request("openai_chat", body)
    assert options.get("num_ctx") == expected
    rows = [(row["field"], row["action"], row.get("to")) for row in report]
    assert rows == ([("options.num_ctx", "defaulted", expected)] if expected else [])


@pytest.mark.parametrize("path", ["chat", "generate"])
def test_an_ollama_clients_body_passes_unchanged(path: str) -> None:
    body = chat(5000) if path == "chat" else {"prompt": prompt(5000)}
    options, report, passthrough = translate_request("ollama", {**body, "options": {"seed": 1}})
    assert passthrough
    assert (options, report) == ({"seed": 1}, [])


def test_an_image_does_not_count_by_its_size() -> None:
    picture = {"url": "data:image/png;base64,iVBORw0KGgo" + "A" * 400_000}
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": picture}]
    messages = [{"role": "user", "content": parts}]
    assert translate_request("openai_chat", {"messages": messages}, "llava")[0] == {}


def test_cloud_models_have_their_maximum() -> None:
    assert translate_request("openai_chat", chat(9000), "gpt-oss:120b-cloud")[0] == {}
    assert translate_request("openai_chat", chat(9000), "glm-4.6:cloud")[0] == {}


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"context_window": 6000}, 6000),
        ({"context_window": 4096}, None),
        ({"context_window": None}, MAX_CONTEXT),
        ({"default_context": 500_000}, None),
        ({"default_context": 0}, None),
    ],
)
def test_context_length_is_limited_by_model_and_server(traits: Json, expected: int | None) -> None:
    exchange = Exchange(
        request_id="req_1",
        endpoint="chat",
        verb="generate",
        dialect=DIALECTS["openai_chat"],
        snapshot=Snapshot(version=0),
        headers={},
        started=0.0,
    )
    exchange.body = msgspec.json.encode({"model": "m", **chat(300_000)})
    full: Traits = msgspec.structs.replace(traits_for("ollama", "llama3.2"), **traits)
    edits = context_edits(exchange, full)
    assert [edit.value for edit in edits] == ([expected] if expected else [])
