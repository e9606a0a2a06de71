"""Projects of teams, the users whom keys were given to, and answers by their time."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0017_cost")]

    operations = [
        migrations.AddField(
            model_name="team",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="projects",
                to="gateway.team",
            ),
        ),
        migrations.AddField(
            model_name="apikey", name="user", field=models.CharField(blank=True, max_length=200)
        ),
        migrations.AlterField(
            model_name="cachedanswer",
            name="made_at",
            field=models.DateTimeField(db_index=True),
        ),
    ]
