"""The form of a slug, which decides whether it is taken: `MA-TEST` and `ma_test` have the same.

`slug_form` is the form as the database sees it: it stands in unique indexes, so that no writer gets around it.
`apps.core.look_alikes.latin_form` is the same in Python.
"""

from __future__ import annotations

from django.db.models import Func

from apps.core.look_alikes import LATIN_PAIRS

__all__ = ["slug_form"]


def slug_form(column: str) -> Func:
    """Return the expression of the form of a column of slugs."""
    # Written out, without parameters: SQLite takes an index for an expression that is the same to the letter.
    template = "LOWER(%(expressions)s)"
    for pair, one in LATIN_PAIRS:
        template = f"REPLACE({template}, '{pair}', '{one}')"
    return Func(column, template=template)
