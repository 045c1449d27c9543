"""The schema, the page to try it, the way there, and the answer to every other path."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.renderers import TemplateHTMLRenderer

from apps.accounts.access import Access
from apps.chat.envelope import error_response, translate
from promptcraft.context import context_of

__all__ = ["DocsView", "SchemaView", "absent", "home"]


class SchemaView(SpectacularAPIView):
    """The OpenAPI document."""

    access = Access.PUBLIC
    renderer_classes = [OpenApiJsonRenderer, OpenApiYamlRenderer]


class DocsView(SpectacularSwaggerView):
    """The page to try it; everything it loads comes from this server."""

    access = Access.PUBLIC
    url = "/api/v2/schema/"
    renderer_classes = [TemplateHTMLRenderer]


async def home(request: HttpRequest) -> HttpResponse:
    """Lead to the docs page."""
    del request
    return HttpResponse(status=302, headers={"Location": "/api/v2/docs/"})


async def absent(request: HttpRequest) -> HttpResponse:
    """Answer a path that is nothing, without Django's HTML."""
    return error_response(translate(Http404()), context_of(request).request_id)


absent.access = Access.PUBLIC  # type: ignore[attr-defined]
absent.csrf_exempt = True  # type: ignore[attr-defined]
