"""The views of `/api/v2/templates/`. They read requests and call selectors and services; the rules live there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.access import Access, Scope
from apps.accounts.bodies import json_object
from apps.accounts.identity import Caller
from apps.accounts.json_view import JsonView
from apps.core.work_queue import Turn, WorkQueue, user_share
from apps.limits.headers import tell_window
from apps.limits.limiter import settle
from apps.llm.errors import BodyTooLarge, Code, InvalidRequest, NotFound, UnsupportedMediaType
from apps.templates import selectors, services
from apps.templates.library import portable, presentation, queries, quotas, schema
from apps.templates.library.differences import difference
from apps.templates.library.drafts import template_change, template_draft, variables_of, version_draft
from apps.templates.library.exporting import export_begin
from apps.templates.library.yaml_values import parse_yaml
from apps.templates.workload import IMPORTS, MOST_BYTES_OF_A_SMALL_IMPORT, WORKBENCH, workbench_take

__all__ = [
    "CategoriesView",
    "DifferenceView",
    "ExportView",
    "ImportView",
    "LabelView",
    "LabelsView",
    "QuotaView",
    "RenderView",
    "SearchView",
    "TagsView",
    "TemplateView",
    "TemplatesView",
    "VersionView",
    "VersionsView",
]

_PARSERS: dict[str, Callable[[bytes], object]] = {
    "": portable.parse_json,
    "application/json": portable.parse_json,
    "application/yaml": parse_yaml,
    "application/x-yaml": parse_yaml,
    "text/yaml": parse_yaml,
}


class _TemplatesView(JsonView):
    """A view for whoever is signed in, counted in the window of the workbench."""

    access = Access.AUTHENTICATED
    scopes = frozenset({Scope.TEMPLATES})

    @classmethod
    async def admit_caller(cls, request: HttpRequest, caller: Caller) -> Turn:
        """Count the request. Raises RateLimited."""
        lease = await workbench_take(caller.user_id, partial(tell_window, request))
        return Turn(cls.queue_of(request), user_share(caller.user_id), partial(settle, lease))

    @classmethod
    def queue_of(cls, request: HttpRequest) -> WorkQueue:
        """Return where a request waits for its thread."""
        del request
        return WORKBENCH

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return cast(Caller, self.request.user)

    def detail(self, template: selectors.FoundTemplate, *, status: int = 200) -> Response:
        """Answer with a template as it is now."""
        described = selectors.template_describe(caller=self.caller, template=template)
        newest = selectors.version_newest(template=template)
        return Response(presentation.detail_json(described, newest), status=status)

    def version(self, slug: str, number: int, *, status: int = 200) -> Response:
        """Answer with one version of a template."""
        template = selectors.template_find(caller=self.caller, slug=slug)
        found = selectors.version_get(caller=self.caller, template=template, number=number)
        if found is None:
            raise NotFound("The template has no version of this number.")
        labels = selectors.template_describe(caller=self.caller, template=template).labels
        return Response(presentation.version_json(found, labels=labels, whole=True), status=status)

    def labels(self, slug: str) -> Response:
        """Answer with where a template's labels stand."""
        template = selectors.template_find(caller=self.caller, slug=slug)
        return Response({"labels": dict(selectors.template_describe(caller=self.caller, template=template).labels)})


class TemplatesView(_TemplatesView):
    """`/`: all that the caller may see."""

    @extend_schema(**schema.LIST)
    def get(self, request: Request) -> Response:
        """List templates."""
        asked = queries.list_query(request.query_params)
        page = selectors.template_list(
            caller=self.caller,
            filters=asked.filters,
            ordering=asked.ordering,
            limit=asked.limit,
            after=asked.after,
        )
        return Response(
            {
                "results": [presentation.template_json(described) for described in page.templates],
                "next": None if page.next is None else page.next.written(),
            }
        )

    @extend_schema(**schema.CREATE)
    def post(self, request: Request) -> Response:
        """Make a template."""
        draft = template_draft(json_object(request._request))
        return self.detail(services.template_create(caller=self.caller, draft=draft), status=201)


class TemplateView(_TemplatesView):
    """`/{slug}/`: one template."""

    @extend_schema(**schema.READ)
    def get(self, request: Request, slug: str) -> Response:
        """Read a template."""
        del request
        return self.detail(selectors.template_find(caller=self.caller, slug=slug))

    @extend_schema(**schema.UPDATE)
    def patch(self, request: Request, slug: str) -> Response:
        """Change a template."""
        change = template_change(json_object(request._request))
        return self.detail(services.template_update(caller=self.caller, slug=slug, change=change))

    @extend_schema(**schema.DELETE)
    def delete(self, request: Request, slug: str) -> Response:
        """Delete a template."""
        del request
        services.template_delete(caller=self.caller, slug=slug)
        return Response(status=204)


class VersionsView(_TemplatesView):
    """`/{slug}/versions/`: its versions."""

    @extend_schema(**schema.VERSION_LIST)
    def get(self, request: Request, slug: str) -> Response:
        """List the versions of a template."""
        del request
        template = selectors.template_find(caller=self.caller, slug=slug)
        labels = selectors.template_describe(caller=self.caller, template=template).labels
        versions = selectors.version_list(caller=self.caller, template=template)
        return Response(
            presentation.page_json(
                presentation.version_json(version, labels=labels, whole=False) for version in versions
            )
        )

    @extend_schema(**schema.VERSION_CREATE)
    def post(self, request: Request, slug: str) -> Response:
        """Add a version."""
        draft = version_draft(json_object(request._request))
        version = services.version_create(caller=self.caller, slug=slug, draft=draft)
        return self.version(slug, version.number, status=201)


class VersionView(_TemplatesView):
    """`/{slug}/versions/{number}/`: one version."""

    @extend_schema(**schema.VERSION_READ)
    def get(self, request: Request, slug: str, number: str) -> Response:
        """Read a version."""
        del request
        return self.version(slug, queries.path_number(number))


class DifferenceView(_TemplatesView):
    """`/{slug}/versions/diff/`: what changed."""

    @extend_schema(**schema.VERSION_DIFFERENCE)
    def get(self, request: Request, slug: str) -> Response:
        """Compare two versions."""
        numbers = {name: queries.number_of(request.query_params, name) for name in ("from", "to")}
        template = selectors.template_find(caller=self.caller, slug=slug)
        found = {
            name: selectors.version_get(caller=self.caller, template=template, number=number)
            for name, number in numbers.items()
        }
        before, after = found["from"], found["to"]
        if before is None or after is None:
            param = "from" if before is None else "to"
            raise InvalidRequest(f"`{param}` is not the number of a version of the template.", param=param)
        changed = difference(
            text_before=before.text,
            variables_before=variables_of(before.variables),
            text_after=after.text,
            variables_after=variables_of(after.variables),
        )
        return Response(presentation.difference_json(changed, before=before.number, after=after.number))


class LabelsView(_TemplatesView):
    """`/{slug}/labels/`: where labels stand."""

    @extend_schema(**schema.LABEL_LIST)
    def get(self, request: Request, slug: str) -> Response:
        """List the labels of a template."""
        del request
        return self.labels(slug)


class LabelView(_TemplatesView):
    """`/{slug}/labels/{name}/`: one label."""

    @extend_schema(**schema.LABEL_MOVE)
    def put(self, request: Request, slug: str, name: str) -> Response:
        """Put a label at a version."""
        number = queries.body_number(json_object(request._request), "version")
        services.label_move(caller=self.caller, slug=slug, name=name, number=number)
        return self.labels(slug)

    @extend_schema(**schema.LABEL_REMOVE)
    def delete(self, request: Request, slug: str, name: str) -> Response:
        """Take a label away."""
        del request
        services.label_remove(caller=self.caller, slug=slug, name=name)
        return Response(status=204)


class RenderView(_TemplatesView):
    """`/{slug}/render/`: a prompt of it."""

    @extend_schema(**schema.RENDER)
    def post(self, request: Request, slug: str) -> Response:
        """Fill a template in."""
        asked = queries.render_query(json_object(request._request))
        rendered = services.template_render(
            caller=self.caller, slug=slug, values=asked.values, version=asked.version, label=asked.label
        )
        return Response({"text": rendered.text, "version": rendered.version, "variables": dict(rendered.variables)})


class ExportView(_TemplatesView):
    """`/{slug}/export/`: all of it as a file."""

    @extend_schema(**schema.EXPORT)
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Export a template."""
        form = request.query_params.get("format", "json")
        if form not in portable.WRITERS:
            raise InvalidRequest("`format` is `json` or `yaml`.", param="format")
        export = export_begin(caller=self.caller, slug=slug, form=form)
        headers = {"Content-Disposition": f'attachment; filename="{export.slug}.{form}"'}
        answer = HttpResponse if isinstance(export.content, bytes) else StreamingHttpResponse
        return answer(export.content, content_type=export.media_type, headers=headers)


class ImportView(_TemplatesView):
    """`/import/`: templates from a file."""

    @classmethod
    def queue_of(cls, request: HttpRequest) -> WorkQueue:
        """Return the queue for large files; a small one waits where everything else of the workbench does."""
        return IMPORTS if len(request.body) > MOST_BYTES_OF_A_SMALL_IMPORT else WORKBENCH

    @extend_schema(**schema.IMPORT)
    def post(self, request: Request) -> Response:
        """Import templates."""
        sent = request._request
        parse = _PARSERS.get(sent.content_type or "")
        if parse is None:
            raise UnsupportedMediaType("Send the body as `application/json` or as `application/yaml`.")
        most_bytes: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        data = sent.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise BodyTooLarge(f"The body is over its bound of {most_bytes} bytes.")
        if not data.strip():
            raise InvalidRequest("The body is empty. Send a template or a list of them.", code=Code.INVALID_JSON)
        templates = services.templates_import(caller=self.caller, drafts=portable.drafts_read(parse(data)))
        described = selectors.templates_describe(caller=self.caller, templates=templates)
        return Response(presentation.page_json(map(presentation.template_json, described)), status=201)


class QuotaView(_TemplatesView):
    """`/quota/`: how much the caller has and may have."""

    @extend_schema(**schema.QUOTA)
    def get(self, request: Request) -> Response:
        """Read the quota."""
        del request
        return Response(presentation.quota_json(quotas.held_by(self.caller.user_id)))


class SearchView(_TemplatesView):
    """`/search/`: what fits some words."""

    @extend_schema(**schema.SEARCH)
    def get(self, request: Request) -> Response:
        """Search in the templates."""
        asked = queries.search_query(request.query_params)
        found = selectors.template_matches(caller=self.caller, filters=asked.filters, limit=asked.limit)
        return Response(presentation.found_json(found))


class CategoriesView(_TemplatesView):
    """`/categories/`: the closed list."""

    @extend_schema(**schema.CATEGORIES_LIST)
    def get(self, request: Request) -> Response:
        """List the categories."""
        del request
        return Response(presentation.counts_json(selectors.category_counts(caller=self.caller)))


class TagsView(_TemplatesView):
    """`/tags/`: the words that templates are filed under."""

    @extend_schema(**schema.TAG_LIST)
    def get(self, request: Request) -> Response:
        """List the tags."""
        del request
        return Response(presentation.counts_json(selectors.tag_counts(caller=self.caller)))
