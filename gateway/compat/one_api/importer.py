"""Adds the content of a one-api or new-api database to the registry.

channel -> provider for each of its keys, and a target in the route of each of its models
token   -> gateway key with the same secret, its quota as a total budget
user    -> team of the user's keys, if the user has a quota
"""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from gateway import store
from gateway.compat.import_report import ImportReport
from gateway.compat.imported_usage import Name, imported_provider_prefix, write_usage
from gateway.compat.litellm.config.additions import add_new_rows
from gateway.compat.litellm.config.rows import (
    Config,
    ModelRow,
    ProviderRow,
    RouteRow,
    TargetRow,
)
from gateway.compat.one_api.channel_types import NEW_API, ONE_API, base_url_of
from gateway.compat.one_api.source import Row, Tables
from gateway.models import ApiKey, RowSource, Team
from gateway.providers.catalog import PRESETS
from gateway.routing.limits import UNITS

# Quota of one US dollar, unless the option QuotaPerUnit says otherwise.
_QUOTA_PER_USD = 500_000
_MAX_USD = 1_000_000_000
_MAX_NAME, _MAX_URL = 200, 400
_ENABLED = 1
_PREFIX_CHARS = 11
_UNSUPPORTED_SETTINGS = {
    "param_override": "parameter overrides",
    "header_override": "header overrides",
    "status_code_mapping": "status code mappings",
    "system_prompt": "system prompts",
}


def import_tables(tables: Tables, *, dry_run: bool = False) -> ImportReport:
    """Add the rows that do not exist yet, in one transaction; a dry run is rolled back."""
    report = ImportReport()
    with transaction.atomic():
        add_new_rows(_read_channels(tables, report), report)
        _KeyImport(tables, report).add()
        _note_ratios(tables, report)
        transaction.set_rollback(dry_run)
    return report


# --- channels -----------------------------------------------------------------------


def _read_channels(tables: Tables, report: ImportReport) -> Config:
    config = Config(file=tables.gateway)
    priorities: dict[str, list[int]] = {}
    for channel in sorted(tables.channels, key=lambda row: -_integer_or_zero(row.get("priority"))):
        subject = f"channel {channel.get('name') or channel['id']}"
        providers = _channel_providers(channel, subject, tables, report)
        if not providers:
            continue
        for provider in providers:
            _add_provider(config, provider, _text_or_empty(channel.get("name")))
        mapping = _json_object(channel.get("model_mapping"))
        for name in _split_names(channel.get("models")):
            public = name[:_MAX_NAME]
            upstream = str(mapping.get(name) or name)[:_MAX_NAME]
            ranks = priorities.setdefault(public, [])
            priority = _integer_or_zero(channel.get("priority"))
            if priority not in ranks:
                ranks.append(priority)
            route = config.routes.setdefault(
                public, RouteRow(name=public, ref=_channel_label(tables, channel))
            )
            for provider in providers:
                key = (provider.identity, upstream)
                config.models.setdefault(
                    key, ModelRow(provider=key[0], name=upstream, ref=provider.ref)
                )
                route.targets.append(
                    TargetRow(
                        provider=key[0],
                        model=upstream,
                        ref=provider.ref,
                        order=ranks.index(priority) + 1,
                        weight=max(_integer_or_zero(channel.get("weight")), 0) / len(providers),
                    )
                )
    for route in config.routes.values():
        route.targets = _with_equal_weights(route.targets)
        route.retries, route.cooldown_s = 0, 5.0
    return config


def _with_equal_weights(targets: list[TargetRow]) -> list[TargetRow]:
    """The targets; where no channel of a priority has a weight, all have the same."""
    orders_with_weights = {target.order for target in targets if target.weight > 0}
    return [
        target
        if target.order in orders_with_weights
        else msgspec.structs.replace(target, weight=1.0)
        for target in targets
    ]


def _channel_providers(
    channel: Row, subject: str, tables: Tables, report: ImportReport
) -> list[ProviderRow]:
    """The providers of a channel, one for each of its keys."""
    kinds = NEW_API if tables.new_api else ONE_API
    kind = kinds.get(_integer_or_zero(channel.get("type")))
    if kind is None:
        reason = f"its type {channel.get('type')} has no preset: add the provider manually"
        report.count_skipped("channels", subject, reason)
        return []
    if channel.get("status") != _ENABLED:
        report.count_skipped("channels", subject, "it is disabled")
        return []
    base_url = base_url_of(kind, _text_or_empty(channel.get("base_url")))
    if not (base_url or PRESETS[kind.preset].base_url) or len(base_url) > _MAX_URL:
        report.count_skipped("channels", subject, "it has no usable base URL")
        return []
    for column, description in _UNSUPPORTED_SETTINGS.items():
        if _text_or_empty(channel.get(column)).strip() not in ("", "{}", "null"):
            report.add_remark(subject, f"{description} are not imported")
    query = {}
    if kind.has_version and (version := _api_version(channel)):
        query = {"api-version": version}
    organization = _text_or_empty(channel.get("openai_organization"))
    headers = {"OpenAI-Organization": organization} if organization else {}
    report.count("channels", "added")
    return [
        ProviderRow(
            preset=kind.preset,
            ref=_channel_label(tables, channel),
            base_url=base_url,
            key=key,
            query=query,
            headers=headers,
        )
        for key in _channel_keys(channel) or [""]
    ]


def _channel_keys(channel: Row) -> list[str]:
    """The keys of a channel: several lines if it has several."""
    text = _text_or_empty(channel.get("key")).strip()
    several = _json_object(channel.get("channel_info")).get("is_multi_key")
    if not several:
        return [text] if text else []
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _api_version(channel: Row) -> str:
    configured_version = _json_object(channel.get("config")).get("api_version") or channel.get(
        "other"
    )
    configured_version = configured_version or _json_object(channel.get("settings")).get(
        "azure_responses_version"
    )
    text = _text_or_empty(configured_version).strip()
    return text if re.fullmatch(r"[0-9A-Za-z.-]{1,40}", text) else ""


def _add_provider(config: Config, provider: ProviderRow, channel: str) -> None:
    if provider.identity in config.names:
        return
    slug = re.sub(r"[^a-z0-9._]+", "-", channel.lower()).strip("-.")[:40] or provider.preset
    name = slug if slug not in config.providers else f"{slug}-{provider.identity[:6]}"
    config.names[provider.identity] = name
    config.providers[name] = provider


# --- keys ---------------------------------------------------------------------------


class _KeyImport:
    """The tokens, as gateway keys with the same secrets."""

    def __init__(self, tables: Tables, report: ImportReport) -> None:
        self._tables, self._report = tables, report
        self._users = {row["id"]: row for row in tables.users}
        self._now = timezone.now()
        self._names = set(ApiKey.objects.values_list("name", flat=True))
        self._prefixes = set(ApiKey.objects.values_list("prefix", flat=True))
        self._per_usd = _positive_or_none(tables.options.get("QuotaPerUnit")) or Decimal(
            _QUOTA_PER_USD
        )
        self._group_models, self._all_models = _models_by_group(tables)
        self._teams: dict[int, Team | None] = {}

    def add(self) -> None:
        existing_keys = {
            bytes(digest): row
            for row in ApiKey.objects.all()
            for digest in (row.digest, row.previous_digest)
            if digest is not None
        }
        usage: dict[Name, list[int]] = {}
        for token in self._tables.tokens:
            secret = f"sk-{_text_or_empty(token['key']).strip()}"
            if token.get("deleted_at") or secret == "sk-":  # noqa: S105 - a token without a key
                self._report.count("keys", "skipped")
                continue
            row = existing_keys.get(store.digest(secret))
            if row is not None:
                self._report.count("keys", "existing")
            else:
                row = self._import_key(token, secret)
                row.save()
                self._report.count("keys", "added")
            self._add_usage(usage, token, row)
        write_usage(usage, imported_provider_prefix(self._tables.gateway), self._report)

    def _import_key(self, token: Row, secret: str) -> ApiKey:
        user = self._users.get(token.get("user_id"), {})
        name = self._free_name(token, user)
        subject = f"key {name}"
        row = ApiKey(
            name=name,
            prefix=self._free_prefix(secret),
            digest=store.digest(secret),
            routes=self._allowed_routes(token, user, subject),
            user=_text_or_empty(user.get("username"))[:_MAX_NAME],
            team=self._team_of_user(user),
            expires_at=_parse_timestamp(token.get("expired_time")),
            last_used_at=_parse_timestamp(token.get("accessed_time")),
            source=RowSource.DATABASE,
            source_ref=f"{self._tables.gateway} token {token['id']}",
        )
        if not token.get("unlimited_quota"):
            total = self._usd_of_quota(
                _integer_or_zero(token.get("remain_quota"))
                + _integer_or_zero(token.get("used_quota"))
            )
            row.budget_total_usd = max(total, Decimal(0)) if total <= _MAX_USD else None
        disabled = token.get("status") == 2 or user.get("status", _ENABLED) != _ENABLED
        if disabled:
            row.revoked_at = self._now
        for column in ("allow_ips", "subnet"):
            if _text_or_empty(token.get(column)).strip():
                self._report.add_remark(subject, "its allowed addresses are not imported")
        return row

    def _usd_of_quota(self, quota: int) -> Decimal:
        return (Decimal(quota) / self._per_usd).quantize(Decimal("1e-6"))

    def _add_usage(self, usage: dict[Name, list[int]], token: Row, row: ApiKey) -> None:
        """Add the token's total usage, dated to the day of its creation."""
        used_quota = _integer_or_zero(token.get("used_quota"))
        if used_quota <= 0:
            return
        day = (_parse_timestamp(token.get("created_time")) or self._now).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        units = min(int(self._usd_of_quota(used_quota) * UNITS), 2**62)
        prefix = f"token {token['id']}"
        gateway_prefix = imported_provider_prefix(self._tables.gateway)
        usage[day, row.pk, prefix, "", gateway_prefix, ""] = [0] * 10 + [units, units]

    def _team_of_user(self, user: Row) -> Team | None:
        """The team of a user's keys, whose total budget is the user's quota."""
        if not user:
            return None
        if user["id"] not in self._teams:
            self._teams[user["id"]] = self._import_team(user)
        return self._teams[user["id"]]

    def _import_team(self, user: Row) -> Team | None:
        ref = f"{self._tables.gateway} user {user['id']}"
        team = Team.objects.filter(source_ref=ref).first()
        if team is not None:
            self._report.count("teams", "existing")
            return team
        used_quota = sum(
            _integer_or_zero(token.get("used_quota"))
            for token in self._tables.tokens
            if token.get("user_id") == user["id"] and not token.get("deleted_at")
        )
        total = self._usd_of_quota(_integer_or_zero(user.get("quota")) + used_quota)
        if not 0 <= total <= _MAX_USD:
            self._report.add_remark(
                f"user {user.get('username')}", "its quota is not imported as a limit"
            )
            return None
        name = f"user {user.get('username') or user['id']}"[:_MAX_NAME]
        if Team.objects.filter(name=name).exists():
            name = f"{name[: _MAX_NAME - 30]} ({user['id']})"
            self._report.add_remark(f"user {user.get('username')}", f"its team is named `{name}`")
        team = Team(name=name, source_ref=ref, budget_total_usd=total)
        team.save()
        self._report.count("teams", "added")
        return team

    def _allowed_routes(self, token: Row, user: Row, subject: str) -> list[str]:
        """The routes that a token may use: its own, and those of its group."""
        token_models = _split_names(token.get("models"))
        if token.get("model_limits_enabled"):
            token_models = _split_names(token.get("model_limits"))
        group = _text_or_empty(token.get("group")) or _text_or_empty(user.get("group")) or "default"
        models = self._group_models.get(group, set())
        if not models or models == self._all_models:
            return token_models
        self._report.add_remark(
            subject, f"may use the models of the group {group}, of channels of any group"
        )
        return [name for name in token_models if name in models] if token_models else sorted(models)

    def _free_name(self, token: Row, user: Row) -> str:
        name = _text_or_empty(token.get("name")).strip()[: _MAX_NAME - 60] or f"token {token['id']}"
        free_name = name
        if free_name in self._names:
            free_name = f"{name} ({_text_or_empty(user.get('username')) or 'token'} {token['id']})"[
                :_MAX_NAME
            ]
            self._report.add_remark(f"key {name}", f"is named `{free_name}` here")
        self._names.add(free_name)
        return free_name

    def _free_prefix(self, secret: str) -> str:
        length = min(_PREFIX_CHARS, max(len(secret) // 2, 4))
        prefix = secret[:length]
        number = 1
        while prefix in self._prefixes:
            prefix, number = f"{secret[:length]}~{number}", number + 1
        self._prefixes.add(prefix)
        return prefix


def _models_by_group(tables: Tables) -> tuple[dict[str, set[str]], set[str]]:
    groups: dict[str, set[str]] = {}
    for channel in tables.channels:
        if channel.get("status") == _ENABLED:
            for group in _split_names(channel.get("group")):
                groups.setdefault(group, set()).update(_split_names(channel.get("models")))
    return groups, set().union(*groups.values())


def _note_ratios(tables: Tables, report: ImportReport) -> None:
    for group, ratio in _json_object(tables.options.get("GroupRatio")).items():
        if ratio != 1:
            report.add_remark(f"group {group}", f"set its ratio {ratio} as the markup of a team")
    for option in ("ModelRatio", "ModelPrice"):
        if _json_object(tables.options.get(option)):
            report.add_remark("", f"{option}: prices of models come from the price list here")


# --- values -------------------------------------------------------------------------


def _channel_label(tables: Tables, channel: Row) -> str:
    return f"{tables.gateway} channel {channel['id']}"


def _text_or_empty(value: Any) -> str:
    return str(value or "").replace("\0", "")


def _integer_or_zero(value: Any) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        return 0


def _positive_or_none(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None


def _split_names(value: Any) -> list[str]:
    return list(
        dict.fromkeys(name.strip() for name in _text_or_empty(value).split(",") if name.strip())
    )


def _json_object(value: Any) -> Row:
    if isinstance(value, bytes | str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _parse_timestamp(seconds: Any) -> dt.datetime | None:
    number = _integer_or_zero(seconds)
    return dt.datetime.fromtimestamp(number, dt.UTC) if 0 < number < 2**33 else None
