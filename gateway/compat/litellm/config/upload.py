"""Import of an uploaded LiteLLM file, isolated from this machine's files, with a preview."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from django.db import transaction

from gateway import store
from gateway.compat.litellm.config.apply import apply
from gateway.compat.litellm.config.key_lookup import SECTIONS
from gateway.compat.litellm.config.parse import read
from gateway.compat.litellm.config.reader import MAX_BYTES, ConfigError, Node, read_file
from gateway.compat.litellm.config.remark import Remark, key_remark
from gateway.compat.litellm.config.rows import Config
from gateway.models import RowSource

NAME = "litellm_config.yaml"
# Prefixes of Dragoman's own secrets, which an uploaded file must not read.
_OWN_VARIABLES = ("DRAGOMAN_", "DATABASE_URL", "REDIS_URL", "DJANGO_")
# Nearly every file has these keys; their remarks are omitted from the preview.
_UNREPORTED_KEYS = {("model_list[]", "model_name")} | {
    ("litellm_params", name) for name in ("model", "api_key", "api_base", "base_url")
}

# Keys that only a start can apply -> the setting that does.
_MASTER_KEY, _MAX_REQUESTS = "master_key", "max_in_flight_requests_per_worker"
_READ_AT_START = {_MASTER_KEY: "DRAGOMAN_MASTER_KEY", _MAX_REQUESTS: "DRAGOMAN_MAX_REQUESTS"}

ImportOutcome = Literal["imported", "changed", "skipped"]


class ImportLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the file: whether it is imported, its location and the reason."""

    outcome: ImportOutcome
    entry: str
    location: str
    reason: str = ""

    @property
    def line_number(self) -> str:
        """The line number alone, as there is one file."""
        return self.location.rpartition(":")[2]


def read_upload(text: str) -> Config:
    """Parse the configuration in a text. Raises ConfigError naming line and field."""
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(NAME, "", f"is larger than {MAX_BYTES} bytes")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_text(text, encoding="utf-8")
        include = read_file(path).root.get("include")
        if include is not None:
            raise ConfigError(
                include.location,
                "include",
                "is not supported in an upload: copy the content into this file",
            )
        config = read(path, open_environment(), uploaded=True)
        config.remarks += [*_import_remarks(config, path), *_redis_remarks(config, path)]
    return resolve_own_variables(config)


def _import_remarks(config: Config, path: Path) -> list[Remark]:
    """Return remarks on settings that a start with this file applies and an import cannot."""
    general_settings = read_file(path).root.get("general_settings")
    if general_settings is None:
        return []
    in_force = {_MASTER_KEY: config.master_key, _MAX_REQUESTS: config.max_requests}
    return [
        key_remark(
            node.location,
            f"general_settings.{name}",
            f"not supported in an import: it is {variable}, read at startup",
            is_skipped=True,
        )
        for name, variable in _READ_AT_START.items()
        if in_force[name] and (node := general_settings.get(name)) is not None
    ]


def _redis_remarks(config: Config, path: Path) -> list[Remark]:
    """Return a remark on the file's Redis, which only a start can use."""
    if not config.redis_url:
        return []
    router = read_file(path).root.get("router_settings")
    node = router.get("redis_host", "redis_url") if router is not None else None
    location, key_path = (
        (node.location, node.path) if node is not None else (f"{NAME}:1", "cache_params")
    )
    reason = "not supported in an import: set REDIS_URL"
    return [key_remark(location, key_path, reason, is_skipped=True)]


def open_environment() -> dict[str, str]:
    """Return the environment variables that a configuration from elsewhere may read."""
    secrets = store.gateway_secrets()
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_OWN_VARIABLES) and value.strip() not in secrets
    }


def resolve_own_variables(config: Config) -> Config:
    """Turn keys from the configuration's `environment_variables` into encrypted credentials."""
    variables = {n: v for n, v in config.environment.items() if not os.environ.get(n)}
    for name, row in config.providers.items():
        if row.key_env in variables:
            identity = row.identity
            updated_row = msgspec.structs.replace(row, key=variables[row.key_env], key_env="")
            config.providers[name] = updated_row
            config.names[updated_row.identity] = config.names.pop(identity)
            _rename_provider(config, identity, updated_row.identity)
    return config


def _rename_provider(config: Config, old_name: str, new_name: str) -> None:
    for (provider, name), model in list(config.models.items()):
        if provider == old_name:
            del config.models[provider, name]
            config.models[new_name, name] = msgspec.structs.replace(model, provider=new_name)
    for route in config.routes.values():
        route.targets = [
            msgspec.structs.replace(t, provider=new_name) if t.provider == old_name else t
            for t in route.targets
        ]


def import_config(config: Config) -> list[Remark]:
    """Add the configuration to the registry as database rows; return what could not be added."""
    with transaction.atomic():
        remarks = apply(config, source=RowSource.DATABASE)
        if config.log_bodies is False:
            store.set_options({"log_bodies": False})
    return remarks


def preview(config: Config, text: str) -> list[ImportLine]:
    """Return the result of an import, which is run and rolled back."""
    with transaction.atomic():
        remarks = import_config(config)
        transaction.set_rollback(True)
    setting_names = {line.entry for line in map(_remark_line, remarks)}
    lines = [line for line in _applied_lines(config) if line.entry not in setting_names]
    lines += [_remark_line(remark) for remark in [*config.remarks, *remarks]]
    return lines + [line for line in _differing_keys(text) if line.entry not in setting_names]


def _applied_lines(config: Config) -> Iterator[ImportLine]:
    for name, provider in config.providers.items():
        key = f"${provider.key_env}" if provider.key_env else "with its key" if provider.key else ""
        subject = f"provider {name}"
        yield ImportLine(
            outcome="imported",
            entry=subject,
            location=provider.ref,
            reason=provider.base_url or key,
        )
    for route in config.routes.values():
        targets = ", ".join(
            f"{config.names.get(target.provider, '')}/{target.model}" for target in route.targets
        )
        yield ImportLine(
            outcome="imported", entry=f"route {route.name}", location=route.ref, reason=targets
        )
    for alias in config.aliases.values():
        subject = f"alias {alias.pattern}"
        yield ImportLine(outcome="imported", entry=subject, location=alias.ref, reason=alias.route)
    if config.log_bodies is False:
        reason = "bodies are not stored from now on"
        yield ImportLine(
            outcome="imported", entry="turn_off_message_logging", location="", reason=reason
        )


def _remark_line(remark: Remark) -> ImportLine:
    return ImportLine(
        outcome="skipped" if remark.is_skipped else "changed",
        entry=remark.entry,
        location=remark.location,
        reason=remark.reason,
    )


def _differing_keys(text: str) -> list[ImportLine]:
    """Return the supported keys that differ from LiteLLM, each once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_text(text, encoding="utf-8")
        root = read_file(path).root
    lines: dict[str, ImportLine] = {}
    for section, node in _split_sections(root):
        if not isinstance(node.value, dict):
            continue  # the import reports it
        for name, value in node.items():
            key = SECTIONS[section].get(name)
            if (section, name) in _UNREPORTED_KEYS or key is None:
                continue
            if key.status == "supported" and key.reason:
                key_path = f"{section}.{name}" if section else name
                lines.setdefault(
                    key_path,
                    ImportLine(
                        outcome="changed",
                        entry=key_path,
                        location=value.location,
                        reason=key.reason,
                    ),
                )
    return list(lines.values())


def _split_sections(root: Node) -> Iterator[tuple[str, Node]]:
    yield "", root
    models = root.get("model_list")
    for entry in models.list() if models is not None else ():
        if not isinstance(entry.value, dict):
            continue
        yield "model_list[]", entry
        for name in ("litellm_params", "model_info"):
            if (section := entry.get(name)) is not None:
                yield name, section
    for name in ("litellm_settings", "router_settings", "general_settings"):
        if (section := root.get(name)) is not None:
            yield name, section
