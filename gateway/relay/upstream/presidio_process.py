"""Presidio's analyzer in a process of its own, started at the first check that needs it.

One process analyzes the texts of this gateway process, one after the other. It ends with the
gateway, and is started again if it has ended by itself, or is stuck with a text.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

import gateway.guardrails

_WORKER = Path(gateway.guardrails.__file__).with_name("presidio_worker.py")
# The imports take two seconds, and longer on a busy machine.
START_S = 60.0
_MAX_REPLY_BYTES = 8 * 1024 * 1024
_MAX_CHARS = 1_000_000
# More than fast machines analyze: a longer text would not be ready in time, and delay others.
_MAX_CHARS_PER_S = 50_000
# Texts that the process has not read yet.
_MAX_PENDING_BYTES = 8 * 1024 * 1024
# A text that takes so much longer than it may is given up, with the process.
STUCK_S = 10.0


class PresidioError(Exception):
    """The analyzer cannot work, or has failed; the message does not quote the text."""


class PresidioProcess:
    """The analyzer's process; `analyze` starts it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        # Until when each text that was sent should be analyzed (unix seconds), oldest first.
        self._deadlines: dict[int, float] = {}
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Start the process unless it runs. Raises PresidioError."""
        async with self._starting:
            if self._is_running():
                return
            await self.close()
            try:
                async with asyncio.timeout(START_S):
                    await self._start()
            except TimeoutError:
                await self.close()
                raise PresidioError(f"the analyzer did not start within {START_S:.0f} s") from None
            except BaseException:
                await self.close()
                raise

    def _is_running(self) -> bool:
        if self._process is None or self._process.returncode is not None:
            return False
        if self._reader is None or self._reader.done():
            return False
        next_deadline = next(iter(self._deadlines.values()), None)
        return next_deadline is None or time.time() < next_deadline + STUCK_S

    async def _start(self) -> None:
        # Without -P, modules beside the program would hide packages of the same name.
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(_WORKER)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_MAX_REPLY_BYTES,
        )
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise PresidioError("the analyzer's process ended")
        if error := msgspec.json.decode(line).get("error"):
            raise PresidioError(str(error))
        self._reader = asyncio.create_task(self._read_replies(process.stdout))

    async def analyze(
        self,
        text: str,
        *,
        language: str,
        spacy_model: str,
        entities: tuple[str, ...],
        min_score: float,
        timeout_s: float,
    ) -> list[dict[str, Any]]:
        """The entities of a text, as the analyzer's HTTP service returns them.

        Call `start` first. Raises PresidioError.
        """
        max_chars = min(_MAX_CHARS, int(timeout_s * _MAX_CHARS_PER_S))
        if len(text) > max_chars:
            message = (
                f"the text has more than {max_chars:,} characters, too many for {timeout_s:g} s"
            )
            raise PresidioError(message)
        process = self._process
        if process is None or process.stdin is None or self._reader is None:
            raise PresidioError("the analyzer's process ended")
        if process.stdin.transport.get_write_buffer_size() > _MAX_PENDING_BYTES:
            raise PresidioError("too many texts wait for the analyzer")
        number, until = next(self._numbers), time.time() + timeout_s
        request = {
            "id": number,
            "text": text,
            "language": language,
            "spacy_model": spacy_model,
            "entities": entities,
            "min_score": min_score,
            "until": until,
        }
        self._deadlines[number] = until
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            await process.stdin.drain()
            reply = await future
        except (ConnectionError, RuntimeError):
            raise PresidioError("the analyzer's process ended") from None
        finally:
            self._replies.pop(number, None)
        if error := reply.get("error"):
            raise PresidioError(str(error))
        entities_found: list[dict[str, Any]] = reply["entities"]
        return entities_found

    async def _read_replies(self, output: asyncio.StreamReader) -> None:
        """Pass replies to their requests; a reply that nobody waits for is discarded."""
        try:
            # A reply that is too long or no JSON ends the task, and `start` starts another process.
            with contextlib.suppress(ValueError, ConnectionError, msgspec.MsgspecError):
                while line := await output.readline():
                    reply = msgspec.json.decode(line, type=dict[str, Any])
                    number = reply.get("id", 0)
                    self._deadlines.pop(number, None)
                    future = self._replies.get(number)
                    if future is not None and not future.done():
                        future.set_result(reply)
        finally:
            for future in self._replies.values():
                if not future.done():
                    future.set_exception(PresidioError("the analyzer's process ended"))

    async def close(self) -> None:
        """End the process; it can be started again."""
        process, reader = self._process, self._reader
        self._process = self._reader = None
        self._deadlines.clear()
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
