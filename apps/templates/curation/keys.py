"""API keys in the admin: staff see all of them, revoke any, and make their own."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from apps.accounts.access import Scope
from apps.accounts.api_keys import key_create, key_revoke
from apps.accounts.key_fields import read_key_fields
from apps.accounts.models import ApiKey
from apps.llm.errors import InvalidRequest

__all__ = ["ApiKeyAdmin"]


class _KeyForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes no argument when it runs
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope],
        initial=[Scope.CHAT.value],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expires_at")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        expires_at = cleaned.get("expires_at")
        try:
            read_key_fields({**cleaned, "expires_at": expires_at and expires_at.isoformat()})
        except InvalidRequest as error:
            raise ValidationError({(error.param or "").partition("[")[0] or "__all__": error.message}) from error
        return cleaned


class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # it takes no argument when it runs
    """The keys of all users. A key is shown once, on the page that follows its making."""

    form = _KeyForm
    list_display = ("start", "name", "user", "scopes", "created_at", "expires_at", "last_used_at")
    list_select_related = ("user",)
    list_per_page = 50
    actions = None
    search_fields = ("start", "name", "user__username")
    ordering = ("-created_at", "id")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return true: whoever may enter the site may do this."""
        return True

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return true, as above."""
        return True

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return true: a key of one's own."""
        return True

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return false: a key stays as it was made."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Return true: that is how one is revoked."""
        return True

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> ApiKey:
        """Make the key for whoever asks, and show it."""
        del change
        user_id = request.user.pk
        if user_id is None:
            raise RuntimeError("the site's views have a user")
        row, key = key_create(
            user_id=user_id,
            name=form.cleaned_data["name"],
            scopes=[Scope(scope) for scope in form.cleaned_data["scopes"]],
            expires_at=form.cleaned_data["expires_at"],
        )
        self.message_user(request, f"The key, which is not shown again: {key}", messages.SUCCESS)
        form.instance = row
        return row

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Do nothing: it is stored already."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: there is nothing else."""

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        """Revoke a key."""
        del request
        key_revoke(key_id=obj.pk)
