"""Sums of the request log by hour: usage, calls of targets, histograms of times."""

from django.db import migrations, models


def _id():
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def _text(most):
    return models.CharField(blank=True, max_length=most)


def _sum():
    return models.BigIntegerField(default=0)


class Migration(migrations.Migration):
    dependencies = [("gateway", "0007_key_limits")]

    operations = [
        migrations.CreateModel(
            name="UsageHour",
            fields=[
                ("id", _id()),
                ("hour", models.DateTimeField()),
                ("key_id", models.BigIntegerField(default=0)),
                ("key_prefix", _text(32)),
                ("route", _text(200)),
                ("provider", _text(63)),
                ("model", _text(200)),
                ("requests", _sum()),
                ("errors", _sum()),
                ("closed", _sum()),
                ("input_tokens", _sum()),
                ("cache_read_tokens", _sum()),
                ("cache_write_tokens", _sum()),
                ("output_tokens", _sum()),
                ("reasoning_tokens", _sum()),
                ("priced", _sum()),
                ("unpriced", _sum()),
                ("cost_units", _sum()),
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
            name="TargetHour",
            fields=[
                ("id", _id()),
                ("hour", models.DateTimeField()),
                ("provider", models.CharField(max_length=63)),
                ("model", models.CharField(max_length=200)),
                ("tries", _sum()),
                ("failed", _sum()),
                ("answered", _sum()),
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
            name="PaceHour",
            fields=[
                ("id", _id()),
                ("hour", models.DateTimeField()),
                ("provider", models.CharField(max_length=63)),
                ("model", models.CharField(max_length=200)),
                ("measure", models.CharField(max_length=8)),
                ("bucket", models.SmallIntegerField()),
                ("count", _sum()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "provider", "model", "measure", "bucket"),
                        name="gateway_pace_hour_once",
                    )
                ],
            },
        ),
    ]
