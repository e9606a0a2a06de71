"""The dry run: a sample through the draft, with pretended failures, told step by step."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.dialects import OFFERED, title
from console.pages.routes.samples import SAMPLES, body
from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import GatewayError
from gateway.edge.admit import find_route
from gateway.relay import runtime
from gateway.relay.call import Call
from gateway.relay.lent import Unshown
from gateway.relay.rehearse import FAILURES, Rehearsal, Stage, Turn, call_of, rehearse
from gateway.routing.document import Document
from gateway.routing.plan import with_fallbacks
from gateway.routing.snapshot import ApiKey, Route, Snapshot
from gateway.store.routes import with_document

FAILURE_TITLES: dict[str, str | Promise] = {
    "429": gettext_lazy("429 rate limit"),
    "500": gettext_lazy("500 server error"),
    "529": gettext_lazy("529 overloaded"),
    "timeout": gettext_lazy("no answer in time"),
    "context_length": gettext_lazy("context too long"),
    "content_policy": gettext_lazy("refused by a content filter"),
}
_SHOWN = 12_000
_DRAWS = 25


class Line(NamedTuple):
    """A line of the trace: how it looks, its icon, title and words."""

    kind: str
    icon: str
    title: str
    words: str


@dataclass(slots=True)
class Trial:
    """What the panel was asked, and what came of it."""

    dialect: str = "anthropic_messages"
    sample: str = "text"
    model: str = ""
    target: str = ""
    failure: str = ""
    key: str = ""
    session: str = ""
    tags: str = ""
    rest: bool = False
    lines: list[Line] = field(default_factory=list)
    url: str = ""
    sent: str = ""
    headers: str = ""
    report: tuple[Adaptation, ...] = ()
    live: tuple[Unshown, ...] = ()
    passthrough: bool = False
    refused: str = ""

    @property
    def ran(self) -> bool:
        """Whether there is a result to show."""
        return bool(self.lines)


def trial_from(data: QueryDict) -> Trial:
    """What the panel says; names that are not known are those it opens with."""
    trial = Trial(
        model=data.get("dry-model", "").strip(),
        target=data.get("dry-target", ""),
        key=data.get("dry-key", ""),
        session=data.get("dry-session", "").strip()[:200],
        tags=data.get("dry-tags", "").strip()[:500],
        rest=data.get("dry-rest") == "1",
    )
    trial.dialect = _known(data.get("dry-dialect", ""), OFFERED, trial.dialect)
    trial.sample = _known(data.get("dry-sample", ""), SAMPLES, trial.sample)
    trial.failure = _known(data.get("dry-failure", ""), FAILURES, "")
    return trial


def _known(name: str, table: Container[str], otherwise: str) -> str:
    return name if name in table else otherwise


def run(trial: Trial, document: Document, snapshot: Snapshot, saved_name: str) -> None:
    """Fill in the result. Spends no token and touches no socket."""
    model = trial.model or document.name
    try:
        tried = with_document(snapshot, document, saved_name)
        key = next((k for k in tried.keys.values() if str(k.id) == trial.key), None)
        said = body(trial.dialect, trial.sample, model)
        call = call_of(tried, trial.dialect, said, _headers(trial))
        route = find_route(tried, key, model)
    except ValueError as error:
        trial.lines.append(Line("bad", "circle-x", _("The draft can not be used"), str(error)))
        return
    except GatewayError as refusal:
        title = _("Refused before any target")
        trial.lines.append(Line("bad", "circle-x", title, refusal.error.message))
        return
    trial.lines.append(_matched(document, route, model))
    trial.lines.append(_admitted(key))
    found = _rehearsed(trial, tried, route, key, call)
    trial.lines += [_turn(turn, found) for turn in found.turns]
    _end(trial, found)


def _headers(trial: Trial) -> dict[str, str]:
    told = {"x-dragoman-session": trial.session, "x-dragoman-tags": trial.tags}
    return {name: value for name, value in told.items() if value}


def _rehearsed(
    trial: Trial, snapshot: Snapshot, route: Route, key: ApiKey | None, call: Call
) -> Rehearsal:
    """Of the ways that draws by weight may lead, one past the target that is to fail."""
    found = None
    for seed in range(_DRAWS if trial.failure and trial.target else 1):
        this = rehearse(_stage(trial, snapshot, route, key, seed), call, route)
        if any(turn.outcome == "failed" for turn in this.turns):
            return this
        found = found or this
    assert found is not None
    return found


def _stage(trial: Trial, snapshot: Snapshot, route: Route, key: ApiKey | None, seed: int) -> Stage:
    """Who fails is who is called by that name: `*` stands for all of them."""
    live = runtime.current()
    targets = [t for r in with_fallbacks(snapshot, route) for t in r.targets]
    labels = {t.model.label for t in targets if trial.target in {t.model.label, "*"}}
    return Stage(
        snapshot=snapshot,
        health={} if live is None or trial.rest else dict(live.health),
        readings={} if live is None else dict(live.readings),
        now=time.monotonic(),
        draw=random.Random(seed).random,  # noqa: S311 - a repeatable draw, no secret
        pretended=dict.fromkeys(labels, trial.failure) if trial.failure else {},
        key=key,
        busy={} if live is None else dict(live.load.busy),
        fetches=settings.FETCH_MEDIA,
    )


def _matched(document: Document, route: Route, model: str) -> Line:
    if model == route.name:
        words = _("%s, by its name") % route.name
    elif model in document.aliases:
        words = _("%(route)s, by its other name %(name)s") % {"route": route.name, "name": model}
    else:
        words = _("%(route)s, by a pattern that fits %(name)s") % {
            "route": route.name,
            "name": model,
        }
    return Line("ok", "circle-check", _("Matched route"), words)


def _admitted(key: ApiKey | None) -> Line:
    words = _("%s may use it") % key.name if key else _("any key that may use the route")
    return Line("ok", "circle-check", _("Key policy"), words)


def _turn(turn: Turn, found: Rehearsal) -> Line:
    name = turn.candidate.target.model.name
    step = turn.candidate.step
    place = step.name if step is not None and step.name else ""
    if turn.candidate.owner is not found.call.route:
        place = _("fallback route %s") % turn.candidate.owner.name
    if turn.outcome == "chosen":
        words = _("chosen") + (f" · {place}" if place else "")
        return Line("pick", "arrow-right", name, words)
    words = turn.why if turn.error is None else _failure(turn)
    icon = "minus" if turn.outcome == "skipped" else "x"
    return Line(turn.outcome, icon, name, words + (f" · {place}" if place else ""))


def _failure(turn: Turn) -> str:
    assert turn.error is not None
    if turn.error.status is not None:
        return _("pretended to answer %(status)d, read as %(kind)s") % {
            "status": turn.error.status,
            "kind": turn.error.kind,
        }
    if turn.error.kind == "timeout":
        return _("pretended not to answer in time")
    return _("could not be asked: %s") % turn.why


def _end(trial: Trial, found: Rehearsal) -> None:
    if found.prepared is None or found.chosen is None:
        assert found.error is not None
        refusal = found.call.dialect.client.render_error(found.error, found.call.id)
        trial.refused = _pretty(refusal.body)
        words = _("status %(status)d, %(kind)s") % {
            "status": refusal.status,
            "kind": found.error.kind,
        }
        trial.lines.append(Line("bad", "circle-x", _("The client gets an error"), words))
        return
    provider = found.chosen.target.model.provider
    trial.report, trial.passthrough = found.report, found.prepared.rendered is None
    trial.live = found.live
    trial.url = provider.base_url + found.prepared.path
    trial.headers = "\n".join(f"{k}: {v}" for k, v in sorted(found.prepared.headers.items()))
    trial.sent = _pretty(msgspec.json.decode(found.prepared.content))
    trial.lines.append(_translation(trial, found.prepared.dialect.name))


def _translation(trial: Trial, upstream: str) -> Line:
    spoken = {name: title(name) for name in (trial.dialect, upstream)}
    if trial.passthrough:
        words = _("none needed: both speak %s") % spoken[upstream]
        return Line("ok", "circle-check", _("Translation"), words)
    words = f"{spoken[trial.dialect]} → {spoken[upstream]}"
    if not trial.report:
        return Line("ok", "circle-check", _("Translation"), words + _(", nothing lost"))
    more = _(", %d fields changed or dropped") % len(trial.report)
    return Line("warn", "triangle-alert", _("Translation"), words + more)


def _pretty(value: Any) -> str:
    text = json.dumps(_cut(value), indent=2, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "\n…"


def _cut(value: Any) -> Any:
    """The same with texts so long that nobody reads them shortened."""
    if isinstance(value, str) and len(value) > 600:
        return value[:300] + f"… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {name: _cut(item) for name, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value
