"""The admin: staff look at all templates, mend what is said of them, publish them and move their labels."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import IntegrityError, transaction
from django.db.models import Count, ForeignKey, QuerySet
from django.db.models.functions import Left
from django.forms import ModelChoiceField
from django.http import HttpRequest
from django.utils import timezone

from apps.core.look_alikes import latin_form
from apps.templates import search
from apps.templates.curation.site import CurationSite
from apps.templates.library.drafts import is_reserved
from apps.templates.models import SLUG_TAKEN, Label, Tag, Template, Version
from apps.templates.slug_forms import slug_form

__all__ = ["site"]

site = CurationSite(name="admin")

_MOST_TAGS_OFFERED = 50
_SHOWN_CHARACTERS = 300


class _ForStaff:
    """Whoever may enter the site may do what its pages offer."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return True

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return True


class _TagFilter(admin.SimpleListFilter):
    """The commonest tags."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        commonest = Tag.objects.annotate(count=Count("templates")).filter(count__gt=0).order_by("-count", "name")
        return [(tag.name, f"{tag.name} ({tag.count})") for tag in commonest[:_MOST_TAGS_OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Template]) -> QuerySet[Template]:
        del request
        return queryset if self.value() is None else queryset.filter(tags__name=self.value())


class _LibraryFilter(admin.SimpleListFilter):
    """The starter library, or what users have made."""

    title = "origin"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [("library", "Starter library"), ("users", "Users")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Template]) -> QuerySet[Template]:
        del request
        match self.value():
            case "library":
                return queryset.filter(owner=None)
            case "users":
                return queryset.exclude(owner=None)
        return queryset


class _TemplateForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    class Meta:
        model = Template
        fields = ("slug", "title", "description", "category", "language", "tags", "is_public")

    def clean_slug(self) -> str:
        """Refuse what is a path beside the templates, and a slug that another template of the owner's has."""
        slug = str(self.cleaned_data["slug"])
        if is_reserved(slug):
            raise forms.ValidationError("This word is a path of the API. Choose another.")
        # The form has no field for the owner, so that Django checks the slugs of public templates alone.
        others = Template.objects.filter(owner_id=self.instance.owner_id).exclude(pk=self.instance.pk)
        if others.annotate(form=slug_form("slug")).filter(form=latin_form(slug)).exists():
            raise forms.ValidationError(SLUG_TAKEN)
        return slug


class _VersionChoice(ModelChoiceField):  # type: ignore[type-arg]  # of versions
    def label_from_instance(self, obj: Version) -> str:
        return f"version {obj.number}"


class _LabelInline(_ForStaff, admin.TabularInline):  # type: ignore[type-arg]  # takes none at run time
    """Labels, to be moved: each to one of the template's own versions."""

    model = Label
    fields = ("name", "version")
    extra = 0
    max_num = len(Label.Name)

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        match = request.resolver_match
        template_id = str(match.kwargs.get("object_id")) if match is not None else "0"
        versions = Version.objects.filter(template_id=template_id).defer("text", "variables").order_by("-number")
        return super().formfield_for_foreignkey(
            db_field, request, **{**kwargs, "queryset": versions, "form_class": _VersionChoice}
        )


class _VersionInline(_ForStaff, admin.TabularInline):  # type: ignore[type-arg]  # takes none at run time
    """Versions, to be read: they are written once."""

    model = Version
    fields = readonly_fields = ("number", "note", "created_by", "created_at", "beginning")
    ordering = ("-number",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Version]:
        rows: QuerySet[Version] = super().get_queryset(request).select_related("created_by")
        return rows.defer("text", "variables").annotate(first=Left("text", _SHOWN_CHARACTERS))

    @admin.display(description=f"first {_SHOWN_CHARACTERS} characters")
    def beginning(self, version: Version) -> str:
        return str(getattr(version, "first", ""))


@admin.register(Template, site=site)
class TemplateAdmin(_ForStaff, admin.ModelAdmin):  # type: ignore[type-arg]  # takes none at run time
    """Templates, private ones of users included. New ones and new texts are made through the API."""

    form = _TemplateForm
    list_display = ("title", "slug", "category", "language", "owner", "is_public", "uses", "updated_at")
    list_filter = ("category", _TagFilter, "is_public", _LibraryFilter, "language")
    list_select_related = ("owner",)
    list_per_page = 50
    search_fields = ("title", "slug")
    ordering = ("title", "id")
    autocomplete_fields = ("tags",)
    readonly_fields = ("owner", "uses", "created_at", "updated_at")
    inlines = (_LabelInline, _VersionInline)
    actions = ("publish", "unpublish")

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return false: a template begins with a version, which is written through the API."""
        return False

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:
        """Save what the form has changed; the count of uses may have risen since it was read."""
        del request, change
        obj.save(update_fields={*form.changed_data, "updated_at"} - {"tags"})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save tags and labels, and tell the search of all of it."""
        super().save_related(request, form, formsets, change)
        search.index_templates([form.instance.pk])

    @admin.action(description="Publish")
    def publish(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        """Make templates public, those aside whose slug another public one has."""
        taken = []
        published = 0
        for template in queryset.filter(is_public=False):
            try:
                with transaction.atomic():
                    Template.objects.filter(pk=template.pk).update(is_public=True, updated_at=timezone.now())
                    search.index_templates([template.pk])
                published += 1
            except IntegrityError:
                taken.append(template.slug)
        self.message_user(request, f"{published} published.", messages.SUCCESS)
        if taken:
            self.message_user(request, f"A public template has this slug already: {', '.join(taken)}", messages.ERROR)

    @admin.action(description="Make private")
    def unpublish(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        """Make templates private: their owners see them, and staff here."""
        ids = list(queryset.filter(is_public=True).values_list("pk", flat=True))
        with transaction.atomic():
            Template.objects.filter(pk__in=ids).update(is_public=False, updated_at=timezone.now())
            search.index_templates(ids)
        self.message_user(request, f"{len(ids)} made private.", messages.SUCCESS)


@admin.register(Tag, site=site)
class TagAdmin(_ForStaff, admin.ModelAdmin):  # type: ignore[type-arg]  # takes none at run time
    """Tags, to choose from."""

    search_fields = ("name",)
    fields = ("name",)

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return false: renaming one would rename it for every user's templates."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return false, for the same reason."""
        return False
