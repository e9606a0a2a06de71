"""The one interface to providers: httpx's types, over any transport.

`Upstreams.send` sends a request and returns the head of the response; the body is read by
`Answer.read` (in chunks) or `Answer.read_all` (complete, bounded). Redirects are
never followed: they would send a prompt and a key to a host that is not configured.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from email.utils import formatdate

import httpx

from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.demo import DemoTransport
from gateway.relay.upstream import http1

MAX_REPLY_BYTES = 32 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Answer:
    """An upstream's response: status, lower-case headers, and a body to read once."""

    def __init__(self, response: httpx.Response | http1.Body) -> None:
        if isinstance(response, http1.Body):
            self._direct: http1.Body | None = response
            self.status, raw = response.status, response.headers  # lower-case already
        else:
            self._direct = None
            self.status = response.status_code
            raw = [(name.lower(), value) for name, value in response.headers.raw]
        self.headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in raw}
        if self.status >= 400:
            # The reference time of a `retry-after` that is a date.
            self.headers.setdefault("date", formatdate(usegmt=True))
        self.kind = self.headers.get("content-type", "")
        self._response = response
        self._iterator: AsyncIterator[bytes] | None = None
        encoding = self.headers.get("content-encoding", "")
        self._inflate = _Inflate(encoding) if encoding not in {"", "identity"} else None

    async def read(self) -> bytes:
        """The bytes received since the last call; empty at the end. Raises GatewayError."""
        try:
            while True:
                data = await (self._next() if self._direct is None else self._direct.read())
                if not data or self._inflate is None:
                    return data
                if inflated := self._inflate.feed(data):
                    return inflated
        except httpx.TransportError as error:
            raise GatewayError(unreachable(error)) from error

    async def _next(self) -> bytes:
        if self._iterator is None:
            self._iterator = aiter(self._response.stream)  # type: ignore[union-attr, arg-type]
        return await anext(self._iterator, b"")

    async def read_all(self, limit: int = MAX_REPLY_BYTES) -> bytes:
        """The whole body. Raises GatewayError beyond `limit` bytes or if it breaks off."""
        first = await self.read()
        parts = [first]
        size = len(first)
        while data := await self.read():
            parts.append(data)
            size += len(data)
            if size > limit:
                raise bad_upstream("the upstream's answer is too large")
        # Some servers begin JSON with a byte order mark.
        return (first if len(parts) == 1 else b"".join(parts)).removeprefix(_BYTE_ORDER_MARK)

    async def close(self, *, sound: bool = True) -> None:
        """Releases the connection; closes it if the body was not read to its end, or not `sound`.

        An upstream that sends an invalid response often closes its connection without notice.
        """
        if self._direct is not None:
            self._direct.close(sound=sound)
        else:
            await self._response.aclose()


class _Inflate:
    """Decompresses gzip and deflate, from providers that compress unrequested; bounded in size."""

    def __init__(self, encoding: str) -> None:
        if encoding not in {"gzip", "x-gzip", "deflate"}:
            raise bad_upstream("the upstream's answer has an unknown content encoding")
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._total = 0

    def feed(self, data: bytes) -> bytes:
        try:
            out = self._inflater.decompress(data, MAX_REPLY_BYTES - self._total + 1)
        except zlib.error:
            raise bad_upstream("the upstream's answer is not validly compressed") from None
        self._total += len(out)
        if self._total > MAX_REPLY_BYTES:
            raise bad_upstream("the upstream's answer is too large")
        return out


class Upstreams:
    """All upstream transports: one pooled transport, and the demo provider in the process."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._network = transport if transport is not None else http1.Transport()
        self._demo = DemoTransport()

    async def send(
        self,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        content: http1.Content,
        connect_s: float,
        extra: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Answer:
        """Sends a request and returns at the head of the response. Raises GatewayError.

        `extra` are headers of this request only; `headers` may be shared by many requests.
        """
        transport = self._demo if url.scheme == "demo" else self._network
        response: httpx.Response | http1.Body
        try:
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
        try:
            return Answer(response)
        except GatewayError:
            await response.aclose()
            raise

    async def close(self) -> None:
        """Closes every idle connection."""
        await self._network.aclose()


def unreachable(error: httpx.HTTPError) -> Error:
    """The error for a transport failure; never contains the upstream's address."""
    kind = "timeout" if isinstance(error, httpx.TimeoutException) else "upstream_error"
    return Error(kind=kind, message=f"{error}"[:200] or "the upstream could not be reached")
