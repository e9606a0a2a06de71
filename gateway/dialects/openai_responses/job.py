"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, GatewayError
from gateway.canon.naming import tool_id, tool_names
from gateway.canon.request import Cache, Request
from gateway.canon.traits import Traits
from gateway.dialects.job import BaseJob, names_in
from gateway.dialects.openai_responses.names import IN, Json, split_name

_LIMIT = 64
# A cache mark's lifetime <-> that of an OpenAI breakpoint.
_TTL = {"5m": "30m", "1h": "12h"}


class Job(BaseJob):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        native: whether the client speaks this dialect too: what it left out it left out
            on purpose, and namespaces stay what they are.
        names: the client's tool names -> those sent.
        hints: sentences for the model that stand for fields the target does not know.
        all_in_items: whether the instructions have to stand among the items.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.native = request.at.get("turns") == "input"
        self.hints: list[str] = []
        self.all_in_items = False
        self.names = self._names(list(names_in(request)))

    def _names(self, told: list[str]) -> dict[str, str]:
        """Names to send; those in a namespace stay as they are for a client that has them."""
        kept = {name: name for name in told if self.native and IN in name}
        return tool_names((name for name in told if name not in kept), _LIMIT) | kept

    def _tell(self, item: Adaptation) -> None:
        if item.path and item not in self.report:
            self.report.append(item)

    def sent_name(self, client_name: str) -> Json:
        """The fields that name a tool: its name and, where it is in one, its namespace."""
        sent = self.names.get(client_name, client_name)
        namespace, name = split_name(sent)
        return {"name": name, "namespace": namespace} if namespace else {"name": name}

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn."""
        return tool_id(self.traits.tool_id_rule, client_id)

    def mark(self, part: Json, cache: Cache | None) -> Json:
        """The part with its cache mark, where the target takes marks."""
        if cache is None:
            return part
        if self.traits.cache == "breakpoints":
            ttl = _TTL.get(cache.ttl or "")
            point = {"mode": "explicit", "ttl": ttl} if ttl else {"mode": "explicit"}
            part["prompt_cache_breakpoint"] = point
        else:
            self.unmark(cache)
        return part

    def _why_unmarked(self) -> str:
        if self.traits.cache == "implicit":
            return f"{self.model} caches implicitly"
        return f"{self.model} takes no cache marks here"


def cache_in(part: Json) -> Cache | None:
    """The cache mark of a client's part."""
    point = part.get("prompt_cache_breakpoint")
    if not isinstance(point, dict):
        return None
    return Cache(ttl=next((ttl for ttl, word in _TTL.items() if word == point.get("ttl")), None))


def refused(at: str, why: str) -> GatewayError:
    """The error for a value that the target can not take in any form."""
    return GatewayError(Error(kind="unsupported_param", message=f"{at}: {why}", param=at))
