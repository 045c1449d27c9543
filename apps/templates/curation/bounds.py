"""Bounds of what the admin takes from its staff: of an address, of a form, of what is chosen in a list.

Django's admin makes SQL of every word of a search and a form of every line that a request claims to have, and hands ids
to the database as they come.
"""

from __future__ import annotations

import re
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from apps.llm.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType

__all__ = ["FORM", "MOST_CHOSEN", "MOST_LOG_IN_BYTES", "BoundedActions", "check_request"]

FORM = "application/x-www-form-urlencoded"
MOST_ADDRESS_BYTES = 4096
MOST_PARAMETERS = 32
MOST_VALUE_CHARACTERS = 200
MOST_WORDS = 20
"""Of a search: each is looked for in two columns, and SQLite takes no expression that is 1,000 deep."""
MOST_CHOSEN = 200
"""Of a list, for one action: as many as it shows at once."""
MOST_LOG_IN_BYTES = 64 * 1024
"""Of a form with names and passwords within their bounds."""

# They carry a whole address, and only links are made of it.
_ADDRESSES = frozenset({"_changelist_filters", "next"})
_SEARCHES = frozenset({"q", "term"})
# Written by a caller, some take for ever.
_EXPRESSIONS = frozenset({"regex", "iregex"})
_ID = re.compile(r"[0-9]{1,18}")


def check_request(request: HttpRequest, *, most_form_bytes: int | None = None) -> None:
    """Refuse what would make the admin, its forms or a database raise, or take long.

    Raises:
        BodyTooLarge: the form has more bytes than these.
        InvalidRequest: the address or the form is out of bounds.
        UnsupportedMediaType: what is sent is no form.

    """
    if request.method == "POST" and request.content_type != FORM:
        raise UnsupportedMediaType(f"Send the form as `Content-Type: {FORM}`.")
    if most_form_bytes is not None and len(request.body) > most_form_bytes:
        raise BodyTooLarge(f"The form is over its bound of {most_form_bytes:,} bytes.")
    if "\0" in request.path or len(request.META.get("QUERY_STRING", "")) > MOST_ADDRESS_BYTES:
        raise InvalidRequest(f"The address has the NUL character, or a query of over {MOST_ADDRESS_BYTES:,} bytes.")
    if sum(map(len, dict(request.GET.lists()).values())) > MOST_PARAMETERS:
        raise InvalidRequest(f"The address has more than {MOST_PARAMETERS} parameters.")
    for name, texts in request.GET.lists():
        for text in texts:
            _check_parameter(name, text)
    for name, texts in request.POST.lists():
        if any("\0" in text for text in (name, *texts)):
            raise InvalidRequest("The form must not contain the NUL character.")
        # Django asks a database for them as they come.
        if name == ACTION_CHECKBOX_NAME and not all(map(_ID.fullmatch, texts)):
            raise InvalidRequest("What is chosen is the id of nothing.", param=name)


def _check_parameter(name: str, text: str) -> None:
    if "\0" in text:
        raise InvalidRequest("The address must not contain the NUL character.", param=name)
    if len(text) > MOST_VALUE_CHARACTERS and name not in _ADDRESSES:
        raise InvalidRequest(f"`{name}` has more than {MOST_VALUE_CHARACTERS} characters.", param=name)
    if not _EXPRESSIONS.isdisjoint(name.split("__")):
        raise InvalidRequest("Lists are not filtered by regular expressions.", param=name)
    if name in _SEARCHES and len(text.split()) > MOST_WORDS:
        raise InvalidRequest(f"Search for {MOST_WORDS} words at most.", param=name)


class BoundedActions(ModelAdmin):  # type: ignore[type-arg]  # takes none at run time
    """A list whose actions are done to 200 rows at the most."""

    list_max_show_all = MOST_CHOSEN

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        """Do the action, or say that too much is chosen."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        all_rows = request.POST.get("select_across", "0") != "0"
        if (queryset.count() if all_rows else len(chosen)) > MOST_CHOSEN:
            self.message_user(request, f"Choose {MOST_CHOSEN} at most.", messages.ERROR)
            return None
        return super().response_action(request, queryset, *args)
