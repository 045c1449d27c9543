"""Finished completions, as the database keeps them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

__all__ = ["Completion"]


class Completion(models.Model):
    """One finished completion, whatever became of it. Written once, by the engine's writer."""

    class Status(models.TextChoices):
        """How it ended."""

        COMPLETED = "completed"
        CANCELLED = "cancelled"
        FAILED = "failed"

    class UsageSource(models.TextChoices):
        """Where the token counts come from."""

        PROVIDER = "provider"
        ESTIMATED = "estimated"
        NONE = "none"

    id = models.CharField(primary_key=True, max_length=64)
    # Without a constraint: a user deleted while streaming must not lose the row, nor the rows beside it. Without an
    # index of its own: two others begin with it.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="completions",
        db_constraint=False,
        db_index=False,
    )
    request_id = models.CharField(max_length=128)
    status = models.CharField(max_length=16, choices=Status.choices)
    provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=128, blank=True)
    finish_reason = models.CharField(max_length=32, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    content = models.TextField(null=True)  # noqa: DJ001 - null and "" are two different answers
    reasoning_content = models.TextField(null=True)  # noqa: DJ001
    refusal = models.TextField(null=True)  # noqa: DJ001
    tool_calls = models.JSONField(default=list)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    usage_source = models.CharField(max_length=16, choices=UsageSource.choices)
    cost_nano_usd = models.BigIntegerField(null=True)
    attempts = models.JSONField(default=list)
    include_usage = models.BooleanField(default=False)
    idempotency_key = models.CharField(max_length=255, blank=True)
    body_sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    class Meta:
        """Lists are by user, newest first; replays by user and key."""

        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="chat_completion_by_user"),
            models.Index(
                fields=["user", "idempotency_key"],
                name="chat_completion_by_key",
                condition=~models.Q(idempotency_key=""),
            ),
        ]

    def __str__(self) -> str:
        """Name it by its id."""
        return self.id
