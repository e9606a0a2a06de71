"""How routes retry, hedge, shadow, check and choose by tags; what the log says of it."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0013_upload")]

    operations = [
        migrations.AddField(
            model_name="route", name="retry", field=models.JSONField(blank=True, default=dict)
        ),
        migrations.AddField(
            model_name="route",
            name="backoff_s",
            field=models.FloatField(
                default=0.25, validators=[django.core.validators.MinValueValidator(0)]
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="max_wait_s",
            field=models.FloatField(
                default=2.0, validators=[django.core.validators.MinValueValidator(0)]
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="failures",
            field=models.PositiveSmallIntegerField(default=3),
        ),
        migrations.AddField(
            model_name="route", name="allowed", field=models.JSONField(blank=True, default=dict)
        ),
        migrations.AddField(
            model_name="route",
            name="fallbacks_on",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="route", name="able", field=models.BooleanField(default=False)
        ),
        migrations.AddField(
            model_name="route",
            name="tag_match",
            field=models.CharField(default="any", max_length=3),
        ),
        migrations.AddField(
            model_name="route",
            name="hedge_after_s",
            field=models.FloatField(
                blank=True, null=True, validators=[django.core.validators.MinValueValidator(0.01)]
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="shadow",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="route",
            name="shadow_share",
            field=models.FloatField(
                default=0.0,
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1),
                ],
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="check_s",
            field=models.FloatField(
                blank=True, null=True, validators=[django.core.validators.MinValueValidator(10)]
            ),
        ),
        migrations.AddField(
            model_name="step", name="tags", field=models.JSONField(blank=True, default=list)
        ),
        migrations.AddField(
            model_name="step",
            name="during",
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AddField(
            model_name="target", name="tags", field=models.JSONField(blank=True, default=list)
        ),
        migrations.AddField(
            model_name="target",
            name="variant",
            field=models.CharField(blank=True, max_length=63),
        ),
        migrations.AddField(
            model_name="apikey", name="tags", field=models.JSONField(blank=True, default=list)
        ),
        migrations.AddField(
            model_name="requestlog",
            name="variant",
            field=models.CharField(blank=True, max_length=63),
        ),
        migrations.AddField(
            model_name="requestlog",
            name="shadow_of",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("variant", ""), _negated=True),
                fields=["variant", "started_at"],
                name="gateway_request_variant",
            ),
        ),
        migrations.AddIndex(
            model_name="requestlog",
            index=models.Index(
                condition=models.Q(("shadow_of", ""), _negated=True),
                fields=["shadow_of"],
                name="gateway_request_shadow",
            ),
        ),
    ]
