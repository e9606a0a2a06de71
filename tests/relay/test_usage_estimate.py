"""Usage estimates for providers that report none."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.relay.exchange.request_features import TOKENS_PER_IMAGE
from gateway.relay.exchange.usage_estimate import MAX_COUNTED_BYTES
from tests.relay.harness import DONE, chunk, gateway, provider, route, snapshot, sse

CHAT = "/v1/chat/completions"
WORDS = "The gateway keeps a short list of the models it knows and asks the first. "


def chat_request(*content: Any, **more: Any) -> dict[str, Any]:
    contents = content[0] if len(content) == 1 else list(content)
    return {
        "model": "m",
        "messages": [{"role": "user", "content": contents}],
        "stream": True,
        **more,
    }


async def logged_request(tmp_path: Path, body: Any, *parts: bytes) -> Any:
    parts = parts or (chunk("hello"), chunk(finish="stop"), DONE)
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        assert (await live.post(CHAT, body)).status == 200
        return await live.entry()


async def test_a_short_prompt_is_counted_by_its_text(tmp_path: Path) -> None:
    """Its JSON has four times the bytes: names, brackets, escapes."""
    tools = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    row = await logged_request(tmp_path, chat_request(WORDS * 4, tools=[tools]))
    assert row.usage_source == "estimated"
    # o200k_base has 61 tokens for the text, and the frames are 4 and 8.
    assert row.input_tokens == pytest.approx(61 + 12 + 8, rel=0.2)


async def test_a_long_prompt_is_counted_by_its_size(tmp_path: Path) -> None:
    text = WORDS * 1000
    assert len(text) > MAX_COUNTED_BYTES
    row = await logged_request(tmp_path, chat_request(text))
    assert row.usage_source == "estimated_size"
    assert row.input_tokens == pytest.approx(len(text) / 4, rel=0.01)


async def test_image_bytes_are_not_counted_as_tokens(tmp_path: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()
    picture = {"type": "image_url", "image_url": {"url": url}}
    row = await logged_request(tmp_path, chat_request({"type": "text", "text": "hi"}, picture))
    assert TOKENS_PER_IMAGE <= row.input_tokens < TOKENS_PER_IMAGE + 100


async def test_reported_input_tokens_stay_beside_estimated_output_tokens(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 77, "completion_tokens": None, "total_tokens": 77}
    parts = (chunk("four"), chunk("four"), chunk(finish="stop", usage=usage), DONE)
    row = await logged_request(tmp_path, chat_request("hi"), *parts)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (77, 2, "estimated")


async def test_an_answer_in_another_script_is_estimated_by_its_bytes(tmp_path: Path) -> None:
    """33 tokens in o200k_base; a quarter of its characters would be 12."""
    text = (
        "网关会记录每一次请求的内容、所用的模型以及花费，并在出现错误时自动尝试下一个可用的服务商。"
    )
    row = await logged_request(
        tmp_path, chat_request("hi"), chunk(text), chunk(finish="stop"), DONE
    )
    assert row.output_tokens == pytest.approx(33, rel=0.1)
