"""Configurations of users' guides are accepted unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.litellm.make import config

SIMPLE = """
    model_list:
      # OpenAI GPT-4o
      - model_name: gpt-4o
        litellm_params:
          model: gpt-4o
          api_key: os.environ/OPENAI_API_KEY

      # OpenAI GPT-4o Mini
      - model_name: gpt-4o-mini
        litellm_params:
          model: gpt-4o-mini
          api_key: os.environ/OPENAI_API_KEY

      # OpenAI o1 (reasoning model)
      - model_name: o1
        litellm_params:
          model: o1
          api_key: os.environ/OPENAI_API_KEY

      # OpenAI o1-mini
      - model_name: o1-mini
        litellm_params:
          model: o1-mini
          api_key: os.environ/OPENAI_API_KEY

    # General settings
    general_settings:
      master_key: sk-1234  # Replace with a secure key for authentication
"""
SEVERAL = """
    model_list:
      # OpenAI Models
      - model_name: gpt-4o
        litellm_params:
          model: gpt-4o
          api_key: os.environ/OPENAI_API_KEY

      # Azure OpenAI
      - model_name: azure-gpt-4
        litellm_params:
          model: azure/gpt-4
          api_base: os.environ/AZURE_API_BASE
          api_key: os.environ/AZURE_API_KEY

      # Local Models via Ollama
      - model_name: llama3
        litellm_params:
          model: ollama/llama3
          api_base: http://localhost:11434

    general_settings:
      master_key: sk-1234
      database_url: "postgresql://..."  # For cost tracking
      cache: true
      cache_type: "redis"
      redis_host: "localhost"
      redis_port: 6379
"""
SWITCHABLE = """
    model_list:
      - model_name: gpt-4o
        litellm_params:
          model: openai/gpt-4o
          api_key: os.environ/OPENAI_API_KEY
      - model_name: deepseek-chat
        litellm_params:
          model: deepseek/deepseek-chat
          api_key: os.environ/DEEPSEEK_API_KEY
          api_base: https://api.deepseek.com
      - model_name: llama3
        litellm_params:
          model: ollama/llama3
          api_base: http://localhost:11434
    litellm_settings:
      drop_params: true # Drop Anthropic-specific params (thinking, etc.)
      use_chat_completions_url_for_anthropic_messages: true
"""


def test_a_simple_configuration_has_nothing_to_report(tmp_path: Path) -> None:
    parsed_config = config(tmp_path, SIMPLE)
    assert list(parsed_config.routes) == ["gpt-4o", "gpt-4o-mini", "o1", "o1-mini"]
    assert list(parsed_config.providers) == ["openai"]
    assert parsed_config.master_key == "sk-1234"
    assert parsed_config.remarks == []


def test_the_file_of_several_providers_is_imported(tmp_path: Path) -> None:
    environ = {"AZURE_API_BASE": "https://x.openai.azure.com", "AZURE_API_KEY": "k"}
    parsed_config = config(tmp_path, SEVERAL, environ)
    assert list(parsed_config.routes) == ["gpt-4o", "azure-gpt-4", "llama3"]
    assert [provider.preset for provider in parsed_config.providers.values()] == [
        "openai",
        "azure_openai",
        "ollama",
    ]
    keys = [note.split(": ")[1] for note in parsed_config.remarks]
    assert keys == [
        f"general_settings.{name}"
        for name in ("database_url", "cache", "cache_type", "redis_host", "redis_port")
    ]


def test_a_model_without_its_variables_is_omitted(tmp_path: Path) -> None:
    parsed_config = config(tmp_path, SEVERAL, {})
    assert list(parsed_config.routes) == ["gpt-4o", "llama3"]
    assert (
        "azure-gpt-4 is skipped: names the environment variable AZURE_API_BASE"
        in parsed_config.remarks[0]
    )


@pytest.mark.parametrize("environ", [{}, {"DEEPSEEK_API_KEY": "k"}], ids=["no keys", "a key"])
def test_the_model_switching_file_is_imported(tmp_path: Path, environ: dict[str, str]) -> None:
    parsed_config = config(tmp_path, SWITCHABLE, environ)
    assert list(parsed_config.routes) == ["gpt-4o", "deepseek-chat", "llama3"]
    assert list(parsed_config.providers) == ["openai", "deepseek", "ollama-localhost-11434"]
    assert (parsed_config.remarks, parsed_config.master_key) == ([], "")
