"""The audit log."""

import django.core.serializers.json
import django.utils.timezone
from django.db import migrations, models

SOURCE = models.CharField(
    choices=[
        ("database", "made here"),
        ("file", "from a configuration file"),
        ("environment", "found in the environment"),
        ("builtin", "built in"),
        ("code", "from configuration as code"),
    ],
    default="database",
    max_length=16,
)
ROWS = ("alias", "apikey", "model", "provider", "route", "setting", "step", "target", "team")


class Migration(migrations.Migration):
    dependencies = [("gateway", "0015_cache")]

    operations = [
        migrations.CreateModel(
            name="Change",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("who", models.CharField(blank=True, max_length=150)),
                ("via", models.CharField(max_length=16)),
                ("what", models.CharField(choices=[("created", "created"), ("changed", "changed"), ("deleted", "deleted")], max_length=16)),
                ("kind", models.CharField(max_length=31)),
                ("row", models.BigIntegerField()),
                ("name", models.CharField(max_length=300)),
                ("before", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ("after", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
            ],
            options={
                "ordering": ("-pk",),
                "indexes": [models.Index(fields=["kind", "-id"], name="gateway_change_kind")],
            },
        ),
        migrations.CreateModel(
            name="KeptAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("asked", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField(default=0)),
                ("body", models.TextField(blank=True)),
                ("at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
        ),
        *(migrations.AlterField(model_name=row, name="source", field=SOURCE) for row in ROWS),
    ]
