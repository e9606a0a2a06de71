"""Writes a Config to the registry, managed by the file, or by the database on an import.

Rows that are managed by the file and no longer in it are removed. Rows from another source are
never changed; a conflict with a name in the file is reported.
An import only adds rows, which belong to the database from then on.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from django.db import transaction

from gateway import store
from gateway.compat.litellm.config.deployment import with_idle_timeout
from gateway.compat.litellm.config.remark import Remark, existing_row_remark, row_remark
from gateway.compat.litellm.config.rows import (
    AliasRow,
    Config,
    GuardrailRow,
    ModelRow,
    ProviderRow,
    RouteRow,
    SettingRow,
    TargetRow,
)
from gateway.models import (
    Alias,
    Guardrail,
    Model,
    Provider,
    RegistryRow,
    Route,
    RowSource,
    Setting,
    Step,
    Target,
)
from gateway.models.limits import BUDGETS, LIMITS
from gateway.routing.route_spec import RouteSpec
from gateway.store.documents import OwnedElsewhere
from gateway.store.field_values import ROUTE_OPTIONS

Row = TypeVar("Row", bound=RegistryRow)

# Relations that block the removal of a row, by table.
_DEPENDENTS: dict[type[RegistryRow], tuple[str, ...]] = {
    Setting: (),
    Alias: (),
    Target: (),
    Step: (),
    Route: ("targets", "aliases"),
    Model: ("targets",),
    Provider: ("models",),
    Guardrail: (),
}
# Options of a route that no key of a file sets; applying a file leaves them unchanged.
_NOT_IN_FILE = frozenset({"strict", "log_bodies", "reasoning_field", "guardrails"})
# Options of a route that the file does not set.
_DEFAULTS = RouteSpec(name="")
_TLS_DEFAULTS: dict[str, Any] = {
    "ssl_verify": True,
    "ca_certificates": "",
    "client_certificate": "",
    "client_key": "",
}
_PRICES = (
    *("input", "output", "cache_read", "cache_write", "cache_write_1h"),
    *("reasoning", "input_audio", "output_audio"),
)


def apply(config: Config, *, source: str = RowSource.FILE) -> list[Remark]:
    """Write everything in one transaction; return remarks on what could not be written."""
    with transaction.atomic():
        return _RowWriter(config, source).write()


def add_deployments(config: Config) -> tuple[list[Target], list[Remark]]:
    """Add the deployments as targets, to existing routes too; return the targets, and remarks.

    Raises OwnedElsewhere if a route belongs to a file.
    """
    with transaction.atomic():
        writer = _RowWriter(config, RowSource.DATABASE)
        return writer.add(), writer.remarks


class _RowWriter:
    """One application of a file; the rows written so far, by the file's own keys."""

    def __init__(self, config: Config, source: str) -> None:
        self._config = config
        self._source = source
        self._owns = source == RowSource.FILE
        self.remarks: list[Remark] = []
        self._providers: dict[str, Provider] = {}
        self._models: dict[tuple[str, str], Model] = {}
        self._routes: dict[str, Route] = {}
        self._written_pks: dict[type[RegistryRow], set[int]] = {
            table: set() for table in _DEPENDENTS
        }

    def write(self) -> list[Remark]:
        for name, provider in self._config.providers.items():
            self._providers[provider.identity] = self._write_provider(name, provider)
        for key, model in self._config.models.items():
            self._models[key] = self._write_model(model)
        for guardrail in self._config.guardrails.values():
            self._write_guardrail(guardrail)
        for route in self._config.routes.values():
            self._write_route(route)
        for alias in self._config.aliases.values():
            self._write_alias(alias)
        for setting in self._config.settings.values():
            self._write_setting(setting)
        for table in _DEPENDENTS if self._owns else ():
            self._remove_rows(table)
        return self.remarks

    def add(self) -> list[Target]:
        for name, provider in self._config.providers.items():
            self._providers[provider.identity] = self._write_provider(name, provider)
        for key, model in self._config.models.items():
            self._models[key] = self._added_model(model)
        for route_row in self._config.routes.values():
            row = Route.objects.filter(name=route_row.name).first()
            if row is None:
                self._write_route(route_row)
                continue
            if row.read_only:
                raise OwnedElsewhere("", f"{row} is managed by {row.managed_by}; change it there")
            for target in route_row.targets:
                self._write_target(row, target, None)
        for alias in self._config.aliases.values():
            if alias.route in self._routes:
                self._write_alias(alias)
        return list(Target.objects.filter(pk__in=self._written_pks[Target]).order_by("pk"))

    # --- one row -------------------------------------------------------------------

    def _write_row(
        self, table: type[Row], key: dict[str, Any], values: dict[str, Any], ref: str
    ) -> Row | None:
        """Write the row with this key; None if the row has another source."""
        row = table._default_manager.filter(**key).first()
        if row is not None and not (self._owns and row.source == RowSource.FILE):
            return None
        return self._save_if_changed(row or table(**key, source=self._source), values, ref)

    def _save_if_changed(self, row: Row, values: dict[str, Any], ref: str) -> Row:
        """Write the row only if its values changed, since each write triggers a new snapshot."""
        values = {**values, "source_ref": ref}
        if row.pk is None or any(getattr(row, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(row, name, value)
            row.save()
        self._written_pks[type(row)].add(row.pk)
        return row

    def _add_unchanged(self, ref: str, row: str) -> None:
        remark = existing_row_remark(ref, row, "it is not changed", is_skipped=True)
        self.remarks.append(remark)

    # --- providers and models --------------------------------------------------------

    def _write_provider(self, name: str, provider: ProviderRow) -> Provider:
        values = {
            "preset": provider.preset,
            "base_url": provider.base_url,
            "credential_env": provider.key_env,
            "auth": provider.auth,
            "headers": provider.headers,
            "query": provider.query or None,
            "drop_params": provider.drop_params,
            "client_credential": provider.client_credential,
            **_TLS_DEFAULTS,
            **provider.tls,
            **_budget_columns(provider.budget),
        }
        row = self._write_row(Provider, {"name": name}, values, provider.ref)
        if row is None:
            existing_provider = Provider.objects.get(name=name)
            if _calls_same_endpoint(existing_provider, provider) or (
                not self._owns and _matches_file(existing_provider, provider)
            ):
                return existing_provider
            free_name = f"{name}-{provider.identity[:6]}"
            remark = existing_row_remark(
                provider.ref,
                f"provider {name}",
                f"this one is named {free_name}",
                is_skipped=False,
            )
            self.remarks.append(remark)
            row = self._write_row(Provider, {"name": free_name}, values, provider.ref)
            if row is None:  # the digest in the name covers all its fields: it was imported before
                return Provider.objects.get(name=free_name)
        if provider.key:
            self._set_key(row, provider.key)
        elif row.credential:
            row.credential = ""
            row.save()
        return row

    def _set_key(self, row: Provider, key: str) -> None:
        try:
            is_unchanged = bool(row.credential) and store.credential_of(row) == key
        except store.UndecryptableError:
            is_unchanged = False
        if not is_unchanged:
            store.set_credential(row, key)

    def _write_model(self, model_row: ModelRow) -> Model:
        provider = self._providers[model_row.provider]
        values: dict[str, Any] = {"traits": model_row.traits}
        values |= {f"price_{name}": model_row.prices.get(name) for name in _PRICES}
        row = self._write_row(
            Model, {"provider": provider, "name": model_row.name}, values, model_row.ref
        )
        if row is not None:
            return row
        if model_row.traits or model_row.prices:
            self._add_unchanged(model_row.ref, f"model {provider.name}/{model_row.name}")
        return Model.objects.get(provider=provider, name=model_row.name)

    def _added_model(self, model_row: ModelRow) -> Model:
        """The model of a new deployment; prices and traits are set on an existing row too.

        A row that a file owns is not changed, which is noted.
        """
        provider = self._providers[model_row.provider]
        row = Model.objects.filter(provider=provider, name=model_row.name).first()
        prices = {f"price_{name}": price for name, price in model_row.prices.items()}
        is_known = row is not None and (prices or model_row.traits)
        if row is None or not is_known or row.source == RowSource.FILE:
            return self._write_model(model_row)
        for name, price in prices.items():
            setattr(row, name, price)
        row.traits = {**row.traits, **model_row.traits}
        row.save()
        return row

    # --- routes ----------------------------------------------------------------------

    def _write_route(self, route_row: RouteRow) -> None:
        defaults = {
            name: getattr(_DEFAULTS, name) for name in ROUTE_OPTIONS if name not in _NOT_IN_FILE
        }
        values = {
            **defaults,
            "strategy": route_row.strategy,
            "retries": route_row.retries,
            "cooldown_s": route_row.cooldown_s,
            "fallbacks": route_row.fallbacks,
            **route_row.policy,
            "default_max_output": route_row.default_max_output,
            "hidden": route_row.hidden,
            "cache": route_row.cache,
            "key_limits": route_row.key_limits,
            "guardrails": route_row.guardrails,
        }
        row = self._write_row(Route, {"name": route_row.name}, values, route_row.ref)
        if row is None:
            self._add_unchanged(route_row.ref, f"route {route_row.name}")
            return
        self._routes[route_row.name] = row
        old_targets = list(Target.objects.filter(route=row, source=RowSource.FILE).order_by("pk"))
        for position, target in enumerate(route_row.targets):
            self._write_target(
                row, target, old_targets[position] if position < len(old_targets) else None
            )
        for step in route_row.steps:
            options = {
                "name": step.name,
                "strategy": route_row.strategy,
                "requires": [step.requires],
            }
            self._write_row(Step, {"route": row, "order": step.order}, options, route_row.ref)

    def _write_target(self, route: Route, target_row: TargetRow, row: Target | None) -> None:
        values = {
            "model": self._models[target_row.provider, target_row.model],
            "weight": target_row.weight,
            "order": target_row.order,
            "timeouts": with_idle_timeout(target_row.timeouts),
            "edits": target_row.edits,
            "tags": list(target_row.tags),
            **{column: target_row.limits.get(name) for column, name in LIMITS.items()},
            **_budget_columns(target_row.budget),
        }
        self._save_if_changed(
            row or Target(route=route, source=self._source), values, target_row.ref
        )

    def _write_guardrail(self, guardrail_row: GuardrailRow) -> None:
        values = msgspec.structs.asdict(guardrail_row)
        for name in ("name", "listed_as", "ref"):
            del values[name]
        if guardrail_row.kind == "moderation":  # the provider may have got another name
            provider = self._config.providers[guardrail_row.settings["provider"]]
            values["settings"] = {
                **guardrail_row.settings,
                "provider": self._providers[provider.identity].name,
            }
        if (
            self._write_row(Guardrail, {"name": guardrail_row.name}, values, guardrail_row.ref)
            is None
        ):
            self._add_unchanged(guardrail_row.ref, f"guardrail {guardrail_row.name}")

    def _write_alias(self, alias_row: AliasRow) -> None:
        route = self._routes.get(alias_row.route)
        if route is None:
            entry, reason = f"alias {alias_row.pattern}", "is skipped, like its route"
            self.remarks.append(row_remark(alias_row.ref, entry, reason, is_skipped=True))
            return
        if (
            self._write_row(Alias, {"pattern": alias_row.pattern}, {"route": route}, alias_row.ref)
            is None
        ):
            self._add_unchanged(alias_row.ref, f"alias {alias_row.pattern}")

    def _write_setting(self, setting_row: SettingRow) -> None:
        row = self._write_row(
            Setting, {"name": setting_row.name}, {"value": setting_row.value}, setting_row.ref
        )
        if row is None:
            self._add_unchanged(setting_row.ref, f"setting {setting_row.name}")

    # --- rows that the file no longer has --------------------------------------------------

    def _remove_rows(self, table: type[Row]) -> None:
        removed_rows = table._default_manager.filter(source=RowSource.FILE).exclude(
            pk__in=self._written_pks[table]
        )
        for row in removed_rows:
            in_use = isinstance(row, Guardrail) and bool(row.attached_to())
            if in_use or any(getattr(row, name).exists() for name in _DEPENDENTS[table]):
                entry = f"{row._meta.verbose_name} {row}"
                reason = "is no longer in the file; it is kept because it is in use"
                self.remarks.append(row_remark(row.source_ref, entry, reason, is_skipped=False))
            else:
                row.delete()


def _budget_columns(budget: dict[str, Decimal]) -> dict[str, Decimal | None]:
    return {column: budget.get(name) for column, name in BUDGETS.items()}


def _tls_columns(row: Provider) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _TLS_DEFAULTS}


def _calls_same_endpoint(row: Provider, provider: ProviderRow) -> bool:
    """Whether a row of another source calls the same endpoint with the same credential."""
    return (
        provider.shareable
        and row.enabled
        and row.preset == provider.preset
        and row.credential_env == provider.key_env
        and row.drop_params
        and not row.client_credential
        and not (row.base_url or row.headers or row.query or row.credential or row.auth)
        and _tls_columns(row) == _TLS_DEFAULTS
    )


def _matches_file(row: Provider, provider: ProviderRow) -> bool:
    """Whether a row matches the file's provider in every field, including the credential."""
    if (row.preset, row.base_url, row.credential_env, row.auth) != (
        provider.preset,
        provider.base_url,
        provider.key_env,
        provider.auth,
    ):
        return False
    if row.headers != provider.headers or row.query != (provider.query or None):
        return False
    if row.client_credential != provider.client_credential:
        return False
    if row.drop_params != provider.drop_params or _tls_columns(row) != {
        **_TLS_DEFAULTS,
        **provider.tls,
    }:
        return False
    try:
        return provider.key == (store.credential_of(row) if row.credential else "")
    except store.UndecryptableError:
        return False
