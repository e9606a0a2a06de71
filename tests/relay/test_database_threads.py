"""Database work that requests wait for does not wait behind other work in threads."""

from __future__ import annotations

import asyncio
import threading

from gateway.relay.state.batch_guardrails import BatchGuardrails, BatchGuardrailTable
from gateway.relay.state.database_threads import DatabaseThreads
from gateway.relay.state.resource_owners import OwnerTable, ResourceOwners

SLOW_JOBS = 64


async def test_owners_and_guardrails_do_not_wait_for_slow_work_in_the_default_threads() -> None:
    """The default threads also mask texts, encode media and fetch access tokens."""
    ended = threading.Event()
    slow_jobs = [asyncio.create_task(asyncio.to_thread(ended.wait, 60)) for _ in range(SLOW_JOBS)]
    threads = DatabaseThreads("resources", None)
    owners = ResourceOwners(
        OwnerTable(lambda *_: None, lambda _, __, ids: set(ids)),
        threads,
    )
    guardrails = BatchGuardrails(
        BatchGuardrailTable(lambda *_: None, lambda _, ids: {id_: ["pii"] for id_ in ids}),
        threads,
    )
    try:
        async with asyncio.timeout(20):
            await owners.record("openai", 1, ["file-1"])
            assert await owners.find_owned("openai", 1, ["file-1"]) == {"file-1"}
            await guardrails.record("openai", 1, "file-1", ["pii"])
            assert await guardrails.find("openai", ["file-1"]) == {"file-1": ["pii"]}
    finally:
        ended.set()
        await asyncio.gather(*slow_jobs)
        await threads.close()


async def test_the_connection_of_each_thread_is_closed() -> None:
    closed_by: set[str] = set()
    threads = DatabaseThreads("resources", lambda: closed_by.add(threading.current_thread().name))
    started = threading.Barrier(2)
    await asyncio.gather(*(threads.run(started.wait, 20) for _ in range(2)))
    await threads.close()
    assert closed_by == {"resources_0", "resources_1"}
