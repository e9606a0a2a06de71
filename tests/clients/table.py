"""The clients that are tested against a live gateway, one per row.

`python -m tests.clients.listing` generates `docs/clients.md` from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TALK = ("text", "stream", "tools")
ALL = (*TALK, "thinking")
# Agents ask by streams always.
AGENT = ("text", "tools", "thinking")
EVERY = ("chat", "deepseek", "responses", "messages", "gemini", "ollama")


@dataclass(frozen=True)
class Client:
    """A client library or agent, and how it is run.

    Attributes:
        title: its display name.
        script: the file in `scripts/` that runs it; `.mjs` runs on Node.
        variant: an argument of a script that runs several clients.
        socket: whether it connects to the gateway by WebSocket only.
        packages: requirements from PyPI; empty for packages of the development environment.
        modules: requirements from npm.
        dialect: the dialect of its requests.
        base, key: the settings of its base URL and key, with `URL` for the gateway's address.
        scenarios: the scenarios that are verified on each of `upstreams`.
        upstreams: names of `UPSTREAMS`.
        names: the routes it requests on an upstream, if not named after the upstream.
        shell: an agent's built-in command tool and its argument; it gets no other tool.
        known_failures: failures not caused by the gateway: `upstream scenario` and the reason.
        notes: notes for users.
    """

    title: str
    script: str
    dialect: str
    base: str
    key: str
    variant: str = ""
    socket: bool = False
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ALL
    upstreams: tuple[str, ...] = EVERY
    names: Mapping[str, str] = field(default_factory=dict)
    shell: tuple[str, str] | None = None
    known_failures: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""

    @property
    def heavy(self) -> bool:
        """Whether it needs packages that the development environment does not have."""
        return bool(self.packages or self.modules)


AT_V1, AT_ROOT = '`base_url="URL/v1"`', '`base_url="URL"`'
AT_BASE_URL = '`baseURL: "URL/v1"`'
AT_V1_OLD = '`api_base="URL/v1"`'
OPENAI_KEY, ANTHROPIC_KEY = "`OPENAI_API_KEY`", "`ANTHROPIC_API_KEY`"
CHAT, RESPONSES, MESSAGES = "openai_chat", "openai_responses", "anthropic_messages"
LANGCHAIN_OPENAI = ("langchain-openai>=1.7,<2",)
LANGGRAPH = ("langchain>=1.4,<2", "langgraph>=1.2,<2", *LANGCHAIN_OPENAI)
LANGGRAPH += ("langchain-google-genai>=4.4,<5",)
LLAMA_OPENAI = ("llama-index-llms-openai>=0.8,<0.9", "llama-index-llms-openai-like>=0.8,<0.9")
# 1.82.7, 1.82.8 and 1.107.0 were malicious releases.
LITELLM = ("litellm>=1.83,<1.84",)
PYDANTIC_AI = ("pydantic-ai-slim[openai,anthropic,google]>=2.68,<3",)
PYDANTIC_THINKING = (
    "Leaves out its setting `thinking` for models whose names it does not know: set "
    "`openai_reasoning_effort`."
)
AGENTS = ("openai-agents>=0.24,<0.25", *LITELLM)
VERCEL = (
    "ai@^7.0.173",
    "@ai-sdk/openai@^4.0.118",
    "@ai-sdk/anthropic@^4.0.105",
    "@ai-sdk/google@^4.0.121",
    "@ai-sdk/openai-compatible@^3.0.92",
    "@ai-sdk/xai@^5.0.12",
    "zod@^4",
)
WHOLE_CALLS = (
    "Requests are always translated, and the tool calls of a stream are sent in one event, except "
    "for providers of the presets `mistral` and `xai`, which do so themselves."
)
TEXTS = ("text", "stream")
# For clients that ask only for models of Anthropic's that they know.
CLAUDE_NAMES = {
    "chat": "claude-haiku-4-5-20251001",
    "deepseek": "claude-3-7-sonnet-20250219",
    "responses": "claude-opus-4-20250514",
    "gemini": "claude-sonnet-4-20250514",
    "ollama": "claude-opus-4-1-20250805",
}
# For agents that ask otherwise where they know the model.
HOUSE_NAMES = {name: f"house-{name}" for name in EVERY}
NO_ENCRYPTED_REASONING = "it switches to the Responses API and does not request encrypted reasoning"
# Providers of vectors, which take no chat.
EMBEDDERS = ("embeddings", "local embeddings")

CLIENTS: dict[str, Client] = {
    # --- in the development environment: every test run ---
    "openai-chat": Client(
        "openai (Python), Chat", "drive_openai.py", CHAT, AT_V1, OPENAI_KEY, variant="chat"
    ),
    "openai-responses": Client(
        "openai (Python), Responses",
        "drive_openai.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        variant="responses",
    ),
    "openai-socket": Client(
        "openai (Python), `responses.connect()`",
        "drive_openai_socket.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        socket=True,
        notes="Uses a WebSocket; each turn continues from the `previous_response_id` of the connection.",
    ),
    "openai-completions": Client(
        "openai (Python), legacy Completions",
        "drive_openai.py",
        "openai_completions",
        AT_V1,
        OPENAI_KEY,
        variant="completions",
        scenarios=TEXTS,
        upstreams=("completions", *EVERY),
    ),
    "openai-embeddings": Client(
        "openai (Python), Embeddings",
        "drive_openai.py",
        "openai_embeddings",
        AT_V1,
        OPENAI_KEY,
        scenarios=("embed",),
        upstreams=EMBEDDERS,
    ),
    "anthropic": Client(
        "anthropic (Python)",
        "drive_anthropic.py",
        MESSAGES,
        AT_ROOT,
        ANTHROPIC_KEY,
        notes="Message threads, which `tool_runner` uses by default, are stored by Anthropic only: "
        "for other providers the SDK repeats a turn with the whole conversation. "
        '`AnthropicVertex(base_url="URL/v1", access_token="KEY")`, `AnthropicBedrock(base_url="URL", '
        'api_key="KEY")` and `AnthropicFoundry(base_url="URL/anthropic", api_key="KEY")` also work.',
    ),
    "google-genai": Client(
        "google-genai (Python)",
        "drive_google.py",
        "gemini",
        '`HttpOptions(base_url="URL")`',
        "`GEMINI_API_KEY`",
    ),
    "ollama": Client(
        "ollama (Python)",
        "drive_ollama.py",
        "ollama",
        '`host="URL"`',
        '`headers={"Authorization": "Bearer KEY"}`',
    ),
    "ollama-embed": Client(
        "ollama (Python), embed",
        "drive_ollama.py",
        "ollama",
        '`host="URL"`',
        '`headers={"Authorization": "Bearer KEY"}`',
        scenarios=("embed",),
        upstreams=EMBEDDERS,
    ),
    "boto3": Client(
        "boto3 (Python)",
        "drive_boto3.py",
        "bedrock_converse",
        '`endpoint_url="URL"`',
        "`AWS_BEARER_TOKEN_BEDROCK`",
        notes="boto3 sends a Bedrock API key only over HTTPS; without TLS add the header "
        "`Authorization: Bearer KEY` in a `request-created` event. Requests signed with AWS "
        "credentials are rejected. Converse, ConverseStream, CountTokens, and InvokeModel with the "
        "body of Claude models. The AWS SDK for JavaScript uses HTTP/2 unless it has `requestHandler: new NodeHttpHandler()`, which it "
        "needs here without an HTTP/2 proxy.",
    ),
    "cohere": Client(
        "cohere (Python)",
        "drive_cohere.py",
        "cohere",
        AT_ROOT,
        "`CO_API_KEY`",
        notes="`ClientV2`: chat, streams, embeddings, rerank and the list of models. The text before "
        "tool calls is `tool_plan` in a complete response, and content in a streamed one.",
    ),
    "cohere-embed": Client(
        "cohere (Python), embed",
        "drive_cohere.py",
        "cohere",
        AT_ROOT,
        "`CO_API_KEY`",
        scenarios=("embed",),
        upstreams=EMBEDDERS,
    ),
    # --- in environments of their own ---
    "mistralai": Client(
        "mistralai (Python)",
        "drive_mistral.py",
        CHAT,
        '`server_url="URL"`',
        "`MISTRAL_API_KEY`",
        packages=("mistralai>=3.7,<4",),
        notes=f"Uses `/v1/chat/completions`. {WHOLE_CALLS}",
    ),
    "mistralai-embed": Client(
        "mistralai (Python), embeddings",
        "drive_mistral.py",
        "openai_embeddings",
        '`server_url="URL"`',
        "`MISTRAL_API_KEY`",
        packages=("mistralai>=3.7,<4",),
        scenarios=("embed",),
        upstreams=EMBEDDERS,
    ),
    "langchain-openai": Client(
        "LangChain `ChatOpenAI`",
        "drive_langchain.py",
        CHAT,
        AT_V1,
        OPENAI_KEY,
        variant="chat",
        packages=LANGCHAIN_OPENAI,
        known_failures={"responses memory": NO_ENCRYPTED_REASONING},
        notes="Switches to the Responses API for GPT-5.4 and newer with tools.",
    ),
    "langchain-openai-responses": Client(
        "LangChain `ChatOpenAI(use_responses_api=True)`",
        "drive_langchain.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        variant="responses",
        packages=LANGCHAIN_OPENAI,
    ),
    "langchain-anthropic": Client(
        "LangChain `ChatAnthropic`",
        "drive_langchain.py",
        MESSAGES,
        AT_ROOT,
        ANTHROPIC_KEY,
        variant="anthropic",
        packages=("langchain-anthropic>=1.7,<2",),
    ),
    "langgraph-responses": Client(
        "LangGraph `create_agent`, `ChatOpenAI(use_responses_api=True)`",
        "drive_langgraph.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        variant="responses",
        packages=LANGGRAPH,
    ),
    "langgraph-google": Client(
        "LangGraph `create_agent`, `ChatGoogleGenerativeAI`",
        "drive_langgraph.py",
        "gemini",
        AT_ROOT,
        "`GOOGLE_API_KEY`",
        variant="google",
        packages=LANGGRAPH,
    ),
    "llama-index-openai": Client(
        "LlamaIndex `OpenAI`",
        "drive_llamaindex.py",
        CHAT,
        AT_V1_OLD,
        OPENAI_KEY,
        variant="openai",
        packages=LLAMA_OPENAI,
        # It asks only for models of OpenAI's that it knows.
        names={
            "deepseek": "o3-mini",
            "messages": "o3",
            "gemini": "o4-mini",
            "ollama": "o1",
        },
        notes="Accepts only known OpenAI model names: give the route such a name, or use "
        "`OpenAILike`.",
    ),
    "llama-index-openai-like": Client(
        "LlamaIndex `OpenAILike`",
        "drive_llamaindex.py",
        CHAT,
        AT_V1_OLD,
        OPENAI_KEY,
        variant="openai-like",
        packages=LLAMA_OPENAI,
    ),
    "llama-index-anthropic": Client(
        "LlamaIndex `Anthropic`",
        "drive_llamaindex.py",
        MESSAGES,
        AT_ROOT,
        ANTHROPIC_KEY,
        variant="anthropic",
        packages=("llama-index-llms-anthropic>=0.12,<0.13", "anthropic<1"),
        names=CLAUDE_NAMES,
        notes="0.12 requires anthropic 0.x (`TypeError` with 2.x) and accepts only known Claude "
        "model names.",
    ),
    "openai-agents-chat": Client(
        "OpenAI Agents SDK, `OpenAIChatCompletionsModel`",
        "drive_agents.py",
        CHAT,
        AT_V1,
        OPENAI_KEY,
        variant="chat",
        packages=AGENTS,
        notes="It traces to OpenAI by default: send its [traces](traces.md) to the gateway, or disable "
        "them (`OPENAI_AGENTS_DISABLE_TRACING=1`).",
    ),
    "openai-agents-responses": Client(
        "OpenAI Agents SDK, `OpenAIResponsesModel` (its default)",
        "drive_agents.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        variant="responses",
        packages=AGENTS,
    ),
    "openai-agents-socket": Client(
        "OpenAI Agents SDK, `OpenAIResponsesWSModel`",
        "drive_agents.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        variant="socket",
        socket=True,
        packages=AGENTS,
        notes='Uses a WebSocket: `set_default_openai_responses_transport("websocket")`.',
    ),
    "openai-agents-litellm": Client(
        "OpenAI Agents SDK, `LitellmModel`",
        "drive_agents.py",
        CHAT,
        AT_V1,
        "`api_key=`",
        variant="litellm",
        packages=AGENTS,
        known_failures={
            f"{upstream} tools": "it sends parallel calls to Claude and Gemini one after the other"
            for upstream in ("messages", "gemini")
        },
        notes="Use `litellm_proxy/ROUTE`: with `openai/ROUTE` LiteLLM rejects an effort for model "
        "names that it does not know.",
    ),
    "pydantic-ai-chat": Client(
        "Pydantic AI `OpenAIChatModel`",
        "drive_pydantic_ai.py",
        CHAT,
        AT_V1,
        OPENAI_KEY,
        variant="chat",
        packages=PYDANTIC_AI,
        notes=PYDANTIC_THINKING,
    ),
    "pydantic-ai-responses": Client(
        "Pydantic AI `OpenAIResponsesModel`",
        "drive_pydantic_ai.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        variant="responses",
        packages=PYDANTIC_AI,
        notes=PYDANTIC_THINKING,
    ),
    "pydantic-ai-anthropic": Client(
        "Pydantic AI `AnthropicModel`",
        "drive_pydantic_ai.py",
        MESSAGES,
        AT_ROOT,
        ANTHROPIC_KEY,
        variant="anthropic",
        packages=PYDANTIC_AI,
    ),
    "pydantic-ai-google": Client(
        "Pydantic AI `GoogleModel`",
        "drive_pydantic_ai.py",
        "gemini",
        AT_ROOT,
        "`GOOGLE_API_KEY`",
        variant="google",
        packages=PYDANTIC_AI,
    ),
    "litellm-openai": Client(
        "LiteLLM, `openai/ROUTE`",
        "drive_litellm.py",
        CHAT,
        AT_V1_OLD,
        OPENAI_KEY,
        variant="openai",
        packages=LITELLM,
        known_failures={"responses memory": NO_ENCRYPTED_REASONING},
        notes="Sends GPT-5.4 and newer with tools to the Responses API; an effort requires "
        '`allowed_openai_params=["reasoning_effort"]` for routes with unknown names.',
    ),
    "litellm-proxy": Client(
        "LiteLLM, `litellm_proxy/ROUTE`",
        "drive_litellm.py",
        CHAT,
        AT_V1_OLD,
        "`LITELLM_PROXY_API_KEY`",
        variant="litellm_proxy",
        packages=LITELLM,
        notes="LiteLLM's prefix for gateways: model names are sent unchanged.",
    ),
    "litellm-anthropic": Client(
        "LiteLLM, `anthropic/ROUTE`",
        "drive_litellm.py",
        MESSAGES,
        '`api_base="URL"`',
        ANTHROPIC_KEY,
        variant="anthropic",
        packages=LITELLM,
        names=CLAUDE_NAMES,
        notes="`api_base` has no `/v1`; LiteLLM derives the request from the route's name, so "
        "give the route the name of a Claude model.",
    ),
    "vercel-responses": Client(
        "Vercel AI SDK, `openai(ROUTE)` (its default)",
        "drive_vercel.mjs",
        RESPONSES,
        AT_BASE_URL,
        OPENAI_KEY,
        variant="responses",
        modules=VERCEL,
        notes="Set `forceReasoning: true` if the route does not have the name of a reasoning model.",
    ),
    "vercel-chat": Client(
        "Vercel AI SDK, `openai.chat(ROUTE)`",
        "drive_vercel.mjs",
        CHAT,
        AT_BASE_URL,
        OPENAI_KEY,
        variant="chat",
        modules=VERCEL,
    ),
    "vercel-anthropic": Client(
        "Vercel AI SDK, `@ai-sdk/anthropic`",
        "drive_vercel.mjs",
        MESSAGES,
        AT_BASE_URL,
        ANTHROPIC_KEY,
        variant="anthropic",
        modules=VERCEL,
    ),
    "vercel-google": Client(
        "Vercel AI SDK, `@ai-sdk/google`",
        "drive_vercel.mjs",
        "gemini",
        '`baseURL: "URL/v1beta"`',
        "`GOOGLE_GENERATIVE_AI_API_KEY`",
        variant="google",
        modules=VERCEL,
    ),
    "vercel-compatible": Client(
        "Vercel AI SDK, `@ai-sdk/openai-compatible`",
        "drive_vercel.mjs",
        CHAT,
        AT_BASE_URL,
        "`apiKey:`",
        variant="compatible",
        modules=VERCEL,
    ),
    "vercel-xai": Client(
        "Vercel AI SDK, `@ai-sdk/xai`",
        "drive_vercel.mjs",
        RESPONSES,
        AT_BASE_URL,
        "`XAI_API_KEY`",
        variant="xai",
        modules=VERCEL,
        known_failures={
            f"responses {scenario}": "it rejects OpenAI's reasoning items, which have no status"
            for scenario in ("thinking", "memory")
        },
        notes="Older versions have `xai.chat(ROUTE)`: the gateway sends them the tool calls of a "
        "stream in one event.",
    ),
    "ollama-js": Client(
        "ollama (JavaScript)",
        "drive_ollama.mjs",
        "ollama",
        '`host: "URL"`',
        '`headers: { Authorization: "Bearer KEY" }`',
        modules=("ollama@^0.6.4",),
    ),
    "codex": Client(
        "Codex CLI",
        "drive_codex.py",
        RESPONSES,
        '`model_providers.NAME={base_url="URL/v1", wire_api="responses", env_key="..."}`',
        "the one `env_key` names",
        modules=("@openai/codex@^0.169.0",),
        scenarios=AGENT,
        # gpt-4o refuses the `reasoning` that it always sends.
        upstreams=tuple(name for name in EVERY if name != "chat"),
        names=HOUSE_NAMES,
        shell=("exec_command", "cmd"),
        notes="Give the route a name that Codex does not know: for known names it sends different tools.",
    ),
    "codex-socket": Client(
        "Codex CLI, WebSocket",
        "drive_codex.py",
        RESPONSES,
        "`model_providers.NAME={..., supports_websockets=true}`",
        "the one `env_key` names",
        variant="socket",
        socket=True,
        modules=("@openai/codex@^0.169.0",),
        scenarios=AGENT,
        upstreams=tuple(name for name in EVERY if name != "chat"),
        names=HOUSE_NAMES,
        shell=("exec_command", "cmd"),
        notes="Prepares the first turn with `generate: false`, then sends only new items.",
    ),
    "claude-code": Client(
        "Claude Code",
        "drive_claude_code.py",
        MESSAGES,
        "`ANTHROPIC_BASE_URL=URL`",
        "`ANTHROPIC_AUTH_TOKEN`",
        packages=("claude-agent-sdk>=0.2.186,<0.3",),
        scenarios=AGENT,
        names=HOUSE_NAMES,
        shell=("Bash", "command"),
        notes="`ANTHROPIC_MODEL=ROUTE`. For Claude 4.5 and older, give the route the model's own "
        "name: with another one Claude Code requests adaptive thinking, which is rejected. A Claude "
        "Code that is set up for Vertex AI or Amazon Bedrock also works, with "
        "`ANTHROPIC_VERTEX_BASE_URL=URL/v1`, `CLAUDE_CODE_SKIP_VERTEX_AUTH=1` and "
        "`ANTHROPIC_AUTH_TOKEN=KEY`, or with `ANTHROPIC_BEDROCK_BASE_URL=URL` and "
        "`AWS_BEARER_TOKEN_BEDROCK=KEY`.",
    ),
}

# What is asked about and is not served, and what to do.
NOT_SERVED = {
    "cohere (Python), `Client` (version 1)": "`/v1/chat` and `/v1/embed` return 404: use "
    "`ClientV2`. `rerank` is passed through.",
    "boto3, `invoke_model` with a body of Titan, Nova, Llama or Mistral": "each model has a body of "
    "its own, and only that of Claude models is accepted: use `converse`.",
    "LiteLLM, `cohere_chat/ROUTE`, streams": "it cannot read the event names of Cohere's streams: "
    "use `litellm_proxy/ROUTE`.",
    "Vercel AI SDK, `@ai-sdk/groq`": "it reads the usage of streams, and reasoning, from Groq's own "
    "fields: use `@ai-sdk/openai-compatible`.",
    "Vercel AI SDK, `@ai-sdk/mistral`, images and reasoning": "it reads reasoning, and the messages "
    "of errors, in Mistral's form, and sends images in that form also to OpenAI's models: use "
    "`@ai-sdk/openai-compatible`.",
    "LangChain `ChatMistralAI`, tools": "it requires streamed tool calls in Mistral's form, and "
    "its requests do not name it, so that it gets them from Mistral's models only: use "
    "`ChatOpenAI`.",
}
