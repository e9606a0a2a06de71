"""The registry: providers, models, routes, aliases, targets, keys."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
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
                ("pattern", models.CharField(max_length=200, unique=True)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "verbose_name_plural": "aliases",
                "ordering": ("pattern",),
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
                ("name", models.CharField(max_length=200)),
                ("prefix", models.CharField(editable=False, max_length=32, unique=True)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("routes", models.JSONField(blank=True, default=list)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("log_bodies", models.BooleanField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "verbose_name": "API key",
                "ordering": ("name", "pk"),
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
                ("name", models.CharField(max_length=200)),
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
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("provider__name", "name"),
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
                (
                    "name",
                    models.CharField(
                        max_length=63,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9][a-z0-9._-]{0,62}\\Z",
                                "Lower-case letters, digits, dot, dash and underscore; it stands before the slash in provider/model.",
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
                                "\\A[A-Za-z_][A-Za-z0-9_]*\\Z", "The name of a variable."
                            )
                        ],
                    ),
                ),
                ("headers", models.JSONField(blank=True, default=dict)),
                ("query", models.JSONField(blank=True, null=True)),
                ("paths", models.JSONField(blank=True, null=True)),
                ("edits", models.JSONField(blank=True, default=list)),
                ("timeouts", models.JSONField(blank=True, default=dict)),
                ("passthrough", models.BooleanField(blank=True, null=True)),
                ("drop_params", models.BooleanField(default=False)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("name",),
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
                ("strategy", models.CharField(default="ordered", max_length=31)),
                ("retries", models.PositiveSmallIntegerField(default=1)),
                (
                    "cooldown_s",
                    models.FloatField(
                        default=5.0, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                ("fallbacks", models.JSONField(blank=True, default=list)),
                ("strict", models.BooleanField(default=False)),
                ("log_bodies", models.BooleanField(blank=True, null=True)),
                ("default_max_output", models.PositiveIntegerField(blank=True, null=True)),
                ("reasoning_field", models.CharField(default="reasoning_content", max_length=31)),
                ("hidden", models.BooleanField(default=False)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("name",),
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
                (
                    "weight",
                    models.FloatField(
                        default=1.0, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                ("order", models.PositiveIntegerField(default=1)),
                ("timeouts", models.JSONField(blank=True, default=dict)),
                ("edits", models.JSONField(blank=True, default=list)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ("route", "order", "pk"),
            },
        ),
        migrations.AddField(
            model_name="model",
            name="provider",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="models",
                to="gateway.provider",
            ),
        ),
        migrations.AddField(
            model_name="alias",
            name="route",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="aliases",
                to="gateway.route",
            ),
        ),
        migrations.AddField(
            model_name="target",
            name="model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="targets",
                to="gateway.model",
            ),
        ),
        migrations.AddField(
            model_name="target",
            name="route",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="targets",
                to="gateway.route",
            ),
        ),
        migrations.AddConstraint(
            model_name="model",
            constraint=models.UniqueConstraint(
                fields=("provider", "name"), name="gateway_model_once"
            ),
        ),
    ]
