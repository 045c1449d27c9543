"""`/api/v2/chat/`."""

from __future__ import annotations

from django.urls import path

from apps.accounts.access import Scope
from apps.chat import health, views
from apps.chat.endpoint import public, signed_in, staff
from apps.chat.path_health import path_health

__all__ = ["completions", "urlpatterns"]

completions = signed_in(Scope.CHAT, POST=views.create_completion, GET=views.completion_list)

urlpatterns = [
    path("completions/", completions),
    path("completions/<str:completion_id>/", signed_in(Scope.CHAT, GET=views.completion_detail)),
    path("completions/<str:completion_id>/events/", signed_in(Scope.CHAT, GET=views.completion_events)),
    path("completions/<str:completion_id>/cancel/", signed_in(Scope.CHAT, POST=views.cancel_completion)),
    path("health/", public(GET=health.health)),
    path("health/live/", public(GET=health.live)),
    path("health/ready/", public(GET=health.ready)),
    path("health/paths/", staff(GET=path_health)),
]
