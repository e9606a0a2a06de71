"""Settings that people change in the console."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0004_request_status")]

    operations = [
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
                ("name", models.CharField(max_length=63, unique=True)),
                ("value", models.JSONField()),
            ],
            options={"ordering": ("name",)},
        ),
    ]
