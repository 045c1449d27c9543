"""The routes under `/api/v2/templates/`. Words stand before slugs: no template is called like one of them."""

from __future__ import annotations

from django.urls import path

from apps.templates import views

__all__ = ["urlpatterns"]

urlpatterns = [
    path("", views.TemplatesView.as_view()),
    path("categories/", views.CategoriesView.as_view()),
    path("import/", views.ImportView.as_view()),
    path("quota/", views.QuotaView.as_view()),
    path("search/", views.SearchView.as_view()),
    path("tags/", views.TagsView.as_view()),
    path("<str:slug>/", views.TemplateView.as_view()),
    path("<str:slug>/export/", views.ExportView.as_view()),
    path("<str:slug>/labels/", views.LabelsView.as_view()),
    path("<str:slug>/labels/<str:name>/", views.LabelView.as_view()),
    path("<str:slug>/render/", views.RenderView.as_view()),
    path("<str:slug>/versions/", views.VersionsView.as_view()),
    path("<str:slug>/versions/diff/", views.DifferenceView.as_view()),
    path("<str:slug>/versions/<str:number>/", views.VersionView.as_view()),
]
