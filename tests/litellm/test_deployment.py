"""An entry of model_list: provider, model and target."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.compat.litellm.config.reader import ConfigError
from gateway.providers.catalog import PRESETS
from tests.certificates import CertificateAuthority
from tests.litellm.make import config, entries, only_provider, only_target, route


def test_a_plain_model_is_called_at_the_preset_itself(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "api_key": "os.environ/OPENAI_API_KEY"})
    name, provider = only_provider(parsed_config)
    assert (name, provider.preset, provider.key_env, provider.key) == (
        "openai",
        "openai",
        "OPENAI_API_KEY",
        "",
    )
    assert parsed_config.remarks == []


def test_without_an_api_key_the_usual_variable_counts(tmp_path: Path) -> None:
    _, provider = only_provider(entries(tmp_path, {"model": "gpt-4o"}))
    assert provider.key_env == "OPENAI_API_KEY"


def test_a_provider_with_openais_api_has_its_url_and_key(tmp_path: Path) -> None:
    """LiteLLM has a list of such providers, each with a base URL and a variable."""
    row = {"model": "morph/morph-v3-fast"}
    _, provider = only_provider(parsed := entries(tmp_path, row))
    assert (provider.preset, provider.base_url) == ("custom", "https://api.morphllm.com/v1")
    assert (provider.key_env, provider.key) == ("MORPH_API_KEY", "")
    assert only_target(parsed).model == "morph-v3-fast"
    assert parsed.remarks == []


def test_such_a_provider_may_have_another_url(tmp_path: Path) -> None:
    row = {"model": "v0/v0-1.5-md", "api_base": "https://eu.example.com/v1", "api_key": "sk-own"}
    _, provider = only_provider(entries(tmp_path, row))
    assert (provider.base_url, provider.key) == ("https://eu.example.com/v1", "sk-own")
    row = {"model": "x", "custom_llm_provider": "publicai"}
    environ = {"PUBLICAI_API_BASE": "https://mine.example.com/v1"}
    _, provider = only_provider(entries(tmp_path, row, environ=environ))
    assert provider.base_url == "https://mine.example.com/v1"


def test_the_value_of_a_variable_is_not_stored(tmp_path: Path) -> None:
    environ = {"MY_KEY": "sk-very-secret", "MY_ORG": "org-secret"}
    row = {
        "model": "gpt-4o",
        "api_key": "os.environ/MY_KEY",
        "organization": "os.environ/MY_ORG",
        "extra_headers": {"x-token": "os.environ/MY_KEY"},
    }
    parsed_config = entries(tmp_path, row, environ=environ)
    assert "secret" not in repr(parsed_config)
    _, provider = only_provider(parsed_config)
    assert provider.headers == {
        "x-token": "os.environ/MY_KEY",
        "OpenAI-Organization": "os.environ/MY_ORG",
    }


def test_a_literal_key_makes_a_provider_of_its_own(tmp_path: Path) -> None:
    name, provider = only_provider(entries(tmp_path, {"model": "gpt-4o", "api_key": "sk-lit"}))
    assert provider.key == "sk-lit"
    assert name.startswith("openai-")
    assert "sk-lit" not in name


def test_a_plain_text_secret_header_is_remarked(tmp_path: Path) -> None:
    headers = {"x-api-token": "abc", "x-team": "blue"}
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "extra_headers": headers})
    (note,) = parsed_config.remarks
    assert "extra_headers.x-api-token: is stored in the database as written" in note


def test_a_header_whose_variable_is_not_set_is_not_sent(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "organization": "os.environ/ORG"})
    assert only_provider(parsed_config)[0] == "openai"
    assert "the variable ORG is not set" in parsed_config.remarks[0]


@pytest.mark.parametrize(
    ("row", "name", "base"),
    [
        pytest.param(
            {"model": "deepseek/d", "api_base": "https://api.deepseek.com"},
            "deepseek",
            "",
            id="its own",
        ),
        pytest.param(
            {"model": "openai/x", "api_base": "http://gpu:8000/v1/"},
            "openai-gpu-8000",
            "http://gpu:8000/v1",
            id="own server",
        ),
        pytest.param(
            {"model": "openai/x", "api_base": "http://gpu:8000/v1/chat/completions"},
            "openai-gpu-8000",
            "http://gpu:8000/v1",
            id="whole path",
        ),
        pytest.param(
            {"model": "anthropic/c", "api_base": "https://proxy.example/v1/messages"},
            "anthropic-proxy.example",
            "https://proxy.example",
            id="messages path",
        ),
        pytest.param(
            {"model": "cohere/rerank-v3.5", "api_base": "https://proxy.example/v1/rerank"},
            "cohere-proxy.example",
            "https://proxy.example",
            id="rerank path",
        ),
        pytest.param(
            {"model": "hosted_vllm/bge", "api_base": "http://gpu:8000/v1/rerank"},
            "vllm-gpu-8000",
            "http://gpu:8000/v1",
            id="rerank path below a version",
        ),
        pytest.param(
            {"model": "ollama/llama3", "api_base": "http://localhost:11434"},
            "ollama-localhost-11434",
            "http://localhost:11434",
            id="ollama",
        ),
        pytest.param(
            {"model": "hosted_vllm/x", "api_base": "http://gpu:8000/v1"},
            "vllm-gpu-8000",
            "http://gpu:8000/v1",
            id="vllm",
        ),
        pytest.param({"model": "ollama/llama3"}, "ollama", "", id="ollama where it is"),
        pytest.param(
            {"model": "x", "base_url": "http://[::1]:9/v1"},
            "custom-1-9",
            "http://[::1]:9/v1",
            id="IPv6",
        ),
    ],
)
def test_the_dialects_path_is_removed_from_an_api_base(
    tmp_path: Path, row: dict[str, Any], name: str, base: str
) -> None:
    found_name, provider = only_provider(entries(tmp_path, row))
    assert (found_name, provider.base_url) == (name, base)


def test_a_local_server_requires_no_key(tmp_path: Path) -> None:
    _, provider = only_provider(entries(tmp_path, {"model": "ollama/llama3"}))
    assert (provider.key, provider.key_env) == ("", "")


def test_azure_reads_base_and_version_from_the_entry_or_the_environment(tmp_path: Path) -> None:
    row = {
        "model": "azure/dep",
        "api_base": "https://x.openai.azure.com/",
        "api_version": "2025-01-01-preview",
    }
    _, provider = only_provider(entries(tmp_path, row))
    assert provider.base_url == "https://x.openai.azure.com"
    assert provider.query == {"api-version": "2025-01-01-preview"}
    environ = {"AZURE_API_BASE": "https://y.openai.azure.com", "AZURE_API_VERSION": "2025-02-02"}
    _, provider = only_provider(entries(tmp_path, {"model": "azure/dep"}, environ=environ))
    assert (provider.base_url, provider.query["api-version"]) == (
        "https://y.openai.azure.com",
        "2025-02-02",
    )


def test_a_version_that_yaml_parses_as_a_date_is_text(tmp_path: Path) -> None:
    parsed_config = config(
        tmp_path,
        """
        model_list:
        - model_name: fast
          litellm_params: {model: azure/d, api_base: https://x.example, api_version: 2024-02-01}
        """,
    )
    assert only_provider(parsed_config)[1].query == {"api-version": "2024-02-01"}


def test_only_azure_has_api_versions(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "api_version": "v1"})
    assert only_provider(parsed_config)[1].query == {}
    assert "has no API versions" in parsed_config.remarks[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"model": "watsonx/x"}, "`watsonx` is not supported yet", id="no dialect"),
        pytest.param({"model": "azure/x"}, "needs an api_base (or AZURE_API_BASE)", id="no base"),
        pytest.param(
            {"model": "openai/x", "api_base": "os.environ/NO_BASE"},
            "variable NO_BASE, which is not set",
            id="base not set",
        ),
        pytest.param(
            {"model": "os.environ/NO_MODEL"},
            "variable NO_MODEL, which is not set",
            id="model not set",
        ),
    ],
)
def test_unsupported_entries_are_omitted_and_the_others_imported(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    parsed_config = entries(
        tmp_path, {"model_name": "a", **row}, {"model_name": "b", "model": "gpt-4o"}
    )
    assert list(parsed_config.routes) == ["b"]
    (note,) = [note for note in parsed_config.remarks if "skipped" in note]
    assert note.startswith("litellm_config.yaml:")
    assert "model_list[0].model_name: a is skipped: " in note
    assert reason in note


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("model_list: gpt-4o", ":1: model_list: must be a list", id="no list"),
        pytest.param(
            "model_list:\n- gpt-4o", ":2: model_list[0]: must be a mapping", id="no mapping"
        ),
        pytest.param(
            "model_list:\n- litellm_params: {model: x}",
            ":2: model_list[0]: needs a model_name",
            id="no name",
        ),
        pytest.param(
            "model_list:\n- model_name: x",
            ":2: model_list[0]: needs litellm_params",
            id="no params",
        ),
        pytest.param(
            "model_list:\n- model_name: x\n  litellm_params:\n    api_key: k",
            ":3: model_list[0].litellm_params: needs a model",
            id="no model",
        ),
        pytest.param(
            "model_list:\n- model_name: x\n  litellm_params: {model: [a]}",
            "litellm_params.model: must be a string",
            id="model is a list",
        ),
        pytest.param(
            "model_list:\n- model_name: ''\n  litellm_params: {model: gpt-4o}",
            "must not be empty",
            id="empty name",
        ),
        pytest.param(
            "model_list:\n- model_name: x\n  litellm_params:\n    model: gpt-4o\n    rpm: many",
            ":5: model_list[0].litellm_params.rpm: must be a number",
            id="rpm in words",
        ),
        pytest.param(
            "model_list:\n- model_name: x\n  litellm_params: {model: gpt-4o, timeout: 0}",
            "must be above 0",
            id="no time",
        ),
        pytest.param(
            "model_list:\n- model_name: x\n  litellm_params: {model: gpt-4o, order: 1.5}",
            "whole number",
            id="order",
        ),
        pytest.param(
            "model_list:\n- model_name: x\n  litellm_params: {model: gpt-4o, extra_headers: [a]}",
            "extra_headers: must be a mapping",
            id="headers",
        ),
        pytest.param(
            "general_settings: [a]",
            ":1: general_settings: must be a mapping",
            id="section is a list",
        ),
        pytest.param(
            "router_settings: {num_retries: -1}\nmodel_list:\n- model_name: x\n  litellm_params: {model: gpt-4o}",
            "num_retries: must be a number that is not negative",
            id="retries",
        ),
    ],
)
def test_an_error_names_file_line_and_field(tmp_path: Path, text: str, expected: str) -> None:
    """An invalid entry is omitted; an invalid section prevents the start."""
    good = "- model_name: good\n  litellm_params: {model: gpt-4o}\n"
    try:
        has_entries = text.startswith("model_list:\n-")
        parsed_config = config(tmp_path, f"{text}\n{good}" if has_entries else text)
    except ConfigError as mistake:
        assert not has_entries
        (remark,) = [str(mistake)]
    else:
        assert list(parsed_config.routes) == ["good"]
        (remark,) = parsed_config.remarks
        assert "skipped" in remark
    assert remark.startswith("litellm_config.yaml:")
    assert expected in remark


def test_timeouts_become_first_byte_and_idle_timeouts(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "timeout": 60, "stream_timeout": 5})
    assert only_target(parsed_config).timeouts == {"first_byte_s": 60, "idle_s": 5, "total_s": 900}
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "timeout": 6000})
    assert only_target(parsed_config).timeouts["total_s"] == 6000
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "stream_timeout": 5})
    assert only_target(parsed_config).timeouts == {"idle_s": 5}


def default(name: str, path: str, value: Any) -> dict[str, Any]:
    """Return the edit of a default parameter."""
    return {"op": "default", "path": path, "value": value, "reason": f"litellm_params.{name}"}


def test_defaults_become_edits_of_the_providers_fields(tmp_path: Path) -> None:
    row = {"temperature": 0.1, "stop": "END", "seed": 7}
    chat = only_target(entries(tmp_path, {"model": "gpt-4o", **row})).edits
    assert chat == [
        default("temperature", "temperature", 0.1),
        default("seed", "seed", 7),
        default("stop", "stop", "END"),
    ]
    parsed_config = entries(tmp_path, {"model": "claude-sonnet-4-5", **row})
    assert only_target(parsed_config).edits == [
        default("temperature", "temperature", 0.1),
        default("stop", "stop_sequences", ["END"]),
    ]
    assert "seed: is not sent: the provider has no such parameter" in parsed_config.remarks[0]


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-5", "max_completion_tokens"),
        ("deepseek/deepseek-chat", "max_tokens"),
        ("claude-sonnet-4-5", "max_tokens"),
    ],
)
def test_a_token_limit_is_sent_by_the_models_field_name(
    tmp_path: Path, model: str, field: str
) -> None:
    parsed_config = entries(tmp_path, {"model": model, "max_tokens": 300})
    assert only_target(parsed_config).edits == [default("max_tokens", field, 300)]
    assert route(parsed_config).default_max_output == 300


def test_extra_body_and_dropped_parameters_become_edits(tmp_path: Path) -> None:
    row = {
        "extra_body": {"guided": {"a": 1}},
        "additional_drop_params": ["seed", "tools[*].strict"],
    }
    edits = only_target(entries(tmp_path, {"model": "gpt-4o", **row})).edits
    assert [(edit["op"], edit["path"], edit.get("value")) for edit in edits] == [
        ("set", "guided", {"a": 1}),
        ("drop", "seed", None),
        ("drop", "tools[].strict", None),
    ]


def test_costs_become_prices_for_a_million_exactly(tmp_path: Path) -> None:
    row = {
        "model": "gpt-4o",
        "input_cost_per_token": 0.00000015,
        "model_info": {"output_cost_per_token": 6e-07, "input_cost_per_token": 1},
    }
    (model,) = entries(tmp_path, row).models.values()
    assert model.prices == {"input": Decimal("0.15"), "output": Decimal("0.6")}


def test_a_price_per_million_tokens_is_not_used_as_price_per_token(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "input_cost_per_token": 15})
    assert [model.prices for model in parsed_config.models.values()] == [{}]
    assert "input_cost_per_token: is the price of one token" in parsed_config.remarks[0]


def test_an_entry_without_a_model_uses_the_public_name(tmp_path: Path) -> None:
    """Azure's first image API had no deployments: files write `azure/`."""
    row = {"model_name": "dall-e-2", "model": "azure/", "api_base": "https://r.openai.azure.com"}
    parsed_config = entries(tmp_path, row)
    assert route(parsed_config, "dall-e-2").targets[0].model == "dall-e-2"
    assert "`dall-e-2` is used" in parsed_config.remarks[0]


def test_litellm_modes_are_imported_and_unknown_ones_noted(tmp_path: Path) -> None:
    modes = ("embedding", "image_generation", "audio_transcription", "audio_speech", "rerank")
    rows = [
        {"model_name": mode, "model": f"openai/{mode}", "model_info": {"mode": mode}}
        for mode in modes
    ]
    parsed_config = entries(tmp_path, *rows, {"model": "gpt-4o", "model_info": {"mode": "dance"}})
    assert [*parsed_config.routes] == [*modes, "fast"]
    assert "`dance` is not a mode" in parsed_config.remarks[0]
    assert len(parsed_config.remarks) == 1


def test_model_info_becomes_traits(tmp_path: Path) -> None:
    info = {
        "max_input_tokens": 1000,
        "max_output_tokens": 200,
        "max_tokens": 7,
        "supports_vision": False,
        "supports_response_schema": False,
        "mode": "chat",
        "id": "my-id",
    }
    parsed_config = entries(tmp_path, {"model": "openai/x", "model_info": info})
    (model,) = parsed_config.models.values()
    assert model.traits == {
        "context_window": 1000,
        "max_output": 200,
        "images": False,
        "structured": "json",
    }
    assert parsed_config.remarks == []


@pytest.mark.parametrize(
    ("row", "is_reported"),
    [
        ({"model": "bedrock/amazon.titan-embed-text-v2:0"}, True),
        ({"model": "anthropic/x", "model_info": {"mode": "embedding"}}, True),
        ({"model": "bedrock/x"}, False),
        ({"model": "openai/text-embedding-3-small"}, False),
        ({"model": "cohere/embed-v4.0"}, False),
        ({"model": "ollama/nomic-embed-text"}, False),
    ],
    ids=lambda value: value["model"] if isinstance(value, dict) else "",
)
def test_embeddings_that_are_not_supported_are_reported(
    tmp_path: Path, row: dict[str, Any], is_reported: bool
) -> None:
    remarks = entries(tmp_path, row).remarks
    assert any("embeddings of" in remark for remark in remarks) == is_reported


def test_base_model_provides_capabilities_and_prices(tmp_path: Path) -> None:
    row = {
        "model": "azure/my-deployment",
        "api_base": "https://x.example",
        "model_info": {"base_model": "azure/o3-mini"},
    }
    (model,) = entries(tmp_path, row).models.values()
    assert model.traits["reasoning"] is True
    assert "model" not in model.traits
    assert model.prices["input"] > 0


def test_contradicting_entries_of_one_model_are_noted(tmp_path: Path) -> None:
    rows = [{"model": "gpt-4o", "model_info": {"max_tokens": n}} for n in (1, 2)]
    parsed_config = entries(tmp_path, *rows)
    (model,) = parsed_config.models.values()
    assert model.traits == {"max_output": 1}
    assert any(
        "in prices or capabilities of gpt-4o; litellm_config.yaml:" in note
        for note in parsed_config.remarks
    )


def test_reasoning_and_audio_prices_are_imported(tmp_path: Path) -> None:
    row = {
        "model": "gpt-4o",
        "output_cost_per_reasoning_token": 5e-6,
        "input_cost_per_audio_token": 4e-5,
        "model_info": {"output_cost_per_audio_token": 8e-5},
    }
    (model,) = entries(tmp_path, row).models.values()
    assert model.prices == {"reasoning": 5, "input_audio": 40, "output_audio": 80}


def test_a_mock_response_needs_no_provider_and_costs_what_the_model_does(tmp_path: Path) -> None:
    row = {"model": "azure/gpt-4o", "mock_response": "It is a mock.", "temperature": 1}
    parsed_config = entries(tmp_path, row, environ={})
    name, provider = only_provider(parsed_config)
    (model,) = parsed_config.models.values()
    assert (name, provider.preset, model.name) == ("demo", "demo", "gpt-4o")
    assert model.prices["input"] > 0
    assert only_target(parsed_config).edits == [
        {"op": "set", "path": "mock_response", "value": "It is a mock."}
    ]
    assert parsed_config.remarks == []


def test_a_mock_response_that_is_no_text_is_reported(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "mock_response": [0.1, 0.2]})
    assert only_provider(parsed_config)[0] == "openai"
    assert "only a text can be returned" in parsed_config.remarks[0]


SHARED = """
    credential_list:
      - credential_name: azure_eu
        credential_values:
          api_key: os.environ/AZURE_EU_KEY
          api_base: https://eu.example
          api_version: 2025-01-01-preview
        credential_info: {description: Production}
    model_list:
      - model_name: fast
        litellm_params:
          model: azure/gpt-4o
          litellm_credential_name: azure_eu
          api_version: 2024-06-01
      - model_name: lost
        litellm_params: {model: gpt-4o, litellm_credential_name: nobodys}
    router_settings:
      default_litellm_params: {temperature: 0.5, max_tokens: 100}
"""


def test_an_entry_uses_defaults_for_missing_fields(tmp_path: Path) -> None:
    parsed_config = config(tmp_path, SHARED, {"AZURE_EU_KEY": "k", "OPENAI_API_KEY": "o"})
    fast = parsed_config.routes["fast"]
    provider = next(row for row in parsed_config.providers.values() if row.preset == "azure_openai")
    assert (provider.key_env, provider.query) == ("AZURE_EU_KEY", {"api-version": "2024-06-01"})
    assert provider.base_url.startswith("https://eu.example")
    defaults = {edit["path"]: edit["value"] for edit in fast.targets[0].edits}
    assert defaults["temperature"] == 0.5
    assert fast.default_max_output == 100
    assert [note.split(": ", 1)[1] for note in parsed_config.remarks] == [
        "model_list[1].litellm_params.litellm_credential_name: "
        "there is no `nobodys` in credential_list"
    ]


def test_certificates_of_an_entry_belong_to_its_provider(tmp_path: Path) -> None:
    authority = CertificateAuthority()
    issued = authority.issue("client")
    ca, pem = tmp_path / "ca.pem", tmp_path / "client.pem"
    ca.write_text(authority.pem)
    pem.write_text(f"{issued.certificate}\n{issued.key}")
    row = {"model": "gpt-4o", "ssl_verify": str(ca), "ssl_certificate": str(pem)}
    name, provider = only_provider(entries(tmp_path, row))
    assert name.startswith("openai-")
    assert provider.tls == {
        "ca_certificates": authority.pem.strip(),
        "client_certificate": issued.certificate.strip(),
        "client_key": issued.key.strip(),
    }


def test_ssl_verify_of_the_library_applies_to_entries_without_their_own(tmp_path: Path) -> None:
    rows = [
        {"model_name": "a", "model": "gpt-4o"},
        {"model_name": "b", "model": "gpt-4o", "ssl_verify": True},
    ]
    parsed_config = entries(tmp_path, *rows, litellm_settings={"ssl_verify": "False"})
    assert sorted(str(provider.tls) for provider in parsed_config.providers.values()) == [
        "{'ssl_verify': False}",
        "{}",
    ]
    assert parsed_config.remarks == []


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"ssl_verify": "/nowhere/ca.pem"}, "ssl_verify: names /nowhere/ca.pem, which cannot be"),
        ({"ssl_verify": "text.pem"}, "which is not a PEM file"),
        ({"ssl_verify": "maybe"}, "ssl_verify: must be true or false"),
        ({"ssl_certificate": "ca.pem"}, "must also contain the private key"),
    ],
)
def test_an_entry_whose_certificates_are_unusable_is_omitted(
    tmp_path: Path, params: dict[str, str], reason: str
) -> None:
    (tmp_path / "ca.pem").write_text(CertificateAuthority().pem)
    (tmp_path / "text.pem").write_text("no certificate")
    for name, value in params.items():
        if value.endswith(".pem") and not value.startswith("/"):
            params = {name: str(tmp_path / value)}
    parsed_config = entries(tmp_path, {"model": "gpt-4o", **params})
    assert not parsed_config.routes
    (note,) = parsed_config.remarks
    assert reason in note
    assert "fast is skipped" in note


def test_an_openai_model_of_the_older_completions_api(tmp_path: Path) -> None:
    row = {"model": "text-completion-openai/gpt-3.5-turbo-instruct"}
    parsed_config = entries(tmp_path, row)
    _, provider = only_provider(parsed_config)
    assert PRESETS[provider.preset].dialect == "openai_completions"
    assert (provider.base_url, provider.key_env) == ("https://api.openai.com/v1", "OPENAI_API_KEY")
    assert only_target(parsed_config).model == "gpt-3.5-turbo-instruct"
    assert parsed_config.remarks == []


def test_the_modalities_of_a_gemini_model_are_those_of_its_api(tmp_path: Path) -> None:
    row = {"model": "gemini/gemini-2.5-flash-image", "modalities": ["image", "text"]}
    parsed_config = entries(tmp_path, row)
    (edit,) = only_target(parsed_config).edits
    assert (edit["op"], edit["path"]) == ("default", "generationConfig.responseModalities")
    assert (edit["value"], parsed_config.remarks) == (["IMAGE", "TEXT"], [])
