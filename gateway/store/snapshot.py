"""The registry's rows -> one immutable snapshot. An invalid row never prevents the others.

Rows that cannot be compiled, and the rows that depend on them, are skipped with a warning that
names the row; the rest is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from django.db import connection

from gateway import models
from gateway.dialects import DIALECTS
from gateway.models.sealed import UndecryptableError
from gateway.providers.auth import AUTH_SCHEMES
from gateway.providers.capabilities import declared_traits, edits_for, merge_traits, traits_for
from gateway.providers.catalog import resolve_preset
from gateway.providers.network import Network
from gateway.providers.prices import price_for
from gateway.providers.profile import Preset, Secret
from gateway.routing.cache_policy import CachePolicy, parse_cache_policy
from gateway.routing.snapshot import (
    Model,
    Provider,
    Route,
    RouteStep,
    RowWarning,
    Snapshot,
    Target,
    Timeouts,
)
from gateway.routing.strategies import STRATEGIES
from gateway.store import field_values, thread
from gateway.store.credentials import credential_of
from gateway.store.guardrails import guardrail_values
from gateway.store.key_values import (
    budget_value,
    by_digest,
    key_limits_value,
    key_value,
    limits_value,
    team_value,
    with_parents,
)
from gateway.store.model_prices import price_value
from gateway.store.network_values import network_value, network_warnings
from gateway.store.options import Options, load_options
from gateway.store.price_updates import apply_accepted_updates
from gateway.store.prompts import prompt_value, prompt_versions
from gateway.store.version import current_version

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=models.RegistryRow)
Value = TypeVar("Value")

REASONING_FIELDS = ("reasoning_content", "reasoning", "both", "reasoning_details", "none")


def load_snapshot(*, open_to_all: bool | None = None, log_bodies: bool | None = None) -> Snapshot:
    """The current registry. `open_to_all` and `log_bodies` override the settings.

    The version is read first: a concurrent change only causes another reload.
    """
    thread.refresh()
    compiler = _Compiler(current_version())
    apply_accepted_updates()
    options = load_options()
    compiler.options(options)
    snapshot = compiler.snapshot(
        open_to_all=settings.OPEN if open_to_all is None else open_to_all,
        log_bodies=options.log_bodies if log_bodies is None else log_bodies,
    )
    return msgspec.structs.replace(
        snapshot,
        masks=options.masks,
        markup=options.markup,
        limits=options.limits,
        budget=options.budget,
        end_user_limits=options.end_user_limits,
        end_user_budget=options.end_user_budget,
        end_users=options.end_users,
        end_user_headers=options.end_user_headers,
        tag_headers=tuple(options.values["tag_headers"].value),
    )


def current_snapshot() -> Snapshot:
    """The current registry, loaded only after a change: with 10,000 keys, loading takes 1 s.

    In a transaction it is always loaded, because the transaction's changes may be rolled back.
    """
    if connection.in_atomic_block:
        return load_snapshot()
    return snapshot_of_version(current_version(), is_open=settings.OPEN)


@lru_cache(maxsize=1)
def snapshot_of_version(version: int, *, is_open: bool) -> Snapshot:
    """The registry of this version, or of a newer one."""
    return load_snapshot(open_to_all=is_open)


def provider_value(row: models.Provider, entered_credential: str | None = None) -> Provider:
    """A provider's value from its row, saved or not; `entered_credential` is not stored yet.

    Raises:
        ValueError: the row is invalid; the message is for the operator.
    """
    return _Compiler(0)._compile_provider(row, entered_credential)


def snapshot_of_models(rows: Iterable[models.Model]) -> Snapshot:
    """A snapshot of these models alone, as far as they can be used."""
    compiler = _Compiler(0)
    enabled_rows = [row for row in rows if row.enabled and row.provider.enabled]
    providers = {row.provider_id: row.provider for row in enabled_rows}
    compiler.providers = compiler._compile_rows(providers.values(), compiler._compile_provider)
    compiled_models = compiler._compile_rows(enabled_rows, compiler._compile_model)
    return Snapshot(version=0, models={model.label: model for model in compiled_models.values()})


class _Compiler:
    """One pass over the tables; the values compiled so far, by row id."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.warnings: list[RowWarning] = []
        self.broken: set[tuple[type[models.RegistryRow], int]] = set()
        self.providers: dict[int, Provider] = {}
        self.models: dict[int, Model] = {}
        self.targets: dict[int, list[Target]] = {}
        self.steps: dict[int, list[RouteStep]] = {}
        self.routes: dict[int, Route] = {}

    def options(self, options: Options) -> None:
        """Add warnings for invalid settings."""
        self.warnings += [
            RowWarning(row=f"setting `{name}`", reason=value.problem)
            for name, value in options.values.items()
            if value.problem
        ]

    def snapshot(self, *, open_to_all: bool, log_bodies: bool) -> Snapshot:
        self.providers = self._compile_rows(models.Provider.objects.live(), self._compile_provider)
        with_provider = models.Model.objects.live().select_related("provider")
        self.models = self._compile_rows(with_provider, self._compile_model)
        self._compile_targets()
        self._compile_steps()
        self.routes = self._compile_rows(models.Route.objects.live(), self._compile_route)
        routes = {route.name: route for route in self.routes.values()}
        aliases, wildcards = self._compile_aliases()
        reserved_names, reserved_patterns = _uncompiled_names(
            {*routes, *aliases, *(pattern for pattern, _ in wildcards)}
        )
        rows = models.ApiKey.objects.live()
        team_rows = list(models.Team.objects.all())
        teams = with_parents(team_rows, self._compile_rows(team_rows, team_value))
        keys = self._compile_rows(rows, lambda row: key_value(row, teams))
        guardrails, disabled_guardrails = guardrail_values(models.Guardrail.objects.in_order())
        self.warnings += [
            RowWarning(row=f"guardrail `{name}`", reason=guardrail.fault)
            for name, guardrail in guardrails.items()
            if guardrail.fault
        ]
        versions = prompt_versions()
        prompts = self._compile_rows(
            models.Prompt.objects.all(), lambda row: prompt_value(row, versions.get(row.pk, []))
        )
        return Snapshot(
            version=self.version,
            routes={name: self._drop_unknown_routes(r, routes) for name, r in routes.items()},
            aliases=aliases,
            wildcards=wildcards,
            models={model.label: model for model in self.models.values()},
            providers={provider.name: provider for provider in self.providers.values()},
            keys=by_digest(rows, keys),
            known_models=settings.KNOWN_MODELS,
            reserved_names=reserved_names,
            reserved_patterns=reserved_patterns,
            open=open_to_all,
            log_bodies=log_bodies,
            guardrails=guardrails,
            disabled_guardrails=frozenset(disabled_guardrails),
            prompts={prompt.name: prompt for prompt in prompts.values()},
            warnings=tuple(self.warnings),
        )

    def _compile_rows(
        self, rows: Iterable[Row], compile_row: Callable[[Any], Value | None]
    ) -> dict[int, Value]:
        values = {}
        for row in rows:
            value = self._try_compile(row, compile_row)
            if value is not None:
                values[row.pk] = value
        return values

    def _try_compile(self, row: Row, compile_row: Callable[[Any], Value | None]) -> Value | None:
        try:
            return compile_row(row)
        except ValueError as error:
            self._leave_out(row, str(error))
        except Exception as error:
            log.exception("a row of the registry could not be compiled")
            self._leave_out(row, f"it cannot be used ({type(error).__name__})")
        return None

    def _leave_out(self, row: models.RegistryRow, reason: str) -> None:
        self.broken.add((type(row), row.pk))
        self._warn(row, reason)

    def _warn(self, row: models.RegistryRow, reason: str) -> None:
        kind = str(row._meta.verbose_name)
        ref = f" ({row.source_ref})" if row.source_ref else ""
        self.warnings.append(RowWarning(row=f"{kind} `{row}`{ref}", reason=reason))

    def _compile_provider(
        self, row: models.Provider, entered_credential: str | None = None
    ) -> Provider:
        preset = _preset_of(row)
        field_values.check_provider_name(row.name)
        auth = field_values.check_choice(row.auth or preset.auth, AUTH_SCHEMES, "auth")
        credential = (
            self._credential_of(row) if entered_credential is None else Secret(entered_credential)
        )
        field_values.check_credential(auth, credential)
        query = preset.query if row.query is None else field_values.query(row.query)
        return Provider(
            id=row.pk or 0,
            name=row.name,
            preset=preset.name,
            dialect=field_values.check_choice(row.dialect or preset.dialect, DIALECTS, "dialect"),
            base_url=field_values.base_url(row.base_url or preset.base_url),
            auth=auth,
            credential=credential,
            headers=field_values.headers(preset.headers, row.headers),
            query=query,
            paths=field_values.paths(preset.paths, row.paths),
            model_in_path=preset.model_in_path,
            body=preset.body,
            passthrough=preset.passthrough if row.passthrough is None else row.passthrough,
            edits=(*preset.edits, *field_values.edits(row.edits)),
            timeouts=field_values.timeouts(Timeouts(), row.timeouts),
            drop_params=row.drop_params,
            client_credential=_sends_client_credential(row, auth),
            limits=limits_value(row),
            budget=budget_value(row),
            markup=row.markup,
            network=self._compile_network(row),
        )

    def _compile_network(self, row: models.Provider) -> Network | None:
        network = network_value(row)
        for warning in network_warnings(network):
            self._warn(row, warning)
        return network

    def _credential_of(self, row: models.Provider) -> Secret:
        """A missing variable is only a warning: the provider may work without one."""
        try:
            return Secret(credential_of(row))
        except UndecryptableError:
            raise
        except LookupError as error:
            self._warn(row, f"{error.args[0]}; it is used without a credential")
            return Secret("")

    def _compile_model(self, row: models.Model) -> Model | None:
        provider = self.providers.get(row.provider_id)
        if provider is None:
            self._leave_out_dependent(row, row.provider)
            return None
        if not row.name:
            raise ValueError("it has no name")
        name, preset = row.name, provider.preset
        return Model(
            id=row.pk,
            provider=provider,
            name=name,
            traits=merge_traits(merge_traits(traits_for(preset, name), row.learned), row.traits),
            declared_traits=declared_traits(preset, name).union(row.learned, row.traits),
            price=price_value(price_for(preset, name), row),
            edits=(*edits_for(preset, name), *field_values.edits(row.edits)),
        )

    def _leave_out_dependent(self, row: models.RegistryRow, base: models.RegistryRow) -> None:
        """Leave out a row whose base row is missing; no warning if that one is only disabled."""
        if (type(base), base.pk) in self.broken:
            self._leave_out(row, f"its {base._meta.verbose_name} `{base}` was skipped")

    def _compile_targets(self) -> None:
        rows = models.Target.objects.live().select_related("route", "model__provider")
        for row in rows.order_by("order", "position", "pk"):
            target = self._try_compile(row, self._compile_target)
            if target is not None:
                self.targets.setdefault(row.route_id, []).append(target)

    def _compile_target(self, row: models.Target) -> Target | None:
        model = self.models.get(row.model_id)
        if model is None:
            self._leave_out_dependent(row, row.model)
            return None
        if not row.weight >= 0:
            raise ValueError("its weight must not be negative")
        return Target(
            id=row.pk,
            model=model,
            weight=row.weight,
            order=row.order,
            timeouts=field_values.timeouts(model.provider.timeouts, row.timeouts)
            if row.timeouts
            else None,
            edits=field_values.edits(row.edits),
            tags=field_values.tags(row.tags),
            variant=row.variant,
            limits=limits_value(row),
            budget=budget_value(row),
        )

    def _compile_steps(self) -> None:
        """Compile the steps; an invalid step is skipped together with its targets."""
        for row in models.Step.objects.select_related("route").order_by("order"):
            step = self._try_compile(row, _compile_step)
            if step is not None:
                self.steps.setdefault(row.route_id, []).append(step)
            elif row.route_id in self.targets:
                other_targets = [t for t in self.targets[row.route_id] if t.order != row.order]
                self.targets[row.route_id] = other_targets

    def _compile_route(self, row: models.Route) -> Route:
        targets = tuple(self.targets.get(row.pk, ()))
        fallbacks = field_values.texts(row.fallbacks, "fallbacks")
        if not row.name:
            raise ValueError("it has no name")
        if not targets and not fallbacks:
            raise ValueError("it has no usable target")
        options = {name: getattr(row, name) for name in field_values.ROUTE_OPTIONS}
        options = field_values.route_options(options)
        options["cooldown_s"] = max(row.cooldown_s, 0.0)
        field_values.check_choice(row.reasoning_field, REASONING_FIELDS, "the reasoning field")
        return Route(
            id=row.pk,
            name=row.name,
            targets=targets,
            strategy=field_values.check_choice(row.strategy, STRATEGIES, "the strategy"),
            steps=tuple(self.steps.get(row.pk, ())),
            fallbacks=fallbacks,
            limits=limits_value(row),
            key_limits=key_limits_value(row),
            **options,
            cache=self._compile_cache_policy(row),
            cache_generation=row.cache_generation,
        )

    def _compile_cache_policy(self, row: models.Route) -> CachePolicy | None:
        """The cache policy of a route; an invalid one disables its cache with a warning."""
        try:
            return parse_cache_policy(row.cache)
        except ValueError as error:
            self._warn(row, f"{error}; its response cache is off")
            return None

    def _drop_unknown_routes(self, route: Route, routes: dict[str, Route]) -> Route:
        fallback_names = [
            *route.fallbacks,
            *(n for names in route.fallbacks_by_kind.values() for n in names),
        ]
        unknown = [name for name in dict.fromkeys(fallback_names) if name not in routes]
        shadow_missing = bool(route.shadow) and route.shadow not in routes
        if not unknown and not shadow_missing:
            return route
        route_label = f"route `{route.name}`"
        self.warnings += [
            RowWarning(row=route_label, reason=f"its fallback `{name}` is not a route")
            for name in unknown
        ]
        if shadow_missing:
            reason = f"its shadow `{route.shadow}` is not a route"
            self.warnings.append(RowWarning(row=route_label, reason=reason))
        by_kind = {
            name: tuple(n for n in names if n in routes)
            for name, names in route.fallbacks_by_kind.items()
        }
        return msgspec.structs.replace(
            route,
            fallbacks=tuple(name for name in route.fallbacks if name in routes),
            fallbacks_by_kind={name: names for name, names in by_kind.items() if names},
            shadow="" if shadow_missing else route.shadow,
        )

    def _compile_aliases(self) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
        exact: dict[str, str] = {}
        wildcards: list[tuple[str, str]] = []
        for row in models.Alias.objects.live().select_related("route"):
            route = self.routes.get(row.route_id)
            if route is None:
                self._leave_out_dependent(row, row.route)
            elif field_values.is_pattern(row.pattern):
                wildcards.append((row.pattern, route.name))
            else:
                exact[row.pattern] = route.name
        return exact, tuple(sorted(wildcards, key=lambda pair: field_values.specificity(pair[0])))


def _uncompiled_names(usable: Collection[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names, and patterns, of the routes and aliases that the snapshot does not have."""
    route_names = models.Route.objects.values_list("name", flat=True)
    aliases = models.Alias.objects.values_list("pattern", flat=True)
    missing_names = [alias for alias in aliases if alias not in usable]
    patterns = tuple(alias for alias in missing_names if field_values.is_pattern(alias))
    names = {name for name in route_names if name not in usable}
    return frozenset(names.union(missing_names).difference(patterns)), patterns


def _compile_step(row: models.Step) -> RouteStep:
    return field_values.step(
        row.order, {name: getattr(row, name) for name in field_values.STEP_OPTIONS}
    )


def _preset_of(row: models.Provider) -> Preset:
    preset = resolve_preset(row.preset)
    if preset is None:
        raise field_values.InvalidField(
            "preset", f"the preset `{row.preset}` is not in the catalog"
        )
    return preset


def _sends_client_credential(row: models.Provider, auth: str) -> bool:
    """Whether clients' own credentials are sent. Raises ValueError if the scheme has no header."""
    if row.client_credential and (auth == "sigv4" or AUTH_SCHEMES[auth] is None):
        raise ValueError(
            f"client_credential: auth `{auth}` has no header for a client's credential"
        )
    return row.client_credential
