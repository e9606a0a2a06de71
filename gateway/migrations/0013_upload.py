"""Whose the files and batches are that providers keep."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0012_reasoning")]

    operations = [
        migrations.CreateModel(
            name="Upload",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=63)),
                ("upstream_id", models.CharField(max_length=200)),
                ("key_id", models.BigIntegerField()),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("provider", "key_id", "upstream_id"), name="gateway_upload_once"
                    )
                ]
            },
        ),
    ]
