"""What batches cost: which file has the results of one, and when its cost was counted."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0019_target_limits")]

    operations = [
        migrations.AddField(
            model_name="upload", name="batch", field=models.CharField(blank=True, max_length=200)
        ),
        migrations.AddField(
            model_name="upload", name="settled_at", field=models.DateTimeField(null=True)
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(fields=["provider", "upstream_id"], name="gateway_upload_thing"),
        ),
    ]
