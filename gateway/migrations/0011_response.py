"""Responses that clients may name by id."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0010_capability")]

    operations = [
        migrations.CreateModel(
            name="StoredResponse",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("response_id", models.CharField(max_length=200)),
                ("owner", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField()),
                ("heard_at", models.DateTimeField()),
                ("status", models.CharField(max_length=16)),
                ("provider", models.CharField(blank=True, max_length=63)),
                ("maker", models.CharField(blank=True, max_length=63)),
                ("deleted", models.BooleanField(default=False)),
                ("blob", models.BinaryField()),
            ],
            options={
                "verbose_name": "stored response",
                "indexes": [
                    models.Index(fields=["created_at"], name="gateway_response_created")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "response_id"), name="gateway_response_once"
                    )
                ],
            },
        ),
    ]
