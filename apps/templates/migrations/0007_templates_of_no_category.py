from django.db import migrations, models

from apps.templates.categories import TEMPLATE_CATEGORIES


class Migration(migrations.Migration):
    dependencies = [("prompt_templates", "0006_tags_of_templates")]

    operations = [
        migrations.AlterField(
            model_name="template",
            name="category",
            field=models.CharField(choices=[(name, name) for name in TEMPLATE_CATEGORIES], max_length=32),
        )
    ]
