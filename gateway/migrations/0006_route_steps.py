"""Steps of routes with their conditions, and what a route was at each save."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0005_setting"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="target",
            options={"ordering": ("route", "order", "position", "pk")},
        ),
        migrations.AddField(
            model_name="target",
            name="position",
            field=models.PositiveIntegerField(default=0),
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
                ("document", models.JSONField()),
                ("who", models.CharField(blank=True, max_length=150)),
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
                ("order", models.PositiveIntegerField(default=1)),
                ("name", models.CharField(blank=True, max_length=100)),
                ("strategy", models.CharField(default="ordered", max_length=31)),
                ("on", models.JSONField(blank=True, default=list)),
                ("takes", models.JSONField(blank=True, default=list)),
                ("refuses", models.JSONField(blank=True, default=list)),
                ("min_context", models.PositiveIntegerField(blank=True, null=True)),
                ("max_context", models.PositiveIntegerField(blank=True, null=True)),
                ("able", models.BooleanField(default=False)),
                (
                    "first_token_s",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0.1)],
                    ),
                ),
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
    ]
