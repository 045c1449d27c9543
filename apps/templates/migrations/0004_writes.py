"""What short writes, quotas, publishing by staff and uses by users need.

Publishing is for staff from here on. Nothing says which public templates of other users staff have looked at, so all of
them become private: their owners keep them, nobody else sees them, and staff publish them again. Uses were counted by
renderings, which one user could make any number of: they begin at 0.
"""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import F

_TABLE = "prompt_templates_template"
# As `library.quotas` counts a version: UTF-8, and 1 KiB at least.
_BYTES = {
    "sqlite": "max(1024, length(CAST(v.text AS BLOB)) + length(CAST(v.variables AS BLOB)) "
    "+ length(CAST(v.note AS BLOB)))",
    "postgresql": "greatest(1024, octet_length(v.text) + octet_length(v.variables::text) + octet_length(v.note))",
}


def _add(name: str, column: str, field: models.Field[int, int]) -> migrations.SeparateDatabaseAndState:
    """Add a column by hand: Django would rebuild the table on SQLite, without the trigger that the search needs."""
    return migrations.SeparateDatabaseAndState(
        [
            migrations.RunSQL(
                f"ALTER TABLE {_TABLE} ADD COLUMN {name} {column}", f"ALTER TABLE {_TABLE} DROP COLUMN {name}"
            )
        ],
        [migrations.AddField("template", name, field)],
    )


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    template = apps.get_model("prompt_templates", "Template")
    schema_editor.execute(
        f"UPDATE {_TABLE} SET text_bytes = coalesce((SELECT sum({_BYTES[schema_editor.connection.vendor]}) "
        f"FROM prompt_templates_version v WHERE v.template_id = {_TABLE}.id), 0)"
    )
    template.objects.update(indexed_at=F("updated_at"), uses=0)
    count = template.objects.filter(is_public=True, owner__is_staff=False).update(is_public=False)
    if count:
        print(f"\n    {count} public templates of users who are not staff are private now; staff can publish them.")


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("prompt_templates", "0003_slug_forms"),
    ]

    operations = [
        _add("public_from", "integer NOT NULL DEFAULT 1", models.IntegerField(default=1)),
        _add("text_bytes", "bigint NOT NULL DEFAULT 0", models.BigIntegerField(default=0)),
        _add(
            "state",
            "smallint NOT NULL DEFAULT 0",
            models.SmallIntegerField(choices=[(0, "Whole"), (1, "Storing"), (2, "Deleting")], default=0),
        ),
        migrations.AddField("template", "indexed_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddIndex("template", models.Index(fields=["owner", "text_bytes"], name="template_bytes_of_owner")),
        migrations.CreateModel(
            name="Use",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="prompt_templates.template",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("template", "user"), name="use_of_template")],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
