"""Records the four bodies of one request, bounded and masked."""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate

from gateway.providers.masks import Mask, apply_masks
from gateway.providers.redact import MASK, Redactor, is_secret_name
from gateway.relay.exchange.delta_texts import (
    Span,
    delta_spans,
    interleaved_spans,
    sequential_text,
)
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
# Names of headers, seen before, that carry no credential.
_HARMLESS_NAMES: set[str] = set()
_MAX_HARMLESS_NAMES = 1024
# Smaller bodies are searched and stored as they are.
_SMALL_BYTES = 16 * 1024
# Bytes recorded beyond the limit, so that a secret across the limit is masked as a whole before
# the body is cut.
_OVERLAP_BYTES = 8 * 1024


class Recorder:
    """The bodies of one request. Does nothing unless `enabled`."""

    __slots__ = (
        "_client",
        "_client_size",
        "_client_times",
        "_forms",
        "_masked_requests",
        "_redactors",
        "_upstream",
        "_upstream_size",
        "_upstream_times",
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
        # The chunks of each side, and `perf_counter` at their arrival.
        self._upstream: list[bytes] = []
        self._upstream_times: list[float] = []
        self._upstream_size = 0
        self._client: list[bytes] = []
        self._client_times: list[float] = []
        self._client_size = 0

    def add_redactor(self, redactor: Redactor) -> None:
        """Also mask these secrets, which are sent to a target."""
        if redactor.forms and redactor not in self._redactors:
            self._redactors = (*self._redactors, redactor)
            self._forms += redactor.forms

    def new_attempt(self) -> None:
        """Discard the response of a target that failed before anything was sent to the client."""
        self._upstream, self._upstream_times, self._upstream_size = [], [], 0

    def record_upstream(self, data: bytes) -> None:
        """Record a chunk of the upstream's response."""
        if self.enabled and self._upstream_size < self.limit + _OVERLAP_BYTES:
            self._upstream.append(data)
            self._upstream_times.append(time.perf_counter())
            self._upstream_size += len(data)

    def record_client(self, data: bytes) -> None:
        """Record a chunk of the client's response; not called on passthrough."""
        if self.enabled and self._client_size < self.limit + _OVERLAP_BYTES:
            self._client.append(data)
            self._client_times.append(time.perf_counter())
            self._client_size += len(data)

    def mask_requests(self) -> None:
        """Cut and mask the requests of this attempt ahead of `bodies`; runs in a thread."""
        for name in ("client_request", "upstream_request"):
            data = getattr(self, name)
            if data and len(data) > _SMALL_BYTES:
                masked_data = self._truncate_and_mask(name, data, [])
                assert masked_data is not None
                self._masked_requests[name] = data, self._redactors, masked_data

    def bodies(
        self,
        client_headers: Mapping[str, str],
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
        headers = (
            mask_credentials(client_headers),
            mask_credentials(self.upstream_headers),
            mask_credentials(
                {n.decode("latin-1"): v.decode("latin-1") for n, v in response_headers}
            ),
        )
        values = [*headers[0].values(), *headers[1].values(), *headers[2].values()]
        headers_data = "\n".join(values).encode("utf-8", "replace")
        parts = (self.client_request, upstream_request or b"", upstream, client)
        size = sum(map(len, parts))
        is_clean = (
            not self.masks
            and not self._masked_requests
            and (size <= self.limit or max(map(len, parts)) <= self.limit)
        )
        if is_clean and size <= _SMALL_BYTES:
            # One search in all of them costs less than one in each.
            has_header_secret = may_contain_secret(b"\n".join((*parts, headers_data)), self._forms)
            is_clean = not has_header_secret
        else:
            has_header_secret = may_contain_secret(headers_data, self._forms)
            is_clean = is_clean and not self._may_contain_secret(parts)
        if has_header_secret:
            for masked_headers in headers:
                self._redact_headers(masked_headers)
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
            upstream_chunks=self._recorded_chunks(self._upstream, self._upstream_times)
            if stream
            else [],
            client_chunks=self._recorded_chunks(self._client, self._client_times) if stream else [],
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
            data = data[: limit + _OVERLAP_BYTES]
        for redactor in self._redactors:
            data = redactor.redact(data)
        # Key-like text is masked to its end, even beyond the cut.
        return mask_secrets(data, self.masks)[:limit]

    def _recorded_chunks(self, chunks: list[bytes], times: list[float]) -> list[Chunk]:
        """The chunks that begin within the limit, with times since the start of the request."""
        start_time = self.started
        times_ms = [int((received_at - start_time) * 1e5 + 0.5) / 100 for received_at in times]
        sizes = list(map(len, chunks))
        if sum(sizes) > self.limit:
            starts = list(accumulate(sizes, initial=0))
            del sizes[bisect_left(starts, self.limit) :]
        return list(map(Chunk, times_ms, sizes))

    def _redact_headers(self, headers: dict[str, str]) -> None:
        """Mask the redactors' secrets in the values of headers."""
        for name, value in headers.items():
            data = value.encode("utf-8", "replace")
            for redactor in self._redactors:
                data = redactor.redact(data)
            headers[name] = data.decode("utf-8", "replace")


def mask_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with `***` for credentials."""
    masked_headers = dict(headers)
    if _HARMLESS_NAMES.issuperset(masked_headers):
        return masked_headers
    for name in masked_headers.keys() - _HARMLESS_NAMES:
        if is_secret_name(name):
            masked_headers[name] = MASK
        elif len(_HARMLESS_NAMES) < _MAX_HARMLESS_NAMES:
            _HARMLESS_NAMES.add(name)
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
    return apply_masks(data, masks) if masks else data


def mask_split(stream: bytes, redactors: tuple[Redactor, ...], masks: tuple[Mask, ...]) -> bytes:
    """Mask what is split across the deltas of a stream; the length is unchanged."""
    text = None if masks else sequential_text(stream)
    if text is not None and not may_contain_secret(text, _forms_of(redactors)):
        return stream
    for spans in [*interleaved_spans(stream), delta_spans(stream)]:
        stream = _mask_fragments(stream, spans, redactors, masks)
    return stream


def _forms_of(redactors: tuple[Redactor, ...]) -> tuple[bytes, ...]:
    return tuple(form for redactor in redactors for form in redactor.forms)


def _mask_fragments(
    stream: bytes, spans: list[Span], redactors: tuple[Redactor, ...], masks: tuple[Mask, ...]
) -> bytes:
    """Mask secrets, keys and matches of masks in a text whose fragments are at `spans`."""
    text = b"".join([stream[start:end] for start, end in spans])
    clean = text
    if may_contain_secret(text, _forms_of(redactors)):
        for redactor in redactors:
            clean = redactor.redact(clean)
        clean = _KEY.sub(lambda key: b"*" * len(key[0]), clean)
    clean = apply_masks(clean, masks)
    if clean == text:
        return stream
    masked_stream, offset = bytearray(stream), 0
    for start, end in spans:
        masked_stream[start:end] = clean[offset : offset + end - start]
        offset += end - start
    return bytes(masked_stream)
