"""Process-wide objects of the relay: registry, upstreams, health, journal, metrics.

`LazyRuntime` builds them inside the running loop. Does not use the ORM: functions of the store
are passed in (`Wiring`).
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from gateway.relay.cache import store as cache_store
from gateway.relay.cache.store import MEMORY_BYTES
from gateway.relay.event_loop.monitor import LoopMonitor
from gateway.relay.exchange.call import DeadlineTicker
from gateway.relay.exchange.spool import UploadSpools
from gateway.relay.health.circuit_breaker import Breaker, TargetLatency, TargetLoad
from gateway.relay.journal.gauges import process_values
from gateway.relay.journal.journal import DISK_BYTES, RESERVE_BYTES, Journal
from gateway.relay.journal.log_writer import LogWriter
from gateway.relay.journal.metrics import Metrics
from gateway.relay.limits.limiter import Limiter
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.relay.registry import Registry, RegistryStore
from gateway.relay.state.batch_guardrails import BatchGuardrails
from gateway.relay.state.client_spans import ClientSpans
from gateway.relay.state.database_threads import DatabaseThreads
from gateway.relay.state.reasoning import ReasoningStore
from gateway.relay.state.resource_owners import ResourceOwners
from gateway.relay.state.responses import ResponseStore
from gateway.relay.translate.media import MediaFetch
from gateway.relay.upstream.access_tokens import AccessTokens
from gateway.relay.upstream.client import ProviderSecrets, RequestTemplates, Upstreams
from gateway.relay.upstream.presidio_process import PresidioProcess
from gateway.relay.upstream.web_search import SearchEndpoint
from gateway.relay.wiring import Wiring
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.snapshot import Snapshot

if TYPE_CHECKING:
    from gateway.relay.limits.redis_limiter import RedisLimiter

log = logging.getLogger(__name__)

# The interpreter's switch interval: how long the loop waits for a busy thread, in seconds.
SWITCH_S = 0.0001
# How long a thread waits for a function that it runs in the loop.
IN_LOOP_S = 5.0
T = TypeVar("T")
# Number of uploads of the largest size that a process may store on disk.
UPLOADS_ON_DISK = 32


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration that the composition root reads from the settings.

    `pepper` keys the digests of API keys; `admin_digests` are those of the
    credentials that are also admin credentials. `allowed_hosts` and `trusted_origins`
    restrict which pages are served without a key. `max_large_body_bytes` limits the bodies of
    1 MB or more of all requests in progress together.
    """

    data_dir: Path
    pepper: bytes
    admin_digests: tuple[bytes, ...] = ()
    max_body_bytes: int = 32 * 1024 * 1024
    max_request_items: int = 20_000
    max_upload_bytes: int = 128 * 1024 * 1024
    body_timeout_s: float = 30.0
    max_requests: int = 10_000
    max_large_body_bytes: int = 1024 * 1024 * 1024
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
    web_search: SearchEndpoint | None = None
    max_choices: int = 128
    realtime_session_s: float = 3600.0
    realtime_idle_s: float = 900.0
    model_echo: bool = True
    trace_headers: bool = True
    default_provider: str = ""
    version: str = "0"


class BackgroundService(Protocol):
    """A service that runs next to the requests."""

    async def stop(self) -> None:
        """Stop the service, and wait until it has ended."""


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
        self.snapshot = snapshot
        self.request_templates = RequestTemplates()
        self.upstreams = Upstreams()
        self.tokens = AccessTokens()
        self.presidio = PresidioProcess()
        self.provider_secrets = ProviderSecrets(self.tokens)
        # `media` is None if URLs from clients are never fetched, `web_search` without an endpoint.
        self.model_echo = config.model_echo
        self.media = MediaFetch(config.max_body_bytes) if config.fetch_media else None
        self.web_search = config.web_search
        self.reasoning = ReasoningStore(
            find=wiring.reasoning.find if wiring.reasoning else None,
            write=wiring.reasoning.write if wiring.reasoning else None,
            close=wiring.close,
        )
        self.breaker = _create_breaker(config)
        self.health: dict[str, CircuitState] = self.breaker.states
        self.load = TargetLoad()
        self.load.count_for(snapshot)
        # Services that are stopped before the journal is closed.
        self.services: list[BackgroundService] = []
        self.latency = TargetLatency()
        self.metrics = Metrics(config.version)
        self.metrics.use_names(snapshot)
        self.telemetry = wiring.start_telemetry() if wiring.start_telemetry else None
        if self.telemetry is not None:
            self.telemetry.use_snapshot(snapshot)
        self.monitor = LoopMonitor(self.metrics.count_stall)
        self.responses = ResponseStore(wiring.responses)
        self.resource_threads = DatabaseThreads("resources", wiring.close)
        self.resource_owners = ResourceOwners(wiring.owners, self.resource_threads)
        self.client_spans = ClientSpans(wiring.write_spans)
        self.batch_ledger = wiring.batch_ledger
        self.batch_guardrails = BatchGuardrails(wiring.batch_guardrails, self.resource_threads)
        self.background: set[asyncio.Task[Any]] = set()
        self.deadline_ticker = DeadlineTicker()
        # A drain is announced: unready, but new requests are still served.
        self.drain_announced = False
        self.draining = False
        max_spool_bytes = UPLOADS_ON_DISK * config.max_upload_bytes
        self.spools = UploadSpools(config.data_dir / "uploads", max_spool_bytes)
        # (provider, id) of batches that this process knows to be settled.
        self.settled_batches: set[tuple[str, str]] = set()
        counters = SharedCounters(config.data_dir / "limits")
        self.redis_limiter = _redis_limiter(counters, config.redis_url)
        self.limiter: Limiter = self.redis_limiter or Limiter(counters)
        self.limiter.on_refused = self.metrics.count_refusal
        if self.redis_limiter is not None:
            self.redis_limiter.spend_sync.on_redis_reset = self._sync_spend_soon
        self.cache = cache_store.create_cache_store(
            config.pepper,
            config.cache_bytes,
            self.redis_limiter,
            wiring.cache,
            wiring.close,
            config.data_dir / "cache" / "changed-1",
        )
        self.log_writer = LogWriter(wiring.log, self.metrics, self.monitor, wiring.close)
        self.journal = _create_journal(config, self.log_writer)
        if self.metrics.multi_worker:
            self.monitor.sample = self._sample_gauges  # needs the journal
        self.loop = asyncio.get_running_loop()
        processes = config.data_dir / "processes"
        self.registry = Registry(self, wiring.registry, wiring.close, processes, stored_at)

    def _sample_gauges(self) -> None:
        """Update the gauges of this process, in the monitor's thread."""
        self.metrics.sample(process_values(self.journal, self.monitor, self.config.max_requests))

    def _sync_spend_soon(self) -> None:
        self.registry.sync_spend_soon()

    def swap(self, snapshot: Snapshot) -> None:
        """Replace the registry from the next request on."""
        self.request_templates = RequestTemplates()
        self.snapshot = snapshot
        self.metrics.use_names(snapshot)
        if self.telemetry is not None:
            self.telemetry.use_snapshot(snapshot)
        self.load.count_for(snapshot)
        self.upstreams.retire_unused({p.network for p in snapshot.providers.values()})

    def begin_drain(self, deadline_s: float | None = None) -> None:
        """Make the process unready, and stop running requests shortly before the deadline."""
        if self.draining:
            return
        self.draining = True
        drain_s = self.config.drain_s if deadline_s is None else deadline_s
        self.loop.call_later(max(0.0, drain_s - 0.5), self._end_all)

    def _end_all(self) -> None:
        for deadlines in list(self.deadline_ticker):
            deadlines.stop("drain")

    def run_in_loop(self, work: Callable[[], T]) -> T:
        """Run a function in the loop's thread and return its result; for other threads.

        Raises TimeoutError if the loop does not run it in time.
        """

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(IN_LOOP_S)

    async def close(self) -> None:
        """Write pending log records, stop the services and close the connections."""
        self.log_writer.stop()
        self.monitor.stop()
        await self.registry.stop()
        for helper in self.services:
            await helper.stop()
        await self.cache.close()
        await asyncio.to_thread(self.journal.close)
        if self.telemetry is not None:
            await asyncio.to_thread(self.telemetry.close)
        await self.responses.close()
        await self.resource_threads.close()
        await asyncio.to_thread(self.reasoning.close)
        if self.redis_limiter is not None:
            await self.redis_limiter.close()
        self.limiter.counters.close()
        await self.breaker.stop()
        await self.presidio.close()
        await self.upstreams.close()


def _create_journal(config: Config, log_writer: LogWriter) -> Journal:
    """Return the journal of the log records that `log_writer` writes to the database."""
    return Journal(
        config.data_dir / "journal",
        log_writer.write,
        idle=log_writer.idle_work,
        max_items=config.journal_items,
        max_bytes=config.journal_bytes,
        max_disk_bytes=config.journal_disk_bytes,
        reserve_bytes=config.journal_reserve_bytes,
    )


def _create_breaker(config: Config) -> Breaker:
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


class LazyRuntime:
    """The runtime of one application, created in its event loop on first use.

    Not every server sends `lifespan`, so that the first request may create it.

    Attributes:
        current: the runtime; None before the first use.
    """

    def __init__(self, config: Callable[[], Config], wiring: Wiring) -> None:
        self.current: Runtime | None = None
        self._config, self._wiring = config, wiring
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> Runtime:
        """The runtime; created if there is none or it belonged to another loop."""
        loop = asyncio.get_running_loop()
        if self.current is not None and self.current.loop is loop:
            return self.current
        if self._loop is not loop:
            self._loop, self._lock, self.current = loop, asyncio.Lock(), None
        async with self._lock:
            if self.current is None:
                self.current = await self._create_runtime()
        return self.current

    async def _create_runtime(self) -> Runtime:
        wiring = self._wiring
        snapshot, stored_at = await asyncio.to_thread(_first_snapshot, wiring.registry)
        runtime = Runtime(self._config(), wiring, snapshot, stored_at=stored_at)
        recorded_spend = wiring.registry.recorded_spend
        if recorded_spend is not None and stored_at is None:
            runtime.limiter.sync_spend(await asyncio.to_thread(recorded_spend, snapshot))
        if wiring.on_started is not None:
            wiring.on_started(runtime)
        reduce_loop_delays()
        return runtime


def _first_snapshot(store: RegistryStore) -> tuple[Snapshot, float | None]:
    """The registry; if it cannot be read, the stored one and the time at which it was stored."""
    try:
        return store.load_snapshot(), None
    except Exception as error:
        if store.read_stored_snapshot is None:
            raise
        try:
            snapshot, stored_at = store.read_stored_snapshot()
        except Exception:
            raise error from None
        log.error(
            "the registry cannot be read (%s): the copy in the data directory is used, %.0f s old",
            type(error).__name__,
            time.time() - stored_at,
        )
        return snapshot, stored_at


def reduce_loop_delays() -> None:
    """Reduce delays of the loop by the garbage collector and by other threads.

    Each of the loop's system calls releases the GIL: while the search index was being filled, the
    loop got it back after 5 ms, which is Python's default; eight calls took 44 ms at the p99, and
    now take 1.
    """
    sys.setswitchinterval(SWITCH_S)
    _freeze_objects()


@functools.cache
def _freeze_objects() -> None:
    """Exempt today's objects from collection, which halves the p99 at 64 connections.

    Once per process: frozen again by the runtime of another loop, the objects of the earlier
    runtime would never be freed. The garbage of a start, 0.5 MB, is not worth the 0.1 s that its
    collection takes.
    """
    gc.freeze()
    # The backlog of the journal has up to 20,000 objects: with a smaller threshold it is traversed
    # again and again, which took 2% of the loop's time.
    gc.set_threshold(50_000, 20, 50)
