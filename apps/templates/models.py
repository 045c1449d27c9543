"""Prompt templates as the database keeps them: what is said of one, its immutable versions, labels that move."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from apps.templates.categories import TEMPLATE_CATEGORIES
from apps.templates.slug_forms import slug_form

__all__ = ["EVERYBODY", "SLUG_TAKEN", "Label", "Tag", "Template", "Use", "Version", "audiences"]

SLUG_TAKEN = "Another template has this slug, or one that looks like it. Choose another."
EVERYBODY = 0
"""The audience of what is public. No user has this id."""


def audiences(user_id: int) -> tuple[int, int]:
    """Return the audiences that a user belongs to: the user may see the templates of these and no others."""
    return EVERYBODY, user_id


class Template(models.Model):
    """One template. What is said of it may change; its text and variables are in its versions."""

    class State(models.IntegerChoices):
        """Whether it is there. What is not belongs to nobody and is not public, so that no caller sees it."""

        WHOLE = 0
        STORING = 1
        DELETING = 2

    # None: of the starter library, which is public and changed by staff alone.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="prompt_templates"
    )
    # Without an index of its own, through which a look for one would pass by the rows of everybody.
    slug = models.SlugField(max_length=100, db_index=False)
    title = models.CharField(max_length=200)
    description = models.TextField(max_length=2_000, blank=True)
    category = models.CharField(max_length=32, choices=[(name, name) for name in TEMPLATE_CATEGORIES])
    language = models.CharField(max_length=8, default="en")
    is_public = models.BooleanField(default=False)
    # The number of the first version that everybody may see while the template is public.
    public_from = models.IntegerField(default=1)
    # How many users have rendered it.
    uses = models.PositiveBigIntegerField(default=0)
    # Of all its versions, as `library.quotas` counts them.
    text_bytes = models.BigIntegerField(default=0)
    state = models.SmallIntegerField(choices=State.choices, default=State.WHOLE)
    # The `updated_at` that the search knows it by. Another one: its entry is still to be written.
    indexed_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Who may see it: everybody, its owner by their id, or nobody (NULL: withdrawn from the library, or not there). The
    # database computes it, and what is read for a caller is read through it: no look depends on other audiences' rows.
    audience = models.GeneratedField(
        expression=models.Case(
            models.When(is_public=True, then=models.Value(EVERYBODY)),
            default=models.F("owner"),
            output_field=models.BigIntegerField(),
        ),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )

    class Meta:
        """A slug, with those that look like it, is one template's of its owner's, and one public template's."""

        ordering = ["id"]
        constraints = [
            # The two by which a slug is looked up; the two by its form refuse more.
            models.UniqueConstraint(fields=["owner", "slug"], name="template_slug_of_owner"),
            models.UniqueConstraint(
                fields=["slug"], condition=models.Q(is_public=True), name="template_slug_of_public"
            ),
            models.UniqueConstraint(models.F("owner"), slug_form("slug"), name="template_slug_form_of_owner"),
            models.UniqueConstraint(
                slug_form("slug"),
                condition=models.Q(is_public=True),
                name="template_slug_form_of_public",
                violation_error_message=SLUG_TAKEN,
            ),
        ]
        indexes = [
            models.Index(fields=["audience", "slug"], name="template_by_audience"),
            models.Index(fields=["audience", "category"], name="template_by_category"),
            # Holds all that a look at a user's quota reads.
            models.Index(fields=["owner", "text_bytes"], name="template_bytes_of_owner"),
        ]

    def __str__(self) -> str:
        return self.slug


class Tag(models.Model):
    """A word that one template is filed under.

    Each template has rows of its own. They go with the template, its owner's quota bounds them, and no write depends
    on the tags of others.
    """

    # The constraint has the index.
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="tags", db_index=False)
    name = models.CharField(max_length=50)

    class Meta:
        """Alphabetical."""

        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["template", "name"], name="tag_of_template")]

    def __str__(self) -> str:
        return self.name


class Version(models.Model):
    """A template's text and variables at one time. Written once."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    text = models.TextField()
    # As `apps.templates.variables.Variable` has them, an object each.
    variables = models.JSONField(default=list)
    note = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Numbered from 1 for each template."""

        ordering = ["template_id", "number"]
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="version_number_of_template")]

    def __str__(self) -> str:
        return f"{self.template_id} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new version. Raises TypeError for one that is stored already."""
        if not self._state.adding:
            raise TypeError("a version is written once; make another")
        super().save(*args, **kwargs)


class Label(models.Model):
    """A name that stands at one version of a template and can be moved to another."""

    class Name(models.TextChoices):
        """Which labels there are. A version without one is a draft."""

        PRODUCTION = "production"
        STAGING = "staging"

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="labels")
    name = models.CharField(max_length=16, choices=Name.choices)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="labels")
    moved_at = models.DateTimeField(auto_now=True)

    class Meta:
        """One place for each label of a template."""

        ordering = ["template_id", "name"]
        constraints = [models.UniqueConstraint(fields=["template", "name"], name="label_of_template")]

    def __str__(self) -> str:
        return f"{self.template_id} {self.name}"


class Use(models.Model):
    """That a user has rendered a template, once or more: each counts once."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        """One row for each user of a template."""

        constraints = [models.UniqueConstraint(fields=["template", "user"], name="use_of_template")]

    def __str__(self) -> str:
        return f"{self.template_id} {self.user_id}"
