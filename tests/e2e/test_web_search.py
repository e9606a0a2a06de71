"""Web searches by a live gateway: the SDKs and the real Claude Code, on an Ollama model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.e2e.stack import Gateway, litellm_config
from tests.fakes import Call, RecordedRequest, ScriptedResponse, Server
from tests.fakes.ollama import StrictOllama
from tests.fakes.search import searxng
from tests.fakes.server import ResponseWriter

pytestmark = pytest.mark.e2e

MODEL = "qwen3"
OSLO = "https://en.wikipedia.org/wiki/Oslo"
QUERY = Call("web_search", {"query": "Oslo population"}, "call_1")


class StrictSearxng(Server):
    """A strict SearXNG over HTTP."""

    async def respond(self, recorded_request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond as `tests.fakes.search` does."""
        url = f"http://search{recorded_request.path}?{recorded_request.query}"
        response = searxng(
            httpx.Request(
                recorded_request.method,
                url,
                headers=recorded_request.headers,
                content=recorded_request.raw,
            )
        )
        await out.reply(response.status_code, response.content)
        return True


class WebSearchGateway(Gateway):
    """A gateway with a search endpoint."""

    search_url = ""

    def environment(self) -> dict[str, str]:
        """Return the environment with the settings of the endpoint."""
        return {**super().environment(), "DRAGOMAN_WEB_SEARCH_URL": self.search_url}


class GatewayStack:
    """A gateway with an Ollama and a SearXNG."""

    def __init__(self, gateway: Gateway, local: StrictOllama, search: StrictSearxng) -> None:
        self.gateway, self.local, self.search = gateway, local, search


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with ExitStack() as stack:
        local = stack.enter_context(StrictOllama())
        search = stack.enter_context(StrictSearxng())
        params = {"model": f"ollama_chat/{MODEL}", "api_base": local.url}
        rows = [{"model_name": MODEL, "litellm_params": params}]
        gateway = WebSearchGateway(tmp_path_factory.mktemp("search"), litellm_config(rows))
        gateway.search_url = search.url
        gateway.start()
        stack.callback(gateway.kill)
        yield GatewayStack(gateway, local, search)
        gateway.stop()


@pytest.mark.parametrize("stream", [False, True])
def test_the_anthropic_sdk_gets_web_search_results(stack: GatewayStack, stream: bool) -> None:
    prompt = f"How many people live in Oslo ({stream})?"
    text = f"See [Oslo]({OSLO})."
    stack.local.script.on(
        prompt, ScriptedResponse(calls=(QUERY,), then=ScriptedResponse(text=text))
    )
    params: Any = {
        "model": MODEL,
        "max_tokens": 300,
        "messages": [{"role": "user", "content": prompt}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    with anthropic.Anthropic(base_url=stack.gateway.url, api_key=stack.gateway.key) as client:
        if stream:
            with client.messages.stream(**params) as reading:
                message = reading.get_final_message()
        else:
            message = client.messages.create(**params)
    assert [block.type for block in message.content] == [
        "server_tool_use",
        "web_search_tool_result",
        "text",
    ]
    assert message.content[2].text == text
    assert message.usage.server_tool_use.web_search_requests == 1


def test_openais_sdk_continues_a_stored_response(stack: GatewayStack) -> None:
    stack.local.script.on(
        "Where is Oslo?",
        ScriptedResponse(calls=(QUERY,), then=ScriptedResponse(text=f"See {OSLO}")),
    )
    stack.local.script.on("And Bergen?", ScriptedResponse(text="It is there too."))
    tools: Any = [{"type": "web_search"}]
    base = f"{stack.gateway.url}/v1"
    with openai.OpenAI(base_url=base, api_key=stack.gateway.key) as client:
        first = client.responses.create(model=MODEL, input="Where is Oslo?", tools=tools)
        second = client.responses.create(
            model=MODEL, input="And Bergen?", tools=tools, previous_response_id=first.id
        )
    assert [item.type for item in first.output] == ["web_search_call", "message"]
    assert first.output[1].content[0].annotations[0].url == OSLO
    assert second.output_text == "It is there too."


async def test_claude_codes_web_search_is_run_by_the_gateway(
    stack: GatewayStack, tmp_path: Path
) -> None:
    from tests.e2e.test_claude_code import claude_agent_sdk, options

    prompt = "Find the population of Oslo on the web"
    outer = Call("WebSearch", {"query": "Oslo population 2026"}, "call_outer")
    stack.local.script.on(
        prompt, ScriptedResponse(calls=(outer,), then=ScriptedResponse(text="Found: {results}"))
    )
    stack.local.script.on(
        "Oslo population 2026",
        ScriptedResponse(calls=(QUERY,), then=ScriptedResponse(text=f"717,710 people, see {OSLO}")),
    )
    chosen = options(stack, tmp_path, MODEL, allowed_tools=["WebSearch"])  # type: ignore[arg-type]
    messages = [m async for m in claude_agent_sdk.query(prompt=prompt, options=chosen)]
    result = messages[-1]
    assert not result.is_error, result.result
    assert "717,710 people" in result.result
    assert OSLO in result.result
    assert any("Oslo" in request.query for request in stack.search.requests)
