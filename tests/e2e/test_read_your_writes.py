"""Resources created by the management API are in use on every worker before its response."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Gateway, litellm_config, strict_config
from tests.fakes import StrictAnthropic, StrictDeepSeek, StrictOpenAI

pytestmark = pytest.mark.e2e


@pytest.fixture
def openai() -> Iterator[StrictOpenAI]:
    with StrictOpenAI() as openai:
        yield openai


@pytest.fixture(params=[1, 2])
def gateway(request: pytest.FixtureRequest, tmp_path: Path, openai: StrictOpenAI):
    with StrictAnthropic() as anthropic, StrictDeepSeek() as deepseek:
        config = litellm_config(strict_config(openai, anthropic, deepseek))
        started = Gateway(tmp_path, config, workers=request.param).start()
        yield started
        started.kill()


def post(gateway: Gateway, path: str, body: object, key: str = "") -> httpx.Response:
    """Send a request on a new connection, which any worker may accept."""
    headers = {"authorization": f"Bearer {key or gateway.key}", "connection": "close"}
    return httpx.post(f"{gateway.url}{path}", json=body, headers=headers)


def request_status(gateway: Gateway, model: str, key: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return post(gateway, "/v1/chat/completions", body, key).status_code


def test_a_created_key_works_immediately(gateway: Gateway, openai: StrictOpenAI) -> None:
    responses: list[int] = []
    for number in range(6):
        response = post(gateway, "/api/keys", {"name": f"key {number}"})
        assert response.status_code in {200, 201}, response.text
        key = response.json()["key"]
        responses += [request_status(gateway, "gpt-4o", key) for _ in range(2)]
        name = f"own-{number}"
        provider = {
            "name": name,
            "preset": "openai",
            "base_url": f"{openai.url}/v1",
            "credential": openai.key,
        }
        response = post(gateway, "/api/providers", provider)
        assert response.status_code in {200, 201}, response.text
        responses += [request_status(gateway, f"{name}/gpt-4o", key) for _ in range(2)]
        gone = httpx.delete(
            f"{gateway.url}/api/keys/key {number}",
            headers={"authorization": f"Bearer {gateway.key}"},
        )
        assert gone.status_code in {200, 204}, gone.text
        responses += [request_status(gateway, "gpt-4o", key) for _ in range(2)]
    assert responses == [200, 200, 200, 200, 401, 401] * 6
