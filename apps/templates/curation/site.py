"""The site of the admin: pages with cookies, on their own paths, in a service that otherwise knows tokens alone.

Sessions, messages and the user are put around its views and no others, so that a stream pays for none of them; its
forms are guarded against forgery by the decorators that Django's admin brings. What fails is the same envelope as
everywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.utils.decorators import decorator_from_middleware

from apps.accounts.access import Access
from apps.accounts.addresses import client_network
from apps.accounts.attempts import Attempt, name_key
from apps.accounts.hashing import HASHING, hashing_share
from apps.chat.envelope import error_response, translate
from apps.core.work_queue import Share, Turn
from apps.llm.errors import Forbidden
from apps.templates.curation.bounds import FORM, MOST_LOG_IN_BYTES, check_request
from apps.templates.workload import WORKBENCH
from promptcraft.context import context_of
from promptcraft.cookies import read_cookies

__all__ = ["CurationSite", "forgery_refused"]

View = Callable[..., HttpResponseBase]
Admit = Callable[[HttpRequest], Awaitable[Turn]]

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HASHING_PAGES = frozenset({"login", "password_change"})


class GuardedAuthenticationForm(AdminAuthenticationForm):
    """Log-in of staff, counted together with log-ins for tokens: whoever guesses here has no tries left there."""

    def clean(self) -> dict[str, Any]:
        """Check name and password. Raises RateLimited, as `accounts.sign_in` does."""
        request = self.request
        if request is None:
            raise RuntimeError("the log-in of the site has a request")
        attempt = Attempt(client_network(request), name_key(str(self.cleaned_data.get("username", ""))))
        try:
            cleaned = super().clean()
        except BaseException as error:
            # A right password of somebody who is no staff is no guess.
            if not isinstance(error, ValidationError) or self.user_cache is not None:
                attempt.forgive()
            raise
        attempt.forgive()
        return cleaned


class CurationSite(AdminSite):
    """Django's admin without what it does not need here, every view of it wrapped and with its `access` declared."""

    site_header = site_title = "PromptCraft"
    index_title = "Curation"
    site_url = None
    enable_nav_sidebar = False
    # A path that is nothing is answered as everywhere.
    final_catch_all_view = False
    login_form = GuardedAuthenticationForm

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return the admin's routes, their views wrapped."""
        urls = super().get_urls()
        _wrap(urls)
        return urls


def forgery_refused(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answer a form that was not sent from a page of this site."""
    del reason
    refused = Forbidden("The form did not come from a page of this site, or its cookie is missing. Load it again.")
    return error_response(refused, context_of(request).request_id)


def _wrap(patterns: Iterable[URLPattern | URLResolver]) -> None:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            _wrap(pattern.url_patterns)
        else:
            is_open = pattern.name == "login"
            admit = _admit_to_hash if pattern.name in _HASHING_PAGES else _admit
            pattern.callback = _answering(pattern.callback, Access.PUBLIC if is_open else Access.STAFF, admit)


def _answering(view: View, access: Access, admit: Admit) -> View:
    inside = _with_session(_with_user(_with_messages(_rendered(view))))

    @wraps(view)
    def outer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        context = context_of(request)
        request.COOKIES = read_cookies(request.META.get("HTTP_COOKIE", ""))
        try:
            check_request(request, most_form_bytes=MOST_LOG_IN_BYTES if admit is _admit_to_hash else None)
            response = inside(request, *args, **kwargs)
        except Exception as error:
            ours = translate(error)
            context.error_code = ours.code.value
            return error_response(ours, context.request_id)
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    outer.access = access  # type: ignore[attr-defined]
    outer.admit = admit  # type: ignore[attr-defined]
    return outer


async def _admit(request: HttpRequest) -> Turn:
    """Have a page wait on the account of its network: whose session it is, the database alone knows."""
    return Turn(WORKBENCH, Share(client_network(request)))


async def _admit_to_hash(request: HttpRequest) -> Turn:
    """Have a form with a password wait for a hashing thread."""
    if request.method != "POST":
        return await _admit(request)
    # The page itself refuses a form that is over its bound.
    readable = request.content_type == FORM and len(request.body) <= MOST_LOG_IN_BYTES
    username = str(request.POST.get("username", "")) if readable else ""
    return Turn(HASHING, hashing_share(client_network(request), username))


def _rendered(view: View) -> View:
    """Render within the view: a template that fails is then an error like any other."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        context_of(request).user_id = request.user.pk
        response = view(request, *args, **kwargs)
        render = getattr(response, "render", None)
        return response if render is None else render()

    return inner


_with_session: Callable[[View], View] = decorator_from_middleware(SessionMiddleware)
_with_user: Callable[[View], View] = decorator_from_middleware(AuthenticationMiddleware)
_with_messages: Callable[[View], View] = decorator_from_middleware(MessageMiddleware)
