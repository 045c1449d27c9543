"""Cookies are read as Django reads them."""

from __future__ import annotations

from django.http.cookie import parse_cookie
from hypothesis import example, given
from hypothesis import strategies as st

from promptcraft.cookies import read_cookies
from tests.each import each

headers = st.text(st.sampled_from('ab=;" \\07123é,'), max_size=40)


@given(headers)
@example(r'a="\073\"\\x"; b=c=d; e')
@example(r'a="\400\08"; =; ""; a="')
@example('a="\\"; b="\\')
def test_as_django_reads_them(header: str):
    assert read_cookies(header) == parse_cookie(header)


@each(
    ("header", "cookies"),
    [
        ("", {}),
        ("sessionid=abc; csrftoken=def", {"sessionid": "abc", "csrftoken": "def"}),
        (r'messages="[\"a\"\054 1]"', {"messages": '["a", 1]'}),
        ("a=1; a=2", {"a": "2"}),
    ],
)
def test_usual_headers(header: str, cookies: dict[str, str]):
    assert read_cookies(header) == cookies
