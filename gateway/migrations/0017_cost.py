"""Costs: margins, tiers, bills to compare with, and newer prices."""

from decimal import Decimal

import django.core.serializers.json
import django.core.validators
import django.utils.timezone
from django.db import migrations, models

_PRICE = {
    "max_digits": 16,
    "decimal_places": 8,
    "null": True,
    "blank": True,
    "validators": [django.core.validators.MinValueValidator(Decimal(0))],
}
_MARGIN = {
    "max_digits": 10,
    "decimal_places": 4,
    "null": True,
    "blank": True,
    "validators": [
        django.core.validators.MinValueValidator(Decimal(0)),
        django.core.validators.MaxValueValidator(Decimal(1000)),
    ],
}
_SOURCES = [
    ("database", "made here"),
    ("file", "from a configuration file"),
    ("environment", "found in the environment"),
    ("builtin", "built in"),
    ("code", "from configuration as code"),
]


def charge_as_cost(apps, schema_editor):
    """What was used before there were margins was charged as it cost."""
    apps.get_model("gateway", "UsageHour").objects.update(charged_units=models.F("cost_units"))


class Migration(migrations.Migration):
    dependencies = [("gateway", "0016_audit")]

    operations = [
        migrations.CreateModel(
            name="BillLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=63)),
                ("since", models.DateField()),
                ("until", models.DateField()),
                ("model", models.CharField(blank=True, max_length=200)),
                ("usd", models.DecimalField(decimal_places=10, max_digits=20)),
                ("origin", models.CharField(blank=True, max_length=200)),
                ("who", models.CharField(blank=True, max_length=150)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ("since", "model", "pk"),
                "indexes": [models.Index(fields=["provider", "since"], name="gateway_bill_provider")],
            },
        ),
        migrations.CreateModel(
            name="PriceUpdate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(choices=_SOURCES, default="database", max_length=16)),
                ("source_ref", models.CharField(blank=True, max_length=300)),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("changed", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=200)),
                ("origin", models.CharField(max_length=200)),
                ("taken", models.DateField()),
                ("changes", models.JSONField(default=list, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("accepted", models.JSONField(default=list)),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("accepted_by", models.CharField(blank=True, max_length=150)),
            ],
            options={"ordering": ("pk",)},
        ),
        *(
            migrations.AddField(model_name=name, name="margin", field=models.DecimalField(**_MARGIN))
            for name in ("apikey", "provider", "team")
        ),
        *(
            migrations.AddField(model_name="model", name=name, field=models.DecimalField(**_PRICE))
            for name in ("price_reasoning", "price_input_audio", "price_output_audio")
        ),
        migrations.AddField(
            model_name="model", name="price_above", field=models.JSONField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="model", name="price_tiers", field=models.JSONField(blank=True, default=dict)
        ),
        migrations.AddField(
            model_name="requestlog",
            name="charged_usd",
            field=models.DecimalField(decimal_places=10, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name="requestlog",
            name="service_tier",
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.AddField(
            model_name="requestlog", name="tags", field=models.JSONField(default=list)
        ),
        migrations.AddField(
            model_name="usagehour", name="charged_units", field=models.BigIntegerField(default=0)
        ),
        migrations.RunPython(charge_as_cost, migrations.RunPython.noop),
    ]
