"""Headers of credentials that are not sent themselves: signatures and access tokens.

A token is fetched in a thread, kept, and renewed in the background while it is still good,
so that only the first request to a provider waits for one. Signing is done for each
request, with a key that is kept in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import httpx

from gateway.canon.errors import Error, GatewayError
from gateway.providers import sigv4
from gateway.providers.auth import fields_of, is_made
from gateway.relay.upstream.credential_sources import Grant, aws_key, entra_token, google_token
from gateway.relay.upstream.http1 import Content
from gateway.routing.snapshot import Provider

log = logging.getLogger(__name__)

GrantedT = TypeVar("GrantedT")

# A grant is renewed when this much of its life is left, and used until it is over.
RENEW_BEFORE_S = 300.0
# A failed renewal is not tried again sooner.
RETRY_PAUSE_S = 10.0
_MAX_SOURCES = 256


class _Source(Generic[GrantedT]):
    """One credential: what it grants at present, and how to get more."""

    def __init__(self, fetch: Callable[[], Grant[GrantedT]]) -> None:
        self._fetch = fetch
        self._grant: Grant[GrantedT] | None = None
        self._renewal: asyncio.Task[Grant[GrantedT]] | None = None
        self._failed_at = float("-inf")

    async def get(self) -> GrantedT:
        """What is granted; waits only where nothing good is held. Raises GatewayError."""
        remaining_s = self._remaining_s()
        if remaining_s > RENEW_BEFORE_S and self._grant is not None:
            return self._grant.value
        if remaining_s > 0 and self._grant is not None:
            if self._renewal is None and time.monotonic() - self._failed_at > RETRY_PAUSE_S:
                self._renew().add_done_callback(_consume_failure)
            return self._grant.value
        renewal = self._renewal or self._renew()
        # Another request may wait for the same one: it must outlive this one.
        grant = await asyncio.shield(renewal)
        return grant.value

    def secrets(self) -> tuple[str, ...]:
        """What is granted at present, as texts that are secret."""
        if self._grant is None:
            return ()
        value = self._grant.value
        if isinstance(value, sigv4.Key):
            return tuple(text for text in (value.secret, value.token) if text)
        return (value,) if isinstance(value, str) else ()

    def _remaining_s(self) -> float:
        return self._grant.ends_at - time.time() if self._grant is not None else 0.0

    def _renew(self) -> asyncio.Task[Grant[GrantedT]]:
        self._renewal = asyncio.get_running_loop().create_task(self._fetch_grant())
        return self._renewal

    async def _fetch_grant(self) -> Grant[GrantedT]:
        try:
            self._grant = await asyncio.to_thread(self._fetch)
            return self._grant
        except Exception as error:
            self._failed_at = time.monotonic()
            # Its words may hold the address or the account; they are for the log.
            log.warning("a credential gave no access: %s", type(error).__name__, exc_info=error)
            message = "the provider's credential gave no access; see the gateway's log"
            raise GatewayError(Error(kind="upstream_auth", message=message)) from None
        finally:
            self._renewal = None


def _consume_failure(task: asyncio.Task[Any]) -> None:
    """Take note of a failure nobody waits for; it has been logged."""
    if not task.cancelled():
        task.exception()


class AccessTokens:
    """All the credentials in use from which headers are made."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str], _Source[Any]] = {}

    async def headers(
        self,
        provider: Provider,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        content: Content,
    ) -> httpx.Headers:
        """The headers with those that this request is let in by. Raises GatewayError."""
        if not is_made(provider.auth, provider.credential):
            return headers
        source = self._source(provider)
        secret = await source.get()
        if not isinstance(secret, sigv4.Key):
            auth_headers = [(b"authorization", b"Bearer " + secret.encode("ascii"))]
            return httpx.Headers([*headers.raw, *auth_headers])
        if not isinstance(content, bytes):
            message = f"{provider.name} wants each body signed, which is not done for forms"
            raise GatewayError(Error(kind="unsupported_param", message=message))
        configured_region = fields_of(provider.auth, provider.credential.reveal()).get(
            "aws_region_name"
        )
        region = sigv4.region_of(
            url.host, configured_region if isinstance(configured_region, str) else None
        )
        signed_headers = {
            name: headers[name] for name in ("host", "content-type") if name in headers
        }
        auth_headers = sigv4.signed(secret, region, method, str(url), signed_headers, content)
        return httpx.Headers([*headers.raw, *auth_headers])

    def secrets(self) -> tuple[str, ...]:
        """The access tokens and session keys in use, which no message may show."""
        return tuple(text for source in self._sources.values() for text in source.secrets())

    def _source(self, provider: Provider) -> _Source[Any]:
        value = provider.credential.reveal()
        key = (provider.auth, value)
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= _MAX_SOURCES:
                self._sources.clear()
            fields = fields_of(provider.auth, value)
            fetch = _FETCH[provider.auth]
            source = self._sources[key] = _Source(lambda: fetch(fields))
        return source


_FETCH: dict[str, Callable[[dict[str, Any]], Grant[Any]]] = {
    "google": google_token,
    "entra": entra_token,
    "sigv4": aws_key,
}
