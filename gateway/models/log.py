"""The request log: a narrow row for each request; large data in separate tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler

from gateway.canon.response import sum_prompt_tokens
from gateway.querysets import RequestBodyQuerySet, RequestLogQuerySet


class RequestLog(models.Model):
    """One finished request. The fields are those of `gateway.relay.exchange.log_record.LogRecord`.

    `request_id` is the gateway's; `client_request_id` is the client's, if it sent one, and need
    not be unique. There are no foreign keys: the log outlives the registry.
    """

    request_id = models.CharField(max_length=64)
    # Has a database default: during a rolling upgrade, older nodes do not write this column.
    client_request_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    started_at = models.DateTimeField()
    endpoint = models.CharField(max_length=64, blank=True)
    client_dialect = models.CharField(max_length=32, blank=True)
    upstream_dialect = models.CharField(max_length=32, blank=True)
    key_id = models.BigIntegerField(null=True)
    key_prefix = models.CharField(max_length=32, blank=True)
    route = models.CharField(max_length=200, blank=True)
    requested_model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=63, blank=True)
    model = models.CharField(max_length=200, blank=True)
    target_id = models.BigIntegerField(null=True)
    stream = models.BooleanField(default=False)
    passthrough = models.BooleanField(default=False)
    status = models.IntegerField(default=0)
    outcome = models.CharField(max_length=16, default="ok")
    error_kind = models.CharField(max_length=32, blank=True)
    error = models.TextField(max_length=4000, blank=True)
    finish = models.CharField(max_length=32, blank=True)
    duration_ms = models.FloatField(default=0.0)
    first_token_ms = models.FloatField(null=True)
    overhead_ms = models.FloatField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    cache_read_tokens = models.BigIntegerField(null=True)
    cache_write_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    reasoning_tokens = models.BigIntegerField(null=True)
    usage_source = models.CharField(max_length=16, blank=True)
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    price_source = models.CharField(max_length=100, blank=True)
    charged_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    service_tier = models.CharField(max_length=20, blank=True)
    tags = models.JSONField(default=list)
    attempts = models.JSONField(default=list)
    adaptations = models.JSONField(default=list)
    session = models.CharField(max_length=128, blank=True)
    end_user = models.CharField(max_length=128, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    client_ip = models.CharField(max_length=64, blank=True)
    upstream_id = models.CharField(max_length=128, blank=True)
    bodies_omitted = models.CharField(max_length=16, blank=True)
    variant = models.CharField(max_length=63, blank=True)
    shadow_of = models.CharField(max_length=64, blank=True)
    cache = models.CharField(max_length=16, blank=True)
    cache_age_s = models.FloatField(null=True)
    cache_similarity = models.FloatField(null=True)
    saved_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    guardrails = models.JSONField(default=list)
    trace_id = models.CharField(max_length=32, blank=True)
    # These have database defaults, like `client_request_id`.
    parent_span_id = models.CharField(max_length=16, blank=True, default="", db_default="")
    response_id = models.CharField(max_length=64, blank=True, default="", db_default="")

    objects = RequestLogQuerySet["RequestLog"].as_manager()

    class Meta:
        verbose_name = "request"
        constraints = (
            models.UniqueConstraint(
                fields=["request_id", "started_at"], name="gateway_request_once"
            ),
        )
        # Each serves one filter of the request list, newest first. Partial where most rows
        # have the same value: an index costs every insert a microsecond or two.
        indexes = (
            models.Index(fields=["started_at"], name="gateway_request_started"),
            models.Index(fields=["route", "id"], name="gateway_request_route"),
            models.Index(fields=["provider", "id"], name="gateway_request_provider"),
            models.Index(fields=["model", "id"], name="gateway_request_model"),
            models.Index(fields=["key_prefix", "id"], name="gateway_request_key"),
            models.Index(
                fields=["status", "id"],
                name="gateway_request_status",
                condition=~models.Q(status=200),
            ),
            models.Index(
                fields=["outcome", "id"],
                name="gateway_request_failed",
                condition=~models.Q(outcome="ok"),
            ),
            models.Index(
                fields=["error_kind", "id"],
                name="gateway_request_error_kind",
                condition=~models.Q(error_kind=""),
            ),
            models.Index(
                fields=["variant", "started_at"],
                name="gateway_request_variant",
                condition=~models.Q(variant=""),
            ),
            models.Index(
                fields=["shadow_of"],
                name="gateway_request_shadow",
                condition=~models.Q(shadow_of=""),
            ),
            models.Index(
                fields=["provider", "started_at"],
                name="gateway_request_doubtful",
                condition=models.Q(cost_usd=None)
                | ~models.Q(outcome="ok")
                | ~models.Q(shadow_of="")
                | ~models.Q(service_tier="")
                | models.Q(usage_source__in=("estimated", "estimated_size")),
            ),
            models.Index(
                fields=["client_request_id"],
                name="gateway_request_client_id",
                condition=~models.Q(client_request_id=""),
            ),
            models.Index(
                fields=["session", "id"],
                name="gateway_request_session",
                condition=~models.Q(session=""),
            ),
            models.Index(
                fields=["response_id"],
                name="gateway_request_response",
                condition=~models.Q(response_id=""),
            ),
            models.Index(
                fields=["trace_id"],
                name="gateway_request_trace",
                condition=~models.Q(trace_id=""),
            ),
            models.Index(
                fields=["end_user", "id"],
                name="gateway_request_end_user",
                condition=~models.Q(end_user=""),
            ),
        )

    def __str__(self) -> str:
        return self.request_id

    @property
    def prompt_tokens(self) -> int | None:
        """All tokens of the prompt, cached and written ones included; None if none is known."""
        return sum_prompt_tokens(self.input_tokens, self.cache_read_tokens, self.cache_write_tokens)

    @property
    def hedge_loser_usd(self) -> Decimal | None:
        """Charges of hedge losers, in addition to `charged_usd`; None if none are known."""
        amounts = [attempt["charged_usd"] for attempt in self.attempts if "charged_usd" in attempt]
        return sum(map(Decimal, amounts), Decimal(0)) if amounts else None


class RequestBody(models.Model):
    """The bodies and headers of one request: client and upstream side, request and response.

    `preview` is the beginning of the last user prompt (`gateway.store.preview`); it is stored
    before the blob, so that SQLite reads it without the blob.
    `blob` is a msgpack `gateway.relay.exchange.log_record.Bodies`, compressed with zlib if it is
    large (`store.load_bodies` reads it).
    """

    log = models.OneToOneField(
        RequestLog, on_delete=models.CASCADE, primary_key=True, related_name="body"
    )
    preview = models.CharField(max_length=200, blank=True, default="")
    blob = models.BinaryField()

    objects = RequestBodyQuerySet["RequestBody"].as_manager()

    class Meta:
        verbose_name_plural = "request bodies"

    def __str__(self) -> str:
        return f"bodies of {self.log_id}"


class UnindexedRequest(models.Model):
    """A request whose text is not in the full-text index yet.

    A queue rather than a high-water mark of ids: on PostgreSQL a lower id may become
    visible after a higher one.
    """

    log = models.OneToOneField(
        RequestLog, on_delete=models.CASCADE, primary_key=True, related_name="unindexed"
    )

    class Meta:
        verbose_name_plural = "unindexed"

    def __str__(self) -> str:
        return f"text of {self.log_id}"


class DocumentField(models.TextField):  # type: ignore[type-arg]
    """The indexed text of a row: FTS5's column, or PostgreSQL's tsvector."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """The column's type; SQLite's virtual table ignores it."""
        return "tsvector" if connection.vendor == "postgresql" else "text"


@DocumentField.register_lookup
class Matches(models.Lookup):
    """Whether all phrases (`gateway.fulltext.parse_phrases`) occur."""

    lookup_name = "matches"
    prepare_rhs = False

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        """FTS5: one query string of quoted phrases, which are ANDed."""
        column, params = self.process_lhs(compiler, connection)
        query = " ".join(f'"{phrase}"' for phrase in self.rhs)
        return column + " MATCH %s", (*params, query)

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        """A tsquery of phrases, ANDed."""
        column, params = self.process_lhs(compiler, connection)
        query = " && ".join(["phraseto_tsquery('simple', %s)"] * len(self.rhs))
        return column + " @@ (" + query + ")", (*params, *self.rhs)


class RequestText(models.Model):
    """The full-text index. A migration creates its table, which differs by database."""

    log = models.OneToOneField(
        RequestLog,
        on_delete=models.CASCADE,
        primary_key=True,
        db_column="rowid",
        db_constraint=False,
        related_name="text",
    )
    document = DocumentField()

    class Meta:
        managed = False
        db_table = "gateway_requesttext"

    def __str__(self) -> str:
        return f"text of {self.log_id}"
