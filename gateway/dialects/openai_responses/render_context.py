"""The state of rendering one request for a Responses provider."""

from __future__ import annotations

from gateway.canon.adaptation import Adaptation, AdaptationReport
from gateway.canon.errors import Error, GatewayError
from gateway.canon.naming import assign_tool_names, render_tool_id
from gateway.canon.request import CacheBreakpoint, Request
from gateway.canon.traits import Traits
from gateway.dialects.openai_responses.names import NAMESPACE_SEPARATOR, Json, split_name
from gateway.dialects.shared.render_context import BaseRenderContext, tool_names_in

_LIMIT = 64
# Canonical TTL of a cache breakpoint <-> OpenAI's.
_TTL = {"5m": "30m", "1h": "12h"}


class ResponsesRenderContext(BaseRenderContext):
    """The request, the traits of its target, and the adaptations reported so far.

    Attributes:
        native: whether the client uses this dialect too: absent fields are intentional,
            and namespaces are kept.
        sent_names: the client's tool names -> those sent.
        hints: instructions to the model in place of fields that the target lacks.
        all_in_items: whether the instructions must be sent as an item.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        self.native = request.client_paths.get("turns") == "input"
        super().__init__(request, traits, keep_groups=self.native)
        self.report: AdaptationReport = AdaptationReport()
        self.hints: list[str] = []
        self.all_in_items = False
        self.sent_names = self._map_names(list(tool_names_in(request)))

    def _map_names(self, client_names: list[str]) -> dict[str, str]:
        """Names to send; names with a namespace stay unchanged for a client that uses them."""
        unchanged_names = {
            name: name for name in client_names if self.native and NAMESPACE_SEPARATOR in name
        }
        return (
            assign_tool_names(
                (name for name in client_names if name not in unchanged_names), _LIMIT
            )
            | unchanged_names
        )

    def _record(self, adaptation: Adaptation) -> None:
        if adaptation.path:
            self.report.add(adaptation)

    def sent_name(self, client_name: str) -> Json:
        """The fields that name a tool: its name and, where it is in one, its namespace."""
        sent = self.sent_names.get(client_name, client_name)
        namespace, name = split_name(sent)
        return {"name": name, "namespace": namespace} if namespace else {"name": name}

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn."""
        return render_tool_id(self.traits.tool_id_rule, client_id)

    def with_cache_breakpoint(self, part: Json, cache: CacheBreakpoint | None) -> Json:
        """The part with its cache breakpoint, where the target supports them."""
        if cache is None:
            return part
        if self.traits.cache == "breakpoints":
            ttl = _TTL.get(cache.ttl or "")
            point = {"mode": "explicit", "ttl": ttl} if ttl else {"mode": "explicit"}
            part["prompt_cache_breakpoint"] = point
        else:
            self.drop_cache_marks(cache)
        return part

    def _cache_drop_reason(self) -> str:
        if self.traits.cache == "implicit":
            return f"{self.model} caches implicitly"
        return f"{self.model} takes no cache breakpoints here"


def cache_in(part: Json) -> CacheBreakpoint | None:
    """The cache breakpoint of a client's part."""
    cache_breakpoint = part.get("prompt_cache_breakpoint")
    if not isinstance(cache_breakpoint, dict):
        return None
    return CacheBreakpoint(
        ttl=next(
            (ttl for ttl, openai_ttl in _TTL.items() if openai_ttl == cache_breakpoint.get("ttl")),
            None,
        )
    )


def refused(path: str, why: str) -> GatewayError:
    """The error for a value that the target does not accept in any form."""
    return GatewayError(Error(kind="unsupported_param", message=f"{path}: {why}", param=path))
