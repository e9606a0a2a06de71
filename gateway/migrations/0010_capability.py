"""What the doctor found of models."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

STATES = [
    ("running", "running"),
    ("done", "done"),
    ("silent", "no plain answer"),
    ("late", "out of time"),
    ("stopped", "stopped"),
]


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("gateway", "0009_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="CapabilityReport",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=200)),
                ("state", models.CharField(choices=STATES, default="running", max_length=16)),
                ("started", models.DateTimeField(auto_now_add=True)),
                ("heard", models.DateTimeField(default=django.utils.timezone.now)),
                ("stopping", models.BooleanField(default=False)),
                ("document", models.JSONField(default=dict)),
                (
                    "by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reports",
                        to="gateway.provider",
                    ),
                ),
            ],
            options={
                "ordering": ("-started", "-pk"),
                "indexes": [
                    models.Index(
                        fields=["provider", "model", "-started"], name="gateway_capability_newest"
                    )
                ],
            },
        ),
    ]
