"""A route as one value that can be kept, compared and edited: what a version holds.

Pure. A target names its model as `provider/model`, so that a document says the same in
another database.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.routing.limits import Budget, Limits


class TargetSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A target: `model` is `provider/model`; the rest as on `routing.snapshot.Target`."""

    model: str
    weight: float = 1.0
    enabled: bool = True
    timeouts: dict[str, float] = {}
    edits: tuple[dict[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    variant: str = ""
    limits: Limits = Limits()
    budget: Budget = Budget()


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A step: the fields are those of `routing.snapshot.Step`, in order of the document."""

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
    targets: tuple[TargetSpec, ...] = ()


class RouteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A route with its other names and its steps."""

    name: str
    aliases: tuple[str, ...] = ()
    steps: tuple[StepSpec, ...] = ()
    fallbacks: tuple[str, ...] = ()
    strict: bool = False
    enabled: bool = True
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
    cache: dict[str, Any] = {}


def as_json(spec: RouteSpec) -> dict[str, Any]:
    """The document as plain JSON values."""
    return msgspec.json.decode(msgspec.json.encode(spec), type=dict[str, Any])


def from_json(value: Any) -> RouteSpec:
    """A document from JSON. Raises ValueError where it is none."""
    try:
        return msgspec.convert(value, RouteSpec)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
