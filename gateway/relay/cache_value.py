"""What the cache is made of: a kept answer, what a client wishes, and a request's way past it."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import msgspec

from gateway.relay.entry import Entry

# As the bodies of requests: less gains little, and nothing unpacks to more.
COMPRESS_BYTES = 1024
UNPACK_BYTES = 128 * 1024 * 1024
_ZLIB = 0x78
# What else a kept answer takes in memory, about.
OVERHEAD_BYTES = 1024

Header = tuple[bytes, bytes]


class Kept(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One answer as a client got it.

    Attributes:
        form: how that client asked; who asks in the same form gets the same bytes.
        dialect, stream, framing: what the bytes are.
        made_at, ends_at: unix seconds.
        label: the target that answered, as `provider/model`.
        tokens: the counts of the log's row, by column.
        cost_usd: what it cost; None means unknown.
        adaptations: what its translation changed, as the log has it.
    """

    form: str
    dialect: str
    stream: bool
    framing: str
    body: bytes
    made_at: float
    ends_at: float
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
        """Bytes of memory, about."""
        return len(self.body) + OVERHEAD_BYTES


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Kept)


def packed(kept: Kept) -> bytes:
    """The answer as one blob, compressed where that is worth it."""
    plain = _encoder.encode(kept)
    return zlib.compress(plain, 1) if len(plain) > COMPRESS_BYTES else plain


def unpacked(blob: bytes) -> Kept | None:
    """The answer of a blob; None if it is damaged or of another version."""
    try:
        if blob[:1] == bytes([_ZLIB]):
            inflater = zlib.decompressobj()
            blob = inflater.decompress(blob, UNPACK_BYTES)
            if not inflater.eof:
                return None
        return _decoder.decode(blob)
    except (zlib.error, msgspec.MsgspecError):
        return None


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wishes of the cache.

    Attributes:
        use: whether a kept answer may be given.
        keep: whether the new answer may be kept.
        max_age_s: the oldest answer that will do.
        ttl_s: how long the new answer may be given again, in place of the route's time.
        opted: whether it asks for the cache where a route wants to be asked.
    """

    use: bool = True
    keep: bool = True
    max_age_s: int | None = None
    ttl_s: int | None = None
    namespace: str = ""
    opted: bool = False


USUAL = Controls()


class Passage(msgspec.Struct):
    """One request's way past the cache, which its answer's headers and its row tell of.

    `state` is `hit`, `semantic`, `miss` or `bypass`. `key` names the answer to look up on
    Redis along with the first question about limits; what was there comes into `blob`.
    """

    controls: Controls
    state: str = "bypass"
    kept: Kept | None = None
    age_s: float | None = None
    similarity: float | None = None
    key: str = ""
    blob: bytes | None = None

    def found(self, kept: Kept, now: float, similarity: float | None = None) -> None:
        """A kept answer is given."""
        self.kept, self.similarity = kept, similarity
        self.state = "hit" if similarity is None else "semantic"
        self.age_s = max(0.0, now - kept.made_at)

    def headers(self) -> list[Header]:
        """What the client is told."""
        found = [(b"x-dragoman-cache", self.state.encode())]
        if self.age_s is not None:
            found.append((b"age", b"%d" % int(self.age_s)))
        if self.similarity is not None:
            found.append((b"x-dragoman-cache-similarity", b"%.4f" % self.similarity))
        return found

    def tell(self, entry: Entry) -> None:
        """Put it into the log's row. A kept answer costs nothing, and has its tokens."""
        entry.cache = self.state
        kept = self.kept
        if kept is None:
            return
        if self.age_s is not None:
            entry.cache_age_s = round(self.age_s, 3)
        entry.cache_similarity = self.similarity
        entry.provider, entry.model = kept.provider, kept.model
        entry.upstream_dialect, entry.finish = kept.upstream_dialect, kept.finish
        for name, count in kept.tokens.items():
            setattr(entry, name, count)
        entry.usage_source = kept.usage_source
        entry.cost_usd, entry.price_source = Decimal(0), "cache"
        entry.saved_usd = kept.cost_usd


class Answered(Exception):
    """Redis had the answer: no target has to be called. It is in the call's passage."""
