"""The whole HTTP surface. Paths end in a slash; the dispatcher adds one that is missing."""

from __future__ import annotations

from django.urls import include, path, re_path

from apps.accounts.access import Scope
from apps.chat import catalogue
from apps.chat.endpoint import public, signed_in
from apps.chat.urls import completions
from apps.templates.admin import site
from promptcraft import pages

__all__ = ["urlpatterns"]

model_list = signed_in(Scope.CHAT, GET=catalogue.model_list)
model_detail = signed_in(Scope.CHAT, GET=catalogue.model_detail)

urlpatterns = [
    path("api/v2/auth/", include("apps.accounts.urls")),
    path("api/v2/chat/", include("apps.chat.urls")),
    path("v1/chat/completions/", completions),
    *(
        route
        for prefix in ("api/v2/", "v1/")
        for route in (
            path(f"{prefix}models/", model_list),
            path(f"{prefix}models/<path:model>/", model_detail),
        )
    ),
    path("api/v2/prompts/", include("apps.templates.prompts.urls")),
    path("api/v2/templates/", include("apps.templates.urls")),
    path("api/v2/schema/", pages.SchemaView.as_view()),
    path("api/v2/docs/", pages.DocsView.as_view()),
    path("admin/", site.urls),
    path("static/<path:path>/", public(GET=pages.asset)),
    path("", public(GET=pages.home)),
    re_path(r"", pages.absent),
]
