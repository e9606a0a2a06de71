"""Records the four bodies of one request, bounded and masked."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from gateway.providers.masks import Mask
from gateway.providers.masks import apply_masks as without
from gateway.providers.redact import Redactor, mask_headers
from gateway.relay.exchange.log_record import Bodies, Chunk

# Key-like text is never written to disk, wherever it comes from.
_KEY = re.compile(rb"\b(?:sk-|AIza|xai-|gsk_|hf_)[A-Za-z0-9_\-]{16,}")
# Text deltas in the frames of a stream, in any dialect. Most names differ in the first letter,
# so that most mismatches fail fast: a stream of 200 frames takes 0.1 ms.
_DELTA = re.compile(
    rb'"[acdprt](?:rguments|ontent|elta|artial_json|easoning_content|easoning|efusal|esponse'
    rb'|ext|hinking)": ?"([^"\\]*(?:\\.[^"\\]*)*)"',
    re.DOTALL,
)
# Bodies up to this total size are scanned together.
_SMALL_BYTES = 16 * 1024
# Bytes recorded beyond the limit until the end, so that a secret across the limit is masked
# as a whole before the cut.
_MARGIN = 8 * 1024


class Recorder:
    """The bodies of one request. Does nothing unless `enabled`."""

    __slots__ = (
        "_client",
        "_client_chunks",
        "_client_size",
        "_masked_requests",
        "_redactors",
        "_upstream",
        "_upstream_chunks",
        "_upstream_size",
        "client_request",
        "enabled",
        "limit",
        "masks",
        "passthrough",
        "started",
        "upstream_headers",
        "upstream_request",
    )

    def __init__(self) -> None:
        self.enabled = False
        self.limit = 0
        self.masks: tuple[Mask, ...] = ()
        self._redactors: tuple[Redactor, ...] = ()
        # Results of `mask_requests` by field: its data, the redactors, the masked body.
        self._masked_requests: dict[str, tuple[bytes, tuple[Redactor, ...], bytes]] = {}
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

    def add_redactor(self, redactor: Redactor) -> None:
        """Also masks these secrets, which are sent to a target."""
        if redactor.forms and redactor not in self._redactors:
            self._redactors = (*self._redactors, redactor)

    def new_attempt(self) -> None:
        """Discards the response of a target that failed before anything was sent to the client."""
        self._upstream, self._upstream_chunks, self._upstream_size = [], [], 0

    def record_upstream(self, data: bytes) -> None:
        """Records a chunk of the upstream's response."""
        if self.enabled and self._upstream_size < self.limit + _MARGIN:
            size = len(data)
            self._upstream.append(data)
            self._upstream_chunks.append(Chunk(self._now(), size))
            self._upstream_size += size

    def record_client(self, data: bytes) -> None:
        """Records a chunk of the client's response; not called on passthrough."""
        if self.enabled and self._client_size < self.limit + _MARGIN:
            self._client.append(data)
            self._client_chunks.append(Chunk(self._now(), len(data)))
            self._client_size += len(data)

    def mask_requests(self) -> None:
        """Cuts and masks the requests of this attempt ahead of `bodies`; runs in a thread."""
        for name in ("client_request", "upstream_request"):
            data = getattr(self, name)
            if data and len(data) > _SMALL_BYTES:
                masked = self._cut(name, data, self.masks, [])
                assert masked is not None
                self._masked_requests[name] = data, self._redactors, masked

    def bodies(
        self,
        client_headers: dict[str, str],
        response_headers: Iterable[tuple[bytes, bytes]],
        *,
        stream: bool,
    ) -> Bodies | None:
        """All bodies to store, or None."""
        if not self.enabled:
            return None
        truncated: list[str] = []
        upstream, client = b"".join(self._upstream), b"".join(self._client)
        if stream and self._redactors:
            upstream, client = self._mask_split(upstream), self._mask_split(client)
        parts = (self.client_request, self.upstream_request or b"", upstream, client)
        small = sum(map(len, parts)) <= _SMALL_BYTES
        # One scan of all of them costs less than one scan of each.
        without_secrets = small and not self.masks and not self._may_contain_secret(b"".join(parts))
        masks = None if without_secrets else self.masks
        # On passthrough the two sides differ only in the model name.
        return Bodies(
            client_request=self._cut("client_request", self.client_request, masks, truncated),
            upstream_request=self._cut("upstream_request", self.upstream_request, masks, truncated),
            upstream_response=self._cut("upstream_response", upstream, masks, truncated),
            client_response=None
            if self.passthrough
            else self._cut("client_response", client, masks, truncated),
            upstream_chunks=self._within(self._upstream_chunks) if stream else [],
            client_chunks=self._within(self._client_chunks) if stream else [],
            client_headers=self._headers(mask_headers(client_headers)),
            upstream_headers=self._headers(mask_headers(self.upstream_headers)),
            response_headers=self._headers(
                {n.decode("latin-1"): v.decode("latin-1") for n, v in response_headers}
            ),
            same_response=self.passthrough,
            truncated=truncated,
        )

    def _mask_split(self, stream: bytes) -> bytes:
        """Masks secrets that are split across the deltas of a stream; the length is unchanged.

        Does not join interleaved texts, as of several choices.
        """
        text = b"".join(_DELTA.findall(stream))
        if not self._may_contain_secret(text):
            return stream
        clean = text
        for redactor in self._redactors:
            clean = redactor.clean(clean)
        clean = _KEY.sub(lambda key: b"*" * len(key[0]), clean)
        if clean == text:
            return stream
        masked, offset = bytearray(stream), 0
        for match in _DELTA.finditer(stream):
            start, end = match.span(1)
            masked[start:end] = clean[offset : offset + end - start]
            offset += end - start
        return bytes(masked)

    def _cut(
        self, name: str, data: bytes | None, masks: tuple[Mask, ...] | None, truncated: list[str]
    ) -> bytes | None:
        """The body within the limit, without secrets; `masks` is None if it contains none."""
        if data is None:
            return None
        limit = self.limit
        if len(data) > limit:
            truncated.append(name)
        source, redactors, masked = self._masked_requests.get(name, (None, None, None))
        if source is data and redactors is self._redactors:
            return masked
        if len(data) > limit:
            data = data[: limit + _MARGIN]
        if masks is not None:
            for redactor in self._redactors:
                data = redactor.clean(data)
            # Key-like text is masked to its end, even beyond the cut.
            data = mask_secrets(data, masks)
        return data[:limit]

    def _within(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks that begin within the limit."""
        size = 0
        for number, chunk in enumerate(chunks):
            if size >= self.limit:
                return chunks[:number]
            size += chunk.size
        return chunks

    def _may_contain_secret(self, data: bytes) -> bool:
        return _may_contain_key(data) or any(
            redactor.contains_secret(data) for redactor in self._redactors
        )

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        for redactor in self._redactors:
            for name, value in headers.items():
                data = value.encode("utf-8", "replace")
                if redactor.contains_secret(data):
                    headers[name] = redactor.clean(data).decode("utf-8", "replace")
        return headers

    def _now(self) -> float:
        return int((time.perf_counter() - self.started) * 1e5 + 0.5) / 100


def _may_contain_key(data: bytes) -> bool:
    """Whether the data may contain a key; a hundred times as fast as the pattern.

    Uses `find` because `in` raises and catches an exception per call with bytes.
    """
    find = data.find
    return (
        find(b"sk-") >= 0
        or find(b"AIza") >= 0
        or find(b"xai-") >= 0
        or find(b"gsk_") >= 0
        or find(b"hf_") >= 0
    )


def mask_secrets(data: bytes, masks: tuple[Mask, ...]) -> bytes:
    """The bytes without key-like text, and with the masks applied."""
    if _may_contain_key(data):
        data = _KEY.sub(b"***", data)
    return without(data, masks) if masks else data
