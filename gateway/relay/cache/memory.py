"""Cached responses in the process, bounded in bytes, with LRU eviction."""

from __future__ import annotations

from collections import Counter, OrderedDict

from gateway.relay.cache.key import fingerprint_of
from gateway.relay.exchange.cached_response import CachedResponse

# Approximate size of one entry of `_body_keys`.
_BODY_KEY_BYTES = 200


class MemoryCache:
    """Cached responses by key, and keys by the digests of request bodies.

    Attributes:
        fingerprints: how many cached responses have each fingerprint.
    """

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self._max_bytes = max_bytes
        self._responses: OrderedDict[str, CachedResponse] = OrderedDict()
        self.fingerprints: Counter[str] = Counter()
        self._body_keys: OrderedDict[bytes, str] = OrderedDict()
        self._max_body_keys = max(1, max_bytes // (4 * _BODY_KEY_BYTES))

    def __len__(self) -> int:
        return len(self._responses)

    def get(self, key: str, now: float) -> CachedResponse | None:
        """The response of a key, unless it has expired."""
        cached_response = self._responses.get(key)
        if cached_response is None:
            return None
        if cached_response.expires_at <= now:
            self.drop(key)
            return None
        self._responses.move_to_end(key)
        return cached_response

    def put(self, key: str, cached: CachedResponse) -> None:
        """Store a response, and evict others if there is no room."""
        self.drop(key)
        if cached.size > self._max_bytes:
            return
        self._responses[key] = cached
        self.fingerprints[fingerprint_of(key)] += 1
        self.bytes += cached.size
        while self.bytes > self._max_bytes:
            self.drop(next(iter(self._responses)))

    def drop(self, key: str) -> None:
        """Remove the response of a key."""
        dropped_response = self._responses.pop(key, None)
        if dropped_response is None:
            return
        self.bytes -= dropped_response.size
        fingerprint = fingerprint_of(key)
        self.fingerprints[fingerprint] -= 1
        if not self.fingerprints[fingerprint]:
            del self.fingerprints[fingerprint]

    def key_for_body(self, body_digest: bytes) -> str | None:
        """The key that was stored for a body with this digest."""
        return self._body_keys.get(body_digest)

    def remember_body_key(self, body_digest: bytes, key: str) -> None:
        """Store the key of a body."""
        self._body_keys[body_digest] = key
        if len(self._body_keys) > self._max_body_keys:
            self._body_keys.popitem(last=False)
