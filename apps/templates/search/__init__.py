"""Search in the prompt templates: one interface over SQLite and PostgreSQL. docs/search.md says what it promises.

All of it is synchronous and for a database thread. Whoever changes a template calls `index_templates` after the
transaction of the change. What is deleted, by whomever, leaves the index by a trigger.
"""

from __future__ import annotations

from apps.templates.search.finding import Found, template_search
from apps.templates.search.highlights import Highlight
from apps.templates.search.indexing import index_pending, index_templates, rebuild_index

__all__ = ["Found", "Highlight", "index_pending", "index_templates", "rebuild_index", "template_search"]
