"""What lives as long as the process: registry, upstreams, health, journal, metrics.

Built lazily inside the running loop, since not every server sends `lifespan`.
Knows no ORM: what it needs of the store comes in as functions (`Wiring`).
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
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import msgspec

from gateway.canon.errors import Error
from gateway.providers.auth import headers_for, secrets_of
from gateway.relay import cache_store
from gateway.relay.board import Board
from gateway.relay.breaker import Breaker
from gateway.relay.cache_heard import News
from gateway.relay.cache_shelf import Read, Write
from gateway.relay.cache_store import MEMORY_BYTES
from gateway.relay.call import Call
from gateway.relay.entry import Entry
from gateway.relay.http1 import FixedHeaders
from gateway.relay.journal import Idle, Journal
from gateway.relay.kept import Shelf
from gateway.relay.limiter import Limiter, Spent
from gateway.relay.load import Load
from gateway.relay.media import Fetching
from gateway.relay.metrics import Metrics
from gateway.relay.reasoning import Find, Keep, Memory
from gateway.relay.responses import Responses
from gateway.relay.spool import Spools
from gateway.relay.tokens import Tokens
from gateway.relay.upstream import Upstreams
from gateway.relay.watch import Watches
from gateway.routing.health import State
from gateway.routing.readings import Reading
from gateway.routing.snapshot import Provider, Route, Snapshot, Target

if TYPE_CHECKING:
    from gateway.relay.ledger import Ledger
    from gateway.relay.shared_limiter import SharedLimiter

log = logging.getLogger(__name__)

POLL_S = 0.4
# What has grown old in the log is deleted soon after the start, then every hour.
FIRST_UPKEEP_S = 60.0
# How often the database is asked what budgets have been spent, where there are any.
LEARN_S = 5.0
UPKEEP_S = 3600.0
# How long the loop waits for a thread that computes, in seconds.
SWITCH_S = 0.0001
USER_AGENT = b"dragoman"
# How many uploads of the largest size a process keeps on disk.
UPLOADS_ON_DISK = 32


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What the composition root reads from the settings.

    `pepper` keys the digests of API keys; `admin_digests` are those of the
    credentials that are also admin credentials.
    """

    data_dir: Path
    pepper: bytes
    admin_digests: tuple[bytes, ...] = ()
    max_body_bytes: int = 32 * 1024 * 1024
    max_upload_bytes: int = 128 * 1024 * 1024
    body_timeout_s: float = 30.0
    drain_s: float = 30.0
    log_body_bytes: int = 1024 * 1024
    journal_items: int = 20_000
    journal_bytes: int = 64 * 1024 * 1024
    redis_url: str = ""
    cache_bytes: int = MEMORY_BYTES
    fetch_media: bool = False
    version: str = "0"


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """The store as functions; the relay never imports it. Each runs in a thread."""

    load_snapshot: Callable[[], Snapshot]
    current_version: Callable[[], int]
    write: Callable[[list[Entry]], None]
    idle: Idle | None = None
    close: Callable[[], None] | None = None
    upkeep: Callable[[], object] | None = None
    spent: Callable[[Snapshot], Spent] | None = None
    responses: Shelf | None = None
    started: Callable[[Runtime], None] | None = None
    keep: Callable[[str, int, list[str]], None] | None = None
    kept: Callable[[str, int, list[str]], set[str]] | None = None
    batches: Ledger | None = None
    read_answer: Read | None = None
    write_answers: Write | None = None
    new_answers: News | None = None
    find_reasoning: Find | None = None
    keep_reasoning: Keep | None = None


class Helper(Protocol):
    """Something that runs beside the requests."""

    async def stop(self) -> None:
        """End it, and wait for its end."""


class Lines:
    """Ready-made URLs and headers for providers of one snapshot."""

    _MOST = 4096

    def __init__(self) -> None:
        self._urls: dict[tuple[int, str], httpx.URL] = {}
        self._headers: dict[int, list[tuple[bytes, bytes]]] = {}
        self._ready: dict[tuple[Any, ...], FixedHeaders] = {}

    def url(self, provider: Provider, path: str) -> httpx.URL:
        """The provider's base URL with `path` and the provider's query."""
        key = (id(provider), path)
        url = self._urls.get(key)
        if url is None:
            url = httpx.URL(provider.base_url + path)
            for name, value in provider.query:
                if name not in url.params:  # a path may say its own, as some of Azure's do
                    url = url.copy_add_param(name, value)
            if len(self._urls) >= self._MOST:
                self._urls.clear()
            self._urls[key] = url
        return url

    def headers(self, provider: Provider, extra: dict[str, str]) -> httpx.Headers:
        """Host, credential and fixed headers, and the request's own."""
        fixed = self._headers.get(id(provider))
        if fixed is None:
            fixed = self._headers[id(provider)] = _fixed_headers(provider)
        if "idempotency-key" in extra:  # another one each time
            return httpx.Headers([*fixed, *_pairs(extra)])
        key = (id(provider), *extra.items())
        ready = self._ready.get(key)
        if ready is None:
            if len(self._ready) >= self._MOST:
                self._ready.clear()
            ready = self._ready[key] = FixedHeaders([*fixed, *_pairs(extra)])
        return ready


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

    def __init__(self, config: Config, wiring: Wiring, snapshot: Snapshot) -> None:
        self.config = config
        self._wiring = wiring
        self.snapshot = snapshot
        self.lines = Lines()
        self.upstreams = Upstreams()
        self.tokens = Tokens()
        # None where no URL of a client's is ever opened.
        self.media = Fetching(config.max_body_bytes) if config.fetch_media else None
        self.reasoning = Memory(
            find=wiring.find_reasoning, keep=wiring.keep_reasoning, close=wiring.close
        )
        self.breaker = _breaker(config)
        self.health: dict[str, State] = self.breaker.states
        self.load = Load()
        self.load.watch(snapshot)
        # What runs beside the requests, and is stopped before the journal is closed.
        self.helpers: list[Helper] = []
        self.readings: dict[str, Reading] = {}
        self.metrics = Metrics(config.version)
        self.responses = Responses(wiring.responses)
        self.background: set[asyncio.Task[Any]] = set()
        self.watches = Watches()
        self.draining = False
        # Whether the last look at the registry failed: what is in use may be old.
        self.database_away = False
        most = UPLOADS_ON_DISK * config.max_upload_bytes
        self.spools = Spools(config.data_dir / "uploads", most)
        # (provider, id) of batches whose cost has been counted, as far as this process knows.
        self.settled: set[tuple[str, str]] = set()
        self._taught = 0.0
        board = Board(config.data_dir / "limits")
        self.shared = _shared(board, config.redis_url)
        self.limiter: Limiter = self.shared or Limiter(board)
        self.cache = cache_store.made(
            config.pepper,
            config.cache_bytes,
            self.shared,
            wiring.read_answer,
            wiring.write_answers,
            wiring.close,
            wiring.new_answers,
            config.data_dir / "cache" / "kept-1",
        )
        self.journal = Journal(
            config.data_dir / "journal",
            self._write,
            idle=wiring.idle,
            max_items=config.journal_items,
            max_bytes=config.journal_bytes,
        )
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._secrets: tuple[str, ...] = ()
        self._secrets_of: Snapshot | None = None
        self._poller = threading.Thread(target=self._poll, name="registry", daemon=True)
        self._poller.start()
        if wiring.upkeep is not None:
            threading.Thread(target=self._keep_up, name="upkeep", daemon=True).start()

    def _write(self, batch: list[Entry]) -> None:
        """In the journal's thread, which has the time that the loop has not."""
        self.metrics.flush()
        self._wiring.write(batch)

    async def admit(self, call: Call, route: Route, target: Target | None) -> Error | None:
        """Let a call past its limits to a target; why not, if only the provider is full.

        Raises GatewayError for a limit of its own. Waits only for Redis, where there is one.
        Without a target it is let past to an answer that has been kept. Raises Answered if
        Redis had one (`Call.passage`).
        """
        if self.shared is not None:
            return await self.shared.admit_shared(call, route, target)
        return self.limiter.admit(call, route, target)

    def secrets(self, snapshot: Snapshot) -> tuple[str, ...]:
        """The provider credentials in use, to be removed from upstreams' words."""
        if self._secrets_of is not snapshot:
            revealed = (p.credential.reveal() for p in snapshot.providers.values())
            self._secrets = tuple(part for value in revealed for part in secrets_of(value))
            self._secrets_of = snapshot
        return self._secrets

    async def keep(self, provider: str, owner: int, ids: list[str]) -> None:
        """Remember what a provider keeps for a key, by the provider's ids."""
        if self._wiring.keep is not None and ids:
            await asyncio.to_thread(self._wiring.keep, provider, owner, ids)

    async def kept(self, provider: str, owner: int, ids: list[str]) -> set[str]:
        """Which of these a provider keeps for a key."""
        if self._wiring.kept is None or not ids:
            return set()
        return await asyncio.to_thread(self._wiring.kept, provider, owner, ids)

    @property
    def ledger(self) -> Ledger | None:
        """Where the cost of batches is counted."""
        return self._wiring.batches

    def learn_soon(self) -> None:
        """Let the budgets look at the database again: something was counted there alone."""
        self._taught = 0.0

    def swap(self, snapshot: Snapshot) -> None:
        """Use another registry from the next request on."""
        self.lines = Lines()
        self.snapshot = snapshot
        self.load.watch(snapshot)

    def begin_drain(self, deadline_s: float | None = None) -> None:
        """Be unready from now on; end what still runs shortly before the deadline."""
        if self.draining:
            return
        self.draining = True
        allowed = self.config.drain_s if deadline_s is None else deadline_s
        self._loop.call_later(max(0.0, allowed - 0.5), self._end_all)

    def _end_all(self) -> None:
        for watch in list(self.watches):
            watch.stop("drain")

    async def close(self) -> None:
        """Write what is journalled and free the connections."""
        self._stop.set()
        for helper in self.helpers:
            await helper.stop()
        await self.cache.close()
        await asyncio.to_thread(self.journal.close)
        await self.responses.close()
        await asyncio.to_thread(self.reasoning.close)
        if self.shared is not None:
            await self.shared.close()
        self.limiter.board.close()
        await self.breaker.stop()
        await self.upstreams.close()

    def _poll(self) -> None:
        """Look for a new registry version; a database that is away changes nothing."""
        while not self._stop.wait(POLL_S):
            try:
                if self._wiring.current_version() != self.snapshot.version:
                    snapshot = self._wiring.load_snapshot()
                    self._teach(snapshot, at_once=True)
                    self._loop.call_soon_threadsafe(self.swap, snapshot)
                self._teach(self.snapshot)
                self._loop.call_soon_threadsafe(self.limiter.board.sweep)
                self.database_away = False
            except Exception:
                if not self.database_away:
                    log.exception("the registry could not be read; the last one stays in use")
                self.database_away = True
        if self._wiring.close is not None:
            self._wiring.close()

    def _keep_up(self) -> None:
        """The store's housekeeping, now and then, in a thread that may take its time."""
        assert self._wiring.upkeep is not None
        wait = FIRST_UPKEEP_S
        while not self._stop.wait(wait):
            wait = UPKEEP_S
            try:
                self._wiring.upkeep()
            except Exception:
                log.exception("the log's housekeeping failed; it will be tried again")
            if self._wiring.close is not None:
                self._wiring.close()

    def _teach(self, snapshot: Snapshot, *, at_once: bool = False) -> None:
        """Tell the limiter what the database says was spent, now and then."""
        began = time.monotonic()
        if self._wiring.spent is None or (began < self._taught and not at_once):
            return
        found = self._wiring.spent(snapshot)
        # A large table may take its time, but not all of the thread's.
        took_s = time.monotonic() - began
        self._taught = began + max(LEARN_S, 20 * took_s)
        if found:
            self._loop.call_soon_threadsafe(self.limiter.learn, found)


def _breaker(config: Config) -> Breaker:
    path = config.data_dir / "breaker" / "states-1"
    if not config.redis_url:
        return Breaker(path)
    # Redis's library is slow to import; most gateways have no use for it.
    from gateway.relay.shared_breaker import SharedBreaker

    made = SharedBreaker(path, config.redis_url)
    made.begin()
    return made


def _shared(board: Board, url: str) -> SharedLimiter | None:
    if not url:
        return None
    # Redis's library is slow to import; most gateways have no use for it.
    from gateway.relay.shared_limiter import SharedLimiter

    made = SharedLimiter(board, url)
    made.begin()
    return made


class _Holder:
    """The one runtime of the process, and how to make it."""

    runtime: Runtime | None = None
    config: Callable[[], Config] | None = None
    wiring: Wiring | None = None
    lock: asyncio.Lock | None = None
    loop: asyncio.AbstractEventLoop | None = None


def install(config: Callable[[], Config], wiring: Wiring) -> None:
    """Say how the runtime is made; nothing is made yet."""
    _Holder.runtime = None
    _Holder.config, _Holder.wiring = config, wiring


def current() -> Runtime | None:
    """The runtime, if it has been made."""
    return _Holder.runtime


async def ensure() -> Runtime:
    """The runtime; made in this loop if it is not there or belonged to another loop."""
    loop = asyncio.get_running_loop()
    if _Holder.runtime is not None and _Holder.loop is loop:
        return _Holder.runtime
    if _Holder.lock is None or _Holder.loop is not loop:
        _Holder.lock, _Holder.loop = asyncio.Lock(), loop
        _Holder.runtime = None
    async with _Holder.lock:
        if _Holder.runtime is None:
            if _Holder.wiring is None or _Holder.config is None:
                raise RuntimeError("runtime.install was not called")
            snapshot = await asyncio.to_thread(_Holder.wiring.load_snapshot)
            made = Runtime(_Holder.config(), _Holder.wiring, snapshot)
            if _Holder.wiring.spent is not None:
                made.limiter.learn(await asyncio.to_thread(_Holder.wiring.spent, snapshot))
            _Holder.runtime = made
            if _Holder.wiring.started is not None:
                _Holder.wiring.started(made)
            settle_process()
    return _Holder.runtime


def settle_process() -> None:
    """Keep the collector, and other threads, out of the loop's way.

    What stays is not collected, which halves the p99 at 64 connections. And each of the loop's
    system calls gives Python's lock away: where the search index is being filled it came back
    after 5 ms, which is Python's default; eight calls took 44 ms at the p99, and now take 1.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    sys.setswitchinterval(SWITCH_S)
