"""Providers for which this machine has a credential, from variables and files.

A variable with a key adds the vendor's preset, under the preset's name. `PREFIX_BASE_URL` or
`PREFIX_API_BASE` sets another base URL. docs/providers.md lists the variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gateway.dialects.base_urls import normalize_base_url
from gateway.edge.admission import PREFIX as GATEWAY_KEY_PREFIX
from gateway.providers.catalog import PRESETS
from gateway.providers.cloud_credentials import (
    find_aws_credential,
    find_google_credential,
    google_location,
    google_project,
    is_installed,
)
from gateway.providers.profile import Preset
from gateway.providers.sigv4 import in_region
from gateway.store import field_values

# Further APIs of a provider that a key also adds; other variants are added at the console.
_ADDITIONAL_PRESETS = {"gemini": "gemini-openai"}
_KEY_SUFFIX = re.compile(r"_(?:API_KEY|API_TOKEN|ACCESS_TOKEN|TOKEN|KEY|PAT|JWT)$")
# Variables of a provider's own SDK for its base URL.
_OTHER_BASE_URLS = {
    "azure_openai": ("AZURE_OPENAI_ENDPOINT",),
    "azure_ai": ("AZURE_AI_ENDPOINT",),
    "azure-anthropic": ("ANTHROPIC_FOUNDRY_BASE_URL",),
    "gemini": ("GOOGLE_GEMINI_BASE_URL",),
    "ollama": ("OLLAMA_HOST",),
}
# preset -> variables with the `api-version` of its query.
_API_VERSIONS = {
    "azure_openai": ("AZURE_API_VERSION", "AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION")
}
# preset -> end of a base URL, and the preset with that API; the provider keeps its name.
_BY_BASE_URL = {
    "azure_openai": ("/openai/v1", "azure-openai-v1"),
    "minimax": ("/v1", "minimax-openai"),
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 - compared
# Only decides which path the dialect would append to a base URL.
_ANY_MODEL = "model"


class EnvironmentProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider to add.

    Attributes:
        origin: the variable or file that has its credential.
        credential_env: the variable with its key; empty for a cloud's own credentials.
        base_url: empty for the preset's own.
        query: replaces the preset's query, if there is any.
        models: models that it is known to offer.
    """

    name: str
    preset: str
    origin: str
    credential_env: str = ""
    base_url: str = ""
    query: dict[str, str] = {}
    models: tuple[str, ...] = ()


class Findings(msgspec.Struct, kw_only=True):
    """The providers of an environment, and notes on what could not be added."""

    providers: list[EnvironmentProvider] = []
    notes: list[str] = []


def find_providers(environ: Mapping[str, str], home_directory: Path, own_port: int) -> Findings:
    """Return the providers for which there is a credential; `own_port` is the gateway's."""
    findings = Findings()
    for preset in _primary_presets():
        environment_provider = _by_key(preset, environ, own_port, findings)
        if environment_provider is None:
            continue
        findings.providers.append(environment_provider)
        extra_preset = PRESETS.get(_ADDITIONAL_PRESETS.get(preset.name, ""))
        if extra_preset is not None:
            base_url = (
                environment_provider.base_url
                and environment_provider.base_url + urlsplit(extra_preset.base_url).path
            )
            findings.providers.append(
                msgspec.structs.replace(
                    environment_provider,
                    name=extra_preset.name,
                    preset=extra_preset.name,
                    base_url=base_url,
                )
            )
    names = {provider.name for provider in findings.providers}
    for name, add in _WITHOUT_KEY.items():
        if name not in names:
            add(environ, home_directory, findings)
    return findings


def _primary_presets() -> Iterator[Preset]:
    """Presets that a key adds: for each variable the one with LiteLLM's prefix, or the first."""
    by_variable: dict[str, Preset] = {}
    for preset in sorted(PRESETS.values(), key=lambda preset: not preset.litellm):
        for variable in preset.env:
            by_variable.setdefault(variable, preset)
    preset_names = {preset.name for preset in by_variable.values()}
    return (preset for preset in PRESETS.values() if preset.name in preset_names)


# --- one preset --------------------------------------------------------------------------


def _by_key(
    preset: Preset, environ: Mapping[str, str], own_port: int, findings: Findings
) -> EnvironmentProvider | None:
    """Return the provider of a preset; None without its key and, on this machine, its URL."""
    variable = next((name for name in preset.env if _is_set(environ, name)), "")
    base_variable, base_url = _base_url(preset, environ)
    if not variable and not (preset.local and base_url):
        return None
    if variable and environ.get(variable, "").startswith(GATEWAY_KEY_PREFIX):
        findings.notes.append(f"{variable} is a key of this gateway: {preset.title} is not added")
        return None
    base_url = base_url or _cloud_base_url(preset, environ)
    if not base_url and not preset.base_url:
        findings.notes.append(
            f"{variable} is set, but not its base URL: set {_base_variables(preset)[0]} to add "
            f"{preset.title}"
        )
        return None
    suffix, other_name = _BY_BASE_URL.get(preset.name, ("", ""))
    matching_preset = PRESETS[other_name] if suffix and base_url.endswith(suffix) else preset
    if base_url:
        base_url = normalize_base_url(matching_preset, base_url, _ANY_MODEL)
        problem = _base_url_problem(base_url, own_port)
        if problem:
            findings.notes.append(f"{base_variable} {problem}: {preset.title} is not added")
            return None
    return EnvironmentProvider(
        name=preset.name,
        preset=matching_preset.name,
        origin=variable or base_variable,
        credential_env=variable,
        base_url="" if base_url == matching_preset.base_url else base_url,
        query=_preset_query(matching_preset, environ),
    )


def _is_set(environ: Mapping[str, str], name: str) -> bool:
    return bool(environ.get(name, "").strip() or environ.get(f"{name}_FILE"))


def _base_variables(preset: Preset) -> list[str]:
    prefixes = [_KEY_SUFFIX.sub("", name) for name in preset.env]
    prefixes += [name.upper() for name in preset.litellm]
    prefixes.append(re.sub(r"[^a-z0-9]", "_", preset.name).upper())
    names = [
        f"{p}_{suffix}" for p in dict.fromkeys(prefixes) for suffix in ("API_BASE", "BASE_URL")
    ]
    return [*names, *_OTHER_BASE_URLS.get(preset.name, ())]


def _base_url(preset: Preset, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable with the preset's base URL and its value; both empty if none is set."""
    for name in _base_variables(preset):
        value = environ.get(name, "").strip().rstrip("/")
        if not value:
            continue
        if name == "OLLAMA_HOST":
            value = _ollama_url(value)
        return name, value
    return "", ""


def _ollama_url(host: str) -> str:
    """Return the URL for OLLAMA_HOST, which may lack scheme and port, and name all addresses."""
    url = host if "://" in host else f"http://{host}"
    parts = urlsplit(url)
    netloc = parts.netloc if re.search(r":\d+$", parts.netloc) else f"{parts.netloc}:11434"
    return parts._replace(netloc=netloc.replace("0.0.0.0", "127.0.0.1")).geturl()  # noqa: S104


def _base_url_problem(base_url: str, own_port: int) -> str:
    """Return why a base URL cannot be used; empty if it can."""
    try:
        field_values.base_url(base_url)
    except ValueError as error:
        return f"is not used, {error}"
    parts = urlsplit(base_url)
    if parts.hostname in _LOOPBACK and parts.port == own_port:
        return "is the URL of this gateway"
    return ""


def _preset_query(preset: Preset, environ: Mapping[str, str]) -> dict[str, str]:
    names = _API_VERSIONS.get(preset.name, ())
    version = next((environ[name] for name in names if environ.get(name)), "")
    return {**dict(preset.query), "api-version": version} if version else {}


# --- base URLs of accounts ---------------------------------------------------------------


def _cloud_base_url(preset: Preset, environ: Mapping[str, str]) -> str:
    """Return the base URL of the region, project or account; empty if there is none."""
    if preset.auth == "sigv4":
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        return in_region(preset.base_url, region) if region else ""
    build = _ACCOUNT_BASE_URLS.get(preset.name)
    return build(environ) if build is not None else ""


def _cloudflare_base_url(environ: Mapping[str, str]) -> str:
    account = environ.get("CLOUDFLARE_ACCOUNT_ID", "").strip()
    base_url = f"https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1"
    return base_url if account else ""


def _vertex_account_base_url(environ: Mapping[str, str]) -> str:
    project = google_project(environ)
    return _vertex_base_url(project, google_location(environ)) if project else ""


_ACCOUNT_BASE_URLS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "cloudflare": _cloudflare_base_url,
    "vertex": _vertex_account_base_url,
}


# --- clouds ------------------------------------------------------------------------------


def _add_bedrock(environ: Mapping[str, str], home: Path, findings: Findings) -> None:
    credential = find_aws_credential(environ, home)
    if credential is None:
        return
    if not is_installed("botocore"):
        findings.notes.append(_missing_extra_warning("Amazon Bedrock", credential.origin, "aws"))
        return
    preset = PRESETS["bedrock"]
    base_url = in_region(preset.base_url, credential.region)
    findings.providers.append(
        EnvironmentProvider(
            name=preset.name,
            preset=preset.name,
            origin=credential.origin,
            base_url="" if base_url == preset.base_url else base_url,
        )
    )


def _add_vertex(environ: Mapping[str, str], home: Path, findings: Findings) -> None:
    credential = find_google_credential(environ, home)
    if credential is None:
        return
    if not credential.project:
        findings.notes.append(
            f"Google's credentials were found ({credential.origin}), but no project: set "
            "VERTEXAI_PROJECT to add Vertex AI"
        )
        return
    if not is_installed("google.auth"):
        findings.notes.append(
            _missing_extra_warning("Google Vertex AI", credential.origin, "google")
        )
        return
    base_url = _vertex_base_url(credential.project, credential.region)
    problem = _base_url_problem(base_url, 0)
    if problem:
        findings.notes.append(f"the project or location {problem}: Vertex AI is not added")
        return
    findings.providers.append(
        EnvironmentProvider(
            name="vertex", preset="vertex", origin=credential.origin, base_url=base_url
        )
    )


_WITHOUT_KEY = {"bedrock": _add_bedrock, "vertex": _add_vertex}


def _vertex_base_url(project: str, location: str) -> str:
    location = location or "global"
    host = "aiplatform.googleapis.com"
    host = host if location == "global" else f"{location}-{host}"
    return f"https://{host}/v1beta1/projects/{project}/locations/{location}"


def _missing_extra_warning(title: str, origin: str, extra: str) -> str:
    return (
        f"a credential of {title} was found ({origin}), but its package is not installed: "
        f"pip install 'dragoman[{extra}]'"
    )
