"""The admin: staff look at all templates, mend what is said of them, publish them and move their labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, ForeignKey, QuerySet
from django.db.models.functions import Left
from django.forms import ModelChoiceField
from django.http import HttpRequest

from apps.accounts.models import ApiKey
from apps.core.look_alikes import latin_form
from apps.llm.errors import InvalidRequest
from apps.templates import search, services
from apps.templates.curation.bounds import BoundedActions
from apps.templates.curation.keys import ApiKeyAdmin
from apps.templates.curation.site import CurationSite
from apps.templates.library.drafts import is_reserved, tags_of
from apps.templates.library.fields import fields_of
from apps.templates.library.storing import tags_set, templates_discard, templates_hide
from apps.templates.models import SLUG_TAKEN, Label, Tag, Template, Version
from apps.templates.slug_forms import slug_form

__all__ = ["site"]

site = CurationSite(name="admin")
site.register(ApiKey, ApiKeyAdmin)

_MOST_TAGS_OFFERED = 50
_SHOWN_CHARACTERS = 300
_SHOWN = ("text", "variables")
"""Of the version that would be published, whole."""


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
        tags = Tag.objects.filter(template__state=Template.State.WHOLE).values("name").annotate(count=Count("id"))
        commonest = tags.order_by("-count", "name").values_list("name", "count")[:_MOST_TAGS_OFFERED]
        return [(name, f"{name} ({count})") for name, count in commonest]

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
    seen = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)
    """The versions that were there when the page was opened."""
    tags = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 5}), help_text="One on each line.")

    class Meta:
        model = Template
        fields = ("slug", "title", "description", "category", "language", "is_public")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show the tags that the template has, and note which versions are there."""
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.initial["tags"] = "\n".join(self.instance.tags.values_list("name", flat=True))
            self.initial["seen"] = _versions_of(self.instance)

    def clean_tags(self) -> tuple[str, ...]:
        """Return the tags, checked as those that the API is sent."""
        lines = [line for line in self.cleaned_data["tags"].splitlines() if line.strip()]
        try:
            return tags_of(fields_of({"tags": lines}, ""))
        except InvalidRequest as error:
            raise forms.ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        """Refuse to publish what the page did not show: what has come since, and versions besides the one shown."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not cleaned.get("is_public") or self.instance.is_public:
            return cleaned
        versions = _versions_of(self.instance)
        if cleaned.get("seen") != versions:
            raise forms.ValidationError(
                "Its owner has changed what would be published. Open this page again and read it first."
            )
        published, _, newest = versions.partition(" ")
        if published != newest:
            raise forms.ValidationError(
                f"With version {published}, which is in production, all versions up to {newest} would be published. "
                f"Move production to version {newest}, read that, then publish it."
            )
        return cleaned

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


def _versions_of(template: Template) -> str:
    """Return which version would be published, and which is the newest: those from the first on are public then."""
    try:
        return f"{services.version_published(template=template)} {services.newest_number(template)}"
    except Version.DoesNotExist:
        # It is being deleted.
        return ""


def _shown(template: Template, field: str) -> Any:
    number = _versions_of(template).partition(" ")[0]
    return template.versions.filter(number=number or 0).values_list(field, flat=True).first()


class _VersionChoice(ModelChoiceField):  # type: ignore[type-arg]  # of versions
    def label_from_instance(self, obj: Version) -> str:
        return f"version {obj.number}"


class _LabelForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    class Meta:
        model = Label
        fields = ("name", "version")

    def clean(self) -> dict[str, Any]:
        """Refuse to serve everybody a version from before the first one that is public."""
        cleaned: dict[str, Any] = super().clean() or {}
        version, template_id = cleaned.get("version"), self.instance.template_id
        if version is not None and cleaned.get("name") == Label.Name.PRODUCTION:
            public = Template.objects.filter(pk=template_id, is_public=True, public_from__gt=version.number)
            first = public.values_list("public_from", flat=True).first()
            if first is not None:
                raise forms.ValidationError(
                    f"The template is public from version {first} on. Make it private, move the label, then publish it."
                )
        return cleaned


class _LabelForms(forms.BaseInlineFormSet):  # type: ignore[type-arg]  # takes none at run time
    def clean(self) -> None:
        """Refuse to publish and to move a label at once: what is served would not be what the page showed."""
        super().clean()
        published = (
            self.instance.is_public and not Template.objects.filter(pk=self.instance.pk, is_public=True).exists()
        )
        if published and self.has_changed():
            raise forms.ValidationError("Move labels and publish one after the other.")


class _LabelInline(_ForStaff, admin.TabularInline):  # type: ignore[type-arg]  # takes none at run time
    """Labels, to be moved: each to one of the template's own versions."""

    model = Label
    form = _LabelForm
    formset = _LabelForms
    fields = ("name", "version")
    extra = 0
    max_num = len(Label.Name)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        # However many lines a request says that it has.
        return super().get_formset(request, obj, **{**kwargs, "absolute_max": self.max_num})

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
class TemplateAdmin(_ForStaff, BoundedActions):
    """Templates, private ones of users included. New ones and new texts are made through the API."""

    form = _TemplateForm
    list_display = ("title", "slug", "category", "language", "owner", "is_public", "uses", "updated_at")
    list_filter = ("category", _TagFilter, "is_public", _LibraryFilter, "language")
    list_select_related = ("owner",)
    list_per_page = 50
    search_fields = ("title", "slug")
    ordering = ("title", "id")
    readonly_fields = ("owner", "public_from", "uses", "created_at", "updated_at")
    # The text is shown beside them (`get_fields`). Publishing is done here, where it can be read.
    fields = ("slug", "title", "description", "category", "language", "tags", "is_public", "seen", *readonly_fields)
    actions = ("unpublish",)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return false: a template begins with a version, which is written through the API."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        """Return those that are there, not those that are being stored or deleted."""
        rows: QuerySet[Template] = super().get_queryset(request)
        return rows.filter(state=Template.State.WHOLE)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Template | None:
        """Return a template. Where a form is sent, nothing changes it before all of that is saved."""
        template: Template | None = super().get_object(request, object_id, from_field)
        if template is None or request.method != "POST":
            return template
        return self.get_queryset(request).select_for_update().filter(pk=template.pk).first()

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Return labels and versions. A form that is sent is read in a transaction: versions are only to be read."""
        return (_LabelInline,) if request.method == "POST" else (_LabelInline, _VersionInline)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Return what a page shows; a version is not read again when a form is sent."""
        return self.fields if request.method == "POST" else (*self.fields, *_SHOWN)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Return what is only to be read."""
        return self.readonly_fields if request.method == "POST" else (*self.readonly_fields, *_SHOWN)

    @admin.display(description="text that everybody is served once it is published")
    def text(self, template: Template) -> str:
        """Return the whole text of production's version, or else of the newest; none while it is being deleted."""
        return str(_shown(template, "text") or "")

    @admin.display(description="its variables, as everybody is served them")
    def variables(self, template: Template) -> str:
        """Return the variables of the same version, with their descriptions and what stands in for them."""
        return "\n".join(json.dumps(one, ensure_ascii=False) for one in _shown(template, "variables") or ())

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:
        """Save what the form has changed; the count of uses may have risen since it was read."""
        del request, change
        obj.save(update_fields={*form.changed_data, "updated_at"} - {"tags", "seen"})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save tags and labels, and from which version on a template is public; tell the search after all that."""
        super().save_related(request, form, formsets, change)
        template: Template = form.instance
        if "tags" in form.changed_data:
            tags_set(template, form.cleaned_data["tags"])
        if template.is_public and "is_public" in form.changed_data:
            Template.objects.filter(pk=template.pk).update(public_from=services.version_published(template=template))
        transaction.on_commit(partial(search.index_templates, [template.pk]))

    def get_deleted_objects(self, objs: Iterable[Template], request: HttpRequest) -> Any:
        """Return what goes with templates without reading it: versions may have many megabytes."""
        templates = list(objs)
        return [str(template) for template in templates], {"templates": len(templates)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Template) -> None:
        """Delete one template."""
        del request
        self._delete([obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        """Delete the chosen templates."""
        del request
        self._delete(list(queryset.values_list("pk", flat=True)))

    @admin.action(description="Make private")
    def unpublish(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        """Make templates private: their owners see them, and staff here."""
        ids = list(queryset.filter(is_public=True).values_list("pk", flat=True))
        for template_id in ids:
            services.unpublish(template_id=template_id)
        self.message_user(request, f"{len(ids)} made private.", messages.SUCCESS)

    def _delete(self, ids: Sequence[int]) -> None:
        with transaction.atomic():
            templates_hide(ids)
            # The admin's own transaction ends first.
            transaction.on_commit(partial(templates_discard, ids))
