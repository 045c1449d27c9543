"""Refresh families: one for each log-in, one row for each refresh token of it. API keys. The forms of users' names.

    User ──< RefreshFamily ──< RefreshToken ── successor ──> RefreshToken
    User ──< ApiKey
    User ──< NameForm

No row holds a usable token. A token is signed again from its row whenever it must be answered a second time, so the
signing key and the table are needed together.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

__all__ = ["ApiKey", "NameForm", "RefreshFamily", "RefreshToken"]


class RefreshFamily(models.Model):
    """What one log-in grew into. Revoked, it takes its access tokens with it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="refresh_families")
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    # The same password hashed anew is no new password: tokens with the first fingerprint live on while the second is
    # that of the user's hash. Empty until it happens.
    rehashed_from = models.CharField(max_length=16, db_default="", blank=True)
    rehashed_to = models.CharField(max_length=16, db_default="", blank=True)

    def __str__(self) -> str:
        return f"refresh family {self.pk}"


class RefreshToken(models.Model):
    """One refresh token, by its `jti`. All times are whole seconds but `rotated_at`."""

    jti = models.UUIDField(primary_key=True)
    family = models.ForeignKey(RefreshFamily, on_delete=models.CASCADE, related_name="tokens")
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    # No foreign key: the purge deletes rows by age alone, without asking who points at them.
    successor = models.UUIDField(null=True, blank=True)

    def __str__(self) -> str:
        return f"refresh token {self.pk}"


class ApiKey(models.Model):
    """A key for servers and tools, kept as its digest. Revoked, its row is gone. Times are whole seconds."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    start = models.CharField(max_length=8)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField()
    # The models it may ask for; empty for all.
    allowed_models = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """What the admin calls it."""

        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.start}… {self.name}"


class NameForm(models.Model):
    """A form of a user's name (`apps.core.look_alikes`), which no other user's name may have."""

    # Taken apart, a name of 150 characters has at most four times as many.
    form = models.CharField(max_length=600, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="name_forms")

    def __str__(self) -> str:
        return self.form
