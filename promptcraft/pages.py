"""The schema, the page to try it and what it loads, the way there, and the answer to every other path."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.contrib.staticfiles import finders
from django.core.exceptions import SuspiciousFileOperation
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotModified,
    StreamingHttpResponse,
)
from django.utils.cache import patch_vary_headers
from django.utils.http import http_date
from django.views.static import was_modified_since
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.accounts.access import Access
from apps.accounts.addresses import client_network
from apps.accounts.json_view import JsonView
from apps.chat.envelope import error_response, translate
from apps.core.work_queue import Share
from apps.llm.errors import InvalidRequest
from apps.templates.workload import WORKBENCH
from promptcraft.context import context_of
from promptcraft.schema.document import rendered
from promptcraft.schema.page import PAGE_POLICY, page

__all__ = ["DocsView", "SchemaView", "absent", "asset", "home"]

_FORMS = {
    "application/json": "json",
    "application/vnd.oai.openapi+json": "json",
    "application/yaml": "yaml",
    "application/vnd.oai.openapi": "yaml",
}
_PIECE_BYTES = 256 * 1024
_MOST_ACCEPT_CHARACTERS = 1_000
"""Browsers send a hundred or two. Of more than that no preference is read: it would take long."""
_MEDIA_TYPES = {"json": "application/json", "yaml": "application/yaml"}


class SchemaView(JsonView):
    """The OpenAPI document, as JSON or YAML."""

    access = Access.PUBLIC
    queue = WORKBENCH

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Answer in the form that `?format=` names, else in the one that Accept likes best."""
        media_type = _wanted(request._request)
        form = _FORMS[media_type]
        response = HttpResponse(rendered(form), content_type=media_type)
        response.headers["Content-Disposition"] = f'inline; filename="promptcraft-openapi.{form}"'
        patch_vary_headers(response, ["Accept"])
        return response


class DocsView(JsonView):
    """The page to try it; everything it loads comes from this server."""

    access = Access.PUBLIC
    queue = WORKBENCH

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Answer with the page, whatever Accept says: there is no other form of it."""
        del request
        return HttpResponse(page(), headers={"Content-Security-Policy": PAGE_POLICY})


async def home(request: HttpRequest) -> HttpResponse:
    """Lead to the docs page."""
    del request
    return HttpResponse(status=302, headers={"Location": "/api/v2/docs/"})


async def asset(request: HttpRequest, path: str) -> HttpResponseBase:
    """Answer with a static file, such as the docs page's script, of which no more is read than its reader takes.

    Raises Http404 if there is none.
    """
    share = Share(client_network(request))
    found = await WORKBENCH.run(share, partial(_static_file, path))
    if found is None:
        raise Http404
    headers = {"Last-Modified": http_date(found.changed_at), "Cache-Control": "no-cache"}
    if not was_modified_since(request.headers.get("If-Modified-Since"), found.changed_at):
        return HttpResponseNotModified(headers=headers)
    media_type, _ = mimetypes.guess_type(found.path.name)
    headers |= {"Content-Type": media_type or "application/octet-stream", "Content-Length": str(found.size_bytes)}
    return StreamingHttpResponse(_pieces(found), headers=headers)


async def absent(request: HttpRequest) -> HttpResponse:
    """Answer a path that is nothing, without Django's HTML."""
    return error_response(translate(Http404()), context_of(request).request_id)


absent.access = Access.PUBLIC  # type: ignore[attr-defined]
absent.csrf_exempt = True  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class _File:
    """A static file, and when it was changed, in unix seconds."""

    path: Path
    changed_at: int
    size_bytes: int

    def piece(self, start: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(min(_PIECE_BYTES, self.size_bytes - start))


async def _pieces(file: _File) -> AsyncIterator[bytes]:
    start = 0
    # Past every queue that may refuse: the answer has begun. A file is shorter if it was changed meanwhile.
    while start < file.size_bytes and (piece := await asyncio.to_thread(file.piece, start)):
        start += len(piece)
        yield piece


def _static_file(path: str) -> _File | None:
    try:
        found = finders.find(path)
    except (SuspiciousFileOperation, ValueError):
        # Out of the directories of static files, or no path at all.
        return None
    if found is None:
        return None
    file = Path(str(found))
    if not file.is_file():
        return None
    about = file.stat()
    return _File(file, int(about.st_mtime), about.st_size)


def _wanted(request: HttpRequest) -> str:
    """Return the media type to answer with. Raises InvalidRequest if there is none."""
    form = request.GET.get("format")
    if form is not None:
        if form not in _MEDIA_TYPES:
            raise InvalidRequest("`format` is `json` or `yaml`.", param="format")
        return _MEDIA_TYPES[form]
    if not 0 < len(request.headers.get("Accept", "")) <= _MOST_ACCEPT_CHARACTERS:
        return _MEDIA_TYPES["json"]
    try:
        preferred = request.get_preferred_type(list(_FORMS))
    except (LookupError, ValueError):
        # A parameter in an encoding that there is not, or that does not fit.
        preferred = None
    if preferred is None:
        raise InvalidRequest(f"Accept names none of {', '.join(_FORMS)}.", param="Accept")
    return preferred
