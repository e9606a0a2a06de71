"""Probes and findings of the doctor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error
from gateway.canon.events import Event
from gateway.canon.request import Request
from gateway.canon.response import Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import Verb

Verdict = Literal["supported", "refused", "wrong", "unclear"]
VERDICTS: tuple[Verdict, ...] = ("supported", "refused", "wrong", "unclear")


class ProbeReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to one request.

    Attributes:
        response: the complete response; for a stream, its folded events.
        events: the stream's events; empty for a response that was not streamed.
        streamed: whether the response was a stream.
        error: the upstream's error, or why the call failed.
        report: what translation could not render exactly.
        count: the result of a token count.
        usages: the known usage of this request and those before it.
        first_reply: the reply to the first request, for a probe with two requests.
    """

    response: Response | None = None
    events: tuple[Event, ...] = ()
    streamed: bool = False
    error: Error | None = None
    report: tuple[Adaptation, ...] = ()
    count: int | None = None
    usages: tuple[Usage, ...] = ()
    first_reply: ProbeReply | None = None


class Judgment(msgspec.Struct, frozen=True):
    """A verdict and its message: the upstream's own, if there is one."""

    verdict: Verdict
    message: str = ""


Judge = Callable[[ProbeReply], Judgment]
FollowUp = Callable[[Request, Response], Request | None]
Assume = Callable[[Traits], Mapping[str, Any]]


def keep_traits(traits: Traits) -> Mapping[str, Any]:
    """Assume nothing: the request is rendered with the model's traits."""
    return {}


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table: a request to a provider, and how the reply is judged.

    Attributes:
        name: its key, in reports and on the command line.
        group: the heading of its group.
        title: the capability in question.
        summary: a description of the request.
        criterion: a description of what counts as supported.
        request: the request; its model is filled in.
        judge: the verdict on a reply.
        assume: traits to render the request with, so that an unsupported capability is tested.
        required_paths: prefixes of paths that must be sent; if translation cannot render one,
            the capability is not tested.
        follow_up: builds the second request from the first and its response; None if none follows.
        verb: the verb of the call.
        model: the model to request instead of the target's own.
        expects_error: whether the probe is supported if the provider returns an error.
        deadline_s: seconds for all of its requests.
    """

    name: str
    group: str
    title: str
    summary: str
    criterion: str
    request: Request
    judge: Judge
    assume: Assume = keep_traits
    required_paths: tuple[str, ...] = ()
    follow_up: FollowUp | None = None
    verb: Verb = "generate"
    model: str = ""
    expects_error: bool = False
    deadline_s: float = 45.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one probe; `cost_usd` is None if unknown."""

    name: str
    verdict: Verdict
    message: str = ""
    ms: float = 0.0
    input: int = 0
    output: int = 0
    cost_usd: float | None = None


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """The findings on one model.

    Attributes:
        target: `provider/model`.
        dialect: the provider's dialect.
        ms: duration in milliseconds.
        ended: `done`, or why findings are missing: `no_response` (the plain response failed),
            `timed_out` (over the time limit), `stopped`.
    """

    target: str
    dialect: str
    findings: tuple[Finding, ...] = ()
    ms: float = 0.0
    ended: Literal["done", "no_response", "timed_out", "stopped"] = "done"

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts by the probe's name."""
        return {finding.name: finding.verdict for finding in self.findings}

    @property
    def cost_usd(self) -> float | None:
        """The cost of all probes; None if unknown for every probe."""
        costs = [f.cost_usd for f in self.findings if f.cost_usd is not None]
        return sum(costs) if costs else None
