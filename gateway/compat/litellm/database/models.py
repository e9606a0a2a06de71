"""Imports the models, credentials and settings of a LiteLLM database as a configuration file."""

from __future__ import annotations

import json
from typing import Any

from gateway.compat.import_report import ImportReport
from gateway.compat.litellm.config.additions import add_new_rows
from gateway.compat.litellm.config.parse import read_files
from gateway.compat.litellm.config.reader import ConfigError, File, Node, to_node
from gateway.compat.litellm.config.rows import Config
from gateway.compat.litellm.config.upload import open_environment, resolve_own_variables
from gateway.compat.litellm.database.sealed_values import SaltKey, SealedError, is_sealed
from gateway.compat.litellm.database.source import Row, Tables

NAME = "LiteLLM database"
_MAX_ALIASES = 10
_SETTINGS = ("router_settings", "litellm_settings")
_NEEDS_KEY = "encrypted: set LITELLM_SALT_KEY, or LITELLM_MASTER_KEY if the proxy had no salt key"


def import_models(tables: Tables, salt_key: SaltKey | None, report: ImportReport) -> None:
    """Add the providers, models and routes that do not exist yet."""
    config = _read_sections(_config_sections(tables, salt_key, report), report)
    if config is None:
        return
    add_new_rows(config, report)


def access_groups(tables: Tables) -> dict[str, list[str]]:
    """The names of the models in each access group."""
    groups: dict[str, list[str]] = {}
    for row in tables.rows_of("ProxyModelTable"):
        for group in _json_object(row.get("model_info")).get("access_groups") or ():
            groups.setdefault(str(group), []).append(row["model_name"])
    return groups


def describe_aliases(aliases: Any) -> str:
    """A remark on the model aliases of one key or team, which names them; empty without any."""
    pairs = [f"{alias} of {model}" for alias, model in sorted(_json_object(aliases).items())]
    if not pairs:
        return ""
    omitted = f" and {len(pairs) - _MAX_ALIASES} more" if len(pairs) > _MAX_ALIASES else ""
    return (
        f"aliases are not imported ({', '.join(pairs[:_MAX_ALIASES])}{omitted}): an alias here "
        "is for all keys"
    )


def _read_sections(sections: dict[str, Node], report: ImportReport) -> Config | None:
    """The configuration; without the settings, if one of them is invalid."""
    for names in (list(sections), [name for name in sections if name not in _SETTINGS]):
        root = Node(value={name: sections[name] for name in names}, file=NAME, line=0)
        environment = open_environment()
        try:
            config = read_files(NAME, [File(root, [])], environment)
        except ConfigError as mistake:
            subject, _, _ = mistake.location.partition(":0")
            report.count_skipped("settings", subject, f"{mistake.field}: {mistake.reason}")
            continue
        return resolve_own_variables(config)
    return None


def _config_sections(
    tables: Tables, salt_key: SaltKey | None, report: ImportReport
) -> dict[str, Node]:
    sections = {
        "model_list": Node(value=tuple(_model_nodes(tables, salt_key, report)), file=NAME, line=0),
        "credential_list": Node(
            value=tuple(_credential_nodes(tables, salt_key, report)), file=NAME, line=0
        ),
    }
    for row in tables.rows_of("Config"):
        name, value = row["param_name"], _json_object(row.get("param_value"))
        if name in _SETTINGS and value:
            sections[name] = to_node(value, name)
        elif name == "environment_variables" and value:
            variables = _decrypt_values(
                value, salt_key, "environment_variables", "settings", report
            )
            if variables is not None:
                sections[name] = to_node(variables, name)
        elif value:
            report.add_remark(f"setting {name}", "is not read from the database")
    return sections


def _model_nodes(tables: Tables, salt_key: SaltKey | None, report: ImportReport) -> list[Node]:
    entries = []
    for row in tables.rows_of("ProxyModelTable"):
        subject = f"model {row['model_name']}"
        info = _json_object(row.get("model_info"))
        if row.get("blocked"):
            report.count_skipped("models", subject, "it is blocked")
        elif info.get("team_id"):
            report.count_skipped("models", subject, "it belongs to one team; routes are for all")
        else:
            params = _decrypt_values(
                _json_object(row["litellm_params"]), salt_key, subject, "models", report
            )
            if params is not None:
                model_info = {n: v for n, v in info.items() if n not in _IDENTITY and v is not None}
                entry = {
                    "model_name": row["model_name"],
                    "litellm_params": _without_off_switches(params),
                    "model_info": _without_off_switches(model_info),
                }
                entries.append(to_node(entry, subject))
                _note_wildcard(row["model_name"], subject, report)
    return entries


def _without_off_switches(values: Row) -> Row:
    return {n: v for n, v in values.items() if v is not False or n not in _OFF_BY_DEFAULT}


def _note_wildcard(name: str, subject: str, report: ImportReport) -> None:
    """LiteLLM finds the provider of a bare name in its price list, and then its wildcard."""
    prefix, wildcard, suffix = name.partition("*")
    if prefix.endswith("/") and wildcard and not suffix:
        report.add_remark(
            subject,
            f"serves only names with the prefix {prefix}, which clients of LiteLLM may omit: add "
            "an alias for each name that they use",
        )


# Switches that LiteLLM stores with each model (`GenericLiteLLMParams`), off by default.
_OFF_BY_DEFAULT = frozenset(
    {
        *("use_xai_oauth", "use_litellm_proxy", "use_in_pass_through"),
        *("allow_client_keepalive_override", "merge_reasoning_content_in_choices"),
        "member_auto_router",
    }
)


# Facts of `model_info` that only LiteLLM's own pages use.
_IDENTITY = frozenset(
    {
        *("id", "db_model", "created_at", "created_by", "updated_at", "updated_by"),
        *("access_groups", "access_via_team_ids", "direct_access", "key", "blocked"),
        "team_public_model_name",
    }
)


def _credential_nodes(tables: Tables, salt_key: SaltKey | None, report: ImportReport) -> list[Node]:
    entries = []
    for row in tables.rows_of("CredentialsTable"):
        name = row["credential_name"]
        values = _decrypt_values(
            _json_object(row["credential_values"]),
            salt_key,
            f"credential {name}",
            "credentials",
            report,
        )
        if values is not None:
            entry = {"credential_name": name, "credential_values": values}
            entries.append(to_node(entry, f"credential {name}"))
    return entries


def _decrypt_values(
    values: Row, salt_key: SaltKey | None, subject: str, kind: str, report: ImportReport
) -> Row | None:
    """The values in clear; None, and reported, if they cannot be decrypted."""
    if salt_key is None:
        if any(is_sealed(value) for value in values.values()):
            report.count_skipped(kind, subject, _NEEDS_KEY)
            return None
        return values
    try:
        decrypted_values: Row = salt_key.decrypt_all(values)
    except SealedError as error:
        report.count_skipped(kind, subject, str(error))
        return None
    return decrypted_values


def _json_object(value: Any) -> Row:
    """A JSON object, which some versions store as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
