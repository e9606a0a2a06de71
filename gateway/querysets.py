"""Named filters of the tables, and bulk writes that bump the registry version.

Views and commands never call `.filter(status=...)`; they use a named filter from here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import add, or_
from typing import Any, Self, TypeVar

from django.apps import apps
from django.db import connections, models, transaction
from django.db.models import F, Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Coalesce, Concat
from django.utils import timezone

from gateway import audit
from gateway.fulltext import parse_phrases
from gateway.routing.circuit_breaker import HEALTH_CHECK_KEY

Row = TypeVar("Row", bound=models.Model)

PRUNE_ROWS = 1000
# Ids with fewer digits than this fit into a row id of every database.
_ID_DIGITS = 19
# Key prefixes in the log of calls made by the gateway itself.
_INTERNAL_KEYS = ("playground", "evaluation", "replay", "shadow", HEALTH_CHECK_KEY)
# The condition of the index `gateway_request_doubtful`, as literals.
_UNCERTAIN_COST = (
    "cost_usd IS NULL OR NOT (outcome = 'ok') OR NOT (shadow_of = '') "
    "OR NOT (service_tier = '') OR usage_source IN ('estimated', 'estimated_size')"
)
# Comparison in a search -> Django's lookup.
LOOKUPS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
# Columns with a partial index that excludes the most common value. SQLite uses such an index
# only if the query excludes that value explicitly.
_PARTIAL_INDEXES = {
    "outcome": "ok",
    "error_kind": "",
    "session": "",
    "end_user": "",
    "trace_id": "",
    "response_id": "",
}


class RegistryQuerySet(models.QuerySet[Row]):
    """The single row with the registry version."""

    def version(self) -> int:
        """The number of changes so far; 0 before the first.

        Every process asks several times per second: without the ORM, an idle one takes a third
        less CPU time.
        """
        table = connections[self.db].ops.quote_name(self.model._meta.db_table)
        with connections[self.db].cursor() as cursor:
            cursor.execute(f"SELECT version FROM {table} WHERE id = 1")  # noqa: S608
            row = cursor.fetchone()
        return row[0] if row else 0

    def bump(self) -> None:
        """Count one change.

        Call it in the transaction of the change: the new version and the change become visible
        together, even if the process crashes.
        """
        if not self.filter(pk=1).update(version=F("version") + 1):
            self.bulk_create([self.model(pk=1)], ignore_conflicts=True)
            self.filter(pk=1).update(version=F("version") + 1)
        transaction.on_commit(_note_commit, using=self.db)

    def update_row(self, **values: Any) -> None:
        """Store values of the row that do not count as a change of the registry."""
        if not self.filter(pk=1).update(**values):
            self.bulk_create([self.model(pk=1)], ignore_conflicts=True)
            self.filter(pk=1).update(**values)


# Registry changes that this process has committed.
_committed_changes = 0


def _note_commit() -> None:
    global _committed_changes
    _committed_changes += 1


def committed_changes() -> int:
    """How many changes of the registry this process has committed."""
    return _committed_changes


def bump_version() -> None:
    """Count one change of the registry."""
    apps.get_model("gateway", "Registry").objects.bump()


class RegistryRowQuerySet(models.QuerySet[Row]):
    """Rows of the registry, with bulk writes that bump its version."""

    def live(self) -> Self:
        """Enabled rows, oldest first."""
        return self.filter(enabled=True).order_by("pk")

    def from_source(self, source: str) -> Self:
        """Rows that came from `source`."""
        return self.filter(source=source)

    def update(self, **values: Any) -> int:
        """Update all rows; bumps the version if there were any."""
        with transaction.atomic(using=self.db):
            before = {} if audit.ignores_change(values) else audit.read_queryset(self)
            count = super().update(**values)
            if count:
                audit.record_changes(self.model, before)
                bump_version()
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete all rows; bumps the version if there were any."""
        with transaction.atomic(using=self.db):
            result = super().delete()
            if result[0]:
                bump_version()
        return result

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> list[Row]:
        """Insert many rows and bump the version once."""
        with transaction.atomic(using=self.db):
            rows = super().bulk_create(objs, *args, **kwargs)
            for row in rows:
                audit.record_change(
                    self.model._meta.model_name or "", row.pk, str(row), None, audit.row_values(row)
                )
            bump_version()
        return rows


class ModelQuerySet(RegistryRowQuerySet[Row]):
    """Models of providers."""

    def first_of(self, provider_id: int) -> str:
        """The name of an enabled, non-wildcard model of a provider; empty if there is none."""
        rows = self.live().filter(provider_id=provider_id).exclude(name__contains="*")
        return rows.values_list("name", flat=True).first() or ""

    def with_name(self, name: str) -> Self:
        """Models of this name, at most one per provider."""
        return self.filter(name=name)

    def matching(self, *, text: str = "", provider: str = "", state: str = "") -> Self:
        """Models by text in `provider/model`, provider, and state `on` or `off`; empty is any."""
        if any("\0" in value for value in (text, provider)):
            return self.none()
        rows = self.filter(provider__name=provider) if provider else self
        if state in {"on", "off"}:
            is_enabled = Q(enabled=True, provider__enabled=True)
            rows = rows.filter(is_enabled if state == "on" else ~is_enabled)
        label = Concat("provider__name", Value("/"), "name")
        for term in text.split():
            rows = rows.annotate(label=label).filter(label__icontains=term)
        return rows


class ApiKeyQuerySet(RegistryRowQuerySet[Row]):
    """API keys of clients."""

    def live(self) -> Self:
        """Keys that are not revoked. Expired keys are included: their error message differs."""
        return self.filter(revoked_at=None).order_by("pk")

    def with_names(self, names: Sequence[str]) -> Self:
        """Keys with one of these names."""
        return self.filter(name__in=[name for name in names if "\0" not in name])

    def name_contains(self, parts: Sequence[str]) -> Self:
        """Keys whose name contains one of these parts, case-insensitively."""
        usable = [part for part in parts if part and "\0" not in part]
        condition = reduce(or_, (Q(name__icontains=part) for part in usable), Q(pk=None))
        return self.filter(condition)

    def owned_by(self, user: Any) -> Self:
        """The keys that an account created for itself, revoked ones included."""
        return self.filter(owner_id=user.pk)

    def owns(self, user: Any, key_id: int | None) -> bool:
        """Whether a key is one that an account created for itself."""
        return self.owned_by(user).filter(pk=key_id).exists()

    def with_pk(self, pk: int) -> Self:
        """The key with this row id."""
        return self.filter(pk=pk)

    def memberships(self) -> dict[int, list[int]]:
        """Row id of each key in a team -> row ids of its project and team."""
        rows = self.exclude(team=None).order_by()
        teams_by_key = rows.values_list("pk", "team_id", "team__parent_id")
        return {pk: [team for team in teams if team is not None] for pk, *teams in teams_by_key}

    def of_team(self, team_id: int) -> Self:
        """The keys of a team that have not been revoked."""
        return self.live().filter(team_id=team_id)

    def available_for_team(self, team_id: int | None) -> Self:
        """Unrevoked keys in no team or in this one, by name."""
        return self.live().filter(Q(team=None) | Q(team_id=team_id)).order_by("name", "pk")

    def remove_all_from_team(self, team_id: int) -> int:
        """Remove all keys from a team, revoked ones included."""
        return self.filter(team_id=team_id).update(team_id=None)

    def set_team_members(
        self, team_id: int, pks: Sequence[int], *, removable: Sequence[int] | None = None
    ) -> None:
        """Add keys to a team; remove its other unrevoked ones, or only those in `removable`."""
        may_leave = Q() if removable is None else Q(pk__in=removable)
        with transaction.atomic(using=self.db):
            self.of_team(team_id).filter(may_leave).exclude(pk__in=pks).update(team_id=None)
            self.live().filter(pk__in=pks).exclude(team_id=team_id).update(team_id=team_id)

    def revoked(self) -> Self:
        """Revoked keys, most recent first."""
        return self.exclude(revoked_at=None).order_by("-revoked_at")

    def revoke(self) -> int:
        """Revoke all keys that are not revoked yet."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())

    def restore(self, *, revoked_since: datetime) -> int:
        """Restore keys that were revoked at or after `revoked_since`."""
        return self.filter(revoked_at__gte=revoked_since).update(revoked_at=None)


class GuardrailQuerySet(RegistryRowQuerySet[Row]):
    """Guardrails."""

    def in_order(self) -> Self:
        """All guardrails in the order in which they run, disabled ones included."""
        return self.order_by("position", "name")


class TeamQuerySet(RegistryRowQuerySet[Row]):
    """Teams of keys, and their projects."""

    def top_level(self) -> Self:
        """Teams that are not projects."""
        return self.filter(parent=None).order_by("name")

    def release(self, team_id: int) -> int:
        """Turn the projects of a team into teams."""
        return self.filter(parent_id=team_id).update(parent_id=None)

    def with_member_count(self) -> Self:
        """All teams by name, annotated with `members`: the number of unrevoked keys."""
        active = Q(keys__revoked_at=None)
        teams = self.select_related("parent").annotate(members=models.Count("keys", filter=active))
        return teams.order_by("name")


class RouteVersionQuerySet(models.QuerySet[Row]):
    """Saved versions of routes."""

    def latest_of(self, route: models.Model) -> Row | None:
        """The newest version of a route."""
        return self.filter(route=route).order_by("-number").first()

    def version_with_number(self, route: models.Model, number: int) -> Row | None:
        """One version of a route."""
        return self.filter(route=route, number=number).first()

    def of_route(self, route: models.Model) -> Self:
        """The versions of a route, newest first."""
        return self.filter(route=route).order_by("-number")


class PromptVersionQuerySet(models.QuerySet[Row]):
    """Saved versions of prompts."""

    def version_with_number(self, prompt: models.Model, number: int) -> Row | None:
        """One version of a prompt."""
        return self.filter(prompt=prompt, number=number).first()

    def of_prompt(self, prompt: models.Model) -> Self:
        """The versions of a prompt, newest first."""
        return self.filter(prompt=prompt).order_by("-number")


class RequestLogQuerySet(models.QuerySet[Row]):
    """The request log: filters, keyset pagination newest first, retention."""

    _searched = False

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._searched = self._searched
        return clone

    def matching(
        self,
        *,
        route: str | None = None,
        key: str | int | None = None,
        provider: str | None = None,
        model: str | None = None,
        status: str | int | None = None,
        outcome: str | None = None,
        error_kind: str | None = None,
        session: str | None = None,
        end_user: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
    ) -> Self:
        """Rows that match all filters; None and an empty text match any.

        `key` is a key's public prefix or row id, `status` a code or a class such as `4xx`, `text`
        words and "phrases" that must all occur.
        """
        equality_filters = {
            "route": route,
            "provider": provider,
            "model": model,
            "outcome": outcome,
            "error_kind": error_kind,
            "session": session,
            "end_user": end_user,
        }
        if any(
            "\0" in value
            for value in (*equality_filters.values(), key, status)
            if isinstance(value, str)
        ):
            return self.none()  # PostgreSQL rejects NUL, and no row contains it
        rows = self.filter(**{name: value for name, value in equality_filters.items() if value})
        for name, default_value in _PARTIAL_INDEXES.items():
            if equality_filters.get(name) and equality_filters[name] != default_value:
                rows = rows.exclude(**{name: default_value})
        rows = rows.filter(_key_filter(key), _status_filter(status))
        if since is not None:
            rows = rows.filter(started_at__gte=since)
        if until is not None:
            rows = rows.filter(started_at__lt=until)
        return rows.containing(text) if text else rows

    def column_in(self, column: str, values: Sequence[str], *, negated: bool = False) -> Self:
        """Rows whose column has one of `values`, or none if negated. `status` accepts classes."""
        if any("\0" in value for value in values):
            return self if negated else self.none()
        if column == "status":
            condition = reduce(or_, (_status_filter(value) for value in values))
        else:
            condition = (
                Q(**{f"{column}__in": values}) if len(values) > 1 else Q(**{column: values[0]})
            )
        if negated:
            return self.filter(~condition)
        rows = self.filter(condition)
        default_value = {**_PARTIAL_INDEXES, "status": 200}.get(column)
        if default_value is not None and not {str(default_value), "2xx"} & {
            value.lower() for value in values
        }:
            rows = rows.exclude(**{column: default_value})
        return rows

    def not_empty(self, column: str) -> Self:
        """Rows with a value in a column that is mostly empty, using its partial index."""
        # A literal, as SQLite cannot match a parameter to a partial index. And a range, or
        # SQLite prefers another index whose size it knows.
        return self.exclude(**{column: RawSQL("''", ())}).filter(**{f"{column}__gt": ""})

    def with_uncertain_cost(self) -> Self:
        """Rows whose cost may differ from the bill, using the index with this condition."""
        return self.filter(RawSQL(_UNCERTAIN_COST, (), models.BooleanField()))  # noqa: S611

    def compare_number(self, column: str, op: str, amount: Decimal) -> Self:
        """Rows whose number compares to `amount` by `op`; nulls never match.

        `column` is a column of the log, or `tokens` for all input and output tokens.
        """
        rows = self
        if column == "tokens":
            parts = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
            total = reduce(add, (Coalesce(part, 0) for part in parts))
            rows = self.alias(tokens=total)
        return rows.filter(**{f"{column}__{LOOKUPS[op]}": amount})

    def with_amount(self, column: str) -> Any:
        """The row ids with a number as `amount`: a column of `compare_number`."""
        parts = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
        amount = (
            reduce(add, (Coalesce(part, 0) for part in parts)) if column == "tokens" else F(column)
        )
        return self.annotate(amount=amount).values("pk", "amount")

    def with_tag(self, tags: Sequence[str], *, negated: bool = False) -> Self:
        """Rows that have one of the tags, or none of them if negated."""
        rows = self.alias(tag_text=Cast("tags", models.TextField()))
        # The two databases and their writers differ in how they escape text in JSON.
        texts = {
            json.dumps(tag, ensure_ascii=ensure_ascii)
            for tag in tags
            for ensure_ascii in (True, False)
        }
        condition = reduce(or_, (Q(tag_text__contains=text) for text in sorted(texts)))
        return rows.filter(~condition if negated else condition)

    def with_any_id(self, text: str) -> Self:
        """Rows with this id: the row id, the gateway's request id, or the client's request id.

        There may be several, as clients choose freely; `by_id` resolves a link to one row.
        """
        if "\0" in text:
            return self.none()
        condition = Q(request_id=text) | (Q(client_request_id=text) & ~Q(client_request_id=""))
        if text.isdecimal() and len(text) < _ID_DIGITS:
            condition |= Q(pk=int(text))
        return self.filter(condition)

    def by_id(self, text: str) -> Row | None:
        """The row that a link refers to: by row id, request id, or the newest by client request id.

        Digits are always a row id. A client's id never hides another request's own id.
        """
        if "\0" in text:
            return None
        if text.isdecimal():
            return self.filter(pk=int(text)).first() if len(text) < _ID_DIGITS else None
        row = self.filter(request_id=text).newest(1).first()
        if row is not None or not text:
            return row
        client_id_matches = Q(client_request_id=text) & ~Q(client_request_id="")
        return self.filter(client_id_matches).newest(1).first()

    def with_pks(self, pks: Sequence[int]) -> Self:
        """Rows with these row ids."""
        return self.filter(pk__in=pks)

    def with_pks_between(self, low: int, high: int) -> Self:
        """Rows with row ids from `low` to `high`, both included."""
        return self.filter(pk__gte=low, pk__lte=high)

    def started_between(self, since: datetime | None, until: datetime | None) -> Self:
        """Rows that started at or after `since` and before `until`; None means no bound."""
        rows = self if since is None else self.filter(started_at__gte=since)
        return rows if until is None else rows.filter(started_at__lt=until)

    def newest_pk(self) -> int:
        """The row id of the newest row; 0 for an empty log."""
        return self.order_by("-pk").values_list("pk", flat=True).first() or 0

    def earliest_start(self) -> datetime | None:
        """The earliest start time."""
        return self.order_by("started_at").values_list("started_at", flat=True).first()

    def served_from_cache(self, routes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Responses of the response cache: `requests` and tokens by route, provider and model."""
        prompt = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
        names = (*prompt, "output_tokens", "reasoning_tokens")
        sums = {name: models.Sum(name, default=0) for name in names}
        rows = self.filter(route__in=routes, cache__in=("hit", "semantic")).order_by()
        groups = rows.values("route", "provider", "model")
        yield from groups.annotate(requests=models.Count("pk"), **sums)

    def failed(self) -> Self:
        """Rows that did not succeed, using the partial index of those."""
        return self.filter(outcome__in=("error", "cut", "client_closed")).exclude(outcome="ok")

    def containing(self, text: str) -> Self:
        """Rows whose bodies or error contain all words and "phrases" of `text`."""
        required_phrases = parse_phrases(text)
        if not required_phrases:
            return self.none()
        rows = self.filter(text__document__matches=required_phrases)
        rows._searched = True
        return rows

    def older_than_row(self, cursor: int | None) -> Self:
        """Rows older than the last one of the previous page."""
        return self if cursor is None else self.filter(pk__lt=cursor)

    def newer_than_row(self, cursor: int) -> Self:
        """Rows newer than `cursor`, for live pages."""
        return self.filter(pk__gt=cursor)

    def of_keys(self, key_ids: Sequence[int] | None) -> Self:
        """Rows of these keys; None is every key."""
        return self if key_ids is None else self.filter(key_id__in=key_ids)

    def first_started(self, count: int) -> Self:
        """The `count` rows that started first."""
        return self.order_by("started_at")[:count]

    def without_shadows(self) -> Self:
        """Rows except for shadow traffic."""
        return self.filter(shadow_of="")

    def without_health_checks(self) -> Self:
        """Rows except for the gateway's own health checks."""
        return self.exclude(key_prefix=HEALTH_CHECK_KEY)

    def has_client_requests(self) -> bool:
        """Whether any row is not a health check; an index lookup, however many checks there are."""
        return self.filter(
            Q(key_prefix__lt=HEALTH_CHECK_KEY) | Q(key_prefix__gt=HEALTH_CHECK_KEY)
        ).exists()

    def first_client_call(self, cursor: int) -> Row | None:
        """The first row after `cursor` that a client sent, not the gateway itself."""
        return (
            self.newer_than_row(cursor)
            .exclude(key_prefix__in=_INTERNAL_KEYS)
            .order_by("pk")
            .first()
        )

    def newest(self, count: int) -> Self:
        """The `count` newest rows, newest first."""
        return self._newest_first()[:count]

    def _newest_first(self) -> Self:
        if not self._searched:
            return self.order_by("-pk")
        # PostgreSQL would scan the index by id and test each row for a rare word (42 s at a
        # million rows); an expression prevents that (0.6 ms). FTS5 returns hits by row id, so
        # SQLite stops at the end of the page if sorted by FTS5's own column.
        is_postgresql = connections[self.db].vendor == "postgresql"
        return self.order_by((F("pk") + 0).desc() if is_postgresql else "-text")

    def prune(self, older_than: datetime, *, batch_size: int = PRUNE_ROWS) -> int:
        """Delete rows that started before `older_than`, with bodies and index; return how many."""
        rows = self.filter(started_at__lt=older_than).order_by("started_at")
        return delete_in_batches(rows, batch_size)


class RequestBodyQuerySet(models.QuerySet[Row]):
    """The bodies of the request log, whose retention may be shorter than that of the rows."""

    def previews(self, ids: list[int]) -> dict[int, str]:
        """The beginning of the last user prompt, by the id of the row; without empty ones."""
        rows = self.filter(pk__in=ids).exclude(preview="").order_by()
        return dict(rows.values_list("pk", "preview"))

    def prune(self, older_than: datetime, *, batch_size: int = PRUNE_ROWS) -> int:
        """Delete bodies of requests that started before `older_than`; return how many.

        Their text leaves the full-text index too, and the rows record the reason.
        """
        rows = self.filter(log__started_at__lt=older_than).order_by("log__started_at")
        return change_in_batches(rows, self._delete_expired, batch_size)

    def _delete_expired(self, ids: list[int]) -> None:
        logs, texts, queue = (
            apps.get_model("gateway", name)._default_manager
            for name in ("RequestLog", "RequestText", "UnindexedRequest")
        )
        self.model._default_manager.filter(pk__in=ids).delete()
        texts.filter(pk__in=ids).delete()
        logs.filter(pk__in=ids).update(bodies_omitted="expired")
        # Error messages are in the row and remain searchable.
        failed_pks = logs.filter(pk__in=ids).exclude(error="").values_list("pk", flat=True)
        queue.bulk_create([queue.model(log_id=pk) for pk in failed_pks], ignore_conflicts=True)


class ProviderResourceQuerySet(models.QuerySet[Row]):
    """Owners of resources at providers."""

    def record_owner(self, provider: str, key_id: int, ids: Sequence[str]) -> None:
        """Record a key as the owner of these ids of a provider."""
        row_type = self.model
        rows = [row_type(provider=provider, key_id=key_id, upstream_id=id_) for id_ in ids]
        self.bulk_create(rows, ignore_conflicts=True)

    def of_key(self, provider: str, key_id: int, ids: Sequence[str]) -> set[str]:
        """The subset of these ids that the key owns."""
        ids_of_key: set[str] = set()
        # In chunks, as databases limit the number of parameters.
        for start in range(0, len(ids), 500):
            rows = self.filter(
                provider=provider, key_id=key_id, upstream_id__in=ids[start : start + 500]
            )
            ids_of_key.update(rows.values_list("upstream_id", flat=True))
        return ids_of_key

    def record_results_file(self, provider: str, file: str, batch: str, key_id: int) -> None:
        """Record that a file of a provider contains the results of a batch."""
        self.record_owner(provider, key_id, [file])
        self.filter(provider=provider, upstream_id=file, batch_id="").update(batch_id=batch)

    def record_guardrails(self, provider: str, key_id: int, id_: str, names: Sequence[str]) -> None:
        """Record the guardrails that check the results of a file or batch."""
        self.record_owner(provider, key_id, [id_])
        self.filter(provider=provider, key_id=key_id, upstream_id=id_).update(
            guardrails=sorted(names)
        )

    def guardrails_of(self, provider: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """The guardrails of each of these ids that has any, whoever owns it."""
        rows = self.filter(provider=provider, upstream_id__in=ids[:500]).exclude(guardrails=[])
        names_of: dict[str, list[str]] = {}
        for id_, names in rows.values_list("upstream_id", "guardrails"):
            names_of[id_] = sorted({*names_of.get(id_, ()), *names})
        return names_of

    def batch_of(self, provider: str, file: str) -> str:
        """The batch whose results a file contains; empty if there is none."""
        rows = self.filter(provider=provider, upstream_id=file).exclude(batch_id="")
        return rows.values_list("batch_id", flat=True).first() or ""

    def claim(self, provider: str, batch: str, key_id: int) -> int | None:
        """Mark a batch as settled; return its owner's key id, or None if it was settled before.

        Of several concurrent callers, only one gets the id. `key_id` is used if the owner is
        unknown. Call it in a transaction, which holds the lock until it ends.
        """
        self.record_owner(provider, key_id, [batch])
        rows = self.filter(provider=provider, upstream_id=batch)
        resource = rows.order_by("pk").first()
        assert resource is not None
        if not rows.filter(pk=resource.pk, settled_at=None).update(settled_at=timezone.now()):
            return None
        return int(resource.key_id)  # type: ignore[attr-defined]


def _key_filter(key: str | int | None) -> Q:
    if isinstance(key, int):
        return Q(key_id=key)
    return Q(key_prefix=key) if key else Q()


def _status_filter(status: str | int | None) -> Q:
    text = str(status or "").strip().lower()
    if not text:
        return Q()
    if len(text) == 3 and text.endswith("xx") and text[0].isdecimal():
        first = int(text[0]) * 100
        return Q(status__gte=first, status__lt=first + 100)
    # An invalid status matches no row: a typo must not look like "all".
    return Q(status=int(text)) if text.isdecimal() and len(text) == 3 else Q(pk__in=[])


class StoredResponseQuerySet(models.QuerySet[Row]):
    """Stored responses of the Responses API."""

    def owned_response(self, owner: str, response_id: str) -> Self:
        """The response with this id and owner; at most one."""
        return self.filter(owner=owner, response_id=response_id)

    def running(self) -> Self:
        """Responses that are queued or in progress."""
        return self.filter(status__in=("queued", "in_progress"), deleted=False)

    def prune(self, older_than: datetime, *, batch_size: int = PRUNE_ROWS) -> int:
        """Delete responses created before `older_than`; return how many."""
        rows = self.filter(created_at__lt=older_than).order_by("created_at")
        return delete_in_batches(rows, batch_size)


def change_in_batches(
    rows: models.QuerySet[Row], change: Callable[[list[int]], object], batch_size: int = PRUNE_ROWS
) -> int:
    """Apply `change` to the ids of `rows`, which must leave the query by it; return how many.

    In small transactions, so that the log writer never waits long.
    """
    count = 0
    while ids := list(rows.values_list("pk", flat=True)[:batch_size]):
        with transaction.atomic(using=rows.db):
            change(ids)
        count += len(ids)
    return count


def delete_in_batches(rows: models.QuerySet[Row], batch_size: int = PRUNE_ROWS) -> int:
    """Delete rows in small transactions; return how many."""
    all_rows = rows.model._default_manager
    return change_in_batches(rows, lambda ids: all_rows.filter(pk__in=ids).delete(), batch_size)
