"""Route options are declared once; columns, values and forms have all of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console.pages.routes.forms import Draft, draft_from_spec, spec_from
from gateway.models import Route, Step, Target
from gateway.relay.exchange.log_record import LogRecord
from gateway.routing import snapshot
from gateway.routing.route_spec import (
    RouteOptions,
    RouteSpec,
    StepOptions,
    StepSpec,
    TargetOptions,
    TargetSpec,
    as_json,
    from_json,
)
from gateway.store.columns import columns

# Limits and budgets of a target are columns of their own (`gateway.models.limits`).
NESTED = {"limits", "budget"}
FULL = RouteSpec(
    name="full",
    aliases=("other",),
    steps=(StepSpec(name="first", targets=(TargetSpec(model="p/m", weight=2.0),)),),
    fallbacks=("backup",),
    strict=True,
    hidden=True,
    log_bodies=False,
    retries=2,
    retries_by_kind={"timeout": 3},
    retry_before_fallback=True,
    backoff_s=0.5,
    max_wait_s=3.0,
    cooldown_s=7.0,
    cooldown_after=4,
    cooldown_after_by_kind={"timeout": 2},
    fallbacks_by_kind={"timeout": ("backup",)},
    require_capabilities=True,
    tag_match="all",
    hedge_after_s=1.5,
    shadow="mirror",
    shadow_share=0.25,
    health_check_interval_s=60.0,
    default_max_output=100,
    web_search=False,
    reasoning_field="both",
    prompt_cache="1h",
    guardrails=("personal-data",),
    enabled=False,
    cache={"ttl_s": 60, "scope": "team"},
)


@pytest.mark.parametrize(
    ("options", "table"), [(RouteOptions, Route), (StepOptions, Step), (TargetOptions, Target)]
)
def test_each_option_is_a_column_with_the_same_default(options: Any, table: Any) -> None:
    differing = {}
    for field in msgspec.structs.fields(options):
        if field.name in NESTED:
            continue
        default = table._meta.get_field(field.name).get_default()
        declared = msgspec.json.decode(msgspec.json.encode(getattr(options(), field.name)))
        if declared != default:
            differing[field.name] = default
    assert not differing


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (RouteOptions, (RouteSpec, snapshot.Route)),
        (StepOptions, (StepSpec, snapshot.RouteStep)),
        (TargetOptions, (TargetSpec, snapshot.Target)),
    ],
)
def test_specs_and_snapshot_values_inherit_the_options(options: Any, values: Any) -> None:
    assert all(issubclass(value, options) for value in values)


def test_the_form_keeps_every_option() -> None:
    unchanged = [
        name
        for name in RouteSpec.__struct_fields__
        if getattr(FULL, name) == getattr(RouteSpec(name=""), name)
    ]
    assert not unchanged, "give it another value than the default"
    draft: Draft = draft_from_spec(FULL)
    assert spec_from(draft) == FULL
    assert not draft.errors


def test_route_json_starts_with_the_common_fields_and_round_trips() -> None:
    value = as_json(FULL)
    assert list(value)[:4] == ["name", "aliases", "steps", "fallbacks"]
    assert next(iter(value["steps"][0]["targets"][0])) == "model"
    assert from_json(value) == FULL


def test_a_log_record_has_every_column_of_the_log() -> None:
    # For metrics and for exported spans only; the others have tables of their own.
    elsewhere = {"chunk_gap_ms", "span_id", "bodies", "stored_response"}
    names = {"request_id" if n == "id" else n for n in LogRecord.__struct_fields__} - elsewhere
    assert names == set(columns().names)
