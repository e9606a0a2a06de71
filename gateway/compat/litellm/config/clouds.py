"""The keys of litellm_params that only clouds use: regions, projects and credentials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.compat.litellm.config.inference import ResolvedModel, UnsupportedEntry
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.providers.catalog import PRESETS
from gateway.providers.catalog.litellm_names import PREFIXES
from gateway.providers.cloud_credentials import (
    find_google_credential,
    google_project,
    project_of_credentials,
)
from gateway.providers.profile import Preset
from gateway.providers.sigv4 import in_region

MAX_TEXT = 200
_AWS_KEYS = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_profile_name",
)
# preset -> the setting with its base URL, and the path of a model that the URL includes.
_AWS_ENDPOINTS = {"sagemaker": ("sagemaker_base_url", "/endpoints/{}/invocations")}
_AWS_REGIONS = ("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
# Prefix that a bare model name implies -> the preset at Vertex AI.
_BARE_ON_VERTEX = {"gemini": "vertex"}
_PROJECT = ("vertex_project", "vertex_ai_project")
# preset -> the host that the tenant is appended to.
_BY_TENANT = {"predibase": "https://serving.app.predibase.com"}
_TENANT = ("tenant_id", "predibase_tenant_id")
_ENTRA_KEYS = ("tenant_id", "client_id", "client_secret")
# prefix, and end of its base URL -> the preset for this URL; the end is not part of the base.
_PRESETS_BY_URL = {
    ("gemini", "/publishers/google"): "vertex",
    ("minimax", ""): "minimax-openai",
    ("azure_ai", ".models.ai.azure.com"): "custom",
}
# preset -> the path below the project and location in its base URL, and the API version.
_VERTEX = {
    "vertex": ("v1beta1", ""),
    "vertex-anthropic": ("v1", ""),
    "vertex-openai": ("v1", "/endpoints/openapi"),
}
# Paths of a base URL of Vertex AI to which LiteLLM appends the project and location.
_VERTEX_ROOTS = ("", "/v1", "/v1beta1")
# preset -> suffixes of the paths that LiteLLM accepts as a base, and their replacements.
_PATH_SUFFIXES: dict[str, tuple[tuple[str, str], ...]] = {
    "azure_ai": (("", "/models"),),
    "azure-anthropic": (("", "/anthropic"), ("/models", "/anthropic")),
    "snowflake": (("", "/api/v2/cortex/v1"), ("/api/v2", "/api/v2/cortex/v1")),
    "cloudflare": (("/ai/run", "/ai/v1"),),
    # The dialect's paths begin with /v1beta.
    "gemini": (("/v1beta", ""), ("/v1alpha", ""), ("/v1", "")),
    "huggingface": (("", "/v1"),),
    "minimax-openai": (("", "/v1"),),
    "vertex": (("/publishers/google", ""),),
    "mistral": (("", "/v1"),),
}
_V1 = "/openai/v1"
_ON_AZURE = frozenset({"azure_openai", "azure_ai"})
_WITH_ENTRA = _ON_AZURE | {"azure-openai-v1", "azure-anthropic"}
# preset -> the variable with the account of its base URL, and the URL template.
_BY_ACCOUNT = {
    "cloudflare": (
        "CLOUDFLARE_ACCOUNT_ID",
        "https://api.cloudflare.com/client/v4/accounts/{}/ai/v1",
    )
}


class CloudAccess(msgspec.Struct, frozen=True):
    """A credential, or the variable that holds it; `auth` is its scheme if not the preset's."""

    key: str = ""
    key_env: str = ""
    auth: str = ""


def resolve_preset(
    params: Node, model: ResolvedModel, base: str, environ: Mapping[str, str]
) -> ResolvedModel:
    """Return the model with the preset that its base URL or project calls for.

    Some URLs are those of another API of the provider, such as Azure's older one. A bare
    `gemini-*` with a project is on Vertex AI, as in LiteLLM.
    """
    by_url = _preset_for_url(model.prefix, base)
    if by_url is not None:
        return msgspec.structs.replace(model, preset=by_url, key_preset=model.preset)
    if model.preset.name in _ON_AZURE and base.endswith(_V1):
        return msgspec.structs.replace(model, preset=PRESETS["azure-openai-v1"])
    vertex = _BARE_ON_VERTEX.get(model.prefix) if model.guessed else None
    has_project = params.get(*_PROJECT) is not None or (
        not base and _short_text(params, environ, *_PROJECT)
    )
    if vertex is not None and has_project:
        return msgspec.structs.replace(
            model, preset=PRESETS[vertex], prefix="vertex_ai", guessed=False
        )
    return model


def _preset_for_url(prefix: str, base: str) -> Preset | None:
    """Return the preset of a base URL that is not one of the prefix's usual API, or None."""
    for (own_prefix, end), name in _PRESETS_BY_URL.items():
        if base and prefix == own_prefix and base.endswith(end):
            own_path = urlsplit(PREFIXES[prefix].base_url).path
            return None if own_path and base.endswith(own_path) else PRESETS[name]
    return None


def base_url_for(params: Node, model: ResolvedModel, environ: Mapping[str, str]) -> str:
    """Return the base URL built from a region, project or account; empty if there is none."""
    preset = model.preset
    if preset.auth == "sigv4":
        return _aws_base(params, model, environ)
    if preset.name in _VERTEX:
        return _vertex_base(params, model, environ)
    if preset.name in _BY_TENANT:
        return _tenant_base(params, _BY_TENANT[preset.name], environ)
    variable, base = _BY_ACCOUNT.get(preset.name, ("", ""))
    account = environ.get(variable, "")
    return base.format(account) if account else ""


def complete_base_url(
    base: str, params: Node, model: ResolvedModel, environ: Mapping[str, str]
) -> str:
    """Return the base URL with the path that LiteLLM appends to it."""
    if model.preset.name in _BY_TENANT:
        return _tenant_base(params, base, environ)
    parts = urlsplit(base)
    path = parts.path.rstrip("/")
    if model.preset.name in _VERTEX and path in _VERTEX_ROOTS:
        full_base = _vertex_base(params, model, environ)
        return f"{parts.scheme}://{parts.netloc}{urlsplit(full_base).path}" if full_base else base
    for tail, full_path in _PATH_SUFFIXES.get(model.preset.name, ()):
        if path == tail or (tail and path.endswith(tail)):
            return base.rstrip("/").removesuffix(tail) + full_path
    return base


def read_cloud_access(
    params: Node, model: ResolvedModel, environ: Mapping[str, str], report: Report
) -> CloudAccess | None:
    """Return the cloud credential; None if there is none, or `api_key` has it."""
    if params.get("api_key") is not None:
        return None
    preset = model.preset
    read_access = _ACCESS_READERS.get(preset.auth)
    if read_access is not None:
        return read_access(params, model, environ, report)
    return _read_azure_access(params, report) if preset.name in _WITH_ENTRA else None


# --- Amazon ------------------------------------------------------------------------------


def _aws_base(params: Node, model: ResolvedModel, environ: Mapping[str, str]) -> str:
    name, path = _AWS_ENDPOINTS.get(model.preset.name, ("aws_bedrock_runtime_endpoint", ""))
    node = params.get(name)
    if node is not None:
        base, path = node.url(max_length=400), path.format(model.model)
        if not base.endswith(path):
            raise node.error(f"must end with {path}")
        return base.removesuffix(path)
    node = params.get("aws_region_name", "region_name")
    region = node.text(max_length=MAX_TEXT) if node is not None else model.region
    region = region or next((environ[name] for name in _AWS_REGIONS if environ.get(name)), "")
    return in_region(model.preset.base_url, region) if region else ""


def _read_aws_access(
    params: Node, model: ResolvedModel, environ: Mapping[str, str], report: Report
) -> CloudAccess | None:
    nodes = {name: node for name in _AWS_KEYS if (node := params.get(name)) is not None}
    # Variables that AWS's own credential chain reads need not be stored.
    uses_standard_variables = all(node.variable == name.upper() for name, node in nodes.items())
    if not nodes or uses_standard_variables:
        return None if any(environ.get(name) for name in model.preset.env) else CloudAccess()
    values = {name: node.text() for name, node in nodes.items()}
    if not values.keys() >= {"aws_access_key_id", "aws_secret_access_key"} and (
        "aws_profile_name" not in values
    ):
        raise next(iter(nodes.values())).error(
            "needs both aws_access_key_id and aws_secret_access_key"
        )
    return _store_access(next(iter(nodes.values())), values, "", report)


# --- Google ------------------------------------------------------------------------------


def _vertex_base(params: Node, model: ResolvedModel, environ: Mapping[str, str]) -> str:
    project = _short_text(params, environ, *_PROJECT) or _project_of_credential(params, environ)
    if not project:
        return ""
    location = (
        _short_text(params, environ, "vertex_location", "vertex_ai_location") or "us-central1"
    )
    host = "aiplatform.googleapis.com"
    host = host if location == "global" else f"{location}-{host}"
    version, path_suffix = _VERTEX[model.preset.name]
    return f"https://{host}/{version}/projects/{project}/locations/{location}{path_suffix}"


def _project_of_credential(params: Node, environ: Mapping[str, str]) -> str:
    """Return the project of the credential, which LiteLLM too uses without a vertex_project."""
    node = params.get("vertex_credentials", "vertex_ai_credentials")
    if node is not None:
        value = node.to_python()
        text = msgspec.json.encode(value).decode() if isinstance(value, dict) else node.text()
        return project_of_credentials(text)
    credential = find_google_credential(environ, Path(environ.get("HOME", "/nonexistent")))
    return credential.project if credential is not None else google_project(environ)


def _short_text(params: Node, environ: Mapping[str, str], *names: str) -> str:
    node = params.get(*names)
    if node is not None:
        return node.text(max_length=MAX_TEXT).strip("/ ")
    short_name = names[0].removeprefix("vertex_").upper()
    variables = (f"VERTEXAI_{short_name}", f"VERTEX_{short_name}")
    return next((environ[name] for name in variables if environ.get(name)), "")


def _read_google_access(
    params: Node, model: ResolvedModel, environ: Mapping[str, str], report: Report
) -> CloudAccess | None:
    node = params.get("vertex_credentials", "vertex_ai_credentials")
    if node is None:
        return None if any(environ.get(name) for name in model.preset.env) else CloudAccess()
    if node.variable:
        return CloudAccess(key_env=node.variable)
    value = node.to_python()
    if isinstance(value, dict):
        return _store_access(node, value, "", report)
    return CloudAccess(key=node.text(max_length=20_000))


# --- Predibase ---------------------------------------------------------------------------


def _tenant_base(params: Node, base: str, environ: Mapping[str, str]) -> str:
    """Return the base URL of a tenant; empty without one.

    Raises UnsupportedEntry for an adapter.
    """
    if (adapter := params.get("adapter_id")) is not None and adapter.value:
        raise UnsupportedEntry("its adapter_id is not supported yet: the base model would respond")
    node = params.get(*_TENANT)
    tenant = node.text(max_length=MAX_TEXT) if node is not None else ""
    tenant = (tenant or environ.get("PREDIBASE_TENANT_ID", "")).strip("/ ")
    return f"{base}/{tenant}" if tenant else ""


# --- Microsoft ---------------------------------------------------------------------------


def _read_azure_access(params: Node, report: Report) -> CloudAccess | None:
    token = params.get("azure_ad_token")
    if token is not None:
        if token.variable:
            return CloudAccess(key_env=token.variable, auth="bearer")
        return CloudAccess(key=token.text(), auth="bearer")
    nodes = {name: node for name in _ENTRA_KEYS if (node := params.get(name)) is not None}
    if not nodes:
        return None
    if len(nodes) < len(_ENTRA_KEYS):
        raise next(iter(nodes.values())).error(f"needs {', '.join(_ENTRA_KEYS)}, all of them")
    values = {name: node.text() for name, node in nodes.items()}
    if (scope := params.get("azure_scope")) is not None:
        values["scope"] = scope.text()
    return _store_access(nodes["client_secret"], values, "entra", report)


def _store_access(node: Node, values: Mapping[str, Any], auth: str, report: Report) -> CloudAccess:
    if node.variable:
        report.add(
            node,
            "is stored in the database, encrypted, together with the other parts of the credential",
        )
    return CloudAccess(key=msgspec.json.encode(values, order="deterministic").decode(), auth=auth)


def required_key(model: ResolvedModel) -> str:
    """Return the setting that an entry without a base URL lacks."""
    if model.preset.name in _VERTEX:
        return "a vertex_project (or VERTEXAI_PROJECT)"
    if model.preset.name in _BY_TENANT:
        return "a tenant_id (or PREDIBASE_TENANT_ID)"
    if model.preset.name in _BY_ACCOUNT:
        return f"{_BY_ACCOUNT[model.preset.name][0]} in the environment, or an api_base"
    return f"an api_base (or {model.prefix.upper()}_API_BASE)"


_ACCESS_READERS = {"sigv4": _read_aws_access, "google": _read_google_access}
