"""A rewritten prompt as a new version of a template: a draft, at which no label stands."""

from __future__ import annotations

from apps.accounts.identity import Caller
from apps.llm.errors import Forbidden
from apps.templates.library.drafts import VersionDraft, variables_of
from apps.templates.models import Template
from apps.templates.prompts.requests import SaveTo
from apps.templates.prompts.steps import Saved
from apps.templates.rendering import placeholders
from apps.templates.selectors import template_changeable, template_find, version_newest
from apps.templates.services import version_create
from apps.templates.variables import Variable, VariableType

__all__ = ["template_check", "version_save"]


def template_check(*, caller: Caller, save: SaveTo) -> Template:
    """Return the template that is to be saved to. Raises NotFound, or Forbidden if the caller may not change it."""
    template = template_find(caller=caller, slug=save.template)
    if template.owner_id != caller.user_id:
        raise Forbidden("This template is not yours. Export it and import it as one of your own to save to it.")
    template_changeable(caller=caller, template=template)
    return template


def version_save(*, caller: Caller, save: SaveTo, text: str) -> Saved:
    """Add a version with this text, unless the newest one has it; say which version has it now.

    A placeholder keeps the variable that it has in the newest version; a new one is a required text. Raises NotFound,
    Forbidden, InvalidRequest.
    """
    newest = version_newest(template=template_check(caller=caller, save=save))
    if newest.text == text:
        return Saved(slug=save.template, version=newest.number)
    known = {variable.name: variable for variable in variables_of(newest.variables)}
    variables = tuple(
        known.get(name) or Variable(name=name, type=VariableType.TEXT, required=True) for name in placeholders(text)
    )
    version = version_create(
        caller=caller, slug=save.template, draft=VersionDraft(text=text, variables=variables, note=save.note)
    )
    return Saved(slug=save.template, version=version.number)
