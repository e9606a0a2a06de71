"""OpenAI's Responses with stored responses, which can be continued and deleted."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.fakes.openai import StrictOpenAI
from tests.fakes.script import Refusal
from tests.fakes.server import RecordedRequest, ResponseWriter

_PATH = "/v1/responses/"


class StatefulOpenAI(StrictOpenAI):
    """A stateful server; `stored` are the ids of its stored responses."""

    def __init__(self, key: str = "sk-upstream-remembering-0123456789") -> None:
        super().__init__(key)
        self.stored: set[str] = set()
        self._count = itertools.count(1)

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        if request.path == _PATH + "compact" and request.method == "POST":
            await out.reply(200, self._compacted(request.body))
            return True
        if request.method == "DELETE" and request.path.startswith(_PATH):
            name = request.path.removeprefix(_PATH)
            is_stored = name in self.stored
            self.stored.discard(name)
            await out.reply(200 if is_stored else 404, {"id": name, "deleted": is_stored})
            return True
        return await super().respond(request, out)

    def _in_the_body(self, request: RecordedRequest) -> Refusal | None:
        body = request.body
        if isinstance(body, dict) and body.get("previous_response_id") in self.stored:
            remaining_fields = {k: v for k, v in body.items() if k != "previous_response_id"}
            request = RecordedRequest(
                request.method,
                request.path,
                request.query,
                request.headers,
                _json(remaining_fields),
            )
        return super()._in_the_body(request)

    async def _respond(self, body: dict[str, Any], out: ResponseWriter) -> bool:
        name = f"resp_remembered_{next(self._count)}"
        if body.get("store", True):
            self.stored.add(name)
        return await super()._respond({**body, "as": name}, out)

    def _compacted(self, body: dict[str, Any]) -> dict[str, Any]:
        item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA-short"}
        usage = {
            "input_tokens": 40,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 45,
        }
        return {
            "id": "resp_compact_1",
            "object": "response.compaction",
            "created_at": 1_790_000_000,
            "output": [item],
            "usage": usage,
        }


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
