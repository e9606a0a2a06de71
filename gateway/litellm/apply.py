"""A Config -> rows of the registry, owned by the file.

What the file wrote before and no longer says is removed; rows that people or the
environment made are never changed, and a name they hold is reported.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from gateway import store
from gateway.litellm.rows import Config, ModelRow, ProviderRow, RouteRow, TargetRow
from gateway.models import Alias, Model, Provider, Route, Source, Target


def apply(config: Config) -> list[str]:
    """Write everything in one transaction; the lines tell what could not be."""
    with transaction.atomic():
        return _Writer(config).write()


class _Writer:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._notes: list[str] = []
        self._providers: dict[str, Provider] = {}
        self._models: dict[tuple[str, str], Model] = {}
        self._routes: dict[str, Route] = {}
        self._kept: dict[type[Any], set[int]] = {
            table: set() for table in (Provider, Model, Route, Target, Alias)
        }

    def write(self) -> list[str]:
        for provider in self._config.providers.values():
            self._provider(provider)
        for model in self._config.models.values():
            self._model(model)
        for route in self._config.routes.values():
            self._route(route)
        for alias in self._config.aliases.values():
            target = self._routes.get(alias.route)
            if target is None:
                self._notes.append(f"{alias.ref}: {alias.pattern}: there is no route {alias.route}")
                continue
            self._put(Alias, {"pattern": alias.pattern}, {"route": target}, alias.ref)
        for table in (Alias, Target, Route, Model, Provider):
            table.objects.filter(source=Source.FILE).exclude(pk__in=self._kept[table]).delete()
        return self._notes

    def _put(
        self, table: type[Any], key: dict[str, Any], values: dict[str, Any], ref: str
    ) -> Any | None:
        """The row with this key, as the file says; None if it is somebody else's."""
        row = table.objects.filter(**key).first()
        if row is None:
            row = table(**key, source=Source.FILE)
        elif row.source != Source.FILE:
            return None
        values = {**values, "source_ref": ref}
        if row.pk is None or any(getattr(row, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(row, name, value)
            row.save()
        self._kept[table].add(row.pk)
        return row

    def _taken(self, ref: str, what: str) -> None:
        self._notes.append(f"{ref}: {what} exists already and is not from this file; it stays")

    def _provider(self, given: ProviderRow) -> None:
        values = {
            "preset": given.preset,
            "base_url": given.base_url,
            "credential_env": given.key_env,
            "headers": given.headers,
            "query": given.query or None,
            "timeouts": given.timeouts,
            "drop_params": given.drop_params,
        }
        row = self._put(Provider, {"name": given.name}, values, given.ref)
        if row is None:
            row = Provider.objects.get(name=given.name)
            if row.preset != given.preset or row.credential_env != given.key_env:
                self._taken(given.ref, f"the provider {given.name}")
        elif given.key:
            self._set_key(row, given.key)
        self._providers[given.name] = row

    def _set_key(self, row: Provider, key: str) -> None:
        try:
            same = bool(row.credential) and store.credential_of(row) == key
        except store.Undecryptable:
            same = False
        if not same:
            store.set_credential(row, key)

    def _model(self, given: ModelRow) -> None:
        provider = self._providers[given.provider]
        values: dict[str, Any] = {"traits": given.traits}
        values |= {f"price_{name}": price for name, price in given.prices.items()}
        row = self._put(Model, {"provider": provider, "name": given.name}, values, given.ref)
        key = (given.provider, given.name)
        self._models[key] = row or Model.objects.get(provider=provider, name=given.name)

    def _route(self, given: RouteRow) -> None:
        values = {
            "strategy": given.strategy,
            "retries": given.retries,
            "cooldown_s": given.cooldown_s,
            "fallbacks": given.fallbacks,
            "log_bodies": given.log_bodies,
            "hidden": given.hidden,
        }
        row = self._put(Route, {"name": given.name}, values, given.ref)
        if row is None:
            self._taken(given.ref, f"the route {given.name}")
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
            "edits": given.edits,
            "source_ref": given.ref,
        }
        row = row or Target(route=route, source=Source.FILE)
        if row.pk is None or any(getattr(row, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(row, name, value)
            row.save()
        self._kept[Target].add(row.pk)
