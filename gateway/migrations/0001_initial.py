"""All tables of the gateway, and the full-text index of the request log."""

import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import gateway.models.log
import gateway.models.sealed
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models

from gateway.migrations._full_text import create_index, drop_index


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RequestLog",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("request_id", models.CharField(max_length=64)),
                (
                    "client_request_id",
                    models.CharField(blank=True, db_default="", default="", max_length=64),
                ),
                ("started_at", models.DateTimeField()),
                ("endpoint", models.CharField(blank=True, max_length=64)),
                ("client_dialect", models.CharField(blank=True, max_length=32)),
                ("upstream_dialect", models.CharField(blank=True, max_length=32)),
                ("key_id", models.BigIntegerField(null=True)),
                ("key_prefix", models.CharField(blank=True, max_length=32)),
                ("route", models.CharField(blank=True, max_length=200)),
                ("requested_model", models.CharField(blank=True, max_length=200)),
                ("provider", models.CharField(blank=True, max_length=63)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("target_id", models.BigIntegerField(null=True)),
                ("stream", models.BooleanField(default=False)),
                ("passthrough", models.BooleanField(default=False)),
                ("status", models.IntegerField(default=0)),
                ("outcome", models.CharField(default="ok", max_length=16)),
                ("error_kind", models.CharField(blank=True, max_length=32)),
                ("error", models.TextField(blank=True, max_length=4000)),
                ("finish", models.CharField(blank=True, max_length=32)),
                ("duration_ms", models.FloatField(default=0.0)),
                ("first_token_ms", models.FloatField(null=True)),
                ("overhead_ms", models.FloatField(null=True)),
                ("input_tokens", models.BigIntegerField(null=True)),
                ("cache_read_tokens", models.BigIntegerField(null=True)),
                ("cache_write_tokens", models.BigIntegerField(null=True)),
                ("output_tokens", models.BigIntegerField(null=True)),
                ("reasoning_tokens", models.BigIntegerField(null=True)),
                ("usage_source", models.CharField(blank=True, max_length=16)),
                ("cost_usd", models.DecimalField(decimal_places=10, max_digits=20, null=True)),
                ("price_source", models.CharField(blank=True, max_length=100)),
                ("charged_usd", models.DecimalField(decimal_places=10, max_digits=20, null=True)),
                ("service_tier", models.CharField(blank=True, max_length=20)),
                ("tags", models.JSONField(default=list)),
                ("attempts", models.JSONField(default=list)),
                ("adaptations", models.JSONField(default=list)),
                ("session", models.CharField(blank=True, max_length=128)),
                ("end_user", models.CharField(blank=True, max_length=128)),
                ("user_agent", models.CharField(blank=True, max_length=200)),
                ("client_ip", models.CharField(blank=True, max_length=64)),
                ("upstream_id", models.CharField(blank=True, max_length=128)),
                ("bodies_omitted", models.CharField(blank=True, max_length=16)),
                ("variant", models.CharField(blank=True, max_length=63)),
                ("shadow_of", models.CharField(blank=True, max_length=64)),
                ("cache", models.CharField(blank=True, max_length=16)),
                ("cache_age_s", models.FloatField(null=True)),
                ("cache_similarity", models.FloatField(null=True)),
                ("saved_usd", models.DecimalField(decimal_places=10, max_digits=20, null=True)),
                ("guardrails", models.JSONField(default=list)),
                ("trace_id", models.CharField(blank=True, max_length=32)),
                (
                    "response_id",
                    models.CharField(blank=True, db_default="", default="", max_length=64),
                ),
                (
                    "parent_span_id",
                    models.CharField(blank=True, db_default="", default="", max_length=16),
                ),
            ],
            options={
                "verbose_name": "request",
                "indexes": [
                    models.Index(
                        condition=models.Q(("trace_id", ""), _negated=True),
                        fields=["trace_id"],
                        name="gateway_request_trace",
                    ),
                    models.Index(
                        condition=models.Q(("response_id", ""), _negated=True),
                        fields=["response_id"],
                        name="gateway_request_response",
                    ),
                    models.Index(fields=["started_at"], name="gateway_request_started"),
                    models.Index(fields=["route", "id"], name="gateway_request_route"),
                    models.Index(fields=["provider", "id"], name="gateway_request_provider"),
                    models.Index(fields=["model", "id"], name="gateway_request_model"),
                    models.Index(fields=["key_prefix", "id"], name="gateway_request_key"),
                    models.Index(
                        condition=models.Q(("status", 200), _negated=True),
                        fields=["status", "id"],
                        name="gateway_request_status",
                    ),
                    models.Index(
                        condition=models.Q(("outcome", "ok"), _negated=True),
                        fields=["outcome", "id"],
                        name="gateway_request_failed",
                    ),
                    models.Index(
                        condition=models.Q(("error_kind", ""), _negated=True),
                        fields=["error_kind", "id"],
                        name="gateway_request_error_kind",
                    ),
                    models.Index(
                        condition=models.Q(("variant", ""), _negated=True),
                        fields=["variant", "started_at"],
                        name="gateway_request_variant",
                    ),
                    models.Index(
                        condition=models.Q(("shadow_of", ""), _negated=True),
                        fields=["shadow_of"],
                        name="gateway_request_shadow",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("cost_usd", None),
                            models.Q(("outcome", "ok"), _negated=True),
                            models.Q(("shadow_of", ""), _negated=True),
                            models.Q(("service_tier", ""), _negated=True),
                            ("usage_source__in", ("estimated", "estimated_size")),
                            _connector="OR",
                        ),
                        fields=["provider", "started_at"],
                        name="gateway_request_doubtful",
                    ),
                    models.Index(
                        condition=models.Q(("client_request_id", ""), _negated=True),
                        fields=["client_request_id"],
                        name="gateway_request_client_id",
                    ),
                    models.Index(
                        condition=models.Q(("session", ""), _negated=True),
                        fields=["session", "id"],
                        name="gateway_request_session",
                    ),
                    models.Index(
                        condition=models.Q(("end_user", ""), _negated=True),
                        fields=["end_user", "id"],
                        name="gateway_request_end_user",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("request_id", "started_at"), name="gateway_request_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BillLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=63)),
                ("since", models.DateField()),
                ("until", models.DateField()),
                ("model", models.CharField(blank=True, max_length=200)),
                ("usd", models.DecimalField(decimal_places=10, max_digits=20)),
                ("origin", models.CharField(blank=True, max_length=200)),
                ("created_by", models.CharField(blank=True, max_length=150)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ("since", "model", "pk"),
                "indexes": [
                    models.Index(fields=["provider", "since"], name="gateway_bill_provider")
                ],
            },
        ),
        migrations.CreateModel(
            name="CachedResponse",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("route_id", models.BigIntegerField(db_index=True)),
                ("blob", models.BinaryField()),
                ("size_bytes", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(db_index=True)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name": "cached response",
            },
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("actor", models.CharField(blank=True, max_length=150)),
                ("via", models.CharField(max_length=16)),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("created", "created"),
                            ("changed", "changed"),
                            ("deleted", "deleted"),
                        ],
                        max_length=16,
                    ),
                ),
                ("kind", models.CharField(max_length=31)),
                ("row_id", models.BigIntegerField()),
                ("name", models.CharField(max_length=300)),
                (
                    "before",
                    models.JSONField(
                        encoder=django.core.serializers.json.DjangoJSONEncoder, null=True
                    ),
                ),
                (
                    "after",
                    models.JSONField(
                        encoder=django.core.serializers.json.DjangoJSONEncoder, null=True
                    ),
                ),
            ],
            options={
                "ordering": ("-pk",),
                "indexes": [models.Index(fields=["kind", "-id"], name="gateway_change_kind")],
            },
        ),
        migrations.CreateModel(
            name="Fingerprint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("purpose", models.CharField(max_length=31, unique=True)),
                ("values", models.JSONField(default=list)),
            ],
            options={
                "verbose_name": "fingerprint",
            },
        ),
        migrations.CreateModel(
            name="IdempotentResponse",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key_digest", models.CharField(max_length=64, unique=True)),
                ("request_digest", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField(default=0)),
                ("body", models.TextField(blank=True)),
                (
                    "created_at",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LatencyHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("provider", models.CharField(max_length=63)),
                ("model", models.CharField(max_length=200)),
                ("measure", models.CharField(max_length=16)),
                ("bucket", models.SmallIntegerField()),
                ("count", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "provider", "model", "measure", "bucket"),
                        name="gateway_latency_hour_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PriceUpdate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=200)),
                ("origin", models.CharField(max_length=200)),
                ("list_date", models.DateField()),
                (
                    "changes",
                    models.JSONField(
                        default=list, encoder=django.core.serializers.json.DjangoJSONEncoder
                    ),
                ),
                ("accepted", models.JSONField(default=list)),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("accepted_by", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="Provider",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "markup",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        max_digits=10,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("1000")),
                        ],
                    ),
                ),
                (
                    "limit_rpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_concurrency",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "budget_total_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_day_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_week_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_month_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_soft_percent",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=63,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9][a-z0-9._-]{0,62}\\Z",
                                "Prefix in provider/model. Lower-case letters, digits, dots, dashes and underscores.",
                            )
                        ],
                    ),
                ),
                ("preset", models.CharField(default="custom", max_length=63)),
                ("dialect", models.CharField(blank=True, max_length=63)),
                ("base_url", models.CharField(blank=True, max_length=500)),
                ("auth", models.CharField(blank=True, max_length=31)),
                ("credential", models.TextField(blank=True, editable=False)),
                (
                    "credential_env",
                    models.CharField(
                        blank=True,
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z_][A-Za-z0-9_]*\\Z", "Must be the name of a variable."
                            )
                        ],
                    ),
                ),
                ("headers", gateway.models.sealed.SealedPairs(blank=True, default=dict)),
                ("query", gateway.models.sealed.SealedPairs(blank=True, null=True)),
                ("paths", models.JSONField(blank=True, null=True)),
                ("edits", models.JSONField(blank=True, default=list)),
                ("timeouts", models.JSONField(blank=True, default=dict)),
                ("passthrough", models.BooleanField(blank=True, null=True)),
                ("drop_params", models.BooleanField(default=True)),
                ("client_credential", models.BooleanField(default=False)),
                ("proxy", gateway.models.sealed.SealedText(blank=True)),
                ("ca_certificates", models.TextField(blank=True)),
                ("client_certificate", models.TextField(blank=True)),
                ("client_key", gateway.models.sealed.SealedText(blank=True)),
                ("ssl_verify", models.BooleanField(default=True)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="CapabilityReport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("done", "done"),
                            ("no_response", "no plain response"),
                            ("timed_out", "time limit reached"),
                            ("stopped", "stopped"),
                        ],
                        default="running",
                        max_length=16,
                    ),
                ),
                ("started_at", models.DateTimeField(auto_now_add=True)),
                ("heartbeat_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("stop_requested", models.BooleanField(default=False)),
                ("results", models.JSONField(default=dict)),
                (
                    "started_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reports",
                        to="gateway.provider",
                    ),
                ),
            ],
            options={
                "ordering": ("-started_at", "-pk"),
                "indexes": [
                    models.Index(
                        fields=["provider", "model", "-started_at"],
                        name="gateway_capability_newest",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Model",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]*\\Z",
                                "Must not contain line breaks or control characters.",
                            )
                        ],
                    ),
                ),
                ("traits", models.JSONField(blank=True, default=dict)),
                ("learned", models.JSONField(blank=True, default=dict, editable=False)),
                ("edits", models.JSONField(blank=True, default=list)),
                (
                    "price_input",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "price_output",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "price_cache_read",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "price_cache_write",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "price_cache_write_1h",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "price_reasoning",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "price_input_audio",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "price_output_audio",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                ("price_above", models.JSONField(blank=True, null=True)),
                ("price_tiers", models.JSONField(blank=True, default=dict)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="models",
                        to="gateway.provider",
                    ),
                ),
            ],
            options={
                "ordering": ("provider__name", "name"),
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "name"), name="gateway_model_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="ProviderResource",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=63)),
                ("upstream_id", models.CharField(max_length=200)),
                ("key_id", models.BigIntegerField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("batch_id", models.CharField(blank=True, max_length=200)),
                ("settled_at", models.DateTimeField(null=True)),
                ("guardrails", models.JSONField(blank=True, default=list)),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["provider", "upstream_id"], name="gateway_resource_upstream"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("provider", "key_id", "upstream_id"), name="gateway_resource_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ReasoningState",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("turn_digest", models.CharField(db_index=True, max_length=32)),
                ("call_digest", models.CharField(db_index=True, max_length=32)),
                ("ciphertext", models.BinaryField()),
                (
                    "created_at",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now),
                ),
            ],
            options={
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="Registry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.BigIntegerField(default=0)),
                ("program_version", models.CharField(blank=True, max_length=31)),
                ("backup_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name_plural": "registry",
            },
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "limit_rpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_concurrency",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]*\\Z",
                                "Must not contain line breaks or control characters.",
                            )
                        ],
                    ),
                ),
                ("strategy", models.CharField(default="ordered", max_length=31)),
                ("retries", models.PositiveSmallIntegerField(default=1)),
                ("retries_by_kind", models.JSONField(blank=True, default=dict)),
                ("retry_before_fallback", models.BooleanField(default=False)),
                (
                    "backoff_s",
                    models.FloatField(
                        default=0.25, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "max_wait_s",
                    models.FloatField(
                        default=2.0, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "cooldown_s",
                    models.FloatField(
                        default=5.0, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                ("cooldown_after", models.PositiveSmallIntegerField(default=3)),
                ("cooldown_after_by_kind", models.JSONField(blank=True, default=dict)),
                ("fallbacks", models.JSONField(blank=True, default=list)),
                ("fallbacks_by_kind", models.JSONField(blank=True, default=dict)),
                ("require_capabilities", models.BooleanField(default=False)),
                ("tag_match", models.CharField(default="any", max_length=3)),
                (
                    "hedge_after_s",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0.01)],
                    ),
                ),
                ("shadow", models.CharField(blank=True, max_length=200)),
                (
                    "shadow_share",
                    models.FloatField(
                        default=0.0,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1),
                        ],
                    ),
                ),
                (
                    "health_check_interval_s",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(10)],
                    ),
                ),
                ("strict", models.BooleanField(default=False)),
                ("log_bodies", models.BooleanField(blank=True, null=True)),
                ("default_max_output", models.PositiveIntegerField(blank=True, null=True)),
                ("reasoning_field", models.CharField(default="reasoning_content", max_length=31)),
                ("prompt_cache", models.CharField(blank=True, max_length=7)),
                ("guardrails", models.JSONField(blank=True, default=list)),
                ("web_search", models.BooleanField(default=True)),
                ("hidden", models.BooleanField(default=False)),
                ("enabled", models.BooleanField(default=True)),
                ("key_limits", models.JSONField(blank=True, default=dict)),
                ("cache", models.JSONField(blank=True, default=dict)),
                ("cache_generation", models.PositiveIntegerField(default=0)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Alias",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("pattern", models.CharField(max_length=200, unique=True)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="aliases",
                        to="gateway.route",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "aliases",
                "ordering": ("pattern",),
            },
        ),
        migrations.CreateModel(
            name="RouteVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("spec", models.JSONField()),
                ("saved_by", models.CharField(blank=True, max_length=150)),
                ("note", models.CharField(blank=True, max_length=300)),
                ("saved_at", models.DateTimeField(auto_now_add=True)),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="gateway.route",
                    ),
                ),
            ],
            options={
                "ordering": ("route", "-number"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("route", "number"), name="gateway_route_version_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Setting",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=63, unique=True)),
                ("value", models.JSONField()),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Step",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("order", models.PositiveIntegerField(default=1)),
                ("name", models.CharField(blank=True, max_length=100)),
                ("strategy", models.CharField(default="ordered", max_length=31)),
                ("fallback_on", models.JSONField(blank=True, default=list)),
                ("requires", models.JSONField(blank=True, default=list)),
                ("excludes", models.JSONField(blank=True, default=list)),
                ("min_context", models.PositiveIntegerField(blank=True, null=True)),
                ("max_context", models.PositiveIntegerField(blank=True, null=True)),
                ("require_capabilities", models.BooleanField(default=False)),
                (
                    "first_token_s",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0.1)],
                    ),
                ),
                ("tags", models.JSONField(blank=True, default=list)),
                ("active_hours", models.CharField(blank=True, max_length=100)),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="gateway.route",
                    ),
                ),
            ],
            options={
                "ordering": ("route", "order"),
                "constraints": [
                    models.UniqueConstraint(fields=("route", "order"), name="gateway_step_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredResponse",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("response_id", models.CharField(max_length=200)),
                ("owner", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField()),
                ("heartbeat_at", models.DateTimeField()),
                ("status", models.CharField(max_length=16)),
                ("provider", models.CharField(blank=True, max_length=63)),
                ("native_provider", models.CharField(blank=True, max_length=63)),
                ("deleted", models.BooleanField(default=False)),
                ("blob", models.BinaryField()),
            ],
            options={
                "verbose_name": "stored response",
                "indexes": [models.Index(fields=["created_at"], name="gateway_response_created")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "response_id"), name="gateway_response_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Target",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "limit_rpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_concurrency",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "budget_total_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_day_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_week_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_month_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_soft_percent",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "weight",
                    models.FloatField(
                        default=1.0, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                ("order", models.PositiveIntegerField(default=1)),
                ("position", models.PositiveIntegerField(default=0)),
                ("timeouts", models.JSONField(blank=True, default=dict)),
                ("edits", models.JSONField(blank=True, default=list)),
                ("tags", models.JSONField(blank=True, default=list)),
                ("variant", models.CharField(blank=True, max_length=63)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="targets",
                        to="gateway.model",
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="targets",
                        to="gateway.route",
                    ),
                ),
            ],
            options={
                "ordering": ("route", "order", "position", "pk"),
            },
        ),
        migrations.CreateModel(
            name="TargetHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("provider", models.CharField(max_length=63)),
                ("model", models.CharField(max_length=200)),
                ("attempts", models.BigIntegerField(default=0)),
                ("failures", models.BigIntegerField(default=0)),
                ("successes", models.BigIntegerField(default=0)),
                ("priced_failures", models.BigIntegerField(default=0)),
                ("priced_failure_units", models.BigIntegerField(default=0)),
                ("broken_responses", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "provider", "model"), name="gateway_target_hour_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Team",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "markup",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        max_digits=10,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("1000")),
                        ],
                    ),
                ),
                (
                    "limit_rpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_concurrency",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "budget_total_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_day_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_week_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_month_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_soft_percent",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]*\\Z",
                                "Must not contain line breaks or control characters.",
                            )
                        ],
                    ),
                ),
                ("guardrails", models.JSONField(blank=True, default=list)),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="projects",
                        to="gateway.team",
                    ),
                ),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "markup",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        max_digits=10,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("1000")),
                        ],
                    ),
                ),
                (
                    "limit_rpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_rpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpm",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tph",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_tpd",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_concurrency",
                    models.PositiveBigIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "budget_total_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_day_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_week_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_month_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "budget_soft_percent",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]*\\Z",
                                "Must not contain line breaks or control characters.",
                            )
                        ],
                    ),
                ),
                ("prefix", models.CharField(editable=False, max_length=32, unique=True)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("previous_prefix", models.CharField(blank=True, editable=False, max_length=32)),
                ("previous_digest", models.BinaryField(max_length=32, null=True)),
                (
                    "previous_expires_at",
                    models.DateTimeField(blank=True, editable=False, null=True),
                ),
                ("routes", models.JSONField(blank=True, default=list)),
                ("tags", models.JSONField(blank=True, default=list)),
                ("guardrails", models.JSONField(blank=True, default=list)),
                ("end_user_limits", models.JSONField(blank=True, default=dict)),
                ("end_user_budget", models.JSONField(blank=True, default=dict)),
                ("user", models.CharField(blank=True, max_length=200)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="personal_keys",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("log_bodies", models.BooleanField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "team",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="keys",
                        to="gateway.team",
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "ordering": ("name", "pk"),
            },
        ),
        migrations.CreateModel(
            name="UsageHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("key_id", models.BigIntegerField(default=0)),
                ("key_prefix", models.CharField(blank=True, max_length=32)),
                ("route", models.CharField(blank=True, max_length=200)),
                ("provider", models.CharField(blank=True, max_length=63)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("requests", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("client_closed", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("priced_requests", models.BigIntegerField(default=0)),
                ("unpriced_requests", models.BigIntegerField(default=0)),
                ("cost_units", models.BigIntegerField(default=0)),
                ("charged_units", models.BigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["key_id", "hour"], name="gateway_usage_key")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "key_id", "key_prefix", "route", "provider", "model"),
                        name="gateway_usage_hour_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("key_id", models.BigIntegerField(default=0)),
                ("key_prefix", models.CharField(blank=True, max_length=32)),
                ("route", models.CharField(blank=True, max_length=200)),
                ("provider", models.CharField(blank=True, max_length=63)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("requests", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("client_closed", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("priced_requests", models.BigIntegerField(default=0)),
                ("unpriced_requests", models.BigIntegerField(default=0)),
                ("cost_units", models.BigIntegerField(default=0)),
                ("charged_units", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "key_id", "key_prefix", "route", "provider", "model"),
                        name="gateway_usage_day_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="EndUserHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("end_user", models.CharField(max_length=128)),
                ("key_id", models.BigIntegerField(default=0)),
                ("requests", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("client_closed", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("priced_requests", models.BigIntegerField(default=0)),
                ("unpriced_requests", models.BigIntegerField(default=0)),
                ("cost_units", models.BigIntegerField(default=0)),
                ("charged_units", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "end_user", "key_id"), name="gateway_end_user_hour_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="EndUserDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("end_user", models.CharField(max_length=128)),
                ("key_id", models.BigIntegerField(default=0)),
                ("requests", models.BigIntegerField(default=0)),
                ("errors", models.BigIntegerField(default=0)),
                ("client_closed", models.BigIntegerField(default=0)),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                ("priced_requests", models.BigIntegerField(default=0)),
                ("unpriced_requests", models.BigIntegerField(default=0)),
                ("cost_units", models.BigIntegerField(default=0)),
                ("charged_units", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "end_user", "key_id"), name="gateway_end_user_day_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RequestText",
            fields=[
                (
                    "log",
                    models.OneToOneField(
                        db_column="rowid",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="text",
                        serialize=False,
                        to="gateway.requestlog",
                    ),
                ),
                ("document", gateway.models.log.DocumentField()),
            ],
            options={
                "db_table": "gateway_requesttext",
                "managed": False,
            },
        ),
        migrations.RunPython(create_index, drop_index),
        migrations.CreateModel(
            name="RequestBody",
            fields=[
                (
                    "log",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="body",
                        serialize=False,
                        to="gateway.requestlog",
                    ),
                ),
                ("preview", models.CharField(blank=True, default="", max_length=200)),
                ("blob", models.BinaryField()),
            ],
            options={
                "verbose_name_plural": "request bodies",
            },
        ),
        migrations.CreateModel(
            name="UnindexedRequest",
            fields=[
                (
                    "log",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="unindexed",
                        serialize=False,
                        to="gateway.requestlog",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "unindexed",
            },
        ),
        migrations.CreateModel(
            name="ClientSpan",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("trace_id", models.CharField(max_length=64)),
                ("key_id", models.BigIntegerField(default=0)),
                ("span_id", models.CharField(max_length=64)),
                ("parent_id", models.CharField(blank=True, max_length=64)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("kind", models.CharField(max_length=16)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("error", models.TextField(blank=True, max_length=2000)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("response_id", models.CharField(blank=True, max_length=128)),
                ("input_tokens", models.BigIntegerField(null=True)),
                ("output_tokens", models.BigIntegerField(null=True)),
                ("attributes", models.JSONField(default=dict)),
                ("content_omitted", models.CharField(blank=True, max_length=16)),
                ("content", models.BinaryField(default=b"")),
            ],
            options={
                "verbose_name": "client span",
                "indexes": [
                    models.Index(fields=["started_at"], name="gateway_client_span_started"),
                    models.Index(
                        condition=models.Q(("content_omitted", "")),
                        fields=["started_at"],
                        name="gateway_client_span_content",
                    ),
                    models.Index(
                        condition=models.Q(("response_id", ""), _negated=True),
                        fields=["response_id"],
                        name="gateway_client_span_response",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("trace_id", "key_id", "span_id"), name="gateway_client_span_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ClientTrace",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("trace_id", models.CharField(max_length=64)),
                ("key_id", models.BigIntegerField(default=0)),
                ("key_prefix", models.CharField(blank=True, max_length=32)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("session", models.CharField(blank=True, max_length=128)),
                ("source", models.CharField(blank=True, max_length=16)),
                ("service", models.CharField(blank=True, max_length=200)),
                ("failed", models.BooleanField(default=False)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "client trace",
                "indexes": [
                    models.Index(fields=["ended_at"], name="gateway_client_trace_ended"),
                    models.Index(
                        condition=models.Q(("session", ""), _negated=True),
                        fields=["session", "id"],
                        name="gateway_client_trace_session",
                    ),
                    models.Index(fields=["service", "id"], name="gateway_client_trace_service"),
                    models.Index(
                        condition=models.Q(("failed", True)),
                        fields=["id"],
                        name="gateway_client_trace_failed",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("trace_id", "key_id"), name="gateway_client_trace_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Guardrail",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "name",
                    models.CharField(
                        max_length=63,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator("\\A[^\\x00-\\x1f\\x7f,`]+\\Z")
                        ],
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("patterns", "Patterns"),
                            ("moderation", "Provider moderation"),
                            ("presidio", "Presidio"),
                            ("litellm", "Webhook, LiteLLM format"),
                            ("portkey", "Webhook, Portkey format"),
                        ],
                        default="patterns",
                        max_length=16,
                    ),
                ),
                ("settings", models.JSONField(blank=True, default=dict)),
                ("credential", gateway.models.sealed.SealedText(blank=True)),
                (
                    "action",
                    models.CharField(
                        choices=[("block", "Block"), ("mask", "Mask"), ("log", "Log only")],
                        default="block",
                        max_length=8,
                    ),
                ),
                ("check_requests", models.BooleanField(default=True)),
                ("check_responses", models.BooleanField(default=False)),
                ("everywhere", models.BooleanField(default=False)),
                (
                    "on_error",
                    models.CharField(
                        choices=[("block", "Reject the request"), ("allow", "Allow the request")],
                        default="block",
                        max_length=8,
                    ),
                ),
                (
                    "timeout_s",
                    models.FloatField(
                        default=3.0,
                        validators=[
                            django.core.validators.MinValueValidator(0.05),
                            django.core.validators.MaxValueValidator(60.0),
                        ],
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("position", "name"),
            },
        ),
        migrations.CreateModel(
            name="AlertChannel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "name",
                    models.CharField(
                        max_length=63,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator("\\A[^\\x00-\\x1f\\x7f]+\\Z")
                        ],
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("slack", "Slack webhook"),
                            ("webhook", "Webhook (JSON)"),
                            ("email", "Email"),
                        ],
                        default="slack",
                        max_length=16,
                    ),
                ),
                ("credential", models.TextField(editable=False)),
                ("events", models.JSONField(blank=True, default=list)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("budget", "Budget nearly or completely used"),
                            ("error_rate", "Provider error rate"),
                            ("cooldown", "Target in cooldown"),
                            ("request_log", "Request log falling behind or losing rows"),
                            ("key_expiry", "API key expires soon"),
                            ("cert_expiry", "Certificate expires soon"),
                            ("log_export", "Export of the request log fails"),
                        ],
                        max_length=16,
                    ),
                ),
                ("subject", models.CharField(max_length=300)),
                ("node", models.CharField(blank=True, max_length=200)),
                ("message", models.CharField(max_length=500)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                ("is_silenced", models.BooleanField(default=False)),
            ],
            options={
                "ordering": ("-started_at",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at", None)),
                        fields=("event", "subject", "node"),
                        name="gateway_alert_active_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertSilence",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "event",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("budget", "Budget nearly or completely used"),
                            ("error_rate", "Provider error rate"),
                            ("cooldown", "Target in cooldown"),
                            ("request_log", "Request log falling behind or losing rows"),
                            ("key_expiry", "API key expires soon"),
                            ("cert_expiry", "Certificate expires soon"),
                            ("log_export", "Export of the request log fails"),
                        ],
                        max_length=16,
                    ),
                ),
                ("subject", models.CharField(blank=True, max_length=300)),
                ("ends_at", models.DateTimeField()),
                ("comment", models.CharField(blank=True, max_length=300)),
                ("created_by", models.CharField(blank=True, max_length=150)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ("ends_at",),
            },
        ),
        migrations.CreateModel(
            name="AlertDelivery",
            fields=[
                (
                    "channel",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="delivery",
                        serialize=False,
                        to="gateway.alertchannel",
                    ),
                ),
                ("sent_at", models.DateTimeField()),
                ("error", models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="account",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("editor", "Editor"),
                            ("viewer", "Viewer"),
                            ("member", "Member"),
                        ],
                        default="viewer",
                        max_length=12,
                    ),
                ),
                (
                    "max_keys",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                (
                    "month_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=16,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "key_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(3650),
                        ],
                    ),
                ),
                ("routes", models.JSONField(blank=True, default=list)),
                (
                    "team",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="gateway.team",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LogExport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("exported_id", models.BigIntegerField(default=0)),
                ("pending_id", models.BigIntegerField(null=True)),
                ("complete_id", models.BigIntegerField(default=0)),
                ("next_id", models.BigIntegerField(default=0)),
                ("next_xid", models.BigIntegerField(default=0)),
                ("lease_until", models.DateTimeField(null=True)),
                ("exported_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.CreateModel(
            name="Prompt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "database"),
                            ("file", "LiteLLM file"),
                            ("environment", "environment"),
                            ("builtin", "built in"),
                            ("code", "configuration file"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "name",
                    models.CharField(
                        max_length=63,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z0-9][A-Za-z0-9._/-]*\\Z",
                                "use letters, digits and . _ / -; the first character is a letter or a digit",
                            )
                        ],
                    ),
                ),
                ("description", models.CharField(blank=True, max_length=300)),
                ("active_version", models.PositiveIntegerField(default=1)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="PromptVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("messages", models.JSONField()),
                ("parameters", models.JSONField(blank=True, default=dict)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("saved_by", models.CharField(blank=True, max_length=150)),
                ("saved_at", models.DateTimeField(auto_now_add=True)),
                (
                    "prompt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="gateway.prompt",
                    ),
                ),
            ],
            options={
                "ordering": ("prompt", "-number"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("prompt", "number"), name="gateway_prompt_version_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RequestScore",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        default="feedback",
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z0-9][A-Za-z0-9._-]*\\Z",
                                "use letters, digits and . _ -; the first character is a letter or a digit",
                            )
                        ],
                    ),
                ),
                (
                    "value",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(
                                0, "enter a number from 0 to 1"
                            ),
                            django.core.validators.MaxValueValidator(
                                1, "enter a number from 0 to 1"
                            ),
                        ],
                    ),
                ),
                (
                    "comment",
                    models.TextField(
                        blank=True, validators=[django.core.validators.MaxLengthValidator(2000)]
                    ),
                ),
                ("scored_by", models.CharField(max_length=150)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "log",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="scores",
                        to="gateway.requestlog",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("log", "name", "scored_by"), name="gateway_request_score_once"
                    )
                ],
            },
        ),
    ]
