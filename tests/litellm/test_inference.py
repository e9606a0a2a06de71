"""The provider of a model name."""

from __future__ import annotations

import pytest

from gateway.compat.litellm.config.inference import UnsupportedEntry, families, resolve_model
from gateway.compat.litellm.config.reader import Node
from tests.each import each


def text(value: str) -> Node:
    return Node(value=value, file="c.yaml", line=1)


@each(
    ("model", "preset", "name"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("gpt-5.2", "openai", "gpt-5.2"),
        ("o1", "openai", "o1"),
        ("o1-mini", "openai", "o1-mini"),
        ("o3-pro-2025-06-10", "openai", "o3-pro-2025-06-10"),
        ("chatgpt-4o-latest", "openai", "chatgpt-4o-latest"),
        ("ft:gpt-4o-mini:org::id", "openai", "ft:gpt-4o-mini:org::id"),
        ("openai/responses/gpt-5", "openai", "gpt-5"),
        ("claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("anthropic/claude-haiku-4-5", "anthropic", "claude-haiku-4-5"),
        ("gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
        ("gemini/gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
        ("azure/my-deployment", "azure_openai", "my-deployment"),
        ("azure/o_series/o3", "azure_openai", "o3"),
        ("azure/gpt5_series/my-gpt", "azure_openai", "my-gpt"),
        ("together_ai/meta-llama/Llama-3", "together", "meta-llama/Llama-3"),
        ("openrouter/anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
        ("fireworks_ai/accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x"),
        ("deepseek/deepseek-chat", "deepseek", "deepseek-chat"),
        ("groq/llama-3.3-70b", "groq", "llama-3.3-70b"),
        ("mistral/mistral-large-latest", "mistral", "mistral-large-latest"),
        ("ollama/llama3.1:8b", "ollama", "llama3.1:8b"),
        ("ollama_chat/llama3", "ollama", "llama3"),
        ("hosted_vllm/facebook/opt", "vllm", "facebook/opt"),
        ("lm_studio/qwen", "lmstudio", "qwen"),
        ("custom_openai/x", "custom", "x"),
        ("*", "openai", "*"),
        ("command-r-plus", "cohere", "command-r-plus"),
        ("cohere_chat/command-a-03-2025", "cohere", "command-a-03-2025"),
        ("bedrock/converse/us.amazon.nova-pro-v1:0", "bedrock", "us.amazon.nova-pro-v1:0"),
        ("bedrock/invoke/anthropic.claude-v2", "bedrock", "anthropic.claude-v2"),
        ("bedrock/us-west-2/amazon.nova-lite-v1:0", "bedrock", "amazon.nova-lite-v1:0"),
        ("bedrock_mantle/anthropic.claude-opus-5", "bedrock-anthropic", "anthropic.claude-opus-5"),
        ("vertex_ai/gemini-2.5-pro", "vertex", "gemini-2.5-pro"),
        ("vertex_ai/claude-opus-5", "vertex-anthropic", "claude-opus-5"),
        ("vertex_ai/meta/llama-4-scout", "vertex-openai", "meta/llama-4-scout"),
        ("azure_ai/claude-opus-5", "azure-anthropic", "claude-opus-5"),
        ("azure_ai/Llama-4", "azure_ai", "Llama-4"),
        ("vertex_ai/text-embedding-005", "vertex", "text-embedding-005"),
        ("vertex_ai/textembedding-gecko@003", "vertex", "textembedding-gecko@003"),
        ("qwencloud/qwen3-max", "dashscope", "qwen3-max"),
        ("qwen_ai_platform/qwen3-max", "dashscope-cn", "qwen3-max"),
        ("ai21_chat/jamba-large", "ai21", "jamba-large"),
        ("lambda_ai/x", "lambda", "x"),
    ],
)
def test_a_model_names_its_provider(model: str, preset: str, name: str) -> None:
    resolved = resolve_model(model, None, "")
    assert (resolved.preset.name, resolved.model) == (preset, name)


@each(
    ("model", "preset"),
    [
        ("mistral.mistral-7b-instruct-v0:2", "bedrock"),
        ("us.deepseek.r1-v1:0", "bedrock"),
        ("global.openai.gpt-5.4", "bedrock"),
        ("us-gov.anthropic.claude-opus-5", "bedrock"),
        ("apac.amazon.nova-lite-v1:0", "bedrock"),
        ("cohere.embed-english-v3", "bedrock"),
        ("embed-english-v3.0", "cohere"),
        ("rerank-v3.5", "cohere"),
        ("text-embedding-3-large", "openai"),
        ("text-embedding-005", "vertex"),
        ("text-multilingual-embedding-002", "vertex"),
        ("gpt-3.5-turbo-instruct", "openai"),
        ("davinci-002", "openai"),
        ("ft:babbage-002:org::id", "openai"),
    ],
)
def test_a_name_without_a_prefix_names_its_provider(model: str, preset: str) -> None:
    """These names are in LiteLLM's price list, in which it looks a name up."""
    resolved = resolve_model(model, None, "")
    assert (resolved.preset.name, resolved.model, resolved.guessed) == (preset, model, True)


def test_the_provider_may_be_a_separate_parameter() -> None:
    for model in ("x/y", "groq/x/y"):
        resolved = resolve_model(model, text("groq"), "")
        assert (resolved.preset.name, resolved.model) == ("groq", "x/y")


def test_a_known_host_names_its_provider() -> None:
    resolved = resolve_model("deepseek-chat", None, "https://api.deepseek.com/v1")
    assert (resolved.preset.name, resolved.model) == ("deepseek", "deepseek-chat")


def test_a_custom_server_needs_no_model_prefix() -> None:
    assert resolve_model("my-model", None, "http://localhost:8000/v1").preset.name == "custom"


@each(
    ("model", "reason"),
    [
        ("watsonx/granite", "`watsonx` is not supported yet"),
        ("replicate/x", "`replicate` is not supported yet"),
        ("deepgram/nova-3", "`deepgram` is not supported yet"),
        ("meta-llama/Llama-3", "write a server with OpenAI's API as openai/meta-llama/Llama-3"),
        ("deepseek-chat", "write it as deepseek/deepseek-chat"),
        ("my-model", "write it as provider/model"),
    ],
)
def test_an_unsupported_model_has_the_reason(model: str, reason: str) -> None:
    with pytest.raises(UnsupportedEntry, match=reason):
        resolve_model(model, None, "")


def test_wildcard_entries_need_the_providers_key() -> None:
    assert ("anthropic", "claude-*") in families({"ANTHROPIC_API_KEY": "x"})
    assert {prefix for prefix, _ in families({"OPENAI_API_KEY": "x"})} == {"openai"}
    assert families({}) == []
