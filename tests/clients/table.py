"""The clients that are tested against a live gateway, one per row.

`python -m tests.clients.listing` generates `docs/clients.md` from this table.
"""

from __future__ import annotations

from tests.clients.client import (
    ALL,
    ANTHROPIC_KEY,
    CHAT,
    EVERY,
    MESSAGES,
    OPENAI_KEY,
    REASONING_NAMES,
    RESPONSES,
    Client,
)
from tests.clients.javascript_table import JAVASCRIPT_CLIENTS

# Agents ask by streams always.
AGENT = ("text", "tools", "thinking", "structured")
AT_V1, AT_ROOT = '`base_url="URL/v1"`', '`base_url="URL"`'
AT_V1_OLD = '`api_base="URL/v1"`'
LANGCHAIN_OPENAI = ("langchain-openai>=1.7,<2",)
LANGGRAPH = ("langchain>=1.4,<2", "langgraph>=1.2,<2", *LANGCHAIN_OPENAI)
LANGGRAPH += ("langchain-google-genai>=4.4,<5",)
LLAMA_OPENAI = ("llama-index-llms-openai>=0.8,<0.9", "llama-index-llms-openai-like>=0.8,<0.9")
# 1.82.7, 1.82.8 and 1.107.0 were malicious releases.
LITELLM = ("litellm>=1.83,<1.84",)
STRANDS = ("strands-agents[anthropic,gemini,ollama]>=1.62,<2",)
HAYSTACK = ("haystack-ai>=3.4,<4", "anthropic-haystack>=8,<9")
PYDANTIC_AI = ("pydantic-ai-slim[openai,anthropic,google]>=2.68,<3",)
PYDANTIC_THINKING = (
    "Leaves out its setting `thinking` for models whose names it does not know: set "
    "`openai_reasoning_effort`."
)
AGENTS = ("openai-agents>=0.24,<0.25", *LITELLM)
WHOLE_CALLS = (
    "Requests are always translated, and the tool calls of a stream are sent in one event, except "
    "for providers of the presets `mistral` and `xai`, which do so themselves. Reasoning is a "
    "thinking chunk of the content, as at Mistral."
)
TEXTS = ("text", "stream")
# For clients that ask only for models of Anthropic's that they know.
CLAUDE_NAMES = {
    "chat": "claude-haiku-4-5-20251001",
    "deepseek": "claude-3-7-sonnet-20250219",
    "responses": "claude-opus-4-20250514",
    "gemini": "claude-sonnet-4-20250514",
    "ollama": "claude-opus-4-1-20250805",
    "cohere": "claude-opus-4-5-20251101",
    "bedrock": "claude-sonnet-4-5-20250929",
}
# For agents that ask otherwise where they know the model.
HOUSE_NAMES = {name: f"house-{name}" for name in EVERY}
NO_ENCRYPTED_REASONING = "it switches to the Responses API and does not request encrypted reasoning"
NO_SCHEMA_BESIDE_TOOLS = (
    "Cohere accepts no schema in a request with tools: it is dropped, and reported"
)
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
        scenarios=(*ALL, "models"),
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
    "langchain-ollama": Client(
        "LangChain `ChatOllama`",
        "drive_langchain.py",
        "ollama",
        AT_ROOT,
        '`client_kwargs={"headers": {"Authorization": "Bearer KEY"}}`',
        variant="ollama",
        packages=("langchain-ollama>=1.1,<2",),
    ),
    "langchain-bedrock": Client(
        "LangChain `ChatBedrockConverse`",
        "drive_langchain.py",
        "bedrock_converse",
        "`client=` with `endpoint_url=URL`",
        "`AWS_BEARER_TOKEN_BEDROCK`",
        variant="bedrock",
        packages=("langchain-aws>=1.9,<2",),
        notes="The client is that of boto3, as above. For routes without the name of a Bedrock model, "
        'set `provider="anthropic"`, `disable_streaming=False` and '
        '`supports_tool_choice_values=("auto", "any", "tool")`.',
    ),
    "langgraph-responses": Client(
        "LangGraph `create_agent`, `ChatOpenAI(use_responses_api=True)`",
        "drive_langgraph.py",
        RESPONSES,
        AT_V1,
        OPENAI_KEY,
        variant="responses",
        packages=LANGGRAPH,
        known_failures={"cohere structured": NO_SCHEMA_BESIDE_TOOLS},
    ),
    "langgraph-google": Client(
        "LangGraph `create_agent`, `ChatGoogleGenerativeAI`",
        "drive_langgraph.py",
        "gemini",
        AT_ROOT,
        "`GOOGLE_API_KEY`",
        variant="google",
        packages=LANGGRAPH,
        known_failures={"cohere structured": NO_SCHEMA_BESIDE_TOOLS},
    ),
    "langchain-openai-embeddings": Client(
        "LangChain `OpenAIEmbeddings`",
        "drive_langchain.py",
        "openai_embeddings",
        AT_V1,
        OPENAI_KEY,
        packages=LANGCHAIN_OPENAI,
        scenarios=("embed",),
        upstreams=EMBEDDERS,
        notes="Set `check_embedding_ctx_length=False`: by default it sends token ids, which "
        "Ollama, Cohere and Gemini models reject (400).",
    ),
    "strands-anthropic": Client(
        "Strands Agents `AnthropicModel`",
        "drive_strands.py",
        MESSAGES,
        AT_ROOT,
        ANTHROPIC_KEY,
        variant="anthropic",
        packages=STRANDS,
        notes="`OpenAIModel` sends `tools: []` if an agent has no tools, which OpenAI rejects.",
    ),
    "strands-gemini": Client(
        "Strands Agents `GeminiModel`",
        "drive_strands.py",
        "gemini",
        '`client_args={"http_options": {"base_url": "URL"}}`',
        '`client_args={"api_key": "KEY"}`',
        variant="gemini",
        packages=STRANDS,
    ),
    "strands-ollama": Client(
        "Strands Agents `OllamaModel`",
        "drive_strands.py",
        "ollama",
        '`OllamaModel("URL")`',
        '`ollama_client_args={"headers": {"Authorization": "Bearer KEY"}}`',
        variant="ollama",
        packages=STRANDS,
    ),
    "haystack-chat": Client(
        "Haystack `OpenAIChatGenerator`",
        "drive_haystack.py",
        CHAT,
        '`api_base_url="URL/v1"`',
        OPENAI_KEY,
        variant="chat",
        packages=HAYSTACK,
    ),
    "haystack-responses": Client(
        "Haystack `OpenAIResponsesChatGenerator`",
        "drive_haystack.py",
        RESPONSES,
        '`api_base_url="URL/v1"`',
        OPENAI_KEY,
        variant="responses",
        packages=HAYSTACK,
    ),
    "haystack-anthropic": Client(
        "Haystack `AnthropicChatGenerator`",
        "drive_haystack.py",
        MESSAGES,
        "`ANTHROPIC_BASE_URL=URL`",
        ANTHROPIC_KEY,
        variant="anthropic",
        packages=HAYSTACK,
        # It has no setting for structured output.
        scenarios=(*TEXTS, "tools", "thinking"),
    ),
    "llama-index-openai": Client(
        "LlamaIndex `OpenAI`",
        "drive_llamaindex.py",
        CHAT,
        AT_V1_OLD,
        OPENAI_KEY,
        variant="openai",
        packages=LLAMA_OPENAI,
        names=REASONING_NAMES,
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
            for upstream in ("messages", "gemini", "bedrock")
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
        notes="Rejects `NativeOutput` for routes that do not have the name of a Claude model: use "
        "`ToolOutput`, its default.",
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
    **JAVASCRIPT_CLIENTS,
    "codex": Client(
        "Codex CLI",
        "drive_codex.py",
        RESPONSES,
        '`model_providers.NAME={base_url="URL/v1", wire_api="responses", env_key="..."}`',
        "the one `env_key` names",
        modules=("@openai/codex@^0.171.0",),
        scenarios=AGENT,
        # gpt-4o refuses the `reasoning` that it always sends.
        upstreams=tuple(name for name in EVERY if name != "chat"),
        names=HOUSE_NAMES,
        shell=("exec_command", "cmd"),
        known_failures={"cohere structured": NO_SCHEMA_BESIDE_TOOLS},
        notes="Give the route a name that Codex does not know: for known names it sends different "
        "tools. With `openai_base_url` instead of a provider of its own, it requests compacted "
        "conversations, which only OpenAI's models return.",
    ),
    "codex-socket": Client(
        "Codex CLI, WebSocket",
        "drive_codex.py",
        RESPONSES,
        "`model_providers.NAME={..., supports_websockets=true}`",
        "the one `env_key` names",
        variant="socket",
        socket=True,
        modules=("@openai/codex@^0.171.0",),
        scenarios=AGENT,
        upstreams=tuple(name for name in EVERY if name != "chat"),
        names=HOUSE_NAMES,
        shell=("exec_command", "cmd"),
        known_failures={"cohere structured": NO_SCHEMA_BESIDE_TOOLS},
        notes="Prepares the first turn with `generate: false`, then sends only new items.",
    ),
    "gemini-cli": Client(
        "Gemini CLI",
        "drive_gemini_cli.py",
        "gemini",
        "`GOOGLE_GEMINI_BASE_URL=URL`",
        "`GEMINI_API_KEY`",
        modules=("@google/gemini-cli@^0.61",),
        scenarios=("text", "tools", "thinking"),
        names=HOUSE_NAMES,
        shell=("run_shell_command", "command"),
        known_failures={
            f"gemini {scenario}": "a resumed session has each tool result twice, which Gemini rejects"
            for scenario in ("thinking", "memory")
        },
        notes="`GEMINI_MODEL=ROUTE`.",
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
    "OpenAI Agents SDK, `OpenAIConversationsSession`": "`/v1/conversations` returns 404: use another "
    "session, such as `SQLiteSession`, or `previous_response_id`.",
    "google-genai, `interactions`, `caches`, `files` and `batches`": "these paths return 404: "
    "use `generate_content`, with files as `inline_data`.",
    "cohere (Python), `Client` (version 1)": "`/v1/chat` and `/v1/embed` return 404: use "
    "`ClientV2`. `rerank` is passed through.",
    "boto3, `invoke_model` with a body of Titan, Nova, Llama or Mistral": "each model has a body of "
    "its own, and only that of Claude models is accepted: use `converse`.",
    "LiteLLM, `cohere_chat/ROUTE`, streams": "it cannot read the event names of Cohere's streams: "
    "use `litellm_proxy/ROUTE`.",
    "Vercel AI SDK, `@ai-sdk/groq`": "it reads the usage of streams, and reasoning, from Groq's own "
    "fields: use `@ai-sdk/openai-compatible`.",
    "Vercel AI SDK, `@ai-sdk/mistral`, images and reasoning": "it reads the messages of errors in "
    "Mistral's form, sends images in that form also to OpenAI's models, and names itself only in "
    "requests for streams, so that complete responses have no reasoning: use "
    "`@ai-sdk/openai-compatible`.",
    "LangChain `ChatMistralAI`, tools": "it requires streamed tool calls in Mistral's form, and "
    "its requests do not name it, so that it gets them from Mistral's models only: use "
    "`ChatOpenAI`.",
}
