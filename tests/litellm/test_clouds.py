"""Cloud entries of model_list: region, project, account and authentication."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.litellm.make import entries, only_provider, only_target

AWS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "wJalr"}
ENTRA = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize(
    ("row", "preset", "base"),
    [
        ({"model": "bedrock/x"}, "bedrock", ""),
        (
            {"model": "bedrock/x", "aws_region_name": "eu-central-1"},
            "bedrock",
            "https://bedrock-runtime.eu-central-1.amazonaws.com",
        ),
        (
            {"model": "bedrock/us-west-2/x"},
            "bedrock",
            "https://bedrock-runtime.us-west-2.amazonaws.com",
        ),
        (
            {"model": "bedrock_mantle/anthropic.claude-opus-5", "aws_region_name": "eu-west-1"},
            "bedrock-anthropic",
            "https://bedrock-mantle.eu-west-1.api.aws/anthropic",
        ),
        (
            {"model": "bedrock/x", "aws_bedrock_runtime_endpoint": "https://vpce.example/"},
            "bedrock",
            "https://vpce.example",
        ),
        (
            {
                "model": "vertex_ai/claude-opus-5",
                "vertex_project": "p",
                "vertex_location": "global",
            },
            "vertex-anthropic",
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global",
        ),
        (
            {"model": "vertex_ai/gemini-3-pro", "vertex_project": "p"},
            "vertex",
            "https://us-central1-aiplatform.googleapis.com/v1beta1/projects/p/locations/us-central1",
        ),
        (
            {"model": "vertex_ai/meta/llama", "vertex_project": "p"},
            "vertex-openai",
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
            "/endpoints/openapi",
        ),
        (
            {"model": "azure/d", "api_base": "https://r.openai.azure.com/openai/v1/"},
            "azure-openai-v1",
            "https://r.openai.azure.com/openai/v1",
        ),
        (
            {"model": "azure_ai/claude-opus-5", "api_base": "https://r.services.ai.azure.com"},
            "azure-anthropic",
            "https://r.services.ai.azure.com/anthropic",
        ),
        (
            {"model": "azure_ai/Llama-4", "api_base": "https://r.services.ai.azure.com"},
            "azure_ai",
            "https://r.services.ai.azure.com/models",
        ),
        (
            {"model": "azure_ai/Llama-4", "api_base": "https://l.eastus2.models.ai.azure.com"},
            "custom",
            "https://l.eastus2.models.ai.azure.com",
        ),
        (
            {"model": "azure/d", "api_base": "https://r.example/openai/deployments/d/"},
            "azure_openai",
            "https://r.example",
        ),
        (
            {
                "model": "azure/d",
                "api_base": "https://r.example/openai/deployments/d/chat/completions?api-version=1",
            },
            "azure_openai",
            "https://r.example",
        ),
        (
            {
                "model": "vertex_ai/claude-opus-5@1",
                "api_base": "https://v.example/v1/projects/p/locations/eu/publishers/anthropic"
                "/models/claude-opus-5@1",
            },
            "vertex-anthropic",
            "https://v.example/v1/projects/p/locations/eu",
        ),
        (
            {
                "model": "vertex_ai/gemini-3",
                "api_base": "https://v.example/v1/projects/p/locations/eu/publishers/google"
                "/models/gemini-3",
            },
            "vertex",
            "https://v.example/v1/projects/p/locations/eu",
        ),
        (
            {
                "model": "vertex_ai/gemini-3",
                "api_base": "https://v.example",
                "vertex_project": "p",
                "vertex_location": "eu",
            },
            "vertex",
            "https://v.example/v1beta1/projects/p/locations/eu",
        ),
        (
            {"model": "gemini/gemini-3", "api_base": "https://g.example/v1/publishers/google"},
            "vertex",
            "https://g.example/v1",
        ),
        ({"model": "gemini/g", "api_base": "https://g.example/v1"}, "gemini", "https://g.example"),
        (
            {"model": "mistral/m", "api_base": "https://m.example"},
            "mistral",
            "https://m.example/v1",
        ),
        (
            {"model": "huggingface/m", "api_base": "https://h.endpoints.huggingface.cloud/"},
            "huggingface",
            "https://h.endpoints.huggingface.cloud/v1",
        ),
        (
            {"model": "minimax/M2", "api_base": "https://api.minimax.io/v1"},
            "minimax-openai",
            "",
        ),
        (
            {"model": "minimax/M2", "api_base": "https://api.minimaxi.com/anthropic"},
            "minimax",
            "https://api.minimaxi.com/anthropic",
        ),
        (
            {"model": "snowflake/x", "api_base": "https://a.snowflakecomputing.com/api/v2"},
            "snowflake",
            "https://a.snowflakecomputing.com/api/v2/cortex/v1",
        ),
        (
            {"model": "predibase/llama-3-8b", "predibase_tenant_id": "t1"},
            "predibase",
            "https://serving.app.predibase.com/t1",
        ),
        (
            {"model": "predibase/m", "tenant_id": "t1", "api_base": "https://p.example/"},
            "predibase",
            "https://p.example/t1",
        ),
    ],
    ids=lambda value: value["model"] if isinstance(value, dict) else "",
)
def test_a_cloud_entry_has_its_base_url(
    tmp_path: Path, row: dict[str, Any], preset: str, base: str
) -> None:
    _, provider = only_provider(entries(tmp_path, row))
    assert (provider.preset, provider.base_url) == (preset, base)


@pytest.mark.parametrize(
    ("row", "auth", "variable"),
    [
        (
            {"model": "gemini/g", "api_base": "https://g.example/v1/publishers/google"},
            "x-goog-api-key",
            "GEMINI_API_KEY",
        ),
        (
            {"model": "azure_ai/l", "api_base": "https://l.models.ai.azure.com"},
            "",
            "AZURE_AI_API_KEY",
        ),
    ],
)
def test_the_key_is_that_of_the_prefix_at_another_api(
    tmp_path: Path, row: dict[str, Any], auth: str, variable: str
) -> None:
    environ = {"GEMINI_API_KEY": "g", "AZURE_AI_API_KEY": "a"}
    _, provider = only_provider(entries(tmp_path, row, environ=environ))
    assert (provider.auth, provider.key_env, provider.query) == (auth, variable, {})


def test_the_version_may_be_in_the_url(tmp_path: Path) -> None:
    row = {"model": "azure/d", "api_base": "https://r.example/openai?api-version=2025-01-01"}
    _, provider = only_provider(entries(tmp_path, row))
    assert provider.query == {"api-version": "2025-01-01"}
    _, provider = only_provider(entries(tmp_path, {**row, "api_version": "2024-06-01"}))
    assert provider.query == {"api-version": "2024-06-01"}


@pytest.mark.parametrize(
    ("row", "remarks"),
    [
        ({"model": "azure/d", "api_base": "https://r.example?api-version=1"}, 0),
        ({"model": "azure/d", "api_base": "https://r.example?api-version=1&code=x"}, 1),
        ({"model": "openai/m", "api_base": "https://r.example/v1?code=x"}, 1),
    ],
    ids=["version only", "more than the version", "no versions"],
)
def test_a_query_of_the_url_that_is_not_sent_is_reported(
    tmp_path: Path, row: dict[str, Any], remarks: int
) -> None:
    parsed_config = entries(tmp_path, {**row, "api_key": "k"})
    _, provider = only_provider(parsed_config)
    assert "?" not in provider.base_url
    remark = "api_base: its query is not sent, except for api-version of Azure"
    assert [remark in note for note in parsed_config.remarks] == [True] * remarks


def test_region_and_project_may_come_from_the_environment(tmp_path: Path) -> None:
    _, provider = only_provider(
        entries(tmp_path, {"model": "bedrock/x"}, environ={"AWS_REGION": "ap-south-1"})
    )
    assert provider.base_url == "https://bedrock-runtime.ap-south-1.amazonaws.com"
    environ = {"VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "europe-west1"}
    _, provider = only_provider(entries(tmp_path, {"model": "vertex_ai/gemini-3"}, environ=environ))
    assert provider.base_url.startswith("https://europe-west1-aiplatform.googleapis.com/")
    _, provider = only_provider(
        entries(tmp_path, {"model": "cloudflare/x"}, environ={"CLOUDFLARE_ACCOUNT_ID": "acc"})
    )
    assert provider.base_url == "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1"
    (note,) = entries(tmp_path, {"model": "cloudflare/x"}).remarks
    assert "needs CLOUDFLARE_ACCOUNT_ID in the environment, or an api_base" in note


@pytest.mark.parametrize("value", ["variable", "key file", "default file", "entry", "entry path"])
def test_a_vertex_project_may_be_that_of_the_credential(tmp_path: Path, value: str) -> None:
    """As google-auth and LiteLLM do: a file usually has only the location."""
    key = {"type": "service_account", "project_id": "of-the-key"}
    adc = {"type": "authorized_user", "quota_project_id": "of-the-user"}
    row: dict[str, Any] = {"model": "vertex_ai/gemini-3", "vertex_location": "global"}
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (tmp_path / "key.json").write_text(json.dumps(key))
    environ, project = {"HOME": str(tmp_path)}, "of-the-key"
    match value:
        case "variable":
            environ["GOOGLE_CLOUD_PROJECT"] = project = "of-the-variable"
        case "key file":
            environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "key.json")
        case "default file":
            (folder / "application_default_credentials.json").write_text(json.dumps(adc))
            project = "of-the-user"
        case "entry":
            row["vertex_credentials"] = json.dumps(key)
        case "entry path":
            row["vertex_credentials"] = str(tmp_path / "key.json")
    _, provider = only_provider(entries(tmp_path, row, environ=environ))
    assert f"/projects/{project}/locations/global" in provider.base_url


SAGEMAKER = "https://runtime.sagemaker.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("prefix", ["sagemaker_chat", "sagemaker"])
def test_an_endpoint_of_sagemaker_is_called_by_its_messages_api(
    tmp_path: Path, prefix: str
) -> None:
    row = {"model": f"{prefix}/tgi-1", "aws_region_name": "eu-west-1", "model_id": "part-1", **AWS}
    parsed_config = entries(tmp_path, row)
    _, provider = only_provider(parsed_config)
    assert (provider.preset, provider.base_url) == ("sagemaker", SAGEMAKER)
    assert json.loads(provider.key) == AWS
    assert provider.headers == {"X-Amzn-SageMaker-Inference-Component": "part-1"}
    assert only_target(parsed_config).model == "tgi-1"
    noted = [note for note in parsed_config.remarks if "Messages API" in note]
    assert len(noted) == (prefix == "sagemaker"), parsed_config.remarks
    bedrock = {"model": "bedrock/x", "model_id": "arn:aws:bedrock:..."}
    assert only_provider(entries(tmp_path, bedrock))[1].headers == {}


def test_the_url_of_a_sagemaker_endpoint_is_complete(tmp_path: Path) -> None:
    row = {"model": "sagemaker_chat/m"}
    url = "https://vpce.example/endpoints/m/invocations"
    _, provider = only_provider(entries(tmp_path, {**row, "sagemaker_base_url": url}))
    assert provider.base_url == "https://vpce.example"
    parsed_config = entries(tmp_path, {**row, "sagemaker_base_url": "https://vpce.example"})
    assert parsed_config.routes == {}
    assert any("must end with /endpoints/m/invocations" in note for note in parsed_config.remarks)


def test_predibase_needs_a_tenant_and_serves_base_models(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "predibase/m", "api_key": "pb"})
    assert parsed_config.routes == {}
    assert any(
        "needs a tenant_id (or PREDIBASE_TENANT_ID)" in note for note in parsed_config.remarks
    )
    environ = {"PREDIBASE_TENANT_ID": "t2", "PREDIBASE_API_KEY": "pb"}
    _, provider = only_provider(entries(tmp_path, {"model": "predibase/m"}, environ=environ))
    assert provider.base_url == "https://serving.app.predibase.com/t2"
    assert provider.key_env == "PREDIBASE_API_KEY"
    parsed_config = entries(
        tmp_path, {"model": "predibase/m", "tenant_id": "t", "adapter_id": "a/1"}
    )
    assert parsed_config.routes == {}
    assert any("its adapter_id is not supported yet" in note for note in parsed_config.remarks)


def test_vertex_without_a_project_is_omitted(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "vertex_ai/gemini-3"})
    assert parsed_config.routes == {}
    assert any("needs a vertex_project" in note for note in parsed_config.remarks)


def test_an_aws_credential_is_stored_as_json(tmp_path: Path) -> None:
    _, provider = only_provider(entries(tmp_path, {"model": "bedrock/x", **AWS}))
    assert json.loads(provider.key) == AWS
    assert provider.auth == ""


def test_an_incomplete_aws_key_is_an_error(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "bedrock/x", "aws_access_key_id": "AKIA"})
    assert parsed_config.routes == {}
    assert "needs both aws_access_key_id and aws_secret_access_key" in parsed_config.remarks[0]


def test_variables_of_the_aws_credential_chain_are_not_stored(tmp_path: Path) -> None:
    row = {
        "model": "bedrock/x",
        "aws_access_key_id": "os.environ/AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "os.environ/AWS_SECRET_ACCESS_KEY",
    }
    environ = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "very-secret"}
    parsed_config = entries(tmp_path, row, environ=environ)
    _, provider = only_provider(parsed_config)
    assert (provider.key, provider.key_env) == ("", "")
    assert "very-secret" not in repr(parsed_config)


def test_a_bearer_key_of_bedrock_stays_a_variable(tmp_path: Path) -> None:
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "ABSK"}
    _, provider = only_provider(entries(tmp_path, {"model": "bedrock/x"}, environ=environ))
    assert provider.key_env == "AWS_BEARER_TOKEN_BEDROCK"


def test_vertex_accepts_service_account_credentials(tmp_path: Path) -> None:
    row = {"model": "vertex_ai/gemini-3", "vertex_project": "p"}
    _, provider = only_provider(entries(tmp_path, {**row, "vertex_credentials": "/etc/key.json"}))
    assert provider.key == "/etc/key.json"
    _, provider = only_provider(
        entries(
            tmp_path,
            {**row, "vertex_credentials": "os.environ/VERTEX_JSON"},
            environ={"VERTEX_JSON": "{}"},
        )
    )
    assert (provider.key, provider.key_env) == ("", "VERTEX_JSON")
    _, provider = only_provider(entries(tmp_path, row))
    assert (provider.key, provider.key_env) == ("", "")


def test_azure_accepts_a_token_or_a_client_secret(tmp_path: Path) -> None:
    row = {"model": "azure/d", "api_base": "https://r.openai.azure.com"}
    _, provider = only_provider(entries(tmp_path, {**row, "azure_ad_token": "eyJ"}))
    assert (provider.key, provider.auth) == ("eyJ", "bearer")
    _, provider = only_provider(entries(tmp_path, {**row, **ENTRA}))
    assert (json.loads(provider.key), provider.auth) == (ENTRA, "entra")
    parsed_config = entries(tmp_path, {**row, "tenant_id": "t"})
    assert parsed_config.routes == {}
    assert "all of them; fast is skipped" in parsed_config.remarks[0]


@pytest.mark.parametrize("model_name", ["vertex_ai/*", "*"])
def test_a_wildcard_of_a_cloud_selects_the_api_by_the_models_name(
    tmp_path: Path, model_name: str
) -> None:
    """LiteLLM selects it for each request."""
    row = {
        "model_name": model_name,
        "model": "vertex_ai/*",
        "vertex_project": "p",
        "vertex_location": "us-central1",
    }
    parsed_config = entries(tmp_path, row, environ={})
    presets = {}
    for name in parsed_config.aliases:
        (target,) = parsed_config.routes[name].targets
        provider = parsed_config.providers[parsed_config.names[target.provider]]
        presets[model_name.replace("*", target.model)] = provider.preset
        assert name == model_name.replace("*", target.model)
    prefix = model_name.removesuffix("*")
    assert presets[f"{prefix}gemini*"] == "vertex"
    assert presets[f"{prefix}claude*"] == "vertex-anthropic"
    assert presets[f"{prefix}text-embedding-0*"] == "vertex"
    assert presets[f"{prefix}*"] == "vertex-openai"
    assert parsed_config.remarks == []
