"""The part of litellm_params that sets the URL of a model and the credential for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from gateway.compat.litellm.config import clouds
from gateway.compat.litellm.config.certificates import tls_columns
from gateway.compat.litellm.config.inference import ResolvedModel, UnsupportedEntry
from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import ProviderRow
from gateway.dialects.base_urls import normalize_base_url
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset

_SECRET = re.compile(r"auth|key|token|secret|cookie", re.I)
# The lengths of the columns.
MAX_URL = 400
MAX_NAME = 200
# Leaves room for the preset's name and a digest in a provider's name, at most 63 characters.
_HOST_CHARS = 36
# LiteLLM's setting to send the client's own credential to providers.
FORWARD_CREDENTIALS = "forward_llm_provider_auth_headers"
# preset -> LiteLLM's setting -> the header that it becomes.
_SETTING_HEADERS = {"sagemaker": {"model_id": "X-Amzn-SageMaker-Inference-Component"}}
# LiteLLM's prefixes for a second API of a provider -> the preset with its URL and key.
_SAME_HOST = {"text-completion-openai": "openai"}


def endpoint(
    params: Node, model: ResolvedModel, environ: Mapping[str, str], report: Report
) -> ProviderRow:
    """Return the provider of an entry. Raises ConfigError or UnsupportedEntry."""
    preset = model.preset
    access = _read_access(params, model, environ, report)
    key, key_env = access.key, access.key_env
    base = _read_base_url(params, model, environ)
    headers = _read_headers(params, preset, report)
    query = _read_query(params, model, environ, report)
    uses_preset_variable = key_env in preset.env or not (key or key_env)
    drop_params_node = params.get("drop_params")
    drop_params = drop_params_node is None or drop_params_node.boolean()
    tls = tls_columns(params)
    forward_credentials = params.get(FORWARD_CREDENTIALS)
    has_header = (access.auth or preset.auth) not in {"sigv4", "none"}
    client_credential = (
        has_header and forward_credentials is not None and forward_credentials.boolean()
    )
    return ProviderRow(
        preset=preset.name,
        ref=params.location,
        base_url="" if base == preset.base_url else base,
        key=key,
        key_env=key_env,
        auth=access.auth,
        headers=headers,
        query=query,
        drop_params=drop_params,
        client_credential=client_credential,
        tls=tls,
        shareable=uses_preset_variable
        and drop_params
        and not client_credential
        and not access.auth
        and base in ("", preset.base_url)
        and not headers
        and not query
        and not tls,
    )


def _read_access(
    params: Node, model: ResolvedModel, environ: Mapping[str, str], report: Report
) -> clouds.CloudAccess:
    """Return the credential of an entry, which is that of its prefix at another API too."""
    preset, key_preset = model.preset, model.key_preset
    if key_preset is not None:
        auth = "" if preset.auth in {"bearer", key_preset.auth} else key_preset.auth
        return clouds.CloudAccess(*_read_credential(params, key_preset, environ), auth)
    access = clouds.read_cloud_access(params, model, environ, report)
    if access is None:
        access = clouds.CloudAccess(*_read_credential(params, _host_preset(model), environ))
    return access


def explicit_base_url(params: Node) -> str:
    """Return the `api_base` of an entry, or "". Raises ConfigError."""
    node = params.get("api_base", "base_url")
    # A URL as in a portal, with its query, which `_read_query` reads.
    return node.url(max_length=MAX_URL).partition("?")[0].rstrip("/") if node is not None else ""


def _read_credential(params: Node, preset: Preset, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return (key, variable) of the entry; by default, the preset's usual variable."""
    node = params.get("api_key")
    if node is not None and node.variable:
        if len(node.variable) > MAX_NAME:
            raise node.error("is too long for the name of a variable")
        return "", node.variable
    if node is not None:
        return node.text(), ""
    preset_variable = next((name for name in preset.env if environ.get(name)), "")
    # A server on this machine usually needs no key, so none is required there.
    return "", preset_variable or ("" if preset.local or not preset.env else preset.env[0])


def _host_preset(model: ResolvedModel) -> Preset:
    """Return the preset that has the provider's usual URL and key."""
    return PRESETS[_SAME_HOST.get(model.prefix, model.preset.name)]


def _read_base_url(params: Node, model: ResolvedModel, environ: Mapping[str, str]) -> str:
    """Return the base URL as stored here: without the path that the dialect appends."""
    preset = model.preset
    base = explicit_base_url(params)
    # As LiteLLM; not its PREFIX_BASE_URL, which points clients' SDKs at a gateway: the gateway
    # would call itself.
    variable = f"{model.prefix.upper().replace('-', '_')}_API_BASE"
    base = base or environ.get(variable, "").rstrip("/")
    base = (
        clouds.complete_base_url(base, params, model, environ)
        if base
        else clouds.base_url_for(params, model, environ)
        or (_host_preset(model).base_url if model.prefix in _SAME_HOST else "")
        or (model.key_preset.base_url if model.key_preset is not None else "")
    )
    if not base and not preset.base_url:
        raise UnsupportedEntry(f"it needs {clouds.required_key(model)}")
    if not base:
        return preset.base_url
    return normalize_base_url(preset, base, model.model)


def _read_headers(params: Node, preset: Preset, report: Report) -> dict[str, str]:
    nodes = dict(node.items()) if (node := params.get("extra_headers", "headers")) else {}
    if (node := params.get("organization")) is not None:
        nodes["OpenAI-Organization"] = node
    for name, header in _SETTING_HEADERS.get(preset.name, {}).items():
        if (node := params.get(name)) is not None:
            nodes[header] = node
    headers: dict[str, str] = {}
    for name, value in nodes.items():
        if value.variable and value.value is None:
            report.add_skipped(value, f"is not sent: the variable {value.variable} is not set")
            continue
        headers[name] = value.text_or_reference()
        if not value.variable and _SECRET.search(name):
            report.add(
                value,
                "is stored in the database as written; os.environ/NAME stores only the name",
            )
    return headers


def _read_query(
    params: Node, model: ResolvedModel, environ: Mapping[str, str], report: Report
) -> dict[str, str]:
    preset_query = dict(model.preset.query)
    url_node = params.get("api_base", "base_url")
    url_query = urlsplit(url_node.text()).query if url_node is not None else ""
    url_params = parse_qs(url_query, keep_blank_values=True)
    url_versions = url_params.pop("api-version", []) if "api-version" in preset_query else []
    if url_node is not None and url_params:
        report.add_skipped(url_node, "its query is not sent, except for api-version of Azure")
    node = params.get("api_version")
    if "api-version" not in preset_query:
        if node is not None:
            report.add_skipped(node, "is not sent: this provider has no API versions")
        return {}
    variable = f"{model.prefix.upper()}_API_VERSION"
    version = node.text() if node is not None else "".join(url_versions[:1])
    version = version or environ.get(variable, "")
    if not version or version == preset_query["api-version"]:
        return {}
    return {**preset_query, "api-version": version}


def label(row: ProviderRow) -> str:
    """Return a readable name of a provider: the preset, and the host or key that identifies it."""
    if row.shareable:
        return row.preset
    host = urlsplit(row.base_url).netloc.rpartition("@")[2] if row.base_url else ""
    key_variable = row.key_env if row.key_env not in PRESETS[row.preset].env else ""
    distinguishing_part = host or key_variable or row.identity[:6]
    slug = re.sub(r"[^a-z0-9._]+", "-", distinguishing_part.lower()).strip("-.")[:_HOST_CHARS]
    return f"{row.preset}-{slug}"
