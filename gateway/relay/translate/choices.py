"""Requests for several choices (`n`) at targets that return fewer: how they are split; pure."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.request import Request
from gateway.canon.response import Usage, add_usage
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call
from gateway.relay.translate.prepare import upstream_dialect, uses_passthrough
from gateway.routing.snapshot import Target

# A request with none of these fields requests one choice.
CHOICE_FIELDS = frozenset({"n", "generationConfig"})


def split_choices(call: Call, target: Target) -> tuple[Request, ...]:
    """The requests to send instead, each for as many choices as one call returns.

    Empty if one call is enough. Raises GatewayError for a request that cannot be parsed.
    """
    exchange = call.exchange
    fields = exchange.fields
    if exchange.verb != "generate" or not (
        "n" in fields
        or ("generationConfig" in fields and offload.contains(exchange.body, (b"candidateCount",)))
    ):
        return ()
    dialect = upstream_dialect(call, target)
    if dialect.returns_choices == "passthrough" and uses_passthrough(call, target, dialect):
        return ()
    request = exchange.request
    count = request.sampling.n or 1
    per_call = max(1, target.model.traits.n_max) if dialect.returns_choices == "always" else 1
    if count <= per_call:
        return ()
    sizes = [min(per_call, count - start) for start in range(0, count, per_call)]
    return tuple(_with_count(request, index, size) for index, size in enumerate(sizes))


def _with_count(request: Request, index: int, size: int) -> Request:
    """The request for some of the choices; equal seeds would return equal choices."""
    sampling = request.sampling
    seed = None if sampling.seed is None else sampling.seed + index
    return replace(request, sampling=replace(sampling, n=size if size > 1 else None, seed=seed))


def sum_usage(usages: list[Usage | None]) -> Usage | None:
    """The tokens of all calls; None if those of one are unknown."""
    total = usages[0]
    for usage in usages[1:]:
        total = add_usage(total, usage)
    return total
