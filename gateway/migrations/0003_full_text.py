import django.db.models.deletion
from django.db import migrations, models

import gateway.models.log
from gateway.migrations._full_text import create_index, drop_index


class Migration(migrations.Migration):
    dependencies = [("gateway", "0002_request_log")]

    operations = [
        migrations.RunPython(create_index, drop_index),
        migrations.CreateModel(
            name="RequestText",
            fields=[
                (
                    "log",
                    models.OneToOneField(
                        db_column="rowid",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="text",
                        serialize=False,
                        to="gateway.requestlog",
                    ),
                ),
                ("document", gateway.models.log.DocumentField()),
            ],
            options={
                "db_table": "gateway_requesttext",
                "managed": False,
            },
        ),
    ]
