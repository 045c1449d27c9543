"""`/api/v2/prompts/`."""

from __future__ import annotations

from django.urls import path

from apps.chat.endpoint import signed_in
from apps.templates import prompts

__all__ = ["urlpatterns"]

urlpatterns = [
    path("intent/", signed_in(POST=prompts.detect_intent)),
    path("optimize/", signed_in(POST=prompts.optimize)),
    path("generate/", signed_in(POST=prompts.generate)),
    path("run/", signed_in(POST=prompts.run)),
]
