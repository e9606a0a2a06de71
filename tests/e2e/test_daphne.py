"""Daphne serves the same application, for `runserver` and some deployments.

`test_responses_socket.py` covers its WebSockets.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.e2e.stack import Daphne, litellm_config

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daphne]:
    process = Daphne(tmp_path_factory.mktemp("daphne"), litellm_config([])).start()
    try:
        yield process
        process.stop()
    finally:
        process.kill()


def test_a_client_is_answered_complete_and_streamed(gateway: Daphne) -> None:
    messages = [{"role": "user", "content": "Say hello"}]
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key) as client:
        response = client.chat.completions.create(model="demo", messages=messages)
        assert response.choices[0].message.content
        pieces = client.chat.completions.create(model="demo", messages=messages, stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
    assert text == response.choices[0].message.content


def test_the_requests_are_in_the_log(gateway: Daphne) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key) as client:
        response = client.chat.completions.with_raw_response.create(
            model="demo", messages=[{"role": "user", "content": "log me"}]
        )
    assert gateway.row(response.headers["x-request-id"])["status"] == 200


def test_pages_are_served(gateway: Daphne) -> None:
    assert httpx.get(f"{gateway.url}/docs", timeout=10).status_code == 200
    assert httpx.get(f"{gateway.url}/static/css/base.css", timeout=10).status_code == 200


def test_an_unknown_key_is_refused(gateway: Daphne) -> None:
    unauthorized_client = openai.OpenAI(
        base_url=f"{gateway.url}/v1", api_key="sk-wrong", max_retries=0
    )
    with unauthorized_client as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
