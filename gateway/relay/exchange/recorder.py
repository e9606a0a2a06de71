"""Keeps what went over the four wires of one request, bounded and masked."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from gateway.providers.masks import Mask
from gateway.providers.masks import apply_masks as without
from gateway.providers.redact import Redactor, mask_headers
from gateway.relay.exchange.log_record import Bodies, Chunk

# Key-like text never reaches the disk, whoever wrote it.
_KEY = re.compile(rb"\b(?:sk-|AIza|xai-|gsk_|hf_)[A-Za-z0-9_\-]{16,}")
# The pieces of text in the frames of a stream, in any dialect. Written so that most names are
# told apart by their first letter: a stream of 200 frames takes 0.1 ms.
_DELTA = re.compile(
    rb'"[acdprt](?:rguments|ontent|elta|artial_json|easoning_content|easoning|efusal|esponse'
    rb'|ext|hinking)": ?"([^"\\]*(?:\\.[^"\\]*)*)"',
    re.DOTALL,
)
# Bodies of so many bytes are looked at together.
_SMALL_BYTES = 16 * 1024
# So much more than the limit is held until the end: a secret that stands across the limit is
# blanked out as a whole before the cut.
_MARGIN = 8 * 1024


class Recorder:
    """The bodies of one request. Does nothing while `on` is false."""

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
        # What `mask_requests` made, by field: of which data, with which redactors, the result.
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
        """Blank out these secrets too: those that are sent to a target."""
        if redactor.forms and redactor not in self._redactors:
            self._redactors = (*self._redactors, redactor)

    def new_attempt(self) -> None:
        """Forget the answer of a target that failed before anything was sent on."""
        self._upstream, self._upstream_chunks, self._upstream_size = [], [], 0

    def record_upstream(self, data: bytes) -> None:
        """A piece of the upstream's answer."""
        if self.enabled and self._upstream_size < self.limit + _MARGIN:
            size = len(data)
            self._upstream.append(data)
            self._upstream_chunks.append(Chunk(self._now(), size))
            self._upstream_size += size

    def record_client(self, data: bytes) -> None:
        """A piece of the client's answer; not called on passthrough."""
        if self.enabled and self._client_size < self.limit + _MARGIN:
            self._client.append(data)
            self._client_chunks.append(Chunk(self._now(), len(data)))
            self._client_size += len(data)

    def mask_requests(self) -> None:
        """Cut and mask the requests of this attempt ahead of `bodies`; for a thread."""
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
        """All that is to be stored, or None."""
        if not self.enabled:
            return None
        truncated: list[str] = []
        upstream, client = b"".join(self._upstream), b"".join(self._client)
        if stream and self._redactors:
            upstream, client = self._mask_split(upstream), self._mask_split(client)
        parts = (self.client_request, self.upstream_request or b"", upstream, client)
        small = sum(map(len, parts)) <= _SMALL_BYTES
        # One look at all of them costs less than a look at each.
        without_secrets = small and not self.masks and not self._may_contain_secret(b"".join(parts))
        masks = None if without_secrets else self.masks
        # On passthrough the upstream's side is the client's but for the model's name.
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
        """The stream without secrets that its deltas say piece by piece; its length stays.

        Texts that take turns, as several choices do, are not put together.
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
        """The body within the limit, without secrets; `masks` is None where there are none."""
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
            # What looks like a key is blanked out to its end, wherever the cut is.
            data = mask_secrets(data, masks)
        return data[:limit]

    def _within(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks of which something is within the limit."""
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


def mask_secrets(data: bytes, masks: tuple[Mask, ...]) -> bytes:
    """The bytes without what looks like a key, and without what the masks say."""
    if _may_contain_key(data):
        data = _KEY.sub(b"***", data)
    return without(data, masks) if masks else data
