"""Snippets to paste into each client: one row per client.

`{base}` is the gateway's address, `{route}` a route's name quoted for a shell, `{route_json}`
the same as JSON, `{route_text}` as it is; the key is read from the variable `{key}`.
"""

from __future__ import annotations

from typing import NamedTuple


class Client(NamedTuple):
    """A client: id, name, language of the example, the example, and the install command.

    `dialect` is the one that it uses; `group` is its heading in the list.
    """

    id: str
    name: str
    language: str
    dialect: str
    text: str
    install: str = ""
    group: str = "SDKs and frameworks"


AGENTS = "Coding agents and editors"
APPS = "Apps and automation"
SHELL = "Command line"
CLIENTS = (
    Client(
        "claude-code",
        "Claude Code",
        "bash",
        "anthropic_messages",
        """export ANTHROPIC_BASE_URL={base}
export ANTHROPIC_AUTH_TOKEN="${key}"
export ANTHROPIC_MODEL={route}
export ANTHROPIC_DEFAULT_HAIKU_MODEL={route}
claude""",
        group=AGENTS,
    ),
    Client(
        "codex",
        "Codex CLI",
        "bash",
        "openai_responses",
        """{key}="${key}" codex -m {route} -c model_provider=dragoman \\
  -c 'model_providers.dragoman={{name="Dragoman", base_url="{base}/v1", """
        """env_key="{key}", wire_api="responses"}}'""",
        "npm install -g @openai/codex",
        AGENTS,
    ),
    Client(
        "cursor",
        "Cursor",
        "text",
        "openai_chat",
        """Cursor Settings > Models > API Keys

OpenAI API Key            ${key}
Override OpenAI Base URL  {base}/v1
Add custom model          {route_text}

Cursor's servers call this address, so it must be reachable from the internet.""",
        group=AGENTS,
    ),
    Client(
        "cline",
        "Cline",
        "bash",
        "openai_chat",
        """# In an editor, also with Roo Code and Kilo Code:
# Settings > API Configuration > OpenAI Compatible, with these values.
cline auth -p openai -b {base}/v1 -m {route} -k "${key}"
cline""",
        "npm install -g cline",
        AGENTS,
    ),
    Client(
        "opencode",
        "OpenCode",
        "json",
        "openai_chat",
        """// ~/.config/opencode/opencode.json; replace the variable by the key
{{
  "provider": {{
    "dragoman": {{
      "npm": "@ai-sdk/openai-compatible",
      "name": "Dragoman",
      "options": {{"baseURL": {base_json_v1}, "apiKey": "${key}"}},
      "models": {{{route_json}: {{"name": {route_json}}}}}
    }}
  }},
  "model": {opencode_json}
}}""",
        "npm install -g opencode-ai",
        AGENTS,
    ),
    Client(
        "gemini-cli",
        "Gemini CLI",
        "bash",
        "gemini",
        """# In ~/.gemini/settings.json, or choose "Use Gemini API Key" at the first start:
# {{"security": {{"auth": {{"selectedType": "gemini-api-key"}}}}}}
export GOOGLE_GEMINI_BASE_URL={base}
export GEMINI_API_KEY="${key}"
gemini -m {route}""",
        "npm install -g @google/gemini-cli",
        AGENTS,
    ),
    Client(
        "continue",
        "Continue",
        "yaml",
        "openai_chat",
        """# ~/.continue/config.yaml; replace the variable by the key.
# In a terminal: npm install -g @continuedev/cli; cn --config ~/.continue/config.yaml
name: Dragoman
version: 1.0.0
schema: v1
models:
  - name: Dragoman
    provider: openai
    model: {route_json}
    apiBase: {base_json_v1}
    apiKey: "${key}"
    roles: [chat, edit, apply]""",
        group=AGENTS,
    ),
    Client(
        "zed",
        "Zed",
        "json",
        "openai_chat",
        """// settings.json; start Zed with {key}="${key}",
// or enter the key in its settings of LLM providers
{{
  "language_models": {{
    "openai_compatible": {{
      "Dragoman": {{
        "api_url": {base_json_v1},
        "available_models": [
          {{"name": {route_json}, "display_name": {route_json}, "max_tokens": 128000}}
        ]
      }}
    }}
  }}
}}""",
        group=AGENTS,
    ),
    Client(
        "aider",
        "Aider",
        "bash",
        "openai_chat",
        """export OPENAI_API_BASE={base}/v1
export OPENAI_API_KEY="${key}"
aider --model openai/{route}""",
        "python -m pip install aider-install && aider-install",
        AGENTS,
    ),
    Client(
        "open-webui",
        "Open WebUI",
        "bash",
        "openai_chat",
        """# Routes appear in its list of models; {route_text} is one of them.
docker run -p 3000:8080 -v open-webui:/app/backend/data \\
  -e OPENAI_API_BASE_URL={base}/v1 \\
  -e OPENAI_API_KEY="${key}" \\
  ghcr.io/open-webui/open-webui:main""",
        group=APPS,
    ),
    Client(
        "n8n",
        "n8n",
        "text",
        "openai_responses",
        """Credentials > Create credential > OpenAI

API Key   ${key}
Base URL  {base}/v1

Then choose the credential in the node OpenAI Chat Model, and as its model, by ID:
{route_text}""",
        group=APPS,
    ),
    Client(
        "curl",
        "curl",
        "bash",
        "openai_chat",
        """curl {base}/v1/chat/completions \\
  -H "Authorization: Bearer ${key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": {route_json}, "messages": [{{"role": "user", "content": "Say hello."}}]}}'""",
        group=SHELL,
    ),
    Client(
        "postman",
        "Postman",
        "text",
        "openai_chat",
        """Import > Link   {base}/api/postman.json

Then set the collection's variable:
api_key   ${key}

The folder "gateway" has the model endpoints of all APIs. Set "model" in a body to:
{route_text}""",
        group=SHELL,
    ),
    Client(
        "openai-python",
        "OpenAI SDK, Python",
        "python",
        "openai_chat",
        """import os
from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key=os.environ["{key}"])
response = client.chat.completions.create(
    model={route_json},
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(response.choices[0].message.content)""",
        "pip install openai",
    ),
    Client(
        "openai-responses",
        "OpenAI SDK, Responses, Python",
        "python",
        "openai_responses",
        """import os
from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key=os.environ["{key}"])
response = client.responses.create(model={route_json}, input="Say hello.")
print(response.output_text)""",
        "pip install openai",
    ),
    Client(
        "openai-js",
        "OpenAI SDK, JavaScript",
        "javascript",
        "openai_chat",
        """import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{base}/v1",
  apiKey: process.env.{key},
}});
const response = await client.chat.completions.create({{
  model: {route_json},
  messages: [{{ role: "user", content: "Say hello." }}],
}});
console.log(response.choices[0].message.content);""",
        "npm install openai",
    ),
    Client(
        "openai-responses-js",
        "OpenAI SDK, Responses, JavaScript",
        "javascript",
        "openai_responses",
        """import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{base}/v1",
  apiKey: process.env.{key},
}});
const response = await client.responses.create({{
  model: {route_json},
  input: "Say hello.",
}});
console.log(response.output_text);""",
        "npm install openai",
    ),
    Client(
        "anthropic-python",
        "Anthropic SDK, Python",
        "python",
        "anthropic_messages",
        """import os
from anthropic import Anthropic

client = Anthropic(base_url={base_json}, api_key=os.environ["{key}"])
response = client.messages.create(
    model={route_json},
    max_tokens=200,
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(response.content[0].text)""",
        "pip install anthropic",
    ),
    Client(
        "google-genai",
        "Google Gen AI SDK, Python",
        "python",
        "gemini",
        """import os
from google import genai

client = genai.Client(
    api_key=os.environ["{key}"],
    http_options={{"base_url": {base_json}}},
)
response = client.models.generate_content(model={route_json}, contents="Say hello.")
print(response.text)""",
        "pip install google-genai",
    ),
    Client(
        "ollama-python",
        "Ollama, Python",
        "python",
        "ollama",
        """import os
from ollama import Client

client = Client(
    host={base_json},
    headers={{"Authorization": "Bearer " + os.environ["{key}"]}},
)
response = client.chat(
    model={route_json},
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(response.message.content)""",
        "pip install ollama",
    ),
    Client(
        "boto3",
        "boto3 (Amazon Bedrock), Python",
        "python",
        "bedrock_converse",
        """import os
import boto3
from botocore import UNSIGNED
from botocore.config import Config

# With HTTPS, AWS_BEARER_TOKEN_BEDROCK=<gateway key> replaces `config` and `add_key`.
client = boto3.client(
    "bedrock-runtime",
    region_name="us-east-1",
    endpoint_url={base_json},
    config=Config(signature_version=UNSIGNED),
)

def add_key(request, **_):
    request.headers["Authorization"] = "Bearer " + os.environ["{key}"]

client.meta.events.register("request-created.bedrock-runtime", add_key)
response = client.converse(
    modelId={route_json},
    messages=[{{"role": "user", "content": [{{"text": "Say hello."}}]}}],
)
print(response["output"]["message"]["content"][0]["text"])""",
        "pip install boto3",
    ),
    Client(
        "cohere",
        "Cohere SDK, Python",
        "python",
        "cohere",
        """import os
import cohere

client = cohere.ClientV2(base_url={base_json}, api_key=os.environ["{key}"])
response = client.chat(
    model={route_json},
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(response.message.content[0].text)""",
        "pip install cohere",
    ),
    Client(
        "vercel-ai",
        "Vercel AI SDK",
        "javascript",
        "openai_responses",
        """import {{ createOpenAI }} from "@ai-sdk/openai";
import {{ generateText }} from "ai";

const dragoman = createOpenAI({{
  baseURL: "{base}/v1",
  apiKey: process.env.{key},
}});
const {{ text }} = await generateText({{
  model: dragoman({route_json}),
  prompt: "Say hello.",
}});
console.log(text);""",
        "npm install ai @ai-sdk/openai",
    ),
    Client(
        "openai-agents",
        "OpenAI Agents SDK",
        "python",
        "openai_responses",
        """import os
from agents import Agent, OpenAIResponsesModel, Runner, set_trace_processors
from agents.tracing.processors import BackendSpanExporter, BatchTraceProcessor
from openai import AsyncOpenAI

key = os.environ["{key}"]
# Traces go to the page Traces instead of OpenAI.
traces = BackendSpanExporter(key, endpoint="{base}/v1/traces/ingest")
set_trace_processors([BatchTraceProcessor(traces)])
client = AsyncOpenAI(base_url="{base}/v1", api_key=key)
model = OpenAIResponsesModel(model={route_json}, openai_client=client)
agent = Agent(name="Greeter", instructions="Be brief.", model=model)
print(Runner.run_sync(agent, "Say hello.").final_output)""",
        "pip install openai-agents",
    ),
    Client(
        "claude-agent-sdk",
        "Claude Agent SDK",
        "python",
        "anthropic_messages",
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
        "langchain",
        "LangChain",
        "python",
        "openai_chat",
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
        "langchain-js",
        "LangChain, JavaScript",
        "javascript",
        "openai_chat",
        """import {{ ChatOpenAI }} from "@langchain/openai";

const model = new ChatOpenAI({{
  model: {route_json},
  apiKey: process.env.{key},
  configuration: {{ baseURL: "{base}/v1" }},
}});
const response = await model.invoke("Say hello.");
console.log(response.content);""",
        "npm install @langchain/openai @langchain/core",
    ),
    Client(
        "pydantic-ai",
        "Pydantic AI",
        "python",
        "openai_chat",
        """import os
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url="{base}/v1", api_key=os.environ["{key}"])
agent = Agent(OpenAIChatModel({route_json}, provider=provider))
print(agent.run_sync("Say hello.").output)""",
        'pip install "pydantic-ai-slim[openai]"',
    ),
    Client(
        "llamaindex",
        "LlamaIndex",
        "python",
        "openai_chat",
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
    Client(
        "embeddings",
        "OpenAI SDK, Embeddings, Python",
        "python",
        "openai_embeddings",
        """import os
from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key=os.environ["{key}"])
# A route whose models make embeddings.
response = client.embeddings.create(model={route_json}, input="Say hello.")
print(len(response.data[0].embedding))""",
        "pip install openai",
    ),
)
