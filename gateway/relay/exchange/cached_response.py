"""Values of the response cache: a cached response, the client's cache control, a lookup."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import msgspec

from gateway.framing.headers import Header
from gateway.relay.exchange.log_record import LogRecord

# The same as for request bodies: compression threshold, and limit of the decompressed size.
COMPRESS_BYTES = 1024
UNPACK_BYTES = 128 * 1024 * 1024
_ZLIB = 0x78
# Approximate memory of a cached response in addition to its body.
OVERHEAD_BYTES = 1024


class CachedResponse(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One response as it was sent to a client.

    Attributes:
        client_format: `cache.key.client_format_of` the original request; requests with the same
            format get the same bytes.
        dialect, stream, framing: the format of `body`.
        created_at, expires_at: unix seconds.
        label: the target that responded, as `provider/model`.
        tokens: the token counts of its log record, by column.
        cost_usd: its original cost; None means unknown.
        adaptations: what its translation changed, as in the log.
    """

    client_format: str
    dialect: str
    stream: bool
    framing: str
    body: bytes
    created_at: float
    expires_at: float
    label: str = ""
    provider: str = ""
    model: str = ""
    upstream_dialect: str = ""
    finish: str = ""
    tokens: dict[str, int | None] = {}
    usage_source: str = ""
    cost_usd: Decimal | None = None
    adaptations: list[dict[str, Any]] = []

    @property
    def size(self) -> int:
        """Approximate memory in bytes."""
        return len(self.body) + OVERHEAD_BYTES


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CachedResponse)


def pack(cached: CachedResponse) -> bytes:
    """The response as one blob, compressed if it is large enough."""
    encoded_response = _encoder.encode(cached)
    return (
        zlib.compress(encoded_response, 1)
        if len(encoded_response) > COMPRESS_BYTES
        else encoded_response
    )


def unpack(blob: bytes) -> CachedResponse | None:
    """The response in a blob; None if it is damaged or of another version."""
    try:
        if blob[:1] == bytes([_ZLIB]):
            inflater = zlib.decompressobj()
            blob = inflater.decompress(blob, UNPACK_BYTES)
            if not inflater.eof:
                return None
        return _decoder.decode(blob)
    except (zlib.error, msgspec.MsgspecError):
        return None


class CacheControl(msgspec.Struct, frozen=True, kw_only=True):
    """The cache options of one request.

    Attributes:
        read: whether a cached response may be returned.
        store: whether the new response may be cached.
        max_age_s: the maximum age of a cached response.
        ttl_s: how long the new response may be cached, instead of the route's `ttl_s`.
        namespace: separates its cached responses from those of other namespaces.
        opt_in: whether it opts in to the cache, for routes that require this.
    """

    read: bool = True
    store: bool = True
    max_age_s: int | None = None
    ttl_s: int | None = None
    namespace: str = ""
    opt_in: bool = False


DEFAULT_CACHE_CONTROL = CacheControl()


class CacheLookup(msgspec.Struct):
    """The cache lookup of one request, reported in its response headers and log record.

    `state` is `hit`, `semantic`, `miss` or `bypass`. `key` is the response to look up on
    Redis in the same round trip as the limits; the result is stored in `blob`.
    """

    cache_control: CacheControl
    state: str = "bypass"
    cached: CachedResponse | None = None
    age_s: float | None = None
    similarity: float | None = None
    key: str = ""
    blob: bytes | None = None

    def record_hit(
        self, cached: CachedResponse, now: float, similarity: float | None = None
    ) -> None:
        """Record that a cached response is returned."""
        self.cached, self.similarity = cached, similarity
        self.state = "hit" if similarity is None else "semantic"
        self.age_s = max(0.0, now - cached.created_at)

    def headers(self) -> list[Header]:
        """The response headers of the cache."""
        headers = [(b"x-dragoman-cache", self.state.encode())]
        if self.age_s is not None:
            headers.append((b"age", b"%d" % int(self.age_s)))
        if self.similarity is not None:
            headers.append((b"x-dragoman-cache-similarity", b"%.4f" % self.similarity))
        return headers

    def update_log_record(self, record: LogRecord) -> None:
        """Record the lookup in the log record. A hit costs nothing, and has its own tokens."""
        record.cache = self.state
        response = self.cached
        if response is None:
            return
        if self.age_s is not None:
            record.cache_age_s = round(self.age_s, 3)
        record.cache_similarity = self.similarity
        record.provider, record.model = response.provider, response.model
        record.upstream_dialect, record.finish = response.upstream_dialect, response.finish
        for name, count in response.tokens.items():
            setattr(record, name, count)
        record.usage_source = response.usage_source
        record.cost_usd, record.price_source = Decimal(0), "cache"
        record.saved_usd = response.cost_usd
