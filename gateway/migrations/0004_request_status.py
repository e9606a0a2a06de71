"""An index for the statuses that people look for."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0003_full_text")]

    operations = [
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("status", 200), _negated=True),
                fields=["status", "id"],
                name="gateway_request_status",
            ),
        ),
    ]
