"""The routes under `/api/v2/auth/`."""

from __future__ import annotations

from django.urls import path

from apps.accounts.key_views import KeysView, KeyView, PasswordView, UserStateView, UsersView
from apps.accounts.views import LogoutView, MeView, RefreshView, RegisterView, TokenView, VerifyView

__all__ = ["urlpatterns"]

urlpatterns = [
    path("token/", TokenView.as_view()),
    path("token/refresh/", RefreshView.as_view()),
    path("token/verify/", VerifyView.as_view()),
    path("logout/", LogoutView.as_view()),
    path("register/", RegisterView.as_view()),
    path("me/", MeView.as_view()),
    path("keys/", KeysView.as_view()),
    path("keys/<uuid:key_id>/", KeyView.as_view()),
    path("password/", PasswordView.as_view()),
    path("users/", UsersView.as_view()),
    path("users/<int:user_id>/disable/", UserStateView.as_view(active=False)),
    path("users/<int:user_id>/enable/", UserStateView.as_view(active=True)),
]
