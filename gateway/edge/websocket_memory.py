"""The memory that the WebSockets of one API key take: for responses, and for waiting turns.

Responses with `store: false` exist only in their connection, which may be idle for an hour. A key
may have hundreds of connections, so the memory of all of them together is limited.
"""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakValueDictionary

from gateway.canon.errors import Error, GatewayError
from gateway.relay.exchange.stored_response import StoredResponse

# The newest response of each stream of a connection.
Responses = OrderedDict[str, StoredResponse]


class KeyMemory:
    """The memory of the connections of one key.

    Args:
        limit: bytes of responses, above which the oldest are dropped; also bytes of turns, above
            which further ones are rejected.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turn_bytes = 0
        self._response_bytes = 0
        # By connection and stream, the oldest first.
        self._sizes: OrderedDict[tuple[int, str], tuple[Responses, int]] = OrderedDict()

    def add_turn(self, size: int) -> None:
        """Count a turn that is waiting or running. Raises GatewayError (429) above the limit."""
        if self._turn_bytes and self._turn_bytes + size > self._limit:
            message = (
                "the requests in progress on the WebSockets of this API key are larger than "
                f"{self._limit} bytes"
            )
            raise GatewayError(Error(kind="rate_limit", message=message))
        self._turn_bytes += size

    def end_turn(self, size: int) -> None:
        """Count a turn no longer."""
        self._turn_bytes -= size

    def remember(self, responses: Responses, stream_id: str, response: StoredResponse) -> None:
        """Add the newest response of a stream to those of its connection."""
        self.forget(responses, stream_id)
        responses[stream_id] = response
        size = response.size
        self._sizes[id(responses), stream_id] = responses, size
        self._response_bytes += size
        while self._response_bytes > self._limit and len(self._sizes) > 1:
            oldest_responses, oldest_stream_id = next(
                (owner, name) for (_, name), (owner, _) in self._sizes.items()
            )
            self.forget(oldest_responses, oldest_stream_id)

    def forget(self, responses: Responses, stream_id: str) -> None:
        """Drop the response of a stream, if there is one."""
        responses.pop(stream_id, None)
        entry = self._sizes.pop((id(responses), stream_id), None)
        if entry is not None:
            self._response_bytes -= entry[1]

    def forget_all(self, responses: Responses) -> None:
        """Drop all responses of a connection."""
        for stream_id in list(responses):
            self.forget(responses, stream_id)


_memories: WeakValueDictionary[int, KeyMemory] = WeakValueDictionary()


def memory_of(key_id: int | None, limit: int) -> KeyMemory:
    """The memory that the open connections of a key share; those without a key share one."""
    memory = _memories.get(key_id or 0)
    if memory is None:
        memory = _memories[key_id or 0] = KeyMemory(limit)
    return memory
