"""Which names may be metric labels: those of the registry, so that clients make none."""

from __future__ import annotations

import fnmatch

from gateway.routing.snapshot import Snapshot

# The label of every name that the registry does not have.
OTHER = "other"


class RegistryNames:
    """The names of one registry snapshot."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot
        routes = snapshot.routes if snapshot is not None else {}
        models = list(snapshot.models.values()) if snapshot is not None else []
        models += [target.model for route in routes.values() for target in route.targets]
        self._routes = frozenset(routes)
        self._wildcards = snapshot.wildcards if snapshot is not None else ()
        self._providers = frozenset(snapshot.providers if snapshot is not None else ())
        self._models = frozenset((model.provider.name, model.name) for model in models)
        self.targets = frozenset(model.label for model in models)

    def route(self, name: str) -> str:
        """The route's name; that of the wildcard route which serves the name, or `other`."""
        if not name or name in self._routes:
            return name
        for pattern, route in self._wildcards:
            if fnmatch.fnmatchcase(name, pattern):
                return route
        return OTHER

    def target(self, provider: str, model: str) -> tuple[str, str]:
        """Provider and model, each `other` where the registry does not have it."""
        registered = not model or (provider, model) in self._models
        if not provider or provider in self._providers:
            return provider, model if registered else OTHER
        return OTHER, model if registered else OTHER
