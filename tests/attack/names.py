"""Attacks by names that look like another's."""

from __future__ import annotations

import secrets

from tests.attack.results import Attack, NotTried, Result, attack, broken, held
from tests.attack.target import Target

__all__ = ["ATTACKS"]

_TEMPLATES = "/api/v2/templates/"


@attack("accounts whose names look like another's")
def user_names(target: Target) -> Result:
    """In another case, with letters of another script, with what cannot be seen."""
    # Nothing in it but letters that have look-alikes.
    original = "coax" + "".join(secrets.choice("aceopxy") for _ in range(10))
    statuses = {_register(target, original): original}
    if 404 in statuses:
        raise NotTried("registration is closed")
    if 201 not in statuses:
        raise NotTried(f"registration is answered with {sorted(statuses)}")
    cyrillic = original.translate(str.maketrans("aceopxy", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443"))
    look_alikes = [
        original.upper(),
        cyrillic,
        original.replace("a", "\u00e4"),
        original.replace("o", "0"),
        f"{original}\u3164",
    ]
    for name in look_alikes:
        if _register(target, name) == 201:
            return broken(f"registered beside the original: {ascii(name)}")
    return held(f"{len(look_alikes)} are refused beside the original")


@attack("slugs that look like another template's")
def slugs(target: Target) -> Result:
    """`MA_TEST` beside `ma-test`."""
    if target.attacker is None:
        raise NotTried("needs a user: --user and --password")
    token = target.token(target.attacker)
    slug = f"attack-{secrets.token_hex(6)}"
    template = {"title": "Attack", "text": "Nothing.", "category": "seo", "variables": []}
    made = []
    try:
        for name in (slug, slug.upper(), slug.replace("-", "_")):
            answer = target.call("POST", _TEMPLATES, token=token, body={**template, "slug": name})
            made += [name] if answer.status == 201 else []
    finally:
        for name in made:
            target.call("DELETE", f"{_TEMPLATES}{name}/", token=token)
    if slug not in made:
        raise NotTried("no template could be made")
    return broken(f"taken side by side: {made}") if len(made) > 1 else held("the look-alikes are refused")


def _register(target: Target, name: str) -> int:
    body = {"username": name, "email": f"{secrets.token_hex(8)}@attack.example", "password": secrets.token_urlsafe(16)}
    return target.call("POST", "/api/v2/auth/register/", body=body).status


ATTACKS: tuple[Attack, ...] = (user_names, slugs)
