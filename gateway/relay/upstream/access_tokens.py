"""Headers for credentials that are not sent themselves: signatures and access tokens.

A token is fetched in a thread, cached, and renewed in the background while it is still valid,
so that only the first request to a provider waits for one. Requests are signed individually,
with a key that is cached in the same way.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.providers import sigv4
from gateway.providers.auth import derives_header, parse_credential
from gateway.providers.network import DIRECT
from gateway.providers.sigv4 import Key
from gateway.relay.upstream.http1 import Content
from gateway.relay.upstream.tls import create_context
from gateway.routing.snapshot import Provider

log = logging.getLogger(__name__)

# --- credential sources -----------------------------------------------------------------
# Google's and Microsoft's token services, and AWS's credential chain. Each function blocks, and
# is called in a thread. The libraries are imported there, because the import takes half a
# second and is only needed for these clouds.

GrantedT = TypeVar("GrantedT")

TIMEOUT_S = 15.0
_GOOGLE = "https://www.googleapis.com/auth/cloud-platform"
_AZURE = "https://cognitiveservices.azure.com/.default"
_AUTHORITY = "https://login.microsoftonline.com"
# botocore renews temporary keys itself; its key is read again this often.
_AWS_KEY_S = 600.0
_FOREVER_S = 86_400.0


class Grant(msgspec.Struct, Generic[GrantedT], frozen=True):
    """A granted credential, and for how long it is valid."""

    value: GrantedT
    lifetime_s: float

    def __repr__(self) -> str:
        return "Grant(***)"


class MissingExtra(Exception):
    """The library for this type of credential is not installed; the message names the extra."""


def require_extra(module: str, extra: str) -> None:
    """Raises MissingExtra if the package of an optional extra is not installed."""
    try:
        importlib.import_module(module)
    except ImportError:
        raise MissingExtra(
            "the gateway lacks a package that this provider's credential requires: pip install "
            f"'dragoman[{extra}]'"
        ) from None


def _token_client(proxy: str) -> httpx.Client:
    """A client for token endpoints: through the provider's proxy, or that of the environment.

    The provider's own authorities and certificate are for the provider's server only.
    """
    return httpx.Client(
        proxy=proxy if proxy not in {"", DIRECT} else None,
        trust_env=not proxy,
        verify=create_context(),
        timeout=TIMEOUT_S,
    )


# --- Google ------------------------------------------------------------------------------


class _GoogleResponse:
    """An HTTP response in the interface of google-auth."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.data = response.content


class _GoogleTransport:
    """The transport of google-auth: an httpx client, without redirects."""

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

        transport_error: Any = exceptions.TransportError
        try:
            response = self._client.request(
                method,
                url,
                content=body,
                headers=dict(headers or {}),
                timeout=min(timeout or TIMEOUT_S, TIMEOUT_S),
            )
        except httpx.HTTPError as error:
            raise transport_error(error) from error
        return _GoogleResponse(response)


def google_token(fields: dict[str, Any], proxy: str) -> Grant[str]:
    """An access token for a service account or a user, or for the machine itself.

    Other types of credentials may name programs to run and URLs to call: those are only
    accepted from the machine's own configuration.
    """
    require_extra("google.auth", "google")
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
            raise ValueError(f"credentials of the type {str(kind)[:40]!r} are not supported")
    with _token_client(proxy) as client:
        google_credentials.refresh(_GoogleTransport(client))
    lifetime_s = 600.0
    if google_credentials.expiry:  # in UTC, without a time zone
        lifetime_s = google_credentials.expiry.replace(tzinfo=UTC).timestamp() - time.time()
    return Grant(str(google_credentials.token), lifetime_s)


# --- Microsoft ---------------------------------------------------------------------------


def entra_token(fields: dict[str, Any], proxy: str) -> Grant[str]:
    """An access token of Microsoft Entra for a client secret."""
    authority = str(fields.get("authority") or _AUTHORITY).rstrip("/")
    form = {
        "grant_type": "client_credentials",
        "client_id": str(fields["client_id"]),
        "client_secret": str(fields["client_secret"]),
        "scope": str(fields.get("scope") or _AZURE),
    }
    with _token_client(proxy) as client:
        response = client.post(f"{authority}/{fields['tenant_id']}/oauth2/v2.0/token", data=form)
    response.raise_for_status()
    token_fields = response.json()
    return Grant(str(token_fields["access_token"]), float(token_fields.get("expires_in", 600)))


# --- Amazon ------------------------------------------------------------------------------


def aws_key(fields: dict[str, Any], proxy: str) -> Grant[Key]:
    """The configured key, or the one from AWS's credential chain: profile, role, machine.

    The chain itself uses the proxy of the environment, if any.
    """
    require_extra("botocore", "aws")  # signatures are botocore's too
    if fields.get("aws_access_key_id"):
        token = fields.get("aws_session_token")
        secret = str(fields["aws_secret_access_key"])
        key = Key(str(fields["aws_access_key_id"]), secret, str(token) if token else None)
        return Grant(key, _FOREVER_S)
    from botocore.session import Session

    session: Any = Session(profile=fields.get("aws_profile_name"))
    aws_credentials = session.get_credentials()
    if aws_credentials is None:
        raise LookupError("the AWS credential chain found no credentials on this machine")
    frozen = aws_credentials.get_frozen_credentials()
    return Grant(Key(frozen.access_key, frozen.secret_key, frozen.token), _AWS_KEY_S)


# --- tokens and signatures --------------------------------------------------------------

# A grant is renewed this long before it expires, and used until then.
RENEW_BEFORE_S = 300.0
# Minimum pause after a failed renewal, and before a rejected token is replaced.
RETRY_PAUSE_S = 10.0
_MAX_SOURCES = 256


def _now_s() -> float:
    """A clock that no change of the time of day moves; it counts suspended time where it can."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class _Source(Generic[GrantedT]):
    """One credential: its current grant, and how to renew it."""

    def __init__(self, fetch: Callable[[], Grant[GrantedT]]) -> None:
        self._fetch = fetch
        self._grant: Grant[GrantedT] | None = None
        self._granted_at = 0.0
        self._renewal: asyncio.Task[Grant[GrantedT]] | None = None
        self._failed_at = float("-inf")

    async def get(self) -> GrantedT:
        """The granted value; waits only if no valid grant is cached. Raises GatewayError."""
        remaining_s = self._remaining_s()
        if remaining_s > RENEW_BEFORE_S and self._grant is not None:
            return self._grant.value
        if remaining_s > 0 and self._grant is not None:
            if self._renewal is None and time.monotonic() - self._failed_at > RETRY_PAUSE_S:
                self._start_renewal().add_done_callback(_consume_failure)
            return self._grant.value
        renewal = self._renewal or self._start_renewal()
        # Other requests may wait for the same renewal: it must survive a cancellation of this one.
        grant = await asyncio.shield(renewal)
        return grant.value

    def discard(self, rejected: str) -> bool:
        """Whether the provider may accept another token than this one, which it rejected.

        A token is discarded once, by the first of its calls; one that is new is not the cause.
        """
        if self._grant is not None and self._grant.value == rejected:
            if _now_s() - self._granted_at < RETRY_PAUSE_S:
                return False
            self._grant = None
        return True

    def secrets(self) -> tuple[str, ...]:
        """The secret texts of the current grant."""
        if self._grant is None:
            return ()
        value = self._grant.value
        if isinstance(value, sigv4.Key):
            return tuple(text for text in (value.secret, value.token) if text)
        return (value,) if isinstance(value, str) else ()

    def _remaining_s(self) -> float:
        if self._grant is None:
            return 0.0
        return self._granted_at + self._grant.lifetime_s - _now_s()

    def _start_renewal(self) -> asyncio.Task[Grant[GrantedT]]:
        self._renewal = asyncio.get_running_loop().create_task(self._fetch_grant())
        return self._renewal

    async def _fetch_grant(self) -> Grant[GrantedT]:
        try:
            requested_at = _now_s()
            self._grant = await asyncio.to_thread(self._fetch)
            self._granted_at = requested_at
            return self._grant
        except MissingExtra as error:
            self._failed_at = time.monotonic()
            raise GatewayError(Error(kind="upstream_auth", message=str(error))) from None
        except Exception as error:
            self._failed_at = time.monotonic()
            # The error may contain the address or the account: it is only logged.
            log.warning(
                "no access token could be obtained with a credential: %s",
                type(error).__name__,
                exc_info=error,
            )
            message = (
                "no access token could be obtained with the provider's credential; see "
                "the gateway's log"
            )
            raise GatewayError(Error(kind="upstream_auth", message=message)) from None
        finally:
            self._renewal = None


def _consume_failure(task: asyncio.Task[Any]) -> None:
    """Mark a failure as retrieved; it has been logged."""
    if not task.cancelled():
        task.exception()


class AccessTokens:
    """All credentials in use from which headers are derived."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str, str], _Source[Any]] = {}

    async def headers(
        self,
        provider: Provider,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        content: Content,
    ) -> httpx.Headers:
        """The headers with authentication for this request. Raises GatewayError."""
        if not derives_header(provider.auth, provider.credential):
            return headers
        source = self._source_for_provider(provider)
        secret = await source.get()
        if not isinstance(secret, sigv4.Key):
            auth_headers = [(b"authorization", b"Bearer " + secret.encode("ascii"))]
            return httpx.Headers([*headers.raw, *auth_headers])
        if not isinstance(content, bytes):
            message = f"{provider.name} requires signed bodies, which is not supported for forms"
            raise GatewayError(Error(kind="unsupported_param", message=message))
        configured_region = parse_credential(provider.auth, provider.credential.reveal()).get(
            "aws_region_name"
        )
        region = sigv4.region_of(
            url.host, configured_region if isinstance(configured_region, str) else None
        )
        signed_headers = {
            name: headers[name] for name in ("host", "content-type") if name in headers
        }
        auth_headers = sigv4.sign_headers(
            secret,
            region,
            method,
            str(url),
            signed_headers,
            content,
            preset=provider.preset,
        )
        return httpx.Headers([*headers.raw, *auth_headers])

    def discard_rejected(self, provider: Provider, headers: httpx.Headers) -> bool:
        """Whether a call that was answered with 401 should be repeated with a new token.

        `headers` are those of the call. False for signatures and for tokens that are configured.
        """
        if not derives_header(provider.auth, provider.credential):
            return False
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and self._source_for_provider(provider).discard(token)

    def secrets(self) -> tuple[str, ...]:
        """The access tokens and session keys in use, which must not appear in any message."""
        return tuple(text for source in self._sources.values() for text in source.secrets())

    def _source_for_provider(self, provider: Provider) -> _Source[Any]:
        credential = provider.credential.reveal()
        proxy = provider.network.proxy.reveal() if provider.network is not None else ""
        key = (provider.auth, credential, proxy)
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= _MAX_SOURCES:
                self._sources.clear()
            fields = parse_credential(provider.auth, credential)
            fetch = _FETCH[provider.auth]
            source = self._sources[key] = _Source(lambda: fetch(fields, proxy))
        return source


_FETCH: dict[str, Callable[[dict[str, Any], str], Grant[Any]]] = {
    "google": google_token,
    "entra": entra_token,
    "sigv4": aws_key,
}
