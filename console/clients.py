"""How to point a client here: one row for each, with the text to copy.

`{base}` is the gateway's address, `{route}` a route's name; the key comes from the
variable DRAGOMAN_KEY, so that no page holds one.
"""

from __future__ import annotations

import json
from typing import NamedTuple

KEY = "DRAGOMAN_KEY"


class Client(NamedTuple):
    """A client: its id, name, what its text is, the text, and what to install before."""

    id: str
    name: str
    language: str
    text: str
    install: str = ""


class Panel(NamedTuple):
    """A client's text with the address and the route in it."""

    id: str
    name: str
    language: str
    text: str
    install: str


CLIENTS = (
    Client(
        "claude-code",
        "Claude Code",
        "bash",
        """export ANTHROPIC_BASE_URL={base}
export ANTHROPIC_AUTH_TOKEN="${key}"
export ANTHROPIC_MODEL={route}
claude""",
    ),
    Client(
        "curl",
        "curl",
        "bash",
        """curl {base}/v1/chat/completions \\
  -H "Authorization: Bearer ${key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": {route_json}, "messages": [{{"role": "user", "content": "Say hello."}}]}}'""",
    ),
    Client(
        "claude-agent-sdk",
        "Claude Agent SDK",
        "python",
        """import asyncio, os
from claude_agent_sdk import ClaudeAgentOptions, query

options = ClaudeAgentOptions(
    model={route_json},
    env={{
        "ANTHROPIC_BASE_URL": {base_json},
        "ANTHROPIC_AUTH_TOKEN": os.environ["{key}"],
    }},
)

async def main():
    async for message in query(prompt="Say hello.", options=options):
        print(message)

asyncio.run(main())""",
        "pip install claude-agent-sdk",
    ),
    Client(
        "openai-python",
        "OpenAI SDK, Python",
        "python",
        """import os
from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key=os.environ["{key}"])
answer = client.chat.completions.create(
    model={route_json},
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(answer.choices[0].message.content)""",
        "pip install openai",
    ),
    Client(
        "openai-js",
        "OpenAI SDK, JavaScript",
        "javascript",
        """import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{base}/v1",
  apiKey: process.env.{key},
}});
const answer = await client.chat.completions.create({{
  model: {route_json},
  messages: [{{ role: "user", content: "Say hello." }}],
}});
console.log(answer.choices[0].message.content);""",
        "npm install openai",
    ),
    Client(
        "anthropic-python",
        "Anthropic SDK, Python",
        "python",
        """import os
from anthropic import Anthropic

client = Anthropic(base_url={base_json}, api_key=os.environ["{key}"])
answer = client.messages.create(
    model={route_json},
    max_tokens=200,
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(answer.content[0].text)""",
        "pip install anthropic",
    ),
    Client(
        "openai-agents",
        "OpenAI Agents SDK",
        "python",
        """import os
from agents import Agent, OpenAIChatCompletionsModel, Runner
from openai import AsyncOpenAI

client = AsyncOpenAI(base_url="{base}/v1", api_key=os.environ["{key}"])
model = OpenAIChatCompletionsModel(model={route_json}, openai_client=client)
agent = Agent(name="Greeter", instructions="Be brief.", model=model)
print(Runner.run_sync(agent, "Say hello.").final_output)""",
        "pip install openai-agents",
    ),
    Client(
        "langchain",
        "LangChain",
        "python",
        """import os
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model={route_json},
    base_url="{base}/v1",
    api_key=os.environ["{key}"],
)
print(model.invoke("Say hello.").content)""",
        "pip install langchain-openai",
    ),
    Client(
        "llamaindex",
        "LlamaIndex",
        "python",
        """import os
from llama_index.llms.openai_like import OpenAILike

model = OpenAILike(
    model={route_json},
    api_base="{base}/v1",
    api_key=os.environ["{key}"],
    is_chat_model=True,
    is_function_calling_model=True,
)
print(model.complete("Say hello."))""",
        "pip install llama-index-llms-openai-like",
    ),
)


def panels(base: str, route: str) -> list[Panel]:
    """Every client's text for this address and route."""
    given = {
        "base": base,
        "key": KEY,
        "base_json": json.dumps(base),
        "route": _shell(route),
        "route_json": json.dumps(route),
    }
    return [
        Panel(c.id, c.name, c.language, c.text.format_map(_in(c.language, given)), c.install)
        for c in CLIENTS
    ]


def _in(language: str, given: dict[str, str]) -> dict[str, str]:
    """In a shell the JSON stands between single quotes."""
    if language != "bash":
        return given
    return {**given, "route_json": given["route_json"].replace("'", "'\\''")}


def _shell(text: str) -> str:
    plain = text.replace("/", "").replace("-", "").replace(".", "").replace("_", "")
    return text if plain.isalnum() else "'" + text.replace("'", "'\\''") + "'"
