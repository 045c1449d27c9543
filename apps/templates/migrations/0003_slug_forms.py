"""A slug is unique by its form from here on. See `apps.templates.slug_forms`."""

from __future__ import annotations

from itertools import count

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from apps.core.look_alikes import latin_form

_FORM = models.Func(
    "slug",
    template="REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(LOWER(%(expressions)s), "
    "'_', '-'), '0', 'o'), '1', 'l'), 'i', 'l'), 'rn', 'm'), 'vv', 'w')",
)


def rename(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Number the slugs that look like an older one; the library's come first, then the oldest."""
    templates = apps.get_model("prompt_templates", "Template").objects.using(schema_editor.connection.alias)
    rows = list(templates.order_by("id").values_list("id", "owner_id", "is_public", "slug"))
    taken: set[tuple[int | None, str]] = set()
    public: set[str] = set()
    all_forms = {latin_form(slug) for *_, slug in rows}
    for template_id, owner_id, is_public, slug in sorted(rows, key=lambda row: row[1] is not None):
        form = latin_form(slug)
        if (owner_id is not None and (owner_id, form) in taken) or (is_public and form in public):
            numbered = (f"{slug[:90]}-{number}" for number in count(2))
            slug = next(one for one in numbered if latin_form(one) not in all_forms)
            form = latin_form(slug)
            all_forms.add(form)
            templates.filter(pk=template_id).update(slug=slug)
        taken.add((owner_id, form))
        if is_public:
            public.add(form)


class Migration(migrations.Migration):
    dependencies = [("prompt_templates", "0002_search")]

    operations = [
        migrations.RunPython(rename, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="template",
            constraint=models.UniqueConstraint(models.F("owner"), _FORM, name="template_slug_form_of_owner"),
        ),
        migrations.AddConstraint(
            model_name="template",
            constraint=models.UniqueConstraint(
                _FORM,
                condition=models.Q(("is_public", True)),
                name="template_slug_form_of_public",
                violation_error_message=("Another template has this slug, or one that looks like it. Choose another."),
            ),
        ),
    ]
