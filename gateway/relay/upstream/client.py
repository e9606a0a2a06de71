"""The one interface to providers: httpx's types, over any transport.

`Upstreams.send` sends a request and returns the head of the response; the body is read by
`UpstreamResponse.read` (in chunks) or `UpstreamResponse.read_all` (complete, bounded).
Redirects are never followed: they would send a prompt and a key to a host that is not configured.
`RequestTemplates` has the URLs and headers, `ProviderSecrets` the credentials in them.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import httpx
import msgspec

from gateway.canon.errors import Error, GatewayError, bad_upstream, invalid
from gateway.demo import DemoTransport
from gateway.framing import payload_parts
from gateway.framing.eventstream import CorruptMessage
from gateway.framing.headers import JSON_HEADER
from gateway.framing.sse import FrameTooLarge
from gateway.providers.auth import build_auth_headers, credential_secrets
from gateway.providers.network import Network, proxy_secrets
from gateway.providers.redact import Redactor, encoded_forms, is_secret_name, scrub
from gateway.relay.upstream import http1
from gateway.relay.upstream.access_tokens import AccessTokens
from gateway.relay.upstream.connect import Connector
from gateway.relay.upstream.http1 import FixedHeaders
from gateway.relay.upstream.websocket import UpstreamWebSocket, open_websocket
from gateway.routing.snapshot import Provider, Snapshot

# Statuses of a response to a model call: some servers answer every POST with 201, others with
# 202. Without a complete response in the body it is an error all the same.
SUCCESS_STATUSES = frozenset({200, 201, 202})
MAX_REPLY_BYTES = 32 * 1024 * 1024
# The size of an error response's body, and how long it may take after its head.
MAX_ERROR_BYTES = 1024 * 1024
ERROR_BODY_S = 5.0
USER_AGENT = b"dragoman"
# Headers by which Amazon SageMaker is recognized; the first has the container's content type.
_SAGEMAKER_HEADERS = ("x-amzn-sagemaker-content-type", "x-amzn-invoked-production-variant")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ANY_HEADER = zlib.MAX_WBITS | 32  # zlib recognizes the headers of gzip and of deflate
_GZIP_MAGIC = b"\x1f\x8b"
# Maximum number of gzip members in one received chunk: each copies the rest of the chunk.
_MAX_MEMBERS = 1000
# Bytes that are decompressed at a time: what follows them blocks the loop for as long as a chunk of
# this size from a socket.
_INFLATED_BYTES = 64 * 1024


class UpstreamResponse:
    """An upstream's response: status, lower-case headers, and a body to read once."""

    def __init__(self, response: httpx.Response | http1.Body) -> None:
        if isinstance(response, http1.Body):
            self._direct: http1.Body | None = response
            self.status, raw = response.status, response.headers  # lower-case already
        else:
            self._direct = None
            self._chunks: AsyncIterator[bytes] = aiter(response.stream)  # type: ignore[arg-type]
            self.status = response.status_code
            raw = [(name.lower(), value) for name, value in response.headers.raw]
        self.headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in raw}
        if self.status >= 400:
            # The reference time of a `retry-after` that is a date.
            self.headers.setdefault("date", formatdate(usegmt=True))
        # Media types have no case: https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1
        media_type, separator, parameters = self.headers.get("content-type", "").partition(";")
        self.content_type = media_type.lower() + separator + parameters
        self._response = response
        self._peeked = b""
        encoding = self.headers.get("content-encoding", "").lower()
        self._decoder: _Inflate | _PayloadParts | None = None
        if encoding not in {"", "identity"}:
            self._decoder = _Inflate(encoding)
        elif "amazon.eventstream" in self.content_type and not self.headers.keys().isdisjoint(
            _SAGEMAKER_HEADERS
        ):
            self.content_type = (
                self.headers.get(_SAGEMAKER_HEADERS[0], "").lower() or "text/event-stream"
            )
            self._decoder = _PayloadParts()

    async def peek(self) -> bytes:
        """The first bytes of the body, which are then read again. Raises GatewayError."""
        self._peeked = await self.read()
        return self._peeked

    async def read(self) -> bytes:
        """The bytes received since the last call; empty at the end. Raises GatewayError."""
        if self._peeked:
            data, self._peeked = self._peeked, b""
            return data
        try:
            if self._decoder is not None and self._decoder.has_more:
                await asyncio.sleep(0)
                if decoded_data := self._decoder.feed(b""):
                    return decoded_data
            while True:
                if self._direct is not None:
                    data = await self._direct.read()
                else:
                    data = await anext(self._chunks, b"")
                if not data or self._decoder is None:
                    return data
                if decoded_data := self._decoder.feed(data):
                    return decoded_data
        except httpx.TransportError as error:
            raise GatewayError(unreachable(error)) from error

    async def read_all(self, limit: int = MAX_REPLY_BYTES) -> bytes:
        """The whole body. Raises GatewayError beyond `limit` bytes or if it breaks off."""
        first = await self.read()
        parts = [first]
        size = len(first)
        is_complete = (
            self._direct is not None
            and self._direct.at_end
            and (self._decoder is None or not self._decoder.has_more)
        )
        while not is_complete and (data := await self.read()):
            parts.append(data)
            size += len(data)
            if size > limit:
                raise bad_upstream("the upstream's response is too large")
        # Some servers begin JSON with a byte order mark.
        return (first if len(parts) == 1 else b"".join(parts)).removeprefix(_BYTE_ORDER_MARK)

    async def read_error(self) -> bytes:
        """The body of an error response; empty if it cannot be read, or not in time.

        The status and the headers still say what failed.
        """
        try:
            async with asyncio.timeout(ERROR_BODY_S):
                return await self.read_all(MAX_ERROR_BYTES)
        except (GatewayError, TimeoutError):
            return b""

    async def close(self, *, sound: bool = True) -> None:
        """Release the connection; close it if the body was not read to its end, or not `sound`.

        An upstream that sends an invalid response often closes its connection without notice.
        """
        if self._direct is not None:
            self._direct.close(sound=sound)
        else:
            await self._response.aclose()


class _Inflate:
    """Decompresses gzip and deflate, from providers that compress unrequested; bounded in size.

    A gzip body can have several members (RFC 1952, section 2.2); other bytes after a member are
    ignored.
    """

    def __init__(self, encoding: str) -> None:
        self._is_known = encoding in {"gzip", "x-gzip", "deflate"}
        self._inflater = zlib.decompressobj(_ANY_HEADER)
        self._compressed_data = b""
        self._total = self._members = 0
        self._is_over = False
        # Whether `feed(b"")` returns more of the data that it was given.
        self.has_more = False

    def feed(self, data: bytes) -> bytes:
        """Decompress up to _INFLATED_BYTES. Raises GatewayError."""
        if not self._is_known:
            raise bad_upstream("the upstream's response has an unknown content encoding")
        if data:
            self._members = 0
        self.has_more = False
        if self._is_over:
            return b""
        data, self._compressed_data = self._compressed_data + data, b""
        out = b""
        while len(out) < _INFLATED_BYTES:
            if self._inflater.eof and not self._begin_member(data):
                break
            try:
                out += self._inflater.decompress(data, _INFLATED_BYTES - len(out))
            except zlib.error:
                raise _corrupt() from None
            if not self._inflater.eof:
                data = self._inflater.unconsumed_tail
                break
            data = self._inflater.unused_data
        self._total += len(out)
        if self._total > MAX_REPLY_BYTES:
            raise bad_upstream("the upstream's response is too large")
        self._compressed_data = data
        self.has_more = len(out) == _INFLATED_BYTES
        return out

    def _begin_member(self, data: bytes) -> bool:
        """Whether another member follows the one that has ended."""
        if not data.startswith(_GZIP_MAGIC):
            self._is_over = len(data) >= len(_GZIP_MAGIC)
            return False
        self._members += 1
        if self._members == _MAX_MEMBERS:
            raise _corrupt()
        self._inflater = zlib.decompressobj(_ANY_HEADER)
        return True


def _corrupt() -> GatewayError:
    return bad_upstream("the upstream's response is not validly compressed")


class _PayloadParts:
    """Unwraps the stream of a container at Amazon SageMaker."""

    has_more = False

    def __init__(self) -> None:
        self._parts = payload_parts.Decoder()

    def feed(self, data: bytes) -> bytes:
        try:
            return self._parts.feed(data)
        except CorruptMessage as error:
            raise bad_upstream(f"the upstream's stream is corrupt: {error}") from None
        except FrameTooLarge:
            raise bad_upstream("the upstream sent an event that is too large") from None


class Upstreams:
    """All upstream transports: one for each set of network settings, and the demo provider.

    A given `transport` replaces all of them but the demo provider's, for tests.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._default = transport if transport is not None else http1.Transport()
        self._is_replaced = transport is not None
        self._by_network: dict[Network, http1.Transport] = {}
        self._demo = DemoTransport()

    async def send(
        self,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        content: http1.Content,
        connect_s: float,
        extra: tuple[tuple[bytes, bytes], ...] = (),
        *,
        network: Network | None,
    ) -> UpstreamResponse:
        """Send a request and return at the head of the response. Raises GatewayError.

        `extra` are headers of this request only; `headers` may be shared by many requests.
        `network` are the settings of the provider.
        """
        response: httpx.Response | http1.Body
        transport: httpx.AsyncBaseTransport
        try:
            transport = self._default if network is None else self._transport_for_network(network)
            if url.scheme == "demo":
                transport = self._demo
            if isinstance(transport, http1.Transport):
                response = await transport.exchange(method, url, headers, content, connect_s, extra)
            else:
                if extra:
                    headers = httpx.Headers([*headers.raw, *extra])
                if not isinstance(content, bytes):
                    headers = httpx.Headers(
                        [*headers.raw, (b"content-length", b"%d" % content.size)]
                    )
                request = httpx.Request(method, url, headers=headers, content=content)
                response = await transport.handle_async_request(request)
        except httpx.HTTPError as error:
            raise GatewayError(unreachable(error)) from error
        return UpstreamResponse(response)

    async def open_websocket(
        self,
        url: httpx.URL,
        headers: httpx.Headers,
        *,
        connect_s: float,
        max_message_bytes: int,
        network: Network | None,
    ) -> UpstreamWebSocket:
        """A WebSocket to a provider. Raises HandshakeRefused, GatewayError."""
        transport = self._default if network is None else self._transport_for_network(network)
        connector = transport.connector if isinstance(transport, http1.Transport) else Connector()
        return await open_websocket(
            connector, url, headers, connect_s=connect_s, max_message_bytes=max_message_bytes
        )

    def _transport_for_network(self, network: Network) -> httpx.AsyncBaseTransport:
        if self._is_replaced:
            return self._default
        transport = self._by_network.get(network)
        if transport is None:
            transport = self._by_network[network] = http1.Transport(network=network)
        return transport

    def retire_unused(self, networks: set[Network | None]) -> None:
        """Close the connections of all settings but these, after their running exchanges."""
        for network in self._by_network.keys() - networks:
            self._by_network.pop(network).retire()

    async def close(self) -> None:
        """Close every idle connection."""
        for transport in (self._default, *self._by_network.values()):
            await transport.aclose()


async def send_with_token(
    upstreams: Upstreams,
    tokens: AccessTokens,
    provider: Provider,
    method: str,
    url: httpx.URL,
    headers: httpx.Headers,
    content: http1.Content,
    connect_s: float,
    extra: tuple[tuple[bytes, bytes], ...] = (),
) -> UpstreamResponse:
    """Send a request with the provider's signature or access token. Raises GatewayError.

    A cloud may reject a token before its expiry, for example after its account was changed: the
    request, which was not executed, is then sent once more with a new token.
    """
    for is_last in (False, True):
        signed_headers = await tokens.headers(provider, method, url, headers, content)
        upstream_response = await upstreams.send(
            method, url, signed_headers, content, connect_s, extra, network=provider.network
        )
        if is_last or upstream_response.status != 401:
            break
        if not tokens.discard_rejected(provider, signed_headers):
            break
        await upstream_response.close()
    return upstream_response


def unreachable(error: httpx.HTTPError) -> Error:
    """The error for a transport failure; never contains the upstream's address."""
    kind = "timeout" if isinstance(error, httpx.TimeoutException) else "upstream_error"
    return Error(kind=kind, message=f"{error}"[:200] or "the upstream could not be reached")


# --- what is sent to a provider ----------------------------------------------------------


class RequestTemplates:
    """Prebuilt URLs and headers for providers of one snapshot."""

    _MAX_CACHED = 4096

    def __init__(self) -> None:
        self._urls: dict[tuple[int, str], httpx.URL] = {}
        self._headers: dict[int, list[tuple[bytes, bytes]]] = {}
        # By provider, and by the request's own headers if it has any.
        self._ready: dict[int | tuple[Any, ...], FixedHeaders] = {}

    def url(self, provider: Provider, path: str) -> httpx.URL:
        """The provider's base URL with `path` and the provider's query."""
        key = (id(provider), path)
        url = self._urls.get(key)
        if url is None:
            url = join_url(provider.base_url, path)
            for name, value in provider.query:
                if name not in url.params:  # a path may have its own, as some of Azure's do
                    url = url.copy_add_param(name, value)
            if len(self._urls) >= self._MAX_CACHED:
                self._urls.clear()
            self._urls[key] = url
        return url

    def headers(self, provider: Provider, extra: dict[str, str]) -> httpx.Headers:
        """Host, credential and fixed headers, and the request's own."""
        fixed = self._headers.get(id(provider))
        if fixed is None:
            fixed = self._headers[id(provider)] = _fixed_headers(provider)
        if "idempotency-key" in extra:  # different in each request
            return httpx.Headers([*fixed, *_encode_pairs(extra)])
        key = (id(provider), *extra.items()) if extra else id(provider)
        ready = self._ready.get(key)
        if ready is None:
            if len(self._ready) >= self._MAX_CACHED:
                self._ready.clear()
            ready = self._ready[key] = FixedHeaders([*fixed, *_encode_pairs(extra)])
        return ready


def join_url(base_url: str, path: str) -> httpx.URL:
    """The base URL with `path` after it.

    Raises:
        GatewayError: a URL parser would resolve another path (`..`): the segments are counted.
    """
    base, url = httpx.URL(base_url), httpx.URL(base_url + path)
    before = base.raw_path.rstrip(b"/")
    joined_path = url.raw_path.partition(b"?")[0]
    segments = before.count(b"/") + path.partition("?")[0].count("/")
    if (
        not joined_path.startswith(before)
        or joined_path.count(b"/") != segments
        or url.host != base.host
    ):
        raise invalid("the model or id in this request is not allowed in a URL path")
    return url


def provider_secrets(provider: Provider) -> tuple[str, ...]:
    """The secrets of a provider: its key, secret headers and parameters, its proxy's password."""
    pairs = (*provider.headers, *provider.query)
    secret_values = (value for name, value in pairs if is_secret_name(name))
    proxy = provider.network.proxy.reveal() if provider.network is not None else ""
    return (
        *credential_secrets(provider.credential.reveal()),
        *secret_values,
        *proxy_secrets(proxy),
    )


def _encode_pairs(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _fixed_headers(provider: Provider) -> list[tuple[bytes, bytes]]:
    return [
        (b"host", httpx.URL(provider.base_url).netloc),
        JSON_HEADER,
        (b"accept", b"application/json, text/event-stream"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", USER_AGENT),
        *build_auth_headers(provider.auth, provider.credential),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in provider.headers),
    ]


class ProviderSecrets:
    """The credentials that are sent to providers, to be removed from what they return."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens
        self._snapshot: Snapshot | None = None
        self._forms: tuple[str, ...] = ()
        self._redactors: dict[int, Redactor] = {}

    def forms(self, snapshot: Snapshot) -> tuple[str, ...]:
        """All credentials in use, in all encodings, to be removed from upstream messages."""
        if self._snapshot is not snapshot:
            credentials = {s for p in snapshot.providers.values() for s in provider_secrets(p)}
            self._forms = tuple(form for value in credentials for form in encoded_forms(value))
            self._redactors, self._snapshot = {}, snapshot
        minted = self._tokens.secrets()
        return (*self._forms, *(form for value in minted for form in encoded_forms(value)))

    def redactor(self, snapshot: Snapshot, provider: Provider) -> Redactor:
        """Mask the credentials that are sent to a provider."""
        if self._snapshot is not snapshot:
            self.forms(snapshot)
        redactor = self._redactors.get(id(provider))
        if redactor is None:
            redactor = self._redactors[id(provider)] = Redactor(provider_secrets(provider))
        return redactor

    def redact(self, snapshot: Snapshot, error: Error) -> Error:
        """The error without secrets in any of its texts: it may quote the upstream."""
        secrets = self.forms(snapshot)
        texts = {name: getattr(error, name) for name in ("message", "param", "code", "upstream_id")}
        clean = {name: scrub(text, secrets) if text else text for name, text in texts.items()}
        return error if clean == texts else msgspec.structs.replace(error, **clean)
