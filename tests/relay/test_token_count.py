"""Token counts by vocabulary, and estimates by size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.canon.request import Document, Image, Request, Text, Tool, ToolCall, ToolResult, Turn
from gateway.relay.exchange import token_count as token_count_module
from gateway.relay.exchange.request_features import TOKENS_PER_DOCUMENT, TOKENS_PER_IMAGE
from gateway.relay.exchange.token_count import (
    MAX_CHUNK_CHARS,
    count_tokens,
    estimate_text_tokens,
    text_chunks,
    vocabulary_of,
)
from tests.relay.harness import gateway, provider, route, snapshot

# Text -> its tokens in o200k_base, counted by tiktoken 0.14.0.
COUNTED = {
    "The gateway keeps a short list of the models it knows, asks the first that is well, and "
    "says afterwards which one has answered and what it cost.": 31,
    "Der Übersetzer merkt sich, welche Felder er nicht übertragen konnte, und schreibt sie mit "
    "einer Begründung in das Protokoll der Anfrage.": 31,
    "网关会记录每一次请求的内容、所用的模型以及花费，并在出现错误时自动尝试下一个可用的服务商。": 33,
    "Шлюз запоминает каждый запрос, выбирает исправную модель и показывает, сколько стоил ответ.": (
        22
    ),
    "def fold(events: Iterable[Event]) -> Response:\n    folder = Folder()\n    for event in "
    "events:\n        folder.feed(event)\n    return folder.close()\n": 32,
    '{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer",'
    '"minimum":1}},"required":["city"],"additionalProperties":false}': 35,
}
IDS = ("english", "german", "chinese", "russian", "python", "json")


def text_request(*texts: str, **more: Any) -> Request:
    turns = tuple(Turn(role="user", parts=(Text(text=text),)) for text in texts)
    return Request(model="m", turns=turns, **more)


@pytest.fixture
def without_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the optional package."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(token_count_module.importlib, "import_module", missing)
    monkeypatch.setattr(token_count_module, "_loaded", {})


@pytest.mark.parametrize("text", COUNTED, ids=IDS)
def test_the_estimated_token_count_is_near_the_exact_one(text: str) -> None:
    """For single sentences; over longer text the error is smaller (the module's docstring)."""
    many = text * 10
    true = COUNTED[text] * 10
    assert abs(estimate_text_tokens(many) - true) / true < 0.25


@pytest.mark.parametrize("text", COUNTED, ids=IDS)
def test_a_tokenizer_vocabulary_counts_exactly(text: str) -> None:
    pytest.importorskip("splintr", reason="needs the extra `tokens`")
    count = count_tokens(text_request(text), "gpt-5.4")
    assert count.vocabulary == "o200k_base"
    assert count.tokens == COUNTED[text] + token_count_module.TOKENS_PER_TURN


def test_special_tokens_are_counted_as_text() -> None:
    pytest.importorskip("splintr", reason="needs the extra `tokens`")
    plain = count_tokens(text_request("<|endoftext|>"), "gpt-5.4").tokens
    assert plain > token_count_module.TOKENS_PER_TURN + 1


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("openai/gpt-5.4", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("llama-3.3-70b-versatile", "llama3"),
        ("deepseek-chat", "deepseek_v3"),
        ("claude-opus-5", ""),
        ("gemini-3.1-pro", ""),
        ("octopus", ""),
    ],
)
def test_each_model_family_has_its_tokenizer_vocabulary(model: str, vocabulary: str) -> None:
    assert vocabulary_of(model) == vocabulary


@pytest.mark.usefixtures("without_tiktoken")
def test_without_the_package_counts_are_estimated() -> None:
    text = next(iter(COUNTED))
    count = count_tokens(text_request(text), "gpt-5.4")
    assert count.vocabulary == ""
    assert count.tokens == estimate_text_tokens(text) + token_count_module.TOKENS_PER_TURN


def test_every_part_of_a_prompt_is_counted() -> None:
    empty = count_tokens(text_request("x"), "claude-x").tokens
    long = "word " * 400
    tool = Tool(name="f", description=long, schema={"type": "object", "properties": {}})
    call = Turn(role="assistant", parts=(ToolCall(id="c", name="f", arguments={"text": long}),))
    result = Turn(role="user", parts=(ToolResult(id="c", parts=(Text(text=long),)),))
    for more in (
        Request(model="m", turns=(), tools=(tool,)),
        Request(model="m", turns=(call,)),
        Request(model="m", turns=(result,)),
        Request(model="m", turns=(), instructions=(Text(text=long),)),
        Request(model="m", turns=(Turn(role="user", parts=(Document(text=long),)),)),
    ):
        assert count_tokens(more, "claude-x").tokens > empty + 300


def test_images_and_files_are_counted_in_every_position() -> None:
    image, file = Image(data="aGk="), Document(data="aGk=")
    nested = ToolResult(id="c", parts=(image,))
    turns = (Turn(role="user", parts=(image, file, nested)),)
    expected = 2 * TOKENS_PER_IMAGE + TOKENS_PER_DOCUMENT + token_count_module.TOKENS_PER_TURN
    assert count_tokens(Request(model="m", turns=turns), "claude-x").tokens == expected


@pytest.mark.parametrize("text", ["", "a b", "word " * 20_000, "x" * 100_000, "字" * 50_000])
def test_token_pieces_concatenate_to_the_text(text: str) -> None:
    texts = list(text_chunks(text))
    assert "".join(texts) == text
    assert max(map(len, texts)) <= MAX_CHUNK_CHARS


@pytest.mark.parametrize("text", ["\ud800", "\x00", "🧑‍🚀" * 50, "<|endoftext|>"])
def test_unusual_text_is_counted(text: str) -> None:
    for model in ("gpt-5.4", "claude-x"):
        assert count_tokens(text_request(text), model).tokens > 0


@pytest.mark.parametrize("model", ["gpt-5.4", "some-llm"])
async def test_an_estimate_is_marked(tmp_path: Path, model: str) -> None:
    """An upstream without token counts is not an error: agents send many such requests."""
    test_route = route("smart", provider("up", preset="custom"), model=model)
    body = {"model": "smart", "messages": [{"role": "user", "content": "Hello " * 200}]}
    async with gateway(tmp_path, snapshot(test_route), up=lambda request: None) as live:
        headers = {"anthropic-version": "2023-06-01"}
        response = await live.post("/v1/messages/count_tokens", body, headers=headers)
    assert response.status == 200
    assert response.headers["x-dragoman-token-count"] == "estimate"
    assert 180 < response.json()["input_tokens"] < 260
    expected = (
        token_count_module._tokenizer_for(vocabulary_of(model)) if vocabulary_of(model) else None
    )
    vocabulary = response.headers.get("x-dragoman-token-vocabulary", "")
    assert vocabulary == ("o200k_base" if expected is not None else "")
