"""Bodies of error responses that are not in a known API's format."""

from __future__ import annotations

from gateway.canon.json_values import decode_or_none

# Lower-case phrases by which providers say that a request exceeds the context. Most have no
# code for it, and any model may be behind any API.
_CONTEXT_LENGTH_PHRASES = (
    "prompt is too long",  # Anthropic, Fireworks, z.ai
    "prompt too long",  # Ollama
    "input is too long",  # Amazon Bedrock
    "too many input tokens",
    "exceed context limit",  # Anthropic: input and max_tokens together
    "maximum context length",  # OpenAI, vLLM, SGLang, DeepSeek, OpenRouter
    "maximum model length",  # vLLM
    "too long and exceeds limit",  # vLLM
    "longer than the model's context length",  # SGLang, Together
    "exceeds the context window",  # OpenAI Responses
    "exceeds the maximum number of tokens",  # Gemini
    "exceeds the available context",  # llama.cpp
    "context size has been exceeded",  # llama.cpp, LM Studio
    "greater than the context length",  # LM Studio
    "context length of only",  # LM Studio
    "exceeds context",
    "exceeds maximum context",
    "input length exceeds",
    "input tokens exceed",  # OpenAI
    "too large for model with",  # Mistral
    "maximum prompt length",  # xAI
    "maximum allowed input length",  # Poolside
    "reduce the length of the messages",  # Groq, Cerebras
    "context window exceeds limit",  # MiniMax
    "exceeded model token limit",  # Moonshot
    "prompt exceeds max length",  # Zhipu
    "range of input length should be",  # Alibaba Cloud
    "`inputs` must have less than",  # TGI
    "`inputs` tokens + `max_new_tokens` must be",  # TGI, Together
)
CONTEXT_LENGTH_PHRASES = tuple((phrase, "context_length") for phrase in _CONTEXT_LENGTH_PHRASES)


def plain_error_message(body: bytes, status: int | None) -> str:
    """The message for a body without a known message field: its text, or a description."""
    value = decode_or_none(body)
    text = value[:500] if isinstance(value, str) else body[:500].decode("utf-8", "replace").strip()
    number = f" {status}" if status is not None else ""
    if not text:
        return f"the upstream responded{number} without an error message"
    if text.startswith("<"):
        return f"the upstream responded{number} with an HTML page instead of an API response"
    return text
