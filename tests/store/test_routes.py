"""Routes as documents: what is saved is what is read, and concurrent edits are detected."""

from __future__ import annotations

import msgspec
import pytest

from gateway import models
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec, as_json, from_json
from gateway.store import load_snapshot
from gateway.store.routes import (
    Conflict,
    compile_route,
    current_state,
    restore_spec,
    save_route,
    spec_of,
    with_spec,
)
from tests.store import factories

pytestmark = pytest.mark.django_db

STEPS = (
    StepSpec(
        name="Primary",
        strategy="weighted",
        excludes=("images",),
        first_token_s=20.0,
        targets=(
            TargetSpec(model="openai/gpt-5", weight=70),
            TargetSpec(model="openai/gpt-5-mini", weight=30, timeouts={"idle_s": 5.0}),
        ),
    ),
    StepSpec(
        name="Fallback",
        fallback_on=("rate_limit", "context_length"),
        require_capabilities=True,
        max_context=1000,
        targets=(TargetSpec(model="openai/gpt-5", edits=({"op": "drop", "path": "seed"},)),),
    ),
)


@pytest.fixture(autouse=True)
def _known_models() -> None:
    provider = factories.provider()
    for name in ("gpt-5", "gpt-5-mini"):
        factories.model(name, provider)


def document(**changes: object) -> RouteSpec:
    base = RouteSpec(name="smart", aliases=("claude-*", "gpt-4o"), steps=STEPS, strict=True)
    return msgspec.structs.replace(base, **changes)


def number(row: models.Route) -> int:
    return current_state(models.Route.objects.get(pk=row.pk)).number


def save_document(row: models.Route | None = None, **changes: object) -> models.Route:
    loaded_number = number(row) if row is not None else 0
    return save_route(document(**changes), route=row, number=loaded_number, author="ada").route


def test_a_saved_document_round_trips() -> None:
    assert spec_of(save_document()) == document()


def test_a_document_survives_json() -> None:
    assert from_json(as_json(document())) == document()


def test_the_snapshot_has_what_the_document_compiles_to() -> None:
    save_document()
    snapshot = load_snapshot()
    live = snapshot.routes["smart"]
    draft = compile_route(document(), snapshot)
    targets = tuple(msgspec.structs.replace(t, id=0) for t in live.targets)
    assert msgspec.structs.replace(live, id=0, targets=targets) == draft
    assert not snapshot.warnings


def test_a_draft_in_the_snapshot_answers_to_its_names() -> None:
    row = save_document()
    draft = document(name="other", aliases=("o-*",))
    spec = with_spec(load_snapshot(), draft, replaces=row.name)
    assert spec.route("o-1") is spec.routes["other"]
    assert spec.route("smart") is None
    # Its old alias is a model's name again.
    assert "gpt-4o" not in spec.aliases


def test_a_route_without_steps_reads_as_before_and_as_one_step() -> None:
    gpt, mini = models.Model.objects.order_by("pk")
    row = factories.route("plain", mini)
    models.Target.objects.create(route=row, model=gpt, order=2)
    assert load_snapshot().routes["plain"].steps == ()
    (step,) = spec_of(row).steps
    assert [t.model for t in step.targets] == ["openai/gpt-5-mini", "openai/gpt-5"]


def test_groups_of_a_weighted_route_are_steps() -> None:
    gpt, mini = models.Model.objects.order_by("pk")
    row = factories.route("plain", mini, strategy="weighted")
    models.Target.objects.create(route=row, model=gpt, order=2)
    assert [step.strategy for step in spec_of(row).steps] == ["weighted", "weighted"]


def test_a_reversed_order_within_a_step_is_stored() -> None:
    row = save_document()
    turned = (msgspec.structs.replace(STEPS[0], targets=STEPS[0].targets[::-1]),)
    ids = {t.model.name: t.pk for t in row.targets.filter(order=1)}
    save_document(row, steps=turned)
    live = load_snapshot().routes["smart"].targets
    assert [t.model.name for t in live] == ["gpt-5-mini", "gpt-5"]
    assert {t.model.name: t.id for t in live} == ids


def test_every_save_creates_a_version_that_can_be_restored() -> None:
    row = save_document()
    save_document(row, strict=False)
    assert number(row) == 2
    back = restore_spec(row, 1)
    assert back == document()
    save_route(back, route=row, number=2, author="ada", note="back to 1")
    assert spec_of(models.Route.objects.get(pk=row.pk)).strict
    assert [v.number for v in models.RouteVersion.objects.of_route(row)] == [3, 2, 1]


def test_concurrent_edits_do_not_overwrite_each_other() -> None:
    row = save_document()
    save_document(row, strict=False)
    with pytest.raises(Conflict) as met:
        save_route(document(retries=5), route=row, number=1, author="vic")
    assert met.value.current.number == 2
    assert not met.value.current.spec.strict
    assert spec_of(models.Route.objects.get(pk=row.pk)).retries == 1


def test_an_external_change_is_a_separate_version() -> None:
    row = save_document()
    models.Route.objects.filter(pk=row.pk).update(retries=7)
    assert number(row) == 2
    with pytest.raises(Conflict):
        save_route(document(), route=row, number=1, author="ada")
    save_document(row)
    assert [v.saved_by for v in models.RouteVersion.objects.of_route(row)] == ["ada", "", "ada"]


def test_a_duplicate_name_is_refused_and_nothing_is_written() -> None:
    row = save_document()
    factories.route("taken")
    with pytest.raises(ValueError, match="has one of these names already"):
        save_document(row, name="taken", steps=())
    assert spec_of(models.Route.objects.get(pk=row.pk)) == document()


def test_a_new_name_is_followed_by_the_routes_that_fall_back_to_it() -> None:
    other = factories.route("other", fallbacks=["smart"])
    save_document(save_document(), name="smarter")
    other.refresh_from_db()
    assert other.fallbacks == ["smarter"]


def test_a_deleted_model_cannot_be_saved() -> None:
    steps = (StepSpec(targets=(TargetSpec(model="openai/gone"),)),)
    with pytest.raises(ValueError, match="openai/gone"):
        save_document(steps=steps)
    assert not models.Route.objects.all()


@pytest.mark.parametrize(
    ("invalid_value", "reason"),
    [
        ({"fallback_on": ["bad"]}, "fallback_on `bad` is not one of"),
        ({"requires": ["tools"], "excludes": ["tools"]}, "require and exclude"),
        ({"strategy": "best"}, "the strategy `best`"),
        ({"min_context": 10, "max_context": 5}, "greater than max_context"),
        ({"fallback_on": "timeout"}, "fallback_on must be a list"),
    ],
)
def test_an_invalid_step_is_omitted_with_its_targets(
    invalid_value: dict[str, object], reason: str
) -> None:
    row = save_document()
    models.Step.objects.filter(route=row, order=2).update(**invalid_value)
    snapshot = load_snapshot()
    assert [t.model.name for t in snapshot.routes["smart"].targets] == ["gpt-5", "gpt-5-mini"]
    assert reason in snapshot.warnings[0].reason
