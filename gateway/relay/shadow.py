"""A share of a route's requests, repeated on another route after their answers.

The client has its answer by then and sees nothing of it. The repetition is a row of its
own in the log, which names the request it repeats; its cost counts under `shadow`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from gateway.relay.asker import SESSION_HEADERS
from gateway.relay.call import Call
from gateway.relay.unseen import answer, unseen

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

LABEL = "shadow"
# As many at a time in a process; what would be more is not repeated.
MOST = 16
WARN_S = 60.0


class Shadows:
    """Those under way in a process, and how many were let go for being too many."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        self._warned = 0.0

    def launch(self, runtime: Runtime, call: Call) -> None:
        """Repeat an answered call on the shadow of its route, if it is its turn."""
        route = call.route
        if route is None or runtime.draining or not _answered(call):
            return
        if random.random() >= route.shadow_share:  # noqa: S311
            return
        if len(self.tasks) >= MOST:
            self._drop()
            return
        other = call.snapshot.route(route.shadow)
        if other is None:
            return
        repeated = _repeated(runtime, call)
        task = asyncio.get_running_loop().create_task(answer(runtime, repeated))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _drop(self) -> None:
        self.dropped += 1
        now = time.monotonic()
        if now >= self._warned:
            self._warned = now + WARN_S
            log.warning(
                "requests are not repeated on a shadow route: too many are under way",
                extra={"dropped": self.dropped},
            )

    async def stop(self) -> None:
        """End those under way; their rows are written."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def launch(runtime: Runtime, call: Call) -> None:
    """Repeat an answered call on the shadow of its route, if it is its turn."""
    found = next((one for one in runtime.helpers if isinstance(one, Shadows)), None)
    if found is None:
        found = Shadows()
        runtime.helpers.append(found)
    found.launch(runtime, call)


def _answered(call: Call) -> bool:
    """Whether an upstream has answered it: a kept answer is nothing to compare with."""
    called = any(attempt.skipped is None for attempt in call.attempts)
    return call.verb == "generate" and call.outcome == "ok" and call.error is None and called


def _repeated(runtime: Runtime, call: Call) -> Call:
    assert call.route is not None
    other = call.snapshot.route(call.route.shadow)
    assert other is not None
    # Its session is the original's: there it would be told twice.
    headers = {n: value for n, value in call.headers.items() if n not in SESSION_HEADERS}
    made = unseen(runtime, LABEL, other, call.dialect, headers)
    made.shadow_of = call.id
    made.snapshot = call.snapshot
    made.body, made.fields, made.query = call.body, call.fields, call.query
    made.stream, made.framing, made.kept = call.stream, call.framing, call.kept
    made.model, made.endpoint = call.model, call.endpoint
    made.recorder.on = call.recorder.on
    made.recorder.client_request = call.body
    return made
