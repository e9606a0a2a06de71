"""Expected cost of an examination, before it runs."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from gateway.canon.request import Image, Request, without_paths
from gateway.canon.response import Usage
from gateway.doctor.probes import PROBES
from gateway.doctor.values import Probe
from gateway.relay.exchange.request_features import TOKENS_PER_IMAGE
from gateway.relay.exchange.usage import BYTES_PER_TOKEN
from gateway.routing.pricing import cost
from gateway.routing.snapshot import Model

# The usual output of a probe, in tokens: a few words, after some reasoning.
USUAL_OUTPUT = 150


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Requests and tokens, and US dollars if the prices are known.

    `usd` is the expected cost, `max_usd` the cost if every response has the maximum length.
    """

    probes: int
    requests: int
    input: int
    output: int
    max_output: int
    usd: Decimal | None
    max_usd: Decimal | None


def estimate(model: Model, probes: Iterable[Probe] = PROBES) -> Estimate:
    """Estimate the cost of these probes of a model."""
    rows = tuple(probes)
    times = {probe.name: 2 if probe.follow_up else 1 for probe in rows}
    read = sum(_estimate_tokens(probe.request) * times[probe.name] for probe in rows)
    max_output = sum((probe.request.max_output or 0) * times[probe.name] for probe in rows)
    expected_output = sum(
        min(USUAL_OUTPUT, probe.request.max_output or 0) * times[probe.name] for probe in rows
    )
    return Estimate(
        probes=len(rows),
        requests=sum(times.values()),
        input=read,
        output=expected_output,
        max_output=max_output,
        usd=cost(Usage(input=read, output=expected_output), model.price),
        max_usd=cost(Usage(input=read, output=max_output), model.price),
    )


def _estimate_tokens(request: Request) -> int:
    images = [p for turn in request.turns for p in turn.parts if isinstance(p, Image)]
    data = sum(len(image.data or "") for image in images)
    size = len(msgspec.json.encode(without_paths(request))) - data
    return size // BYTES_PER_TOKEN + len(images) * TOKENS_PER_IMAGE
