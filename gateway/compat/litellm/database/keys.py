"""Imports virtual keys with their hashes, so that clients keep their keys."""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from gateway import store
from gateway.compat.import_report import ImportReport
from gateway.compat.litellm.database.amounts import set_amounts
from gateway.compat.litellm.database.models import access_groups, describe_aliases
from gateway.compat.litellm.database.source import Row, Tables
from gateway.compat.litellm.database.teams import Teams, blocked_ids
from gateway.models import Alias, ApiKey, Guardrail, Route, RowSource
from gateway.store.field_values import in_utc, texts

PREFIX = "litellm-"
_PREFIX_DIGITS = 12
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Sessions of LiteLLM's own pages.
_SESSION_TEAM = "litellm-dashboard"
_MAX_NAME = 200
# A pattern of routes that matches none, as in LiteLLM.
_NO_MODELS = "no-default-models"
# Columns and fields of `metadata` with an effect in LiteLLM that keys do not have here.
_UNSUPPORTED_FIELDS = (
    *("config", "router_settings", "permissions", "policies"),
    *("allowed_cache_controls", "budget_fallbacks", "auto_rotate", "object_permission_id"),
    "agent_id",
)
# Groups of `allowed_routes` with endpoints of models (`LiteLLMRoutes`); other groups have none.
_ALL_MODEL_ROUTES = "llm_api_routes"
_MODEL_ROUTES = frozenset(
    {
        *(_ALL_MODEL_ROUTES, "openai_routes", "anthropic_routes", "google_routes"),
        "mapped_pass_through_routes",
    }
)
_UNSUPPORTED_METADATA = (
    *("model_rpm_limit", "model_tpm_limit", "logging", "rpm_limit_type", "tpm_limit_type"),
    *("tag_budget_config", "disable_global_guardrails", "enforced_params", "prompts"),
)
_BATCH_ROWS = 500


def public_prefix(token: str) -> str:
    """The name by which an imported key is shown: the first digits of its hash."""
    return PREFIX + token[:_PREFIX_DIGITS]


def import_keys(
    tables: Tables, teams: Teams, master_hash: str, report: ImportReport
) -> dict[str, ApiKey]:
    """Add the keys that do not exist yet; return all of them by their hash."""
    return _KeyImport(tables, teams, master_hash, report).run()


class _KeyImport:
    def __init__(
        self, tables: Tables, teams: Teams, master_hash: str, report: ImportReport
    ) -> None:
        self._tables, self._teams, self._report = tables, teams, report
        self._master_hash = master_hash
        self._now = timezone.now()
        self._budgets = tables.rows_by_key("BudgetTable", "budget_id")
        self._team_rows = tables.rows_by_key("TeamTable", "team_id")
        self._users = tables.rows_by_key("UserTable", "user_id")
        self._blocked_ids = blocked_ids(tables)
        self._groups = access_groups(tables)
        self._access_groups = tables.rows_by_key("AccessGroupTable", "access_group_id")
        self._names = set(ApiKey.objects.values_list("name", flat=True))
        self._guardrails = set(Guardrail.objects.values_list("name", flat=True))
        self._aliases = dict(Alias.objects.values_list("pattern", "route__name"))
        self._routes = set(Route.objects.values_list("name", flat=True))
        self._imported_keys = {
            row["active_token_id"]: row
            for row in tables.rows_of("DeprecatedVerificationToken")
            if in_utc(row["revoke_at"]) > self._now and _SHA256.fullmatch(row["token"])
        }

    def run(self) -> dict[str, ApiKey]:
        existing_keys = {
            bytes(digest): row
            for row in ApiKey.objects.all()
            for digest in (row.digest, row.previous_digest)
            if digest is not None
        }
        by_hash: dict[str, ApiKey] = {}
        new_keys: list[ApiKey] = []
        for key in self._tables.rows_of("VerificationToken"):
            token = key["token"]
            if not self._is_importable(key):
                continue
            row = existing_keys.get(store.hashed_digest(token))
            if row is not None:
                self._report.count("keys", "existing")
            elif (row := self._import_key(key)) is not None:
                self._report.count("keys", "added")
                new_keys.append(row)
            else:
                continue
            by_hash[token] = row
        ApiKey.objects.bulk_create(new_keys, batch_size=_BATCH_ROWS) if new_keys else None
        return by_hash

    def _is_importable(self, key: Row) -> bool:
        token, subject = key["token"], _key_label(key)
        if key.get("team_id") == _SESSION_TEAM:
            self._report.count("keys", "skipped")
            self._report.add_remark("", "keys of sessions of LiteLLM's pages are skipped")
        elif not _SHA256.fullmatch(token):
            self._report.count_skipped("keys", subject, "its hash is not a SHA-256 hash")
        elif token == self._master_hash:
            self._report.count_skipped(
                "keys", subject, "it is the master key: set DRAGOMAN_MASTER_KEY"
            )
        else:
            return True
        return False

    def _import_key(self, key: Row) -> ApiKey | None:
        token, subject = key["token"], _key_label(key)
        metadata = key.get("metadata") if isinstance(key.get("metadata"), dict) else {}
        row = ApiKey(
            name=self._free_name(key, subject),
            prefix=public_prefix(token),
            digest=store.hashed_digest(token),
            routes=self._allowed_routes(key, subject),
            tags=self._key_tags(metadata or {}, subject),
            guardrails=self._known_guardrails(metadata or {}, subject),
            user=_text_or_empty(key.get("user_id")),
            team=self._teams.of_key(key),
            expires_at=_time_in(key, "expires"),
            last_used_at=_time_in(key, "last_active"),
            source=RowSource.DATABASE,
            source_ref=f"LiteLLM key {token[:16]}",
        )
        shared_budget = self._budgets.get(key.get("budget_id") or "")
        admits_requests = set_amounts(row, key, shared_budget, subject, self._report)
        if (imported_key := self._imported_keys.get(token)) is not None:
            row.previous_prefix = public_prefix(imported_key["token"])
            row.previous_digest = store.hashed_digest(imported_key["token"])
            row.previous_expires_at = in_utc(imported_key["revoke_at"])
        self._block_key(row, key, subject, admits_requests=admits_requests)
        self._note_unsupported(key, metadata or {}, subject)
        try:
            row.clean_fields(exclude=["digest", "previous_digest"])
        except ValidationError as error:
            fields = ", ".join(error.message_dict)
            self._report.count_skipped("keys", subject, f"its {fields} cannot be stored")
            return None
        return row

    def _block_key(self, row: ApiKey, key: Row, subject: str, *, admits_requests: bool) -> None:
        in_blocked = {key.get("team_id"), key.get("project_id")} & self._blocked_ids
        if key.get("blocked") or in_blocked or not admits_requests:
            row.revoked_at = self._now
        if in_blocked and not key.get("blocked"):
            self._report.add_remark(
                subject, "is revoked in Dragoman, since its team or project is blocked"
            )

    def _free_name(self, key: Row, subject: str) -> str:
        prefix = public_prefix(key["token"])
        name = _text_or_empty(key.get("key_alias"))[:_MAX_NAME] or prefix
        free_name = name
        if free_name in self._names:
            free_name = f"{name[: _MAX_NAME - 30]} ({prefix})"
            self._report.add_remark(subject, f"is named `{free_name}` here")
        self._names.add(free_name)
        return free_name

    # --- models --------------------------------------------------------------------

    def _allowed_routes(self, key: Row, subject: str) -> list[str]:
        """The routes that a key may use: its own models, within those of its team or user."""
        if not _calls_models(key):
            self._report.add_remark(
                subject, "is a management key of LiteLLM: it cannot use any model"
            )
            return [_NO_MODELS]
        key_models = self._granted_models(key)
        team = self._team_rows.get(key.get("team_id") or "")
        user = self._users.get(key.get("user_id") or "")
        inherited_models = self._granted_models(team if team is not None else user or {})
        if "all-team-models" in key_models:
            key_models = []
        if not key_models or not inherited_models:
            models = key_models or inherited_models
        else:
            models = [
                name
                for name in key_models
                if any(fnmatch.fnmatchcase(name, p) for p in inherited_models)
            ]
            models = models or [_NO_MODELS]
        if _NO_MODELS in models:
            self._report.add_remark(subject, "cannot use any model")
        return self._routes_of(list(dict.fromkeys(models)), subject)

    def _granted_models(self, row: Row) -> list[str]:
        """The models of a key, team or user with those of its access groups; empty means all."""
        models = self._expand_access_groups(row.get("models"))
        if not models or "all-team-models" in models:
            return models
        granted_models = [
            name
            for group in row.get("access_group_ids") or ()
            for name in self._access_groups.get(group, {}).get("access_model_names") or ()
        ]
        if not granted_models:
            return models
        return [name for name in models if name != _NO_MODELS] + [
            _text_or_empty(name) for name in granted_models
        ]

    def _expand_access_groups(self, models: Any) -> list[str]:
        """The names with access groups replaced by their models; empty means all."""
        names = [_text_or_empty(name) for name in models or ()]
        if "all-proxy-models" in names or "*" in names:
            return []
        return [model for name in names for model in self._groups.get(name, [name])]

    def _routes_of(self, names: list[str], subject: str) -> list[str]:
        routes = []
        for name in names:
            if name in self._aliases and name not in self._routes:
                route = self._aliases[name]
                self._report.add_remark(subject, f"model {name} is the route {route} here")
                routes.append(route)
            else:
                routes.append(name)
        for name in sorted(set(routes) - self._routes - {_NO_MODELS}):
            if not any(character in name for character in "*?[/"):
                self._report.add_remark(subject, f"the model {name} does not exist here yet")
        return list(dict.fromkeys(routes))

    # --- tags, guardrails, unsupported fields -------------------------------------------

    def _key_tags(self, metadata: Row, subject: str) -> list[str]:
        tags = metadata.get("tags") or []
        try:
            return list(texts(tags, "tags"))
        except ValueError:
            self._report.add_remark(subject, "its tags are not texts: skipped")
            return []

    def _known_guardrails(self, metadata: Row, subject: str) -> list[str]:
        names = metadata.get("guardrails") or []
        known_guardrails = [name for name in names if name in self._guardrails]
        for name in names:
            if name not in known_guardrails:
                self._report.add_remark(subject, f"there is no guardrail {str(name)[:80]} here")
        return known_guardrails

    def _note_unsupported(self, key: Row, metadata: Row, subject: str) -> None:
        if remark := describe_aliases(key.get("aliases")):
            self._report.add_remark(subject, remark)
        for column in _UNSUPPORTED_FIELDS:
            if key.get(column):
                self._report.add_remark(subject, f"{column} is not imported")
        if _calls_models(key) and set(key.get("allowed_routes") or ()) - {_ALL_MODEL_ROUTES}:
            self._report.add_remark(subject, "allowed_routes is not imported")
        for name in sorted(metadata):
            if name in _UNSUPPORTED_METADATA and metadata[name]:
                self._report.add_remark(subject, f"metadata.{name} is not imported")
            elif name not in {"tags", "guardrails"} and metadata[name]:
                self._report.add_remark(subject, "descriptive metadata is not stored")


def _calls_models(key: Row) -> bool:
    """Whether a key may call a model: those of the types `management` and `read_only` may not."""
    allowed_routes = key.get("allowed_routes") or ()
    return not allowed_routes or any(
        name in _MODEL_ROUTES or not name.endswith("_routes") for name in allowed_routes
    )


def _key_label(key: Row) -> str:
    return (
        f"key {_text_or_empty(key.get('key_alias')) or public_prefix(_text_or_empty(key['token']))}"
    )


def _text_or_empty(value: Any) -> str:
    return str(value or "").replace("\0", "")[:_MAX_NAME]


def _time_in(key: Row, column: str) -> dt.datetime | None:
    """A time of a key's row: LiteLLM stores it in UTC, without a time zone."""
    time: dt.datetime | None = key.get(column)
    return time and in_utc(time)
