"""The rows of the libraries on Node; table.py includes them."""

from __future__ import annotations

from tests.clients.client import (
    ANTHROPIC_KEY,
    CHAT,
    MESSAGES,
    OPENAI_KEY,
    REASONING_NAMES,
    RESPONSES,
    Client,
)

AT_BASE_URL = '`baseURL: "URL/v1"`'
VERCEL = (
    "ai@^7.0.173",
    "@ai-sdk/openai@^4.0.118",
    "@ai-sdk/anthropic@^4.0.105",
    "@ai-sdk/google@^4.0.121",
    "@ai-sdk/openai-compatible@^3.0.92",
    "@ai-sdk/xai@^5.0.12",
    "@ai-sdk/cohere@^4.0.52",
    "@ai-sdk/amazon-bedrock@^5.0.101",
    "zod@^4",
)
LANGCHAIN_JS = (
    "langchain@^1.5.14",
    "@langchain/core@^1.4.0",
    "@langchain/openai@^1.5.8",
    "@langchain/anthropic@^1.5.11",
    "@langchain/google-genai@^2.3.2",
)
LANGCHAIN_JS_REASONING = (
    "Leaves out `reasoning` for names other than those of OpenAI's reasoning models: give the "
    "route such a name."
)

JAVASCRIPT_CLIENTS: dict[str, Client] = {
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
        notes="Without `supportsStructuredOutputs: true` it requests JSON, but does not send the "
        "schema.",
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
    "vercel-cohere": Client(
        "Vercel AI SDK, `@ai-sdk/cohere`",
        "drive_vercel.mjs",
        "cohere",
        '`baseURL: "URL/v2"`',
        "`COHERE_API_KEY`",
        variant="cohere",
        modules=VERCEL,
    ),
    "vercel-bedrock": Client(
        "Vercel AI SDK, `@ai-sdk/amazon-bedrock`",
        "drive_vercel.mjs",
        "bedrock_converse",
        '`baseURL: "URL"`',
        "`AWS_BEARER_TOKEN_BEDROCK`",
        variant="bedrock",
        modules=VERCEL,
        names={"messages": "anthropic.claude-sonnet-4-5"},
        notes="Requests a thinking budget only from models whose names contain `anthropic`.",
    ),
    "langchain-js-chat": Client(
        "LangChain.js `ChatOpenAI`",
        "drive_langchain.mjs",
        CHAT,
        '`configuration: { baseURL: "URL/v1" }`',
        OPENAI_KEY,
        variant="chat",
        modules=LANGCHAIN_JS,
        names=REASONING_NAMES,
        notes=LANGCHAIN_JS_REASONING,
    ),
    "langchain-js-responses": Client(
        "LangChain.js `ChatOpenAI`, `useResponsesApi: true`",
        "drive_langchain.mjs",
        RESPONSES,
        '`configuration: { baseURL: "URL/v1" }`',
        OPENAI_KEY,
        variant="responses",
        modules=LANGCHAIN_JS,
        names=REASONING_NAMES,
        notes=f"{LANGCHAIN_JS_REASONING} Without `zdrEnabled: true` and `modelKwargs: {{ include: "
        '["reasoning.encrypted_content"] }`, reasoning is not sent back.',
    ),
    "langchain-js-anthropic": Client(
        "LangChain.js `ChatAnthropic`",
        "drive_langchain.mjs",
        MESSAGES,
        '`anthropicApiUrl: "URL"`',
        ANTHROPIC_KEY,
        variant="anthropic",
        modules=LANGCHAIN_JS,
    ),
    "langchain-js-google": Client(
        "LangChain.js `ChatGoogleGenerativeAI`",
        "drive_langchain.mjs",
        "gemini",
        '`baseUrl: "URL"`',
        "`GOOGLE_API_KEY`",
        variant="google",
        modules=LANGCHAIN_JS,
    ),
    "openai-js-chat": Client(
        "openai (JavaScript), Chat",
        "drive_openai.mjs",
        CHAT,
        AT_BASE_URL,
        OPENAI_KEY,
        variant="chat",
        modules=("openai@^7",),
    ),
    "openai-js-responses": Client(
        "openai (JavaScript), Responses",
        "drive_openai.mjs",
        RESPONSES,
        AT_BASE_URL,
        OPENAI_KEY,
        variant="responses",
        modules=("openai@^7",),
    ),
    "anthropic-js": Client(
        "anthropic (JavaScript)",
        "drive_anthropic.mjs",
        MESSAGES,
        '`baseURL: "URL"`',
        ANTHROPIC_KEY,
        modules=("@anthropic-ai/sdk@^1.14.0",),
    ),
    "google-genai-js": Client(
        "google-genai (JavaScript)",
        "drive_google.mjs",
        "gemini",
        '`httpOptions: { baseUrl: "URL" }`',
        "`GEMINI_API_KEY`",
        modules=("@google/genai@^3.3.0",),
    ),
    "ollama-js": Client(
        "ollama (JavaScript)",
        "drive_ollama.mjs",
        "ollama",
        '`host: "URL"`',
        '`headers: { Authorization: "Bearer KEY" }`',
        modules=("ollama@^0.6.4",),
    ),
}
