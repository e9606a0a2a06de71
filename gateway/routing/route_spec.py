"""The options of routes, steps and targets, each with its type and default; pure.

    RouteOptions   -> RouteSpec    in versions, the API and configuration files
                   -> Route        in the snapshot, for the hot path (`routing.snapshot`)
    StepOptions    -> StepSpec, RouteStep
    TargetOptions  -> TargetSpec, Target

The columns of `gateway.models.route` have the same names and defaults; a test compares them,
and the form of the console. A target of a spec names its model as `provider/model`, so that
a spec means the same in another database.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.routing.limits import Budget, Limits


class TargetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a target.

    Attributes:
        weight: share of the traffic among the targets of its step.
        tags: tags of the requests it serves; `default` serves those that match no other target.
        variant: label under which its responses are compared with those of other targets.
    """

    weight: float = 1.0
    tags: tuple[str, ...] = ()
    variant: str = ""
    limits: Limits = Limits()
    budget: Budget = Budget()


class TargetSpec(TargetOptions, frozen=True, kw_only=True):
    """A target of a spec: `model` is `provider/model`."""

    model: str
    enabled: bool = True
    timeouts: dict[str, float] = {}
    edits: tuple[dict[str, Any], ...] = ()


class StepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a step: its strategy, and the requests and errors that activate it.

    Attributes:
        name: a label.
        strategy: a key of STRATEGIES.
        fallback_on: keys of `candidates.ERROR_CLASSES`: the errors of the step above that
            activate it; empty is every retryable error.
        requires: keys of `candidates.CONDITIONS` that a request must have.
        excludes: keys of `candidates.CONDITIONS` that a request must not have.
        min_context: minimum estimated tokens of a request.
        max_context: maximum estimated tokens of a request.
        require_capabilities: skip targets that do not support what the request uses.
        first_token_s: the time until the first token before the next target is tried;
            None leaves it to the target's timeouts.
        tags: the request or its key must have one of these; empty is any request.
        active_hours: when the step is active, as `mon-fri 08:00-18:00 Europe/Berlin`
            (`routing.active_hours`).
    """

    name: str = ""
    strategy: str = "ordered"
    fallback_on: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    min_context: int | None = None
    max_context: int | None = None
    require_capabilities: bool = False
    first_token_s: float | None = None
    tags: tuple[str, ...] = ()
    active_hours: str = ""


class StepSpec(StepOptions, frozen=True, kw_only=True):
    """A step of a spec with its targets."""

    targets: tuple[TargetSpec, ...] = ()


class RouteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a route.

    Attributes:
        fallbacks: names of routes to try after its own targets.
        strict: reject with 400 what translation cannot carry exactly.
        hidden: leave it out of lists of models.
        log_bodies: store bodies; None follows the global setting.
        retries: how often a target is called again after a retryable error.
        retries_by_kind: retries by class of the error (keys of `candidates.ERROR_CLASSES`).
        retry_before_fallback: use a step's retries before the next step, not after all steps.
        backoff_s: the pause before the first retry; it doubles with each further one.
        max_wait_s: the longest Retry-After that is waited for; a longer one is returned.
        cooldown_s: how long a target is in cooldown.
        cooldown_after: failures in a row before the cooldown of a target.
        cooldown_after_by_kind: failures before a cooldown, by class of the error.
        fallbacks_by_kind: fallback routes for one class of error, tried before `fallbacks`.
        require_capabilities: skip targets that do not support what the request uses.
        tag_match: whether a target must have `any` or `all` of a request's tags.
        hedge_after_s: call a second target if the first has not started to respond by then.
        shadow: the route on which a share (`shadow_share`) of requests is repeated.
        health_check_interval_s: interval of health checks of its targets; None is never.
        default_max_output: overrides the model's for dialects that demand a limit.
        reasoning_field: the Chat field in which reasoning is shown.
        prompt_cache: the TTL, `5m` or `1h`, of the prompt-cache breakpoints set for clients that
            set none (`Traits.auto_cache`); empty sets none.
        guardrails: names of guardrails that check its requests and responses.
        web_search: run web searches for targets that have none, if the gateway has an endpoint.
    """

    fallbacks: tuple[str, ...] = ()
    strict: bool = False
    hidden: bool = False
    log_bodies: bool | None = None
    retries: int = 1
    retries_by_kind: dict[str, int] = {}
    retry_before_fallback: bool = False
    backoff_s: float = 0.25
    max_wait_s: float = 2.0
    cooldown_s: float = 5.0
    cooldown_after: int = 3
    cooldown_after_by_kind: dict[str, int] = {}
    fallbacks_by_kind: dict[str, tuple[str, ...]] = {}
    require_capabilities: bool = False
    tag_match: str = "any"
    hedge_after_s: float | None = None
    shadow: str = ""
    shadow_share: float = 0.0
    health_check_interval_s: float | None = None
    default_max_output: int | None = None
    reasoning_field: str = "reasoning_content"
    prompt_cache: str = ""
    guardrails: tuple[str, ...] = ()
    web_search: bool = True


class RouteSpec(RouteOptions, frozen=True, kw_only=True):
    """A route with its aliases and steps; `cache` is a `CachePolicy` as JSON, or empty."""

    name: str
    aliases: tuple[str, ...] = ()
    steps: tuple[StepSpec, ...] = ()
    enabled: bool = True
    cache: dict[str, Any] = {}


# First in JSON and YAML, for readability; the options follow.
_FIRST_FIELDS = ("name", "aliases", "steps", "fallbacks")


def as_json(spec: RouteSpec) -> dict[str, Any]:
    """The spec as plain JSON values."""
    value = msgspec.json.decode(msgspec.json.encode(spec), type=dict[str, Any])
    for step in value["steps"]:
        step["targets"] = [{"model": target["model"]} | target for target in step["targets"]]
    return {name: value[name] for name in _FIRST_FIELDS} | value


def from_json(value: Any) -> RouteSpec:
    """A spec from JSON. Raises ValueError for anything else."""
    try:
        return msgspec.convert(value, RouteSpec)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
