"""A template's tags as rows of its own, instead of rows that all templates share.

A shared row stayed when its last template had gone, and whether a tag was there told of templates that a caller may
not see.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

# The tables as they are called in between.
_COPY = (
    "INSERT INTO prompt_templates_owntag (template_id, name) SELECT filed.template_id, tag.name "
    "FROM prompt_templates_template_tags filed JOIN prompt_templates_tag tag ON tag.id = filed.tag_id"
)
_COPY_BACK = (
    "INSERT INTO prompt_templates_tag (name) SELECT DISTINCT name FROM prompt_templates_owntag",
    "INSERT INTO prompt_templates_template_tags (template_id, tag_id) SELECT own.template_id, tag.id "
    "FROM prompt_templates_owntag own JOIN prompt_templates_tag tag ON tag.name = own.name",
)


class Migration(migrations.Migration):
    dependencies = [("prompt_templates", "0005_audience")]

    operations = [
        migrations.CreateModel(
            name="OwnTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "template",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="prompt_templates.template",
                    ),
                ),
                ("name", models.CharField(max_length=50)),
            ],
            options={
                "ordering": ["name"],
                "constraints": [models.UniqueConstraint(fields=("template", "name"), name="tag_of_template")],
            },
        ),
        migrations.RunSQL(_COPY, list(_COPY_BACK)),
        migrations.RemoveField(model_name="template", name="tags"),
        migrations.DeleteModel(name="Tag"),
        migrations.RenameModel(old_name="OwnTag", new_name="Tag"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="tag",
                    name="template",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tags",
                        to="prompt_templates.template",
                    ),
                ),
            ]
        ),
    ]
