"""A provider of a known dialect needs one catalog row: four lines here."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import store
from gateway.models import Provider
from gateway.providers import catalog
from gateway.providers.profile import Preset
from gateway.relay.upstream.client import Upstreams
from tests.fakes import ScriptedResponse, StrictOpenAI
from tests.relay.harness import gateway, route, snapshot

URL = "http://127.0.0.1:9/v1"

ACME = Preset(
    name="acme", title="Acme AI", dialect="openai_chat",
    base_url=URL, env=("ACME_API_KEY",), docs="https://acme.test/docs",
)  # fmt: skip


async def test_a_new_provider_is_four_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with StrictOpenAI() as upstream:
        upstream.script.default = ScriptedResponse(text="Hello from Acme.")
        monkeypatch.setitem(catalog._BY_NAME, "acme", ACME)
        monkeypatch.setenv("ACME_API_KEY", upstream.key)
        row = Provider(name="acme", preset="acme", credential_env=ACME.env[0])
        row.base_url = f"{upstream.url}/v1"
        test_snapshot = snapshot(route("acme", store.provider_value(row), model="gpt-4o"))
        async with gateway(tmp_path, test_snapshot) as gw:
            gw.runtime.upstreams = Upstreams()
            params = {"model": "acme", "messages": [{"role": "user", "content": "Hi"}]}
            chat = await gw.post("/v1/chat/completions", params)
            other = await gw.post("/v1/messages", {**params, "max_tokens": 50})
            await gw.runtime.upstreams.close()
    assert chat.json()["choices"][0]["message"]["content"] == "Hello from Acme."
    assert other.json()["content"][0]["text"] == "Hello from Acme."
    assert chat.headers["x-dragoman-target"] == "acme/gpt-4o"
    assert len(upstream.requests) == 2
