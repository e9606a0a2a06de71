"""Adds the rows of a Config that do not exist yet, for an import that can be repeated."""

from __future__ import annotations

from gateway.compat.import_report import ImportReport
from gateway.compat.litellm.config.rows import Config
from gateway.compat.litellm.config.upload import import_config
from gateway.models import Alias, Route


def add_new_rows(config: Config, report: ImportReport) -> None:
    """Add the routes that do not exist yet, with their providers, models and aliases."""
    names = Route.objects.filter(name__in=list(config.routes)).values_list("name", flat=True)
    existing_names = set(names)
    report.count("routes", "existing", len(existing_names))
    for name in existing_names:
        del config.routes[name]
    existing_aliases = Alias.objects.filter(pattern__in=list(config.aliases))
    for pattern in existing_aliases.values_list("pattern", flat=True):
        del config.aliases[pattern]
    _drop_unused(config)
    for kind, values in (
        ("providers", config.providers),
        ("models", config.models),
        ("routes", config.routes),
        ("aliases", config.aliases),
        ("settings", config.settings),
    ):
        report.count(kind, "added", len(values))
    for remark in [*config.remarks, *import_config(config)]:
        # Rows of a database have no line; their file is their kind and name.
        row, _, line = remark.location.rpartition(":")
        if remark.row_exists or row.removeprefix("model ") in existing_names:
            continue
        if line == "0":
            report.add_remark(row, remark.removeprefix(f"{remark.location}: "))
        else:
            report.add_remark("", remark)


def _drop_unused(config: Config) -> None:
    """Remove the models and providers of routes that were removed."""
    targets = [target for route in config.routes.values() for target in route.targets]
    used_models = {(target.provider, target.model) for target in targets}
    config.models = {key: model for key, model in config.models.items() if key in used_models}
    providers = {provider for provider, _ in used_models}
    config.providers = {
        name: row for name, row in config.providers.items() if row.identity in providers
    }
    config.aliases = {
        pattern: alias for pattern, alias in config.aliases.items() if alias.route in config.routes
    }
