"""Named filters over the tables, and writes that move the registry's version.

A view or a command never calls `.filter(status=...)`; it says what it wants here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
# Digits that every database's row ids can hold.
_ID_DIGITS = 19
# What the log shows as the key of calls that no client made.
_INTERNAL_KEYS = ("playground", "replay", "shadow", HEALTH_CHECK_KEY)
# The condition of the index `gateway_request_doubtful`, in literals.
_UNCERTAIN_COST = (
    "cost_usd IS NULL OR NOT (outcome = 'ok') OR NOT (shadow_of = '') "
    "OR NOT (service_tier = '') OR usage_source IN ('estimated', 'estimated_size')"
)
_LOOKUPS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
# Columns whose index leaves the usual value out. SQLite uses such an index only if the
# query says that it does not want that value either.
_PARTIAL = {"outcome": "ok", "error_kind": "", "session": ""}


class RegistryQuerySet(models.QuerySet[Row]):
    """The one row that holds the registry's version."""

    def version(self) -> int:
        """The number of changes so far; 0 before the first."""
        return self.filter(pk=1).values_list("version", flat=True).first() or 0

    def bump(self) -> None:
        """Count one change.

        It belongs into the transaction of the change: the new version and what it stands
        for become visible together, and no crash can fall between the two.
        """
        if not self.filter(pk=1).update(version=F("version") + 1):
            self.bulk_create([self.model(pk=1)], ignore_conflicts=True)
            self.filter(pk=1).update(version=F("version") + 1)
        transaction.on_commit(_note_commit, using=self.db)


# Changes of the registry that this process has committed.
_committed = 0


def _note_commit() -> None:
    global _committed
    _committed += 1


def committed_changes() -> int:
    """How many changes of the registry this process has committed."""
    return _committed


def bump() -> None:
    """Count one change of the registry."""
    apps.get_model("gateway", "Registry").objects.bump()


class RegistryRowQuerySet(models.QuerySet[Row]):
    """Rows of the registry: whatever writes them in bulk moves its version too."""

    def live(self) -> Self:
        """Those that are switched on, oldest first."""
        return self.filter(enabled=True).order_by("pk")

    def from_source(self, source: str) -> Self:
        """Those that came from `source`."""
        return self.filter(source=source)

    def update(self, **values: Any) -> int:
        """Change all rows; the version moves if there were any."""
        with transaction.atomic(using=self.db):
            before = {} if audit.ignores_change(values) else audit.read_queryset(self)
            count = super().update(**values)
            if count:
                audit.record_changes(self.model, before)
                bump()
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete all rows; the version moves if there were any."""
        with transaction.atomic(using=self.db):
            result = super().delete()
            if result[0]:
                bump()
        return result

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> list[Row]:
        """Insert many rows and move the version once."""
        with transaction.atomic(using=self.db):
            rows = super().bulk_create(objs, *args, **kwargs)
            for row in rows:
                audit.record_change(
                    self.model._meta.model_name or "", row.pk, str(row), None, audit.row_values(row)
                )
            bump()
        return rows


class ModelQuerySet(RegistryRowQuerySet[Row]):
    """Models of providers."""

    def first_of(self, provider_id: int) -> str:
        """The name of a model of a provider that may be called; empty if there is none."""
        rows = self.live().filter(provider_id=provider_id).exclude(name__contains="*")
        return rows.values_list("name", flat=True).first() or ""

    def with_name(self, name: str) -> Self:
        """Those of this name, one for each provider."""
        return self.filter(name=name)

    def matching(self, *, text: str = "", provider: str = "", state: str = "") -> Self:
        """Those with `text` in `provider/model`, of a provider, `on` or `off`; empty is any."""
        if any("\0" in value for value in (text, provider)):
            return self.none()
        rows = self.filter(provider__name=provider) if provider else self
        if state in {"on", "off"}:
            on = Q(enabled=True, provider__enabled=True)
            rows = rows.filter(on if state == "on" else ~on)
        label = Concat("provider__name", Value("/"), "name")
        for term in text.split():
            rows = rows.annotate(label=label).filter(label__icontains=term)
        return rows


class ApiKeyQuerySet(RegistryRowQuerySet[Row]):
    """Client credentials."""

    def live(self) -> Self:
        """Those that have not been revoked. Expired ones stay: the client is told so."""
        return self.filter(revoked_at=None).order_by("pk")

    def with_names(self, names: Sequence[str]) -> Self:
        """Those with one of these names."""
        return self.filter(name__in=[name for name in names if "\0" not in name])

    def name_contains(self, parts: Sequence[str]) -> Self:
        """Those whose name has one of these parts, whatever their case."""
        usable = [part for part in parts if part and "\0" not in part]
        condition = reduce(or_, (Q(name__icontains=part) for part in usable), Q(pk=None))
        return self.filter(condition)

    def with_pk(self, pk: int) -> Self:
        """The one with this row id."""
        return self.filter(pk=pk)

    def memberships(self) -> dict[int, list[int]]:
        """The row ids of keys that belong to a team: those of their project and team."""
        rows = self.exclude(team=None).order_by()
        teams_by_key = rows.values_list("pk", "team_id", "team__parent_id")
        return {pk: [team for team in teams if team is not None] for pk, *teams in teams_by_key}

    def of_team(self, team_id: int) -> Self:
        """The keys of a team that have not been revoked."""
        return self.live().filter(team_id=team_id)

    def free_for(self, team_id: int | None) -> Self:
        """Those that are in no team, or in this one, by name."""
        return self.live().filter(Q(team=None) | Q(team_id=team_id)).order_by("name", "pk")

    def leave(self, team_id: int) -> int:
        """Take all keys out of a team, revoked ones too."""
        return self.filter(team_id=team_id).update(team_id=None)

    def join(self, team_id: int, pks: Sequence[int]) -> None:
        """Make these, and no others that are not revoked, the keys of a team."""
        with transaction.atomic(using=self.db):
            self.of_team(team_id).exclude(pk__in=pks).update(team_id=None)
            self.live().filter(pk__in=pks).exclude(team_id=team_id).update(team_id=team_id)

    def revoked(self) -> Self:
        """Those that have been revoked, the last first."""
        return self.exclude(revoked_at=None).order_by("-revoked_at")

    def revoke(self) -> int:
        """Refuse them from now on."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())

    def restore(self, *, revoked_since: datetime) -> int:
        """Accept them again, if they were revoked no longer ago than that."""
        return self.filter(revoked_at__gte=revoked_since).update(revoked_at=None)


class TeamQuerySet(RegistryRowQuerySet[Row]):
    """Teams of keys, and their projects."""

    def outermost(self) -> Self:
        """Those that are no project of another."""
        return self.filter(parent=None).order_by("name")

    def release(self, team_id: int) -> int:
        """Make the projects of a team teams of their own."""
        return self.filter(parent_id=team_id).update(parent_id=None)

    def with_member_count(self) -> Self:
        """All by name, with `members`: how many keys each has that are not revoked."""
        active = Q(keys__revoked_at=None)
        teams = self.select_related("parent").annotate(members=models.Count("keys", filter=active))
        return teams.order_by("name")


class RouteVersionQuerySet(models.QuerySet[Row]):
    """What routes were at each save."""

    def latest_of(self, route: models.Model) -> Row | None:
        """The newest version of a route."""
        return self.filter(route=route).order_by("-number").first()

    def numbered(self, route: models.Model, number: int) -> Row | None:
        """One version of a route."""
        return self.filter(route=route, number=number).first()

    def of(self, route: models.Model) -> Self:
        """The versions of a route, newest first."""
        return self.filter(route=route).order_by("-number")


class RequestLogQuerySet(models.QuerySet[Row]):
    """The request log: filters, newest first by keyset, retention."""

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
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
    ) -> Self:
        """Rows for which all that is given holds; None and an empty text mean any.

        `key` is a key's public prefix or row id, `status` a code or a class such as
        `4xx`, `text` words and "phrases" that must all occur.
        """
        equal = {
            "route": route,
            "provider": provider,
            "model": model,
            "outcome": outcome,
            "error_kind": error_kind,
            "session": session,
        }
        if any("\0" in value for value in (*equal.values(), key, status) if isinstance(value, str)):
            return self.none()  # PostgreSQL refuses to compare with it, and no row has it
        rows = self.filter(**{name: value for name, value in equal.items() if value})
        for name, usual in _PARTIAL.items():
            if equal[name] and equal[name] != usual:
                rows = rows.exclude(**{name: usual})
        rows = rows.filter(_key(key), _status(status))
        if since is not None:
            rows = rows.filter(started_at__gte=since)
        if until is not None:
            rows = rows.filter(started_at__lt=until)
        return rows.containing(text) if text else rows

    def column_in(self, column: str, values: Sequence[str], *, negated: bool = False) -> Self:
        """Rows whose column holds one of `values`, or none of them. `status` takes classes."""
        if any("\0" in value for value in values):
            return self if negated else self.none()
        if column == "status":
            condition = reduce(or_, (_status(value) for value in values))
        else:
            condition = (
                Q(**{f"{column}__in": values}) if len(values) > 1 else Q(**{column: values[0]})
            )
        if negated:
            return self.filter(~condition)
        rows = self.filter(condition)
        usual = {**_PARTIAL, "status": 200}.get(column)
        if usual is not None and not {str(usual), "2xx"} & {value.lower() for value in values}:
            rows = rows.exclude(**{column: usual})
        return rows

    def not_empty(self, column: str) -> Self:
        """Rows whose column, usually empty, holds something; by the column's partial index."""
        # A literal: SQLite does not see that a parameter fits an index. And a range, or it
        # takes another index of which it knows the size.
        return self.exclude(**{column: RawSQL("''", ())}).filter(**{f"{column}__gt": ""})

    def with_uncertain_cost(self) -> Self:
        """Rows whose cost may not be what is billed; by the index of that condition."""
        return self.filter(RawSQL(_UNCERTAIN_COST, (), models.BooleanField()))  # noqa: S611

    def with_failed_attempts_of(self, provider: str) -> Self:
        """Rows with an attempt at a provider that failed or lost a hedge.

        On SQLite also a few rows in which another provider's attempt failed.
        """
        if connections[self.db].vendor == "postgresql":
            # The binary JSON is searched as it is: turning it into text takes twice as long.
            failed = RawSQL(
                "jsonb_path_exists(attempts, '$[*].error_kind')", (), models.BooleanField()
            )
            return self.filter(failed, attempts__contains=[{"provider": provider}])
        rows = self.alias(attempts_text=Cast("attempts", models.TextField()))
        rows = rows.filter(attempts_text__contains="error_kind")
        return rows.filter(attempts_text__contains=f'"{provider}"')

    def compare_number(self, column: str, op: str, amount: Decimal) -> Self:
        """Rows whose number is above or below `amount`; unknown numbers are neither.

        `column` is a column of the log, or `tokens` for all tokens of prompt and answer.
        """
        rows = self
        if column == "tokens":
            parts = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
            total = reduce(add, (Coalesce(part, 0) for part in parts))
            rows = self.alias(tokens=total)
        return rows.filter(**{f"{column}__{_LOOKUPS[op]}": amount})

    def with_any_id(self, text: str) -> Self:
        """The rows that go by this id: the row's, the gateway's, or the one its client chose.

        These may be several, as clients choose freely: `addressed` finds the one of a link.
        """
        if "\0" in text:
            return self.none()
        condition = Q(request_id=text) | (Q(client_request_id=text) & ~Q(client_request_id=""))
        if text.isdecimal() and len(text) < _ID_DIGITS:
            condition |= Q(pk=int(text))
        return self.filter(condition)

    def by_id(self, text: str) -> Row | None:
        """The one row that a link means: by row id, the gateway's own id, the client's newest.

        An id of digits is a row's. No client can put its request in another one's place.
        """
        if "\0" in text:
            return None
        if text.isdecimal():
            return self.filter(pk=int(text)).first() if len(text) < _ID_DIGITS else None
        row = self.filter(request_id=text).newest(1).first()
        if row is not None or not text:
            return row
        chosen = Q(client_request_id=text) & ~Q(client_request_id="")
        return self.filter(chosen).newest(1).first()

    def of(self, pks: Sequence[int]) -> Self:
        """The rows with these row ids."""
        return self.filter(pk__in=pks)

    def of_range(self, low: int, high: int) -> Self:
        """The rows with row ids from `low` to `high`, both included."""
        return self.filter(pk__gte=low, pk__lte=high)

    def started_between(self, since: datetime | None, until: datetime | None) -> Self:
        """Rows that started at or after `since` and before `until`; None means no bound."""
        rows = self if since is None else self.filter(started_at__gte=since)
        return rows if until is None else rows.filter(started_at__lt=until)

    def earliest_start(self) -> datetime | None:
        """When the first of them started."""
        return self.order_by("started_at").values_list("started_at", flat=True).first()

    def outcomes_by_provider(self, since: datetime) -> dict[str, tuple[int, int]]:
        """Provider -> how many requests it answered last since then, and how many failed."""
        failed = Q(outcome__in=("error", "cut"))
        rows = (
            self.filter(started_at__gte=since)
            .exclude(provider="")
            .order_by()
            .values_list("provider")
            .annotate(calls=models.Count("pk"), bad=models.Count("pk", filter=failed))
        )
        return {name: (calls, bad) for name, calls, bad in rows}

    def failed(self) -> Self:
        """Rows that did not end well, by the index that holds only those."""
        return self.filter(outcome__in=("error", "cut", "client_closed")).exclude(outcome="ok")

    def containing(self, text: str) -> Self:
        """Rows whose bodies or error contain all words and "phrases" of `text`."""
        required_phrases = parse_phrases(text)
        if not required_phrases:
            return self.none()
        rows = self.filter(text__document__matches=required_phrases)
        rows._searched = True
        return rows

    def before(self, cursor: int | None) -> Self:
        """Rows older than the one the last page ended with."""
        return self if cursor is None else self.filter(pk__lt=cursor)

    def after(self, cursor: int) -> Self:
        """Rows newer than that one, for pages that are live."""
        return self.filter(pk__gt=cursor)

    def without_health_checks(self) -> Self:
        """Those that somebody asked for: all but the gateway's own checks of targets."""
        return self.exclude(key_prefix=HEALTH_CHECK_KEY)

    def has_client_requests(self) -> bool:
        """Whether there is one of these; a glance at the index, however many checks there are."""
        return self.filter(
            Q(key_prefix__lt=HEALTH_CHECK_KEY) | Q(key_prefix__gt=HEALTH_CHECK_KEY)
        ).exists()

    def first_client_call(self, cursor: int) -> Row | None:
        """The first call after that row which came from outside, not from the gateway itself."""
        return self.after(cursor).exclude(key_prefix__in=_INTERNAL_KEYS).order_by("pk").first()

    def newest(self, count: int) -> Self:
        """The `count` newest rows, newest first."""
        return self._newest_first()[:count]

    def _newest_first(self) -> Self:
        if not self._searched:
            return self.order_by("-pk")
        # PostgreSQL would walk the index by id and test each row for a rare word (42 s at
        # a million rows); an expression keeps it from that (0.6 ms). FTS5 hands out hits by
        # row id, so that SQLite stops at the page's end if told in its words.
        return self.order_by((F("pk") + 0).desc() if _is_postgresql(self.db) else "-text")

    def prune(self, older_than: datetime, *, at_once: int = PRUNE_ROWS) -> int:
        """Delete rows that started before `older_than`, with bodies and index; how many.

        In small transactions, so that the writer never waits long.
        """
        return sum(self._prune(older_than, at_once))

    def _prune(self, older_than: datetime, at_once: int) -> Iterator[int]:
        while True:
            old = self.filter(started_at__lt=older_than).order_by("started_at")
            ids = list(old.values_list("pk", flat=True)[:at_once])
            if not ids:
                return
            with transaction.atomic(using=self.db):
                self.model._default_manager.filter(pk__in=ids).delete()
            yield len(ids)


class RequestBodyQuerySet(models.QuerySet[Row]):
    """The bodies of the request log, which may be kept for a shorter time than its rows."""

    def prune(self, older_than: datetime, *, at_once: int = PRUNE_ROWS) -> int:
        """Delete bodies of requests that started before `older_than`; how many.

        Their words leave the index too, and the rows say why there is no body.
        """
        return sum(self._prune(older_than, at_once))

    def _prune(self, older_than: datetime, at_once: int) -> Iterator[int]:
        logs, texts, queue = (
            apps.get_model("gateway", name)._default_manager
            for name in ("RequestLog", "RequestText", "UnindexedRequest")
        )
        while True:
            old = self.filter(log__started_at__lt=older_than).order_by("log__started_at")
            ids = list(old.values_list("pk", flat=True)[:at_once])
            if not ids:
                return
            with transaction.atomic(using=self.db):
                self.model._default_manager.filter(pk__in=ids).delete()
                texts.filter(pk__in=ids).delete()
                logs.filter(pk__in=ids).update(bodies_omitted="expired")
                # An error's words stand in the row and stay findable.
                failed = logs.filter(pk__in=ids).exclude(error="").values_list("pk", flat=True)
                queue.bulk_create([queue.model(log_id=pk) for pk in failed], ignore_conflicts=True)
            yield len(ids)


class ProviderResourceQuerySet(models.QuerySet[Row]):
    """Whose the things are that providers keep."""

    def remember(self, provider: str, key_id: int, ids: Sequence[str]) -> None:
        """Note that these ids of a provider are a key's."""
        make = self.model
        rows = [make(provider=provider, key_id=key_id, upstream_id=id_) for id_ in ids]
        self.bulk_create(rows, ignore_conflicts=True)

    def of_key(self, provider: str, key_id: int, ids: Sequence[str]) -> set[str]:
        """Those of these ids that are the key's."""
        ids_of_key: set[str] = set()
        # In pieces: a database takes so many parameters and no more.
        for start in range(0, len(ids), 500):
            rows = self.filter(
                provider=provider, key_id=key_id, upstream_id__in=ids[start : start + 500]
            )
            ids_of_key.update(rows.values_list("upstream_id", flat=True))
        return ids_of_key

    def has_results(self, provider: str, file: str, batch: str, key_id: int) -> None:
        """Note that a file of a provider has the results of a batch."""
        self.remember(provider, key_id, [file])
        self.filter(provider=provider, upstream_id=file, batch_id="").update(batch_id=batch)

    def batch_of(self, provider: str, file: str) -> str:
        """The batch whose results a file has; empty for none."""
        rows = self.filter(provider=provider, upstream_id=file).exclude(batch_id="")
        return rows.values_list("batch_id", flat=True).first() or ""

    def claim(self, provider: str, batch: str, key_id: int) -> int | None:
        """Mark a batch as counted; the key that made it, or None if it was marked before.

        Of all that ask at once, in whatever process, one is told the key. `key_id` is whose
        it is where nobody remembers. To be called in a transaction, which holds the mark
        back from others until it ends.
        """
        self.remember(provider, key_id, [batch])
        rows = self.filter(provider=provider, upstream_id=batch)
        resource = rows.order_by("pk").first()
        assert resource is not None
        if not rows.filter(pk=resource.pk, settled_at=None).update(settled_at=timezone.now()):
            return None
        return int(resource.key_id)  # type: ignore[attr-defined]


def _key(key: str | int | None) -> Q:
    if isinstance(key, int):
        return Q(key_id=key)
    return Q(key_prefix=key) if key else Q()


def _status(status: str | int | None) -> Q:
    text = str(status or "").strip().lower()
    if not text:
        return Q()
    if len(text) == 3 and text.endswith("xx") and text[0].isdigit():
        first = int(text[0]) * 100
        return Q(status__gte=first, status__lt=first + 100)
    # What is no status is had by no row: a typing error must not look like "all".
    return Q(status=int(text)) if text.isdigit() and len(text) == 3 else Q(pk__in=[])


def _is_postgresql(alias: str) -> bool:
    return connections[alias].vendor == "postgresql"


class StoredResponseQuerySet(models.QuerySet[Row]):
    """Responses that clients may name by id."""

    def of(self, owner: str, response_id: str) -> Self:
        """The one with this id that this owner may read; at most one."""
        return self.filter(owner=owner, response_id=response_id)

    def running(self) -> Self:
        """Those that are not over."""
        return self.filter(status__in=("queued", "in_progress"), deleted=False)

    def prune(self, older_than: datetime, *, at_once: int = PRUNE_ROWS) -> int:
        """Delete those that were made before `older_than`; how many."""
        return sum(self._prune(older_than, at_once))

    def _prune(self, older_than: datetime, at_once: int) -> Iterator[int]:
        while True:
            old = self.filter(created_at__lt=older_than).order_by("created_at")
            ids = list(old.values_list("pk", flat=True)[:at_once])
            if not ids:
                return
            self.model._default_manager.filter(pk__in=ids).delete()
            yield len(ids)
