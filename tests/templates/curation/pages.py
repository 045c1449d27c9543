"""The admin's pages, as a browser sends them."""

from __future__ import annotations

import re

__all__ = ["ADMIN", "LIST", "PASSWORD", "change", "error_of", "label_at", "log_in", "send"]

ADMIN = "/admin/"
LIST = f"{ADMIN}prompt_templates/template/"
PASSWORD = "correct horse battery"


def log_in(client, username="curator", password=PASSWORD, **more):
    client.get(f"{ADMIN}login/")
    return send(client, f"{ADMIN}login/", {"username": username, "password": password, "next": ADMIN}, **more)


def send(client, path, fields, **more):
    """Send a form as a browser does, with what guards it."""
    token = client.cookies["csrftoken"].value
    data = "&".join(f"{name}={value}" for name, value in {"csrfmiddlewaretoken": token, **fields}.items())
    return client.post(path, data, content_type="application/x-www-form-urlencoded", **more)


def error_of(answer):
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()["error"]["code"]


def change(curator, template, page=None, **fields):
    """Send the form of a template as it is, or was on that page, but for these fields."""
    path = f"{LIST}{template.pk}/change/"
    html = page or curator.get(path).content.decode()
    assert "errornote" not in html
    said = {
        "seen": re.findall(r'name="seen" value="([^"]*)"', html)[0],
        "slug": template.slug,
        "title": template.title,
        "description": template.description,
        "category": template.category,
        "language": template.language,
        "labels-TOTAL_FORMS": 0,
        "labels-INITIAL_FORMS": 0,
        "versions-TOTAL_FORMS": 0,
        "versions-INITIAL_FORMS": 0,
    }
    return send(curator, path, {**said, **fields})


def label_at(label, version_id):
    """Return the fields of a template's one label, moved to a version."""
    return {
        "labels-TOTAL_FORMS": 1,
        "labels-INITIAL_FORMS": 1,
        "labels-0-id": label.pk,
        "labels-0-template": label.template_id,
        "labels-0-name": label.name,
        "labels-0-version": version_id,
    }
