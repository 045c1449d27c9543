"""Search in the prompt templates: one interface over SQLite and PostgreSQL. docs/search.md says what it promises.

All of it is synchronous and for a database thread. Writes belong to the transaction they are called in: whoever changes
a template calls `index_templates` in the same one. What is deleted, by whomever, leaves the index by a trigger.
"""

from __future__ import annotations

from apps.templates.search.finding import Found, template_search
from apps.templates.search.highlights import Highlight
from apps.templates.search.indexing import index_templates, rebuild_index

__all__ = ["Found", "Highlight", "index_templates", "rebuild_index", "template_search"]
