"""Sends the client's own credential to providers that allow it (`Provider.client_credential`).

The gateway key is then in a header of its own, `x-dragoman-key`, and the client's usual header
has the credential of the provider: an API key of the user's own, or an OAuth token such as those
of a Claude subscription. The log masks it, and errors never contain it. A rejected credential is
the client's mistake: it does not open the circuit breaker for everyone else.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.providers.auth import AUTH_SCHEMES
from gateway.providers.redact import Redactor, encoded_forms, scrub
from gateway.relay.exchange.call import Call
from gateway.routing.snapshot import Provider

KEY_HEADER = "x-dragoman-key"
# LiteLLM's name of the same header.
_LITELLM_KEY_HEADER = "x-litellm-api-key"
_CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
# Their values may begin with `Bearer `.
_SCHEME_HEADERS = ("authorization", _LITELLM_KEY_HEADER)
_RAW_HEADERS = frozenset(name.encode() for name in _CREDENTIAL_HEADERS)
# Errors that are about the credential's account and not about the provider.
_OF_THE_CLIENT = frozenset({"gateway_auth", "not_allowed", "quota", "rate_limit"})


def with_client_credential(call: Call, provider: Provider, headers: httpx.Headers) -> httpx.Headers:
    """The headers with the client's credential instead of the provider's, if it sent one.

    Raises GatewayError (401) if neither has a credential.
    """
    credential = _credential_of(call.exchange.headers)
    if credential is None:
        if provider.credential:
            return headers
        message = (
            f"`{provider.name}` needs your own credential: send it as usual (`Authorization` or "
            f"`x-api-key`), and the gateway key as `{KEY_HEADER}`"
        )
        raise GatewayError(Error(kind="gateway_auth", message=message))
    name, value = credential
    token = _token_of(name, value)
    call.attempt.client_credential = token
    call.recorder.add_redactor(Redactor([token]))
    provider_auth = AUTH_SCHEMES[provider.auth]
    # A client of the provider's own API knows which header it needs (API key or OAuth token).
    if call.exchange.dialect.name != provider.dialect and provider_auth is not None:
        own_name, prefix = provider_auth
        pair = own_name, prefix + token.encode("latin-1")
    else:
        pair = name.encode(), value.encode("latin-1")
    return httpx.Headers([*(item for item in headers.raw if item[0] not in _RAW_HEADERS), pair])


def is_fault_of_client(error: Error | None) -> bool:
    """Whether an error of a client's own credential says nothing about the provider."""
    return error is not None and error.kind in _OF_THE_CLIENT


def error_for_client(error: Error, token: str) -> Error:
    """The error without the client's credential; a rejected credential is a 401 or 403."""
    secrets = encoded_forms(token)
    kind, message = error.kind, scrub(error.message, secrets)
    if kind == "upstream_auth":
        kind = "not_allowed" if error.status == 403 else "gateway_auth"
        message = f"the provider rejected your credential: {message}"
    param = scrub(error.param, secrets) if error.param else error.param
    return msgspec.structs.replace(error, kind=kind, message=message, param=param)


def _credential_of(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """The header with the client's credential for the provider; None if it sent none.

    The gateway key is none, wherever it is: it must not be sent to a provider.
    """
    key_headers = (KEY_HEADER, _LITELLM_KEY_HEADER)
    gateway_keys = {_token_of(name, headers.get(name, "")) for name in key_headers} - {""}
    if not gateway_keys:
        return None
    for name in _CREDENTIAL_HEADERS:
        value = headers.get(name, "").strip()
        if value and _token_of(name, value) not in gateway_keys:
            return name, value
    return None


def _token_of(name: str, value: str) -> str:
    """The value of a header without `Bearer `, in the headers that may have it."""
    scheme, _, token = value.strip().partition(" ")
    if name in _SCHEME_HEADERS and scheme.lower() == "bearer":
        return token.strip()
    return value.strip()
