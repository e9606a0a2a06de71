"""Teams; limits of routes and providers; more spans, and a week's and a soft budget."""

from decimal import Decimal

import django.db.models.deletion
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

LIMITS = ("rpm", "rph", "rpd", "tpm", "tph", "tpd", "concurrency")
NEW_OF_KEYS = ("rph", "rpd", "tph", "tpd")


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


def _percent():
    return models.PositiveSmallIntegerField(
        blank=True, null=True, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )


class Migration(migrations.Migration):
    dependencies = [("gateway", "0008_usage")]

    operations = [
        migrations.CreateModel(
            name="Team",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                *((f"limit_{name}", _limit()) for name in LIMITS),
                *(
                    (f"budget_{span}_usd", _usd())
                    for span in ("total", "day", "week", "month")
                ),
                ("budget_soft_percent", _percent()),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("database", "made here"),
                            ("file", "from a configuration file"),
                            ("environment", "found in the environment"),
                            ("builtin", "built in"),
                        ],
                        default="database",
                        max_length=16,
                    ),
                ),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("changed", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=200, unique=True)),
            ],
            options={"ordering": ("name",)},
        ),
        migrations.AddField(
            "apikey",
            "team",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="keys",
                to="gateway.team",
            ),
        ),
        migrations.AddField("apikey", "budget_week_usd", _usd()),
        migrations.AddField("apikey", "budget_soft_percent", _percent()),
        *(migrations.AddField("apikey", f"limit_{name}", _limit()) for name in NEW_OF_KEYS),
        *(
            migrations.AddField(model, f"limit_{name}", _limit())
            for model in ("route", "provider")
            for name in LIMITS
        ),
    ]
