"""The request log and its bodies."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0001_registry")]

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
                ("attempts", models.JSONField(default=list)),
                ("adaptations", models.JSONField(default=list)),
                ("session", models.CharField(blank=True, max_length=128)),
                ("user_agent", models.CharField(blank=True, max_length=200)),
                ("client_ip", models.CharField(blank=True, max_length=64)),
                ("upstream_id", models.CharField(blank=True, max_length=128)),
                ("no_bodies", models.CharField(blank=True, max_length=16)),
            ],
            options={
                "verbose_name": "request",
            },
        ),
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
                ("blob", models.BinaryField()),
            ],
            options={
                "verbose_name_plural": "request bodies",
            },
        ),
        migrations.CreateModel(
            name="Unindexed",
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
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(fields=["started_at"], name="gateway_request_started"),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(fields=["route", "id"], name="gateway_request_route"),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(fields=["provider", "id"], name="gateway_request_provider"),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(fields=["model", "id"], name="gateway_request_model"),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(fields=["key_prefix", "id"], name="gateway_request_key"),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("outcome", "ok"), _negated=True),
                fields=["outcome", "id"],
                name="gateway_request_failed",
            ),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("error_kind", ""), _negated=True),
                fields=["error_kind", "id"],
                name="gateway_request_error_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("session", ""), _negated=True),
                fields=["session", "id"],
                name="gateway_request_session",
            ),
        ),
        migrations.AddConstraint(
            model_name="requestlog",
            constraint=models.UniqueConstraint(
                fields=("request_id", "started_at"), name="gateway_request_once"
            ),
        ),
    ]
