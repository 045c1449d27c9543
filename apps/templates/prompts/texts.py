"""The text that a completion is asked for with: a prompt, a template filled in, or one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.accounts.identity import Caller
from apps.chat.body import MAX_BODY_BYTES
from apps.llm.errors import InvalidRequest, NotFound
from apps.templates import selectors
from apps.templates.library.drafts import variables_of
from apps.templates.prompts.requests import GenerateRequest, TemplateChoice
from apps.templates.rendering import placeholders, render
from apps.templates.search import Found
from apps.templates.variables import Variable, VariableType
from apps.templates.workload import run_in_workbench

__all__ = ["Text", "fitting_template", "generation_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text, and the template that it was made of."""

    text: str
    slug: str | None = None
    template_id: int | None = None


async def generation_text(caller: Caller, request: GenerateRequest) -> Text:
    """Return what is to be generated from.

    A template is filled in, and a prompt follows it after an empty line. Variables without a template fill the
    prompt's own placeholders. Raises NotFound, or InvalidRequest naming what is missing, unknown or too long.
    """
    if request.template is None:
        prompt = request.prompt or ""
        if request.variables is None:
            return _bounded(Text(text=prompt))
        return _bounded(Text(text=await run_in_workbench(_filled, prompt, request.variables)))
    made = await run_in_workbench(_rendered, caller, request.template, request.variables or {})
    return _bounded(_followed_by(made, request.prompt))


async def fitting_template(caller: Caller, found: Sequence[Found], values: Mapping[str, object]) -> Text | None:
    """Return the first template that these variables fill, none of them missing, unknown or mistyped, filled in."""
    return await run_in_workbench(_first_filled, caller, found, values) if values and found else None


def _filled(prompt: str, values: Mapping[str, object]) -> str:
    return render(prompt, _own(prompt, values), values)


def _rendered(caller: Caller, choice: TemplateChoice, values: Mapping[str, object]) -> Text:
    template = selectors.template_find(caller=caller, slug=choice.slug)
    version = selectors.template_served(caller=caller, template=template, version=choice.version, label=choice.label)
    text = render(version.text, variables_of(version.variables), values)
    return Text(text=text, slug=template.slug, template_id=template.pk)


def _first_filled(caller: Caller, found: Sequence[Found], values: Mapping[str, object]) -> Text | None:
    for one in found:
        try:
            return _bounded(_rendered(caller, TemplateChoice(slug=one.slug), values))
        except (InvalidRequest, NotFound):
            continue
    return None


def _followed_by(made: Text, prompt: str | None) -> Text:
    if prompt is None:
        return made
    return Text(text=f"{made.text.rstrip()}\n\n{prompt}", slug=made.slug, template_id=made.template_id)


def _own(prompt: str, values: Mapping[str, object]) -> tuple[Variable, ...]:
    """Return a prompt's placeholders as variables, each of the type that its value has."""
    return tuple(Variable(name=name, type=_type_of(values.get(name)), required=True) for name in placeholders(prompt))


def _type_of(value: object) -> VariableType:
    match value:
        case bool():
            return VariableType.BOOLEAN
        case int() | float():
            return VariableType.NUMBER
        case list():
            return VariableType.LIST
        case _:
            return VariableType.TEXT


def _bounded(text: Text) -> Text:
    # A completion's body has this bound; its refusal would speak of a body that nobody sent.
    if len(text.text.encode("utf-8", "surrogatepass")) > MAX_BODY_BYTES // 2:
        raise InvalidRequest(
            f"Filled in, this is over {MAX_BODY_BYTES // 2:,} bytes. Send shorter values.", param="variables"
        )
    return text
