"""Answers that are kept: whether a route does, what it has, and what the log says of it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0014_routing")]

    operations = [
        migrations.CreateModel(
            name="CachedAnswer",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("route_id", models.BigIntegerField(db_index=True)),
                ("blob", models.BinaryField()),
                ("size", models.PositiveIntegerField(default=0)),
                ("made_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(db_index=True)),
            ],
            options={"verbose_name": "kept answer"},
        ),
        migrations.AddField(
            model_name="route", name="cache", field=models.JSONField(blank=True, default=dict)
        ),
        migrations.AddField(
            model_name="route",
            name="cache_generation",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="requestlog",
            name="cache",
            field=models.CharField(blank=True, max_length=16),
        ),
        migrations.AddField(
            model_name="requestlog", name="cache_age_s", field=models.FloatField(null=True)
        ),
        migrations.AddField(
            model_name="requestlog", name="cache_similarity", field=models.FloatField(null=True)
        ),
        migrations.AddField(
            model_name="requestlog",
            name="saved_usd",
            field=models.DecimalField(decimal_places=10, max_digits=20, null=True),
        ),
    ]
