"""Limits and budgets of targets, budgets of providers, limits of keys on a route, retries."""

from decimal import Decimal

import django.core.validators
from django.db import migrations, models

_LIMITS = ("rpm", "rph", "rpd", "tpm", "tph", "tpd", "concurrency")
_WINDOWS = ("day", "week", "month", "total")


def _limit():
    return models.PositiveBigIntegerField(
        blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)]
    )


def _usd():
    return models.DecimalField(
        blank=True,
        decimal_places=6,
        max_digits=16,
        null=True,
        validators=[django.core.validators.MinValueValidator(Decimal(0))],
    )


def _percent():
    return models.PositiveSmallIntegerField(
        blank=True,
        null=True,
        validators=[
            django.core.validators.MinValueValidator(1),
            django.core.validators.MaxValueValidator(100),
        ],
    )


class Migration(migrations.Migration):
    dependencies = [("gateway", "0018_projects")]

    operations = [
        *(
            migrations.AddField(model_name="target", name=f"limit_{name}", field=_limit())
            for name in _LIMITS
        ),
        *(
            migrations.AddField(model_name=model, name=f"budget_{name}_usd", field=_usd())
            for model in ("target", "provider")
            for name in _WINDOWS
        ),
        *(
            migrations.AddField(model_name=model, name="budget_soft_percent", field=_percent())
            for model in ("target", "provider")
        ),
        migrations.AddField(
            model_name="route", name="key_limits", field=models.JSONField(blank=True, default=dict)
        ),
        migrations.AddField(
            model_name="route", name="retry_first", field=models.BooleanField(default=False)
        ),
    ]
