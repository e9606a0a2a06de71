"""Where access comes from: Google's and Microsoft's token services, AWS's chain of keys.

Each function blocks, and is called in a thread. What it imports is imported there: half a
second that installations without these clouds need not pay.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from gateway.providers.sigv4 import Key

GrantedT = TypeVar("GrantedT")

TIMEOUT_S = 15.0
_GOOGLE = "https://www.googleapis.com/auth/cloud-platform"
_AZURE = "https://cognitiveservices.azure.com/.default"
_AUTHORITY = "https://login.microsoftonline.com"
# botocore renews temporary keys itself; it is asked again this often.
_AWS_KEY_S = 600.0
_FOREVER_S = 86_400.0


class Grant(msgspec.Struct, Generic[GrantedT], frozen=True):
    """What was granted, and until when (unix seconds)."""

    value: GrantedT
    ends_at: float

    def __repr__(self) -> str:
        return "Grant(***)"


# --- Google ------------------------------------------------------------------------------


class _GoogleResponse:
    """An HTTP answer as google-auth reads it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.headers = answer.headers
        self.data = answer.content


class _GoogleTransport:
    """How google-auth asks: through the gateway's own client, without redirects."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _GoogleResponse:
        from google.auth import exceptions

        failed: Any = exceptions.TransportError
        try:
            answer = self._client.request(
                method,
                url,
                content=body,
                headers=dict(headers or {}),
                timeout=min(timeout or TIMEOUT_S, TIMEOUT_S),
            )
        except httpx.HTTPError as error:
            raise failed(error) from error
        return _GoogleResponse(answer)


def google_token(fields: dict[str, Any]) -> Grant[str]:
    """An access token for a service account or a person, or for the machine itself.

    Other kinds of credentials may name programs to run and places to ask: those are taken
    from the machine's own configuration only.
    """
    import google.auth
    from google.oauth2 import credentials, service_account

    account: Any = service_account.Credentials
    person: Any = credentials.Credentials
    if "file" in fields:
        fields = msgspec.json.decode(Path(fields["file"]).read_bytes(), type=dict[str, Any])
    google_credentials: Any
    match fields.get("type"):
        case None:
            google_credentials, _ = google.auth.default(scopes=[_GOOGLE])
        case "service_account":
            google_credentials = account.from_service_account_info(fields, scopes=[_GOOGLE])
        case "authorized_user":
            google_credentials = person.from_authorized_user_info(fields, scopes=[_GOOGLE])
        case kind:
            raise ValueError(f"credentials of the type {str(kind)[:40]!r} are not taken")
    with httpx.Client() as client:
        google_credentials.refresh(_GoogleTransport(client))
    # Its expiry is in UTC, without a zone.
    expires_at = (
        google_credentials.expiry.replace(tzinfo=UTC).timestamp()
        if google_credentials.expiry
        else None
    )
    return Grant(
        str(google_credentials.token), time.time() + 600.0 if expires_at is None else expires_at
    )


# --- Microsoft ---------------------------------------------------------------------------


def entra_token(fields: dict[str, Any]) -> Grant[str]:
    """An access token of Microsoft Entra for an application's secret."""
    authority = str(fields.get("authority") or _AUTHORITY).rstrip("/")
    form = {
        "grant_type": "client_credentials",
        "client_id": str(fields["client_id"]),
        "client_secret": str(fields["client_secret"]),
        "scope": str(fields.get("scope") or _AZURE),
    }
    with httpx.Client(timeout=TIMEOUT_S) as client:
        answer = client.post(f"{authority}/{fields['tenant_id']}/oauth2/v2.0/token", data=form)
    answer.raise_for_status()
    token_fields = answer.json()
    return Grant(
        str(token_fields["access_token"]), time.time() + float(token_fields.get("expires_in", 600))
    )


# --- Amazon ------------------------------------------------------------------------------


def aws_key(fields: dict[str, Any]) -> Grant[Key]:
    """The key that is given, or the one that AWS's chain finds: profile, role, machine."""
    if fields.get("aws_access_key_id"):
        token = fields.get("aws_session_token")
        secret = str(fields["aws_secret_access_key"])
        key = Key(str(fields["aws_access_key_id"]), secret, str(token) if token else None)
        return Grant(key, time.time() + _FOREVER_S)
    from botocore.session import Session

    session: Any = Session(profile=fields.get("aws_profile_name"))
    aws_credentials = session.get_credentials()
    if aws_credentials is None:
        raise LookupError("AWS's chain of credentials found none on this machine")
    frozen = aws_credentials.get_frozen_credentials()
    return Grant(Key(frozen.access_key, frozen.secret_key, frozen.token), time.time() + _AWS_KEY_S)
