"""`python manage.py load_templates`: the starter library and what the search's index lacks, as often as wanted."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from apps.templates.library.loading import library_load
from apps.templates.library.starter_library import read_library

__all__ = ["Command"]


class Command(BaseCommand):
    """Brings the starter library in the database up to its files."""

    help = "Load the starter library: make what is new, add versions where a text has changed."

    def handle(self, *args: object, **options: object) -> None:
        """Load and say how many."""
        loaded = library_load(library=read_library())
        if options["verbosity"]:
            self.stdout.write(
                f"starter templates: {loaded.made} made, {loaded.changed} changed, {loaded.unchanged} unchanged"
            )
        for slug in loaded.taken:
            self.stderr.write(f"not made, a user's public template has its slug: {slug}")
