"""A Config -> rows of the registry, owned by the file, or by people where they import it.

What the file wrote before and no longer says is removed; rows that people or the
environment made are never changed, and a name they hold is reported. An import only
adds: what it makes is people's from then on.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

from django.db import transaction

from gateway import store
from gateway.compat.litellm.config.rows import (
    AliasRow,
    Config,
    ModelRow,
    ProviderRow,
    RouteRow,
    SettingRow,
    TargetRow,
)
from gateway.models import Alias, Model, Provider, RegistryRow, Route, Setting, Source, Target
from gateway.models.limits import BUDGETS, LIMITS
from gateway.routing.document import Document
from gateway.store.compile import WAY_FIELDS

Row = TypeVar("Row", bound=RegistryRow)

# What may stand on a row of each table, and so keep it.
_STANDS_ON: dict[type[RegistryRow], tuple[str, ...]] = {
    Setting: (),
    Alias: (),
    Target: (),
    Route: ("targets", "aliases"),
    Model: ("targets",),
    Provider: ("models",),
}
# What a route does where the file says nothing.
_USUAL = Document(name="")
_PRICES = (
    *("input", "output", "cache_read", "cache_write", "cache_write_1h"),
    *("reasoning", "input_audio", "output_audio"),
)


def apply(config: Config, *, source: str = Source.FILE) -> list[str]:
    """Write everything in one transaction; the lines tell what could not be."""
    with transaction.atomic():
        return _Writer(config, source).write()


class _Writer:
    """One application of a file; what was written so far, by the file's own keys."""

    def __init__(self, config: Config, source: str) -> None:
        self._config = config
        self._source = source
        self._owns = source == Source.FILE
        self._notes: list[str] = []
        self._providers: dict[str, Provider] = {}
        self._models: dict[tuple[str, str], Model] = {}
        self._routes: dict[str, Route] = {}
        self._kept: dict[type[RegistryRow], set[int]] = {table: set() for table in _STANDS_ON}

    def write(self) -> list[str]:
        for name, provider in self._config.providers.items():
            self._providers[provider.identity] = self._provider(name, provider)
        for key, model in self._config.models.items():
            self._models[key] = self._model(model)
        for route in self._config.routes.values():
            self._route(route)
        for alias in self._config.aliases.values():
            self._alias(alias)
        for setting in self._config.settings.values():
            self._setting(setting)
        for table in _STANDS_ON if self._owns else ():
            self._remove(table)
        return self._notes

    # --- one row -------------------------------------------------------------------

    def _put(
        self, table: type[Row], key: dict[str, Any], values: dict[str, Any], ref: str
    ) -> Row | None:
        """The row with this key, as the file says; None if it is somebody else's."""
        row = table._default_manager.filter(**key).first()
        if row is not None and not (self._owns and row.source == Source.FILE):
            return None
        return self._saved(row or table(**key, source=self._source), values, ref)

    def _saved(self, row: Row, values: dict[str, Any], ref: str) -> Row:
        """The row with these values, written only if it had others: each write is news."""
        values = {**values, "source_ref": ref}
        if row.pk is None or any(getattr(row, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(row, name, value)
            row.save()
        self._kept[type(row)].add(row.pk)
        return row

    def _say(self, ref: str, text: str) -> None:
        self._notes.append(f"{ref}: {text}")

    # --- providers and models --------------------------------------------------------

    def _provider(self, name: str, given: ProviderRow) -> Provider:
        values = {
            "preset": given.preset,
            "base_url": given.base_url,
            "credential_env": given.key_env,
            "auth": given.auth,
            "headers": given.headers,
            "query": given.query or None,
            "drop_params": given.drop_params,
            **_budget(given.budget),
        }
        row = self._put(Provider, {"name": name}, values, given.ref)
        if row is None:
            held = Provider.objects.get(name=name)
            if _does_the_same(held, given) or (not self._owns and _equals(held, given)):
                return held
            other = f"{name}-{given.identity[:6]}"
            self._say(given.ref, f"the provider {name} is not from this file; here it is {other}")
            row = self._put(Provider, {"name": other}, values, given.ref)
            if row is None:  # the name has a digest of all that it says: it was imported before
                return Provider.objects.get(name=other)
        if given.key:
            self._set_key(row, given.key)
        elif row.credential:
            row.credential = ""
            row.save()
        return row

    def _set_key(self, row: Provider, key: str) -> None:
        try:
            same = bool(row.credential) and store.credential_of(row) == key
        except store.Undecryptable:
            same = False
        if not same:
            store.set_credential(row, key)

    def _model(self, given: ModelRow) -> Model:
        provider = self._providers[given.provider]
        values: dict[str, Any] = {"traits": given.traits}
        values |= {f"price_{name}": given.prices.get(name) for name in _PRICES}
        row = self._put(Model, {"provider": provider, "name": given.name}, values, given.ref)
        if row is not None:
            return row
        if given.traits or given.prices:
            self._say(given.ref, f"the model {provider.name}/{given.name} is not from this file")
        return Model.objects.get(provider=provider, name=given.name)

    # --- routes ----------------------------------------------------------------------

    def _route(self, given: RouteRow) -> None:
        usual = {name: getattr(_USUAL, name) for name in WAY_FIELDS}
        values = {
            "strategy": given.strategy,
            "retries": given.retries,
            "cooldown_s": given.cooldown_s,
            "fallbacks": given.fallbacks,
            **usual,
            **given.ways,
            "default_max_output": given.default_max_output,
            "hidden": given.hidden,
            "cache": given.cache,
            "key_limits": given.key_limits,
        }
        row = self._put(Route, {"name": given.name}, values, given.ref)
        if row is None:
            self._say(given.ref, f"the route {given.name} is not from this file; it stays as it is")
            return
        self._routes[given.name] = row
        old = list(Target.objects.filter(route=row, source=Source.FILE).order_by("pk"))
        for position, target in enumerate(given.targets):
            self._target(row, target, old[position] if position < len(old) else None)

    def _target(self, route: Route, given: TargetRow, row: Target | None) -> None:
        values = {
            "model": self._models[given.provider, given.model],
            "weight": given.weight,
            "order": given.order,
            "timeouts": given.timeouts,
            "edits": given.edits,
            "tags": list(given.tags),
            **{column: given.limits.get(name) for column, name in LIMITS.items()},
            **_budget(given.budget),
        }
        self._saved(row or Target(route=route, source=self._source), values, given.ref)

    def _alias(self, given: AliasRow) -> None:
        route = self._routes.get(given.route)
        if route is None:
            self._say(given.ref, f"{given.pattern} is left out, as its route is")
            return
        if self._put(Alias, {"pattern": given.pattern}, {"route": route}, given.ref) is None:
            self._say(given.ref, f"the alias {given.pattern} is not from this file; it stays")

    def _setting(self, given: SettingRow) -> None:
        row = self._put(Setting, {"name": given.name}, {"value": given.value}, given.ref)
        if row is None:
            self._say(given.ref, f"the setting {given.name} is not from this file; it stays")

    # --- what the file no longer says --------------------------------------------------

    def _remove(self, table: type[Row]) -> None:
        gone = table._default_manager.filter(source=Source.FILE).exclude(pk__in=self._kept[table])
        for row in gone:
            if any(getattr(row, name).exists() for name in _STANDS_ON[table]):
                kind = row._meta.verbose_name
                self._say(
                    row.source_ref,
                    f"the {kind} {row} is no longer there; it stays, as others need it",
                )
            else:
                row.delete()


def _budget(said: dict[str, Decimal]) -> dict[str, Decimal | None]:
    return {column: said.get(name) for column, name in BUDGETS.items()}


def _does_the_same(row: Provider, given: ProviderRow) -> bool:
    """Whether a row of somebody else calls the same place with the same credential."""
    return (
        given.plain
        and row.enabled
        and row.preset == given.preset
        and row.credential_env == given.key_env
        and row.drop_params
        and not (row.base_url or row.headers or row.query or row.credential or row.auth)
    )


def _equals(row: Provider, given: ProviderRow) -> bool:
    """Whether a row says all that the file says, its credential too."""
    if (row.preset, row.base_url, row.credential_env, row.auth) != (
        given.preset,
        given.base_url,
        given.key_env,
        given.auth,
    ):
        return False
    if row.headers != given.headers or row.query != (given.query or None):
        return False
    if row.drop_params != given.drop_params:
        return False
    try:
        return given.key == (store.credential_of(row) if row.credential else "")
    except store.Undecryptable:
        return False
