"""Records the four bodies of one request, bounded and masked."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping

from gateway.providers.masks import Mask
from gateway.providers.masks import apply_masks as without
from gateway.providers.redact import MASK, Redactor, is_secret_name
from gateway.relay.exchange.delta_texts import Span, delta_spans, interleaved_spans
from gateway.relay.exchange.log_record import Bodies, Chunk
from gateway.relay.exchange.searched_bodies import (
    SearchedBodies,
    find_shared_ends,
    trim_shared_ends,
)

# Key-like text is never written to disk, wherever it comes from.
_PREFIXES = (rb"sk-", rb"AIza", rb"xai-", rb"gsk_", rb"hf_")
_KEY_CHARS = rb"[A-Za-z0-9_\-]{16,}"
# An escape before a key (`\n`, `\u0001`) ends with a letter or digit.
_KEY = re.compile(
    rb"(?:\b|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4}))(?:%b)%b" % (b"|".join(_PREFIXES), _KEY_CHARS)
)
# Together as fast as five searches for a text, which a pattern of alternatives is not. They also
# match inside words (`task-...`).
_KEYS_BY_PREFIX = tuple(re.compile(prefix + _KEY_CHARS) for prefix in _PREFIXES)
# Smaller bodies are searched and stored as they are.
_SMALL_BYTES = 16 * 1024
# Bytes recorded beyond the limit until the end, so that a secret across the limit is masked
# as a whole before the cut.
_MARKUP = 8 * 1024


class Recorder:
    """The bodies of one request. Does nothing unless `enabled`."""

    __slots__ = (
        "_client",
        "_client_chunks",
        "_client_size",
        "_forms",
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
        # The secrets of all of them, in all forms.
        self._forms: tuple[bytes, ...] = ()
        # Results of `mask_requests` by field: its data, the redactors, the masked body.
        self._masked_requests: dict[str, tuple[bytes, tuple[Redactor, ...], bytes]] = {}
        self.started = 0.0
        self.client_request = b""
        self.upstream_request: bytes | None = None
        self.upstream_headers: dict[str, str] = {}
        self.passthrough = False
        self._upstream: list[bytes] = []
        # Of each chunk: `perf_counter` at its arrival, and its size.
        self._upstream_chunks: list[tuple[float, int]] = []
        self._upstream_size = 0
        self._client: list[bytes] = []
        self._client_chunks: list[tuple[float, int]] = []
        self._client_size = 0

    def add_redactor(self, redactor: Redactor) -> None:
        """Also masks these secrets, which are sent to a target."""
        if redactor.forms and redactor not in self._redactors:
            self._redactors = (*self._redactors, redactor)
            self._forms += redactor.forms

    def new_attempt(self) -> None:
        """Discards the response of a target that failed before anything was sent to the client."""
        self._upstream, self._upstream_chunks, self._upstream_size = [], [], 0

    def record_upstream(self, data: bytes) -> None:
        """Records a chunk of the upstream's response."""
        if self.enabled and self._upstream_size < self.limit + _MARKUP:
            size = len(data)
            self._upstream.append(data)
            self._upstream_chunks.append((time.perf_counter(), size))
            self._upstream_size += size

    def record_client(self, data: bytes) -> None:
        """Records a chunk of the client's response; not called on passthrough."""
        if self.enabled and self._client_size < self.limit + _MARKUP:
            self._client.append(data)
            self._client_chunks.append((time.perf_counter(), len(data)))
            self._client_size += len(data)

    def mask_requests(self) -> None:
        """Cuts and masks the requests of this attempt ahead of `bodies`; runs in a thread."""
        for name in ("client_request", "upstream_request"):
            data = getattr(self, name)
            if data and len(data) > _SMALL_BYTES:
                masked_data = self._truncate_and_mask(name, data, [])
                assert masked_data is not None
                self._masked_requests[name] = data, self._redactors, masked_data

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
        if stream:
            upstream = mask_split(upstream, self._redactors, self.masks)
            client = mask_split(client, self._redactors, self.masks)
        client_request: bytes | None = self.client_request
        upstream_request = self.upstream_request
        parts = (self.client_request, upstream_request or b"", upstream, client)
        is_clean = (
            not (self.masks or self._masked_requests)
            and max(map(len, parts)) <= self.limit
            and not (
                self._may_contain_secret(parts)
                if sum(map(len, parts)) > _SMALL_BYTES
                # One search in all of them costs less than one in each.
                else may_contain_secret(b"\n".join(parts), self._forms)
            )
        )
        headers = self._masked_headers(
            client_headers,
            self.upstream_headers,
            {n.decode("latin-1"): v.decode("latin-1") for n, v in response_headers},
        )
        response: bytes | None = upstream
        client_response = None if self.passthrough else client
        if not is_clean:
            client_request = self._truncate_and_mask("client_request", client_request, truncated)
            upstream_request = self._truncate_and_mask(
                "upstream_request", upstream_request, truncated
            )
            response = self._truncate_and_mask("upstream_response", upstream, truncated)
            client_response = self._truncate_and_mask("client_response", client_response, truncated)
        start = end = 0
        if client_request and upstream_request and len(upstream_request) > _SMALL_BYTES:
            start, end = find_shared_ends(client_request, upstream_request)
            upstream_request = upstream_request[start : len(upstream_request) - end]
        # On passthrough the two sides differ only in the model name.
        return Bodies(
            client_request=client_request,
            upstream_request=upstream_request,
            upstream_response=response,
            client_response=client_response,
            upstream_chunks=self._chunks_within_limit(self._upstream_chunks) if stream else [],
            client_chunks=self._chunks_within_limit(self._client_chunks) if stream else [],
            client_headers=headers[0],
            upstream_headers=headers[1],
            response_headers=headers[2],
            same_response=self.passthrough,
            truncated=truncated,
            shared_ends=(start, end),
        )

    def _may_contain_secret(self, parts: tuple[bytes, ...]) -> bool:
        """Whether large bodies may contain a secret: two requests, and the responses."""
        client_request, upstream_request, *responses = parts
        secrets = self._forms
        ends = find_shared_ends(client_request, upstream_request)
        return (
            _searched.contains(client_request, secrets)
            or _searched.contains(trim_shared_ends(upstream_request, *ends, secrets), secrets)
            or may_contain_secret(b"\n".join(responses), secrets)
        )

    def _truncate_and_mask(
        self, name: str, data: bytes | None, truncated: list[str]
    ) -> bytes | None:
        """The body within the limit, without secrets."""
        if data is None:
            return None
        limit = self.limit
        if len(data) > limit:
            truncated.append(name)
        source, redactors, masked_data = self._masked_requests.get(name, (None, None, None))
        if source is data and redactors is self._redactors:
            return masked_data
        if len(data) > limit:
            data = data[: limit + _MARKUP]
        for redactor in self._redactors:
            data = redactor.redact(data)
        # Key-like text is masked to its end, even beyond the cut.
        return mask_secrets(data, self.masks)[:limit]

    def _chunks_within_limit(self, chunks: list[tuple[float, int]]) -> list[Chunk]:
        """The chunks that begin within the limit, with times since the start of the request."""
        recorded_chunks: list[Chunk] = []
        offset = 0
        for received_at, size in chunks:
            if offset >= self.limit:
                break
            recorded_chunks.append(Chunk(int((received_at - self.started) * 1e5 + 0.5) / 100, size))
            offset += size
        return recorded_chunks

    def _masked_headers(self, *groups: Mapping[str, str]) -> list[dict[str, str]]:
        """Headers with `***` for credentials, and without the redactors' secrets."""
        masked_headers = [
            {name: MASK if is_secret_name(name) else value for name, value in headers.items()}
            for headers in groups
        ]
        # One search in all of them costs less than one for each.
        values = [value for headers in masked_headers for value in headers.values()]
        joined_values = "\n".join(values).encode("utf-8", "replace")
        if max(map(joined_values.find, self._forms), default=-1) >= 0:
            for headers in masked_headers:
                for name, value in headers.items():
                    data = value.encode("utf-8", "replace")
                    for redactor in self._redactors:
                        data = redactor.redact(data)
                    headers[name] = data.decode("utf-8", "replace")
        return masked_headers


def may_contain_secret(data: bytes, secrets: tuple[bytes, ...] = ()) -> bool:
    """Whether the data may contain a key, or contains one of the secrets.

    Much faster than the pattern of all keys. Uses `find` because `in` raises and catches an
    exception per call with bytes, and no generator, which costs more than the search.
    """
    find = data.find
    may_contain_key = (
        find(b"sk-") >= 0
        or find(b"AIza") >= 0
        or find(b"xai-") >= 0
        or find(b"gsk_") >= 0
        or find(b"hf_") >= 0
    )
    if may_contain_key and any(pattern.search(data) for pattern in _KEYS_BY_PREFIX):
        return True
    return max(map(find, secrets), default=-1) >= 0


_searched = SearchedBodies(may_contain_secret)


def mask_secrets(data: bytes, masks: tuple[Mask, ...]) -> bytes:
    """The bytes without key-like text, and with the masks applied."""
    if may_contain_secret(data):
        data = _KEY.sub(b"***", data)
    return without(data, masks) if masks else data


def mask_split(stream: bytes, redactors: tuple[Redactor, ...], masks: tuple[Mask, ...]) -> bytes:
    """Masks what is split across the deltas of a stream; the length is unchanged."""
    for spans in [*interleaved_spans(stream), delta_spans(stream)]:
        stream = _mask_pieces(stream, spans, redactors, masks)
    return stream


def _mask_pieces(
    stream: bytes, spans: list[Span], redactors: tuple[Redactor, ...], masks: tuple[Mask, ...]
) -> bytes:
    """Masks secrets, keys and matches of masks in a text whose pieces are at `spans`."""
    text = b"".join([stream[start:end] for start, end in spans])
    clean = text
    if may_contain_secret(text, tuple(form for each in redactors for form in each.forms)):
        for redactor in redactors:
            clean = redactor.redact(clean)
        clean = _KEY.sub(lambda key: b"*" * len(key[0]), clean)
    clean = without(clean, masks)
    if clean == text:
        return stream
    masked_stream, offset = bytearray(stream), 0
    for start, end in spans:
        masked_stream[start:end] = clean[offset : offset + end - start]
        offset += end - start
    return bytes(masked_stream)
