"""Traces and spans that agents send, in addition to the request log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Self, TypeVar

from django.db import models
from django.db.models import Count, Q

from gateway.querysets import change_in_batches, delete_in_batches

Row = TypeVar("Row", bound=models.Model)
# Ids in one query, below SQLite's limit of parameters.
IDS_PER_QUERY = 400


def _query_ids(ids: Iterable[str]) -> list[str]:
    """The ids that fit into one query, without those that PostgreSQL rejects."""
    return [name for name in ids if "\0" not in name][:IDS_PER_QUERY]


class ClientTraceQuerySet(models.QuerySet[Row]):
    """Traces of clients."""

    def with_trace_ids(self, trace_ids: Iterable[str]) -> Self:
        """Traces with these ids, of any key."""
        return self.filter(trace_id__in=_query_ids(trace_ids))

    def of_key(self, key_id: int, trace_ids: Iterable[str]) -> Self:
        """Traces that a key sent."""
        return self.filter(key_id=key_id, trace_id__in=list(trace_ids))

    def of_keys(self, key_ids: Iterable[int] | None) -> Self:
        """Traces that any of these keys sent; None is every key."""
        return self if key_ids is None else self.filter(key_id__in=list(key_ids))

    def of_session(self, session: str) -> Self:
        """Traces of one session."""
        return self.filter(session=session).exclude(session="")

    def matching(
        self,
        *,
        session: str | None = None,
        key: str | None = None,
        service: str | None = None,
        failed: bool | None = None,
        text: str = "",
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> Self:
        """Traces of this session, key prefix and service that ended in [since, until); None is any.

        `text` is a part of the name, service, session or id, in either case.
        """
        if any("\0" in value for value in (session, key, service, text) if value):
            return self.none()  # PostgreSQL rejects NUL, and no row contains it
        rows = self if session is None else self.of_session(session)
        rows = rows if key is None else rows.filter(key_prefix=key)
        rows = rows if service is None else rows.filter(service=service)
        rows = rows if failed is None else rows.filter(failed=failed)
        if text:
            columns = ("name", "service", "session", "trace_id")
            conditions = [Q((f"{column}__icontains", text)) for column in columns]
            rows = rows.filter(reduce(or_, conditions))
        rows = rows if since is None else rows.filter(ended_at__gte=since)
        return rows if until is None else rows.filter(ended_at__lt=until)

    def services(self, count: int) -> list[str]:
        """The names of services that sent traces, in alphabetical order."""
        named_traces = self.exclude(service="").order_by("service")
        return list(named_traces.values_list("service", flat=True).distinct()[:count])

    def newest(self, count: int, before: int | None = None) -> Self:
        """The traces that were last added, before a row id if one is given."""
        rows = self if before is None else self.filter(pk__lt=before)
        return rows.order_by("-pk")[:count]

    def prune(self, older_than: dt.datetime) -> int:
        """Delete traces whose last span ended before `older_than`; return how many."""
        return delete_in_batches(self.filter(ended_at__lt=older_than).order_by("ended_at"))


class ClientSpanQuerySet(models.QuerySet[Row]):
    """Spans of clients."""

    def of_traces(self, trace_ids: Iterable[str]) -> Self:
        """Spans of these traces, without their content, in order of their start."""
        rows = self.filter(trace_id__in=_query_ids(trace_ids))
        return rows.defer("content").order_by("started_at", "pk")

    def of_keys(self, key_ids: Iterable[int] | None) -> Self:
        """Spans that any of these keys sent; None is every key."""
        return self if key_ids is None else self.filter(key_id__in=list(key_ids))

    def counts(self, trace_ids: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """(trace id, key id) -> (number of spans, number of failed ones)."""
        rows = (
            self.filter(trace_id__in=list(trace_ids)[:IDS_PER_QUERY])
            .order_by()
            .values_list("trace_id", "key_id")
            .annotate(spans=Count("pk"), errors=Count("pk", filter=~Q(error="")))
        )
        return {(trace_id, key_id): (spans, errors) for trace_id, key_id, spans, errors in rows}

    def traces_of_responses(self, response_ids: Iterable[str]) -> set[str]:
        """Ids of the traces with a span of any of these responses."""
        names = [name for name in response_ids if name]
        trace_ids: set[str] = set()
        for start in range(0, len(names), IDS_PER_QUERY):
            chunk = names[start : start + IDS_PER_QUERY]
            # The second condition is that of the index.
            rows = self.filter(response_id__in=chunk).exclude(response_id="")
            trace_ids.update(rows.values_list("trace_id", flat=True))
        return trace_ids

    def prune(self, older_than: dt.datetime) -> int:
        """Delete spans that started before `older_than`; return how many."""
        return delete_in_batches(self.filter(started_at__lt=older_than).order_by("started_at"))

    def prune_content(self, older_than: dt.datetime) -> int:
        """Delete the content of spans that started before `older_than`; return how many."""
        rows = self.filter(started_at__lt=older_than, content_omitted="").order_by("started_at")
        spans = self.model._default_manager
        return change_in_batches(
            rows,
            lambda ids: spans.filter(pk__in=ids).update(content=b"", content_omitted="expired"),
        )


class ClientTrace(models.Model):
    """A trace that a key sent: a workflow of the OpenAI Agents SDK, or a trace of OpenTelemetry.

    The fields are those of `gateway.client_spans.span.ClientTrace`. `key_id` is 0 without a key.
    Times are those of its spans, and of the arrival before there are any. `service` is the name
    of the program that sent the root, or the first span while there is no root; empty if unknown.
    `failed` is whether a span has an error.
    """

    trace_id = models.CharField(max_length=64)
    key_id = models.BigIntegerField(default=0)
    key_prefix = models.CharField(max_length=32, blank=True)
    name = models.CharField(max_length=200, blank=True)
    session = models.CharField(max_length=128, blank=True)
    source = models.CharField(max_length=16, blank=True)
    service = models.CharField(max_length=200, blank=True)
    failed = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    objects = ClientTraceQuerySet["ClientTrace"].as_manager()

    class Meta:
        verbose_name = "client trace"
        constraints = (
            models.UniqueConstraint(
                fields=["trace_id", "key_id"], name="gateway_client_trace_once"
            ),
        )
        indexes = (
            models.Index(fields=["ended_at"], name="gateway_client_trace_ended"),
            models.Index(
                fields=["session", "id"],
                name="gateway_client_trace_session",
                condition=~Q(session=""),
            ),
            models.Index(fields=["service", "id"], name="gateway_client_trace_service"),
            models.Index(
                fields=["id"], name="gateway_client_trace_failed", condition=Q(failed=True)
            ),
        )

    def __str__(self) -> str:
        return self.trace_id


class ClientSpan(models.Model):
    """A span that a key sent. The fields are those of `gateway.client_spans.span.ClientSpan`.

    `content` is JSON, compressed with zlib if it is large (`store.span_content` reads it);
    `content_omitted` is why it is empty: `none` (the span has none), `off` (a setting),
    `expired`.
    """

    trace_id = models.CharField(max_length=64)
    key_id = models.BigIntegerField(default=0)
    span_id = models.CharField(max_length=64)
    parent_id = models.CharField(max_length=64, blank=True)
    name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=16)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    error = models.TextField(max_length=2000, blank=True)
    model = models.CharField(max_length=200, blank=True)
    response_id = models.CharField(max_length=128, blank=True)
    input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    attributes = models.JSONField(default=dict)
    content_omitted = models.CharField(max_length=16, blank=True)
    content = models.BinaryField(default=b"")

    objects = ClientSpanQuerySet["ClientSpan"].as_manager()

    class Meta:
        verbose_name = "client span"
        constraints = (
            models.UniqueConstraint(
                fields=["trace_id", "key_id", "span_id"], name="gateway_client_span_once"
            ),
        )
        indexes = (
            models.Index(fields=["started_at"], name="gateway_client_span_started"),
            models.Index(
                fields=["started_at"],
                name="gateway_client_span_content",
                condition=Q(content_omitted=""),
            ),
            models.Index(
                fields=["response_id"],
                name="gateway_client_span_response",
                condition=~Q(response_id=""),
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.span_id})"
