"""The docs page: Swagger UI, from this server alone, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache

from django.templatetags.static import static

__all__ = ["PAGE_POLICY", "page"]

_SCHEMA_PATH = "/api/v2/schema/"

_STYLE = "body { margin: 0; }"
# No `?url=` is read, no token is kept, and no validator elsewhere is shown the schema.
_SETTINGS = {
    "url": f"{_SCHEMA_PATH}?format=json",
    "dom_id": "#swagger-ui",
    "deepLinking": True,
    "displayRequestDuration": True,
    "persistAuthorization": False,
    "queryConfigEnabled": False,
    "validatorUrl": None,
}
_SCRIPT = f"window.ui = SwaggerUIBundle({json.dumps(_SETTINGS, indent=2)});"


def _source(inline: str) -> str:
    """Return what allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' {_source(_SCRIPT)}",
        f"style-src 'self' {_source(_STYLE)}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@cache
def page() -> str:
    """Return the page's HTML."""
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>PromptCraft API</title>
<link rel="icon" href="{_asset("favicon-32x32.png")}">
<link rel="stylesheet" href="{_asset("swagger-ui.css")}">
<style>{_STYLE}</style>
</head>
<body>
<noscript>This page needs JavaScript; <a href="{_SCHEMA_PATH}">what it shows</a> does not.</noscript>
<div id="swagger-ui"></div>
<script src="{_asset("swagger-ui-bundle.js")}"></script>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return static(f"drf_spectacular_sidecar/swagger-ui-dist/{name}")
