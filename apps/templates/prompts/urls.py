"""`/api/v2/prompts/`."""

from __future__ import annotations

from django.urls import path

from apps.accounts.access import Scope
from apps.chat.endpoint import signed_in
from apps.templates.prompts import views

__all__ = ["urlpatterns"]

urlpatterns = [
    path("intent/", signed_in(Scope.CHAT, POST=views.counted(views.detect_intent))),
    path("optimize/", signed_in(Scope.CHAT, POST=views.counted(views.optimize))),
    path("generate/", signed_in(Scope.CHAT, POST=views.counted(views.generate))),
    path("run/", signed_in(Scope.CHAT, POST=views.counted(views.run))),
]
