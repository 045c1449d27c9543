"""The whole HTTP surface. Paths end in a slash; the dispatcher adds one that is missing."""

from __future__ import annotations

from django.urls import include, path, re_path

from apps.accounts.access import Scope
from apps.chat import catalogue
from apps.chat.endpoint import public, signed_in
from apps.templates.admin import site
from promptcraft import pages

__all__ = ["urlpatterns"]

urlpatterns = [
    path("api/v2/auth/", include("apps.accounts.urls")),
    path("api/v2/chat/", include("apps.chat.urls")),
    path("api/v2/models/", signed_in(Scope.CHAT, GET=catalogue.model_list)),
    path("api/v2/models/<path:model>/", signed_in(Scope.CHAT, GET=catalogue.model_detail)),
    path("api/v2/prompts/", include("apps.templates.prompts.urls")),
    path("api/v2/templates/", include("apps.templates.urls")),
    path("api/v2/schema/", pages.SchemaView.as_view()),
    path("api/v2/docs/", pages.DocsView.as_view()),
    path("admin/", site.urls),
    path("static/<path:path>/", public(GET=pages.asset)),
    path("", public(GET=pages.home)),
    re_path(r"", pages.absent),
]
