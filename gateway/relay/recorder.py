"""Keeps what went over the four wires of one request, bounded and masked."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from gateway.providers.masks import Mask
from gateway.providers.masks import masked as without
from gateway.relay.entry import Bodies, Chunk

# Key-like text never reaches the disk, whoever wrote it.
_KEY = re.compile(rb"\b(?:sk-|AIza|xai-|gsk_|hf_)[A-Za-z0-9_\-]{16,}")
# Bodies of so many bytes are looked at together.
_TOGETHER = 16 * 1024
_SECRET_HEADERS = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "set-cookie"}
)


class Recorder:
    """The bodies of one request. Does nothing while `on` is false."""

    __slots__ = (
        "_client",
        "_client_chunks",
        "_client_size",
        "_upstream",
        "_upstream_chunks",
        "_upstream_size",
        "client_request",
        "limit",
        "masks",
        "on",
        "passthrough",
        "started",
        "upstream_headers",
        "upstream_request",
    )

    def __init__(self) -> None:
        self.on = False
        self.limit = 0
        self.masks: tuple[Mask, ...] = ()
        self.started = 0.0
        self.client_request = b""
        self.upstream_request: bytes | None = None
        self.upstream_headers: dict[str, str] = {}
        self.passthrough = False
        self._upstream: list[bytes] = []
        self._upstream_chunks: list[Chunk] = []
        self._upstream_size = 0
        self._client: list[bytes] = []
        self._client_chunks: list[Chunk] = []
        self._client_size = 0

    def new_attempt(self) -> None:
        """Forget the answer of a target that failed before anything was sent on."""
        self._upstream, self._upstream_chunks, self._upstream_size = [], [], 0

    def upstream(self, data: bytes) -> None:
        """A piece of the upstream's answer."""
        if self.on and self._upstream_size < self.limit:
            size = len(data)
            self._upstream.append(data)
            self._upstream_chunks.append(Chunk(self._now(), size))
            self._upstream_size += size

    def client(self, data: bytes) -> None:
        """A piece of the client's answer; not called on passthrough."""
        if self.on and self._client_size < self.limit:
            self._client.append(data)
            self._client_chunks.append(Chunk(self._now(), len(data)))
            self._client_size += len(data)

    def bodies(
        self,
        client_headers: dict[str, str],
        response_headers: Iterable[tuple[bytes, bytes]],
        *,
        stream: bool,
    ) -> Bodies | None:
        """All that is to be stored, or None."""
        if not self.on:
            return None
        truncated: list[str] = []
        upstream, client = b"".join(self._upstream), b"".join(self._client)
        parts = (self.client_request, self.upstream_request or b"", upstream, client)
        small = sum(map(len, parts)) <= _TOGETHER
        # One look at all of them costs less than a look at each.
        plain = small and not self.masks and not _may_hold_key(b"".join(parts))
        masks = None if plain else self.masks
        # On passthrough the upstream's side is the client's but for the model's name.
        return Bodies(
            client_request=self._cut("client_request", self.client_request, masks, truncated),
            upstream_request=self._cut("upstream_request", self.upstream_request, masks, truncated),
            upstream_response=self._cut("upstream_response", upstream, masks, truncated),
            client_response=None
            if self.passthrough
            else self._cut("client_response", client, masks, truncated),
            upstream_chunks=self._upstream_chunks if stream else [],
            client_chunks=self._client_chunks if stream else [],
            client_headers=masked(client_headers),
            upstream_headers=masked(self.upstream_headers),
            response_headers={
                n.decode("latin-1"): v.decode("latin-1") for n, v in response_headers
            },
            same_response=self.passthrough,
            truncated=truncated,
        )

    def _cut(
        self, name: str, data: bytes | None, masks: tuple[Mask, ...] | None, truncated: list[str]
    ) -> bytes | None:
        """The body within the limit, without secrets; `masks` is None where there are none."""
        if data is None:
            return None
        if len(data) > self.limit:
            truncated.append(name)
            data = data[: self.limit]
        return data if masks is None else cleaned(data, masks)

    def _now(self) -> float:
        return int((time.perf_counter() - self.started) * 1e5 + 0.5) / 100


def _may_hold_key(data: bytes) -> bool:
    """Whether there may be a key in it. A cheap look: the pattern costs a hundred times as much.

    Not with `in`, which tries a needle of bytes as a number first, with an exception each.
    """
    find = data.find
    return (
        find(b"sk-") >= 0
        or find(b"AIza") >= 0
        or find(b"xai-") >= 0
        or find(b"gsk_") >= 0
        or find(b"hf_") >= 0
    )


def cleaned(data: bytes, masks: tuple[Mask, ...]) -> bytes:
    """The bytes without what looks like a key, and without what the masks say."""
    if _may_hold_key(data):
        data = _KEY.sub(b"***", data)
    return without(data, masks) if masks else data


def masked(headers: dict[str, str]) -> dict[str, str]:
    """The headers with credentials blanked."""
    return {
        name: "***" if name in _SECRET_HEADERS or "key" in name or "token" in name else value
        for name, value in headers.items()
    }
