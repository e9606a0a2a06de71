"""Process-wide objects of the relay: registry, upstreams, health, journal, metrics.

Built lazily inside the running loop, since not every server sends `lifespan`.
Does not use the ORM: functions of the store are passed in (`Wiring`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import httpx
import msgspec

from gateway.canon.errors import Error, invalid
from gateway.providers.auth import headers_for, secrets_of
from gateway.providers.redact import Redactor, forms_of, is_secret_name, scrub
from gateway.relay.cache import store as cache_store
from gateway.relay.cache.store import MEMORY_BYTES
from gateway.relay.event_loop.monitor import LoopMonitor
from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.exchange.deadlines import DeadlineTicker
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.spool import UploadSpools
from gateway.relay.health.circuit_breaker import Breaker, TargetLoad
from gateway.relay.journal.journal import DISK_BYTES, RESERVE_BYTES, Journal
from gateway.relay.journal.metrics import Metrics, NodeValues, ProcessValues
from gateway.relay.limits.limiter import Limiter, budget_rules, remaining_budgets
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.relay.registry import Registry
from gateway.relay.state.reasoning import ReasoningStore
from gateway.relay.state.responses import ResponseStore
from gateway.relay.translate.media import MediaFetching
from gateway.relay.upstream.access_tokens import AccessTokens
from gateway.relay.upstream.client import Upstreams
from gateway.relay.upstream.http1 import FixedHeaders
from gateway.relay.wiring import Wiring as Wiring
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.latency import LatencyStats
from gateway.routing.snapshot import Provider, Snapshot

if TYPE_CHECKING:
    from gateway.relay.limits.redis_limiter import RedisLimiter
    from gateway.relay.wiring import BatchLedger

log = logging.getLogger(__name__)

# Expired log rows are deleted soon after the start, then every hour.
FIRST_UPKEEP_S = 60.0
UPKEEP_S = 3600.0
# The interpreter's switch interval: how long the loop waits for a busy thread, in seconds.
SWITCH_S = 0.0001
USER_AGENT = b"dragoman"
# How long a thread waits for a function that it runs in the loop.
IN_LOOP_S = 5.0
T = TypeVar("T")
# Number of uploads of the largest size that a process may store on disk.
UPLOADS_ON_DISK = 32


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration that the composition root reads from the settings.

    `pepper` keys the digests of API keys; `admin_digests` are those of the
    credentials that are also admin credentials. `allowed_hosts` and `trusted_origins`
    restrict which pages are served without a key.
    """

    data_dir: Path
    pepper: bytes
    admin_digests: tuple[bytes, ...] = ()
    max_body_bytes: int = 32 * 1024 * 1024
    max_request_items: int = 20_000
    max_upload_bytes: int = 128 * 1024 * 1024
    body_timeout_s: float = 30.0
    max_requests: int = 10_000
    allowed_hosts: tuple[str, ...] = ("*",)
    trusted_origins: tuple[str, ...] = ()
    drain_s: float = 30.0
    log_body_bytes: int = 1024 * 1024
    journal_items: int = 20_000
    journal_bytes: int = 64 * 1024 * 1024
    journal_disk_bytes: int = DISK_BYTES
    journal_reserve_bytes: int = RESERVE_BYTES
    redis_url: str = ""
    cache_bytes: int = MEMORY_BYTES
    fetch_media: bool = False
    model_echo: bool = True
    trace_headers: bool = True
    version: str = "0"


class BackgroundService(Protocol):
    """A service that runs next to the requests."""

    async def stop(self) -> None:
        """Stops it, and waits for its end."""


class RequestTemplates:
    """Prebuilt URLs and headers for providers of one snapshot."""

    _MAX_CACHED = 4096

    def __init__(self) -> None:
        self._urls: dict[tuple[int, str], httpx.URL] = {}
        self._headers: dict[int, list[tuple[bytes, bytes]]] = {}
        self._ready: dict[tuple[Any, ...], FixedHeaders] = {}

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
            return httpx.Headers([*fixed, *_pairs(extra)])
        key = (id(provider), *extra.items())
        ready = self._ready.get(key)
        if ready is None:
            if len(self._ready) >= self._MAX_CACHED:
                self._ready.clear()
            ready = self._ready[key] = FixedHeaders([*fixed, *_pairs(extra)])
        return ready


def join_url(base_url: str, path: str) -> httpx.URL:
    """The base URL with `path` after it.

    Raises:
        GatewayError: a URL parser would resolve another path (`..`): the segments are counted.
    """
    base, url = httpx.URL(base_url), httpx.URL(base_url + path)
    before = base.raw_path.rstrip(b"/")
    joined = url.raw_path.partition(b"?")[0]
    segments = before.count(b"/") + path.partition("?")[0].count("/")
    if not joined.startswith(before) or joined.count(b"/") != segments or url.host != base.host:
        raise invalid("the model or id in this request cannot be a part of a URL's path")
    return url


def provider_secrets(provider: Provider) -> tuple[str, ...]:
    """The secrets sent to a provider: its key, and secret headers and parameters."""
    pairs = (*provider.headers, *provider.query)
    secret_values = (value for name, value in pairs if is_secret_name(name))
    return (*secrets_of(provider.credential.reveal()), *secret_values)


def _pairs(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _fixed_headers(provider: Provider) -> list[tuple[bytes, bytes]]:
    return [
        (b"host", httpx.URL(provider.base_url).netloc),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", USER_AGENT),
        *headers_for(provider.auth, provider.credential),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in provider.headers),
    ]


class Runtime:
    """The shared state of a process's relay."""

    def __init__(
        self,
        config: Config,
        wiring: Wiring,
        snapshot: Snapshot,
        *,
        stored_at: float | None = None,
    ) -> None:
        self.config = config
        self._wiring = wiring
        self.snapshot = snapshot
        self.request_templates = RequestTemplates()
        self.upstreams = Upstreams()
        self.tokens = AccessTokens()
        # `media` is None if URLs from clients are never fetched.
        self.model_echo = config.model_echo
        self.media = MediaFetching(config.max_body_bytes) if config.fetch_media else None
        self.reasoning = ReasoningStore(
            find=wiring.find_reasoning, write=wiring.write_reasoning, close=wiring.close
        )
        self.breaker = _breaker(config)
        self.health: dict[str, CircuitState] = self.breaker.states
        self.load = TargetLoad()
        self.load.count_for(snapshot)
        # Services that are stopped before the journal is closed.
        self.services: list[BackgroundService] = []
        self.latency_stats: dict[str, LatencyStats] = {}
        self.metrics = Metrics(config.version)
        self.metrics.use_names(snapshot)
        sample = self._sample if self.metrics.multi_worker else None
        self.monitor = LoopMonitor(self.metrics.count_stall, sample)
        self.responses = ResponseStore(wiring.response_backend)
        self.background: set[asyncio.Task[Any]] = set()
        self.deadline_ticker = DeadlineTicker()
        # A drain is announced: unready, but new requests are still served.
        self.drain_announced = False
        self.draining = False
        max_spool_bytes = UPLOADS_ON_DISK * config.max_upload_bytes
        self.spools = UploadSpools(config.data_dir / "uploads", max_spool_bytes)
        # (provider, id) of batches that this process knows to be settled.
        self.settled: set[tuple[str, str]] = set()
        counters = SharedCounters(config.data_dir / "limits")
        self.redis_limiter = _redis_limiter(counters, config.redis_url)
        self.limiter: Limiter = self.redis_limiter or Limiter(counters)
        self.limiter.on_refused = self.metrics.count_refusal
        if self.redis_limiter is not None:
            self.redis_limiter.spend_sync.on_redis_reset = self.sync_spend_soon
        self.cache = cache_store.create_cache_store(
            config.pepper,
            config.cache_bytes,
            self.redis_limiter,
            wiring.read_cached,
            wiring.write_cached,
            wiring.close,
            wiring.cache_changes_since,
            config.data_dir / "cache" / "changed-1",
        )
        self.journal = Journal(
            config.data_dir / "journal",
            self._write,
            idle=self._index if wiring.idle is not None else None,
            max_items=config.journal_items,
            max_bytes=config.journal_bytes,
            max_disk_bytes=config.journal_disk_bytes,
            reserve_bytes=config.journal_reserve_bytes,
        )
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._secrets: tuple[str, ...] = ()
        self._secrets_of: Snapshot | None = None
        self._redactors: dict[int, Redactor] = {}
        processes = config.data_dir / "processes"
        self.registry = Registry(self, wiring, processes, stored_at)
        if wiring.upkeep is not None:
            RestartingThread("upkeep", self._keep_up, self._stop)

    def _write(self, batch: list[LogRecord]) -> int | None:
        """Writes a batch of log records; runs in the journal's thread."""
        with self.monitor.activity("log_writer"):
            self.metrics.flush()
            refused = self._wiring.write(batch)
        if self._wiring.checkpoint is not None:
            with self.monitor.activity("checkpoint"):
                self._wiring.checkpoint(batch)
        return refused

    def _index(self, seconds: float) -> int:
        """The journal's idle work."""
        assert self._wiring.idle is not None
        with self.monitor.activity("search_index"):
            return self._wiring.idle(seconds)

    def _sample(self) -> None:
        """Updates the gauges of this process, in the monitor's thread."""
        self.metrics.sample(self.process_values())

    def process_values(self) -> ProcessValues:
        """Metrics of this worker."""
        counters, status = self.journal.counters, self.journal.status
        return ProcessValues(
            max_requests=self.config.max_requests,
            spool_rows=self.journal.depth,
            disk_rows=status.on_disk,
            disk_bytes=status.disk_bytes,
            unrecorded_rows=status.unrecorded,
            rows_dropped=counters.rows_dropped,
            rows_refused=counters.rows_refused,
            bodies_dropped=counters.bodies_dropped,
            failed_batches=counters.failed_batches,
            loop_lag_s=self.monitor.lag_s,
        )

    async def node_values(self, targets: dict[str, int]) -> NodeValues:
        """Metrics that are the same in all workers of this node, with the targets' states."""
        rules = await asyncio.to_thread(budget_rules, self.snapshot)
        return NodeValues(
            version=self.snapshot.version,
            targets=targets,
            database_up=not self.registry.unavailable,
            redis_up=None if self.redis_limiter is None else self.redis_limiter.is_up,
            budgets=remaining_budgets(self.limiter.counters, rules, self.limiter.now()),
        )

    def secrets(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Provider credentials in use, in all encodings, to be removed from upstream messages."""
        if self._secrets_of is not snapshot:
            credentials = {s for p in snapshot.providers.values() for s in provider_secrets(p)}
            self._secrets = tuple(form for value in credentials for form in forms_of(value))
            self._redactors, self._secrets_of = {}, snapshot
        minted = self.tokens.secrets()
        return (*self._secrets, *(form for value in minted for form in forms_of(value)))

    def redactor(self, snapshot: Snapshot, provider: Provider) -> Redactor:
        """Masks the credentials that are sent to a provider."""
        if self._secrets_of is not snapshot:
            self.secrets(snapshot)
        redactor = self._redactors.get(id(provider))
        if redactor is None:
            redactor = self._redactors[id(provider)] = Redactor(provider_secrets(provider))
        return redactor

    def redacted(self, snapshot: Snapshot, error: Error) -> Error:
        """The error without secrets in any of its texts: it may quote the upstream."""
        secrets = self.secrets(snapshot)
        texts = {name: getattr(error, name) for name in ("message", "param", "code", "upstream_id")}
        clean = {name: scrub(text, secrets) if text else text for name, text in texts.items()}
        return error if clean == texts else msgspec.structs.replace(error, **clean)

    async def record_resources(self, provider: str, owner: int, ids: list[str]) -> None:
        """Records which resources a provider stores for a key, by the provider's ids."""
        if self._wiring.record_resources is not None and ids:
            await asyncio.to_thread(self._wiring.record_resources, provider, owner, ids)

    async def owned_resources(self, provider: str, owner: int, ids: list[str]) -> set[str]:
        """The ids among these that a provider stores for a key."""
        if self._wiring.owned_resources is None or not ids:
            return set()
        return await asyncio.to_thread(self._wiring.owned_resources, provider, owner, ids)

    @property
    def ledger(self) -> BatchLedger | None:
        """The ledger of batch costs; None without one."""
        return self._wiring.batch_ledger

    def sync_spend_soon(self) -> None:
        """Reads recorded spend soon: something was counted only in the database."""
        self.registry.sync_spend_soon()

    def swap(self, snapshot: Snapshot) -> None:
        """Replaces the registry from the next request on."""
        self.request_templates = RequestTemplates()
        self.snapshot = snapshot
        self.metrics.use_names(snapshot)
        self.load.count_for(snapshot)

    def begin_drain(self, deadline_s: float | None = None) -> None:
        """Makes the process unready, and stops running requests shortly before the deadline."""
        if self.draining:
            return
        self.draining = True
        allowed = self.config.drain_s if deadline_s is None else deadline_s
        self._loop.call_later(max(0.0, allowed - 0.5), self._end_all)

    def _end_all(self) -> None:
        for deadlines in list(self.deadline_ticker):
            deadlines.stop("drain")

    def run_in_loop(self, work: Callable[[], T]) -> T:
        """Runs a function in the loop's thread and returns its result; for other threads.

        Raises TimeoutError if the loop does not run it in time.
        """

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(IN_LOOP_S)

    async def close(self) -> None:
        """Writes pending log records, stops the services and closes the connections."""
        self._stop.set()
        self.monitor.stop()
        await self.registry.stop()
        for helper in self.services:
            await helper.stop()
        await self.cache.close()
        await asyncio.to_thread(self.journal.close)
        await self.responses.close()
        await asyncio.to_thread(self.reasoning.close)
        if self.redis_limiter is not None:
            await self.redis_limiter.close()
        self.limiter.counters.close()
        await self.breaker.stop()
        await self.upstreams.close()

    def _keep_up(self) -> None:
        """Runs the store's housekeeping at intervals, in a thread."""
        assert self._wiring.upkeep is not None
        wait = FIRST_UPKEEP_S
        while not self._stop.wait(wait):
            wait = UPKEEP_S
            try:
                with self.monitor.activity("housekeeping"):
                    self._wiring.upkeep()
            except Exception:
                log.exception("the log's housekeeping failed; it will be tried again")
            if self._wiring.close is not None:
                self._wiring.close()


def _breaker(config: Config) -> Breaker:
    path = config.data_dir / "breaker" / "states-1"
    if not config.redis_url:
        return Breaker(path)
    # Redis's library is slow to import, and most deployments do not use it.
    from gateway.relay.health.shared_circuit_breaker import RedisBreaker

    redis_breaker = RedisBreaker(path, config.redis_url)
    redis_breaker.start()
    return redis_breaker


def _redis_limiter(counters: SharedCounters, url: str) -> RedisLimiter | None:
    if not url:
        return None
    # Redis's library is slow to import, and most deployments do not use it.
    from gateway.relay.limits.redis_limiter import RedisLimiter

    redis_limiter = RedisLimiter(counters, url)
    redis_limiter.start()
    return redis_limiter


class _Installed:
    """The one runtime of the process, and how to create it."""

    runtime: Runtime | None = None
    config: Callable[[], Config] | None = None
    wiring: Wiring | None = None
    lock: asyncio.Lock | None = None
    loop: asyncio.AbstractEventLoop | None = None


def install(config: Callable[[], Config], wiring: Wiring) -> None:
    """Sets how to create the runtime; does not create it yet."""
    _Installed.runtime = None
    _Installed.config, _Installed.wiring = config, wiring


def current() -> Runtime | None:
    """The runtime, if it has been created."""
    return _Installed.runtime


async def ensure() -> Runtime:
    """The runtime; created in this loop if there is none or it belonged to another loop."""
    loop = asyncio.get_running_loop()
    if _Installed.runtime is not None and _Installed.loop is loop:
        return _Installed.runtime
    if _Installed.lock is None or _Installed.loop is not loop:
        _Installed.lock, _Installed.loop = asyncio.Lock(), loop
        _Installed.runtime = None
    async with _Installed.lock:
        if _Installed.runtime is None:
            if _Installed.wiring is None or _Installed.config is None:
                raise RuntimeError("runtime.install was not called")
            snapshot, stored_at = await asyncio.to_thread(_first_snapshot, _Installed.wiring)
            runtime = Runtime(_Installed.config(), _Installed.wiring, snapshot, stored_at=stored_at)
            if _Installed.wiring.recorded_spend is not None and stored_at is None:
                runtime.limiter.sync_spend(
                    await asyncio.to_thread(_Installed.wiring.recorded_spend, snapshot)
                )
            _Installed.runtime = runtime
            if _Installed.wiring.on_started is not None:
                _Installed.wiring.on_started(runtime)
            settle_process()
    return _Installed.runtime


def _first_snapshot(wiring: Wiring) -> tuple[Snapshot, float | None]:
    """The registry; if it cannot be read, the stored one and the time at which it was stored."""
    try:
        return wiring.load_snapshot(), None
    except Exception as error:
        if wiring.read_stored_snapshot is None:
            raise
        try:
            snapshot, stored_at = wiring.read_stored_snapshot()
        except Exception:
            raise error from None
        log.error(
            "the registry can not be read (%s): that of the data directory is used, %.0f s old",
            type(error).__name__,
            time.time() - stored_at,
        )
        return snapshot, stored_at


def settle_process() -> None:
    """Reduces delays of the loop by the garbage collector and by other threads.

    Frozen objects are not collected, which halves the p99 at 64 connections. Each of the loop's
    system calls releases the GIL: while the search index was being filled, the loop got it back
    after 5 ms, which is Python's default; eight calls took 44 ms at the p99, and now take 1.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    sys.setswitchinterval(SWITCH_S)
