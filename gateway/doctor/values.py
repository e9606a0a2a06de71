"""What the doctor asks and what it finds, as values."""

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
    """What came back for one request.

    Attributes:
        response: the whole answer; of a stream, what it folds to.
        events: the stream's events; empty for a whole answer.
        streamed: whether the answer came as a stream.
        error: the upstream's refusal, or how the call failed.
        report: what of the request could not be carried exactly.
        count: the tokens of a count.
        spent: the usage of this request and those before it, where it was told.
        before: what was reply of the request before, for a probe of two.
    """

    response: Response | None = None
    events: tuple[Event, ...] = ()
    streamed: bool = False
    error: Error | None = None
    report: tuple[Adaptation, ...] = ()
    count: int | None = None
    spent: tuple[Usage, ...] = ()
    before: ProbeReply | None = None


class Judgement(msgspec.Struct, frozen=True):
    """A verdict and the words for it: the upstream's own, where there are any."""

    verdict: Verdict
    message: str = ""


Judge = Callable[[ProbeReply], Judgement]
Follow = Callable[[Request, Response], Request | None]
Assume = Callable[[Traits], Mapping[str, Any]]


def assume_nothing(traits: Traits) -> Mapping[str, Any]:
    """Assume nothing: the request is written as the tables have the model."""
    return {}


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table: a question to a provider, and how the answer is judged.

    Attributes:
        name: its key, in reports and on the command line.
        group: the heading it stands under.
        title: the ability in question.
        asks: what is asked, for a person.
        judged: what counts as supported, for a person.
        request: the question; its model is filled in.
        judge: the verdict on an answer.
        assume: traits to write the request by, so that what the tables deny is still asked.
        carries: beginnings of paths that must arrive; if translation can not carry one,
            the provider has not been asked.
        follow: the second request, from the first and its answer; None if there is none.
        verb: what is called.
        model: the model to ask for in place of the target's own.
        errors: whether an error is what is being judged.
        deadline_s: seconds for all of its requests.
    """

    name: str
    group: str
    title: str
    asks: str
    judged: str
    request: Request
    judge: Judge
    assume: Assume = assume_nothing
    carries: tuple[str, ...] = ()
    follow: Follow | None = None
    verb: Verb = "generate"
    model: str = ""
    errors: bool = False
    deadline_s: float = 45.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one probe; `cost_usd` is None where it is not known."""

    name: str
    verdict: Verdict
    message: str = ""
    ms: float = 0.0
    input: int = 0
    output: int = 0
    cost_usd: float | None = None


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one model.

    Attributes:
        target: `provider/model`.
        dialect: the one its provider speaks.
        ms: how long it took.
        ended: `done`, or why there are not all findings: `silent` (not even a plain
            answer), `late` (the time for all was over), `stopped`.
    """

    target: str
    dialect: str
    findings: tuple[Finding, ...] = ()
    ms: float = 0.0
    ended: Literal["done", "silent", "late", "stopped"] = "done"

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts by the probe's name."""
        return {finding.name: finding.verdict for finding in self.findings}

    @property
    def cost_usd(self) -> float | None:
        """What it cost; None if that is known of no probe."""
        costs = [f.cost_usd for f in self.findings if f.cost_usd is not None]
        return sum(costs) if costs else None
