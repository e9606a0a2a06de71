"""Runs guardrails on the results of a batch while they are relayed, line by line.

A line that a guardrail blocks is replaced by an error of the same request, so that the other
results stay readable. Files that are not JSON lines are relayed as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.guardrails.body_texts import remove_tokens, replace_texts, texts_of
from gateway.relay.exchange.call import Call
from gateway.relay.passthrough.batches import MAX_LINE_BYTES
from gateway.relay.run.guardrails import check_texts, has_unchecked_values

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime


class BatchResultGuard:
    """Checks lines as they are complete; `feed` and `close` return what can be sent."""

    def __init__(self, runtime: Runtime, call: Call) -> None:
        self._runtime, self._call = runtime, call
        self._pending = bytearray()
        self._number = 0
        self._is_other_file = False

    async def feed(self, data: bytes) -> bytes:
        """Buffer a chunk; return the checked lines that it completes. Raises GatewayError."""
        if self._is_other_file:
            return data
        self._pending += data
        start = bytes(self._pending[:64]).lstrip()
        if self._number == 0 and start and not start.startswith(b"{"):
            self._is_other_file = True
            return self._take_pending()
        if b"\n" not in data:
            if len(self._pending) > MAX_LINE_BYTES:
                message = f"line {self._number + 1} of the file is too long to be checked"
                raise GatewayError(Error(kind="content_policy", message=message))
            return b""
        *lines, incomplete_line = self._take_pending().split(b"\n")
        self._pending = bytearray(incomplete_line)
        return b"".join([await self._check_line(line) + b"\n" for line in lines])

    async def close(self) -> bytes:
        """The last line, if it does not end with a newline. Raises GatewayError."""
        return await self._check_line(self._take_pending()) if self._pending else b""

    def _take_pending(self) -> bytes:
        data, self._pending = bytes(self._pending), bytearray()
        return data

    async def _check_line(self, line: bytes) -> bytes:
        self._number += 1
        try:
            result = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            return line
        path = _response_path(result)
        if path is None:
            return line
        outer, inner = path
        response = result[outer][inner]
        guard = self._call.guard
        if guard is not None and has_unchecked_values(guard.after, line, result):
            return msgspec.json.encode(_blocked_result(result, outer, _DUPLICATE_FIELD))
        try:
            texts = texts_of(response)
            if not texts:
                return line
            checked_texts, rewritten = await check_texts(
                self._runtime, self._call, "response", texts, document=response
            )
        except GatewayError as failure:
            return msgspec.json.encode(_blocked_result(result, outer, failure.error))
        except RecursionError:
            return msgspec.json.encode(_blocked_result(result, outer, _UNREADABLE))
        if rewritten is None and checked_texts is not texts:
            rewritten = replace_texts(response, checked_texts)
        if rewritten is None:
            return line
        checked_response = remove_tokens(rewritten)
        return msgspec.json.encode({**result, outer: {**result[outer], inner: checked_response}})


_UNREADABLE = Error(kind="content_policy", message="the response is nested too deeply")
_DUPLICATE_FIELD = Error(
    kind="content_policy", message="an object in the response has a field twice"
)


def _response_path(result: Any) -> tuple[str, str] | None:
    """Where a line has the model's response: OpenAI's format, or Anthropic's; None elsewhere."""
    if not isinstance(result, dict):
        return None
    for outer, inner in (("response", "body"), ("result", "message")):
        holder = result.get(outer)
        if isinstance(holder, dict) and isinstance(holder.get(inner), dict):
            return outer, inner
    return None


def _blocked_result(result: dict[str, Any], outer: str, error: Error) -> dict[str, Any]:
    """The line with an error instead of its response."""
    if outer == "response":
        error_body = {"code": error.code or error.kind, "message": error.message}
        return {**result, "response": None, "error": error_body}
    inner = {"type": "invalid_request_error", "message": error.message}
    return {**result, "result": {"type": "errored", "error": {"type": "error", "error": inner}}}
