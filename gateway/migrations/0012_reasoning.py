"""Reasoning that clients can not carry."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0011_response")]

    operations = [
        migrations.CreateModel(
            name="KeptReasoning",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("turn", models.CharField(db_index=True, max_length=32)),
                ("call", models.CharField(db_index=True, max_length=32)),
                ("data", models.BinaryField()),
                (
                    "created",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now),
                ),
            ],
            options={"ordering": ("pk",)},
        ),
    ]
