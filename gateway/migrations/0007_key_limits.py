"""Keys: the secret before the last rotation, budgets and limits."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import migrations, models


def _usd():
    return models.DecimalField(
        blank=True,
        decimal_places=6,
        max_digits=16,
        null=True,
        validators=[MinValueValidator(Decimal("0"))],
    )


def _limit():
    return models.PositiveBigIntegerField(blank=True, null=True, validators=[MinValueValidator(1)])


class Migration(migrations.Migration):
    dependencies = [("gateway", "0006_route_steps")]

    operations = [
        migrations.AddField(
            "apikey",
            "previous_prefix",
            models.CharField(blank=True, default="", editable=False, max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            "apikey",
            "previous_digest",
            models.BinaryField(max_length=32, null=True),
        ),
        migrations.AddField(
            "apikey",
            "previous_expires_at",
            models.DateTimeField(blank=True, editable=False, null=True),
        ),
        *(
            migrations.AddField("apikey", f"budget_{span}_usd", _usd())
            for span in ("total", "day", "month")
        ),
        *(
            migrations.AddField("apikey", f"limit_{name}", _limit())
            for name in ("rpm", "tpm", "concurrency")
        ),
    ]
