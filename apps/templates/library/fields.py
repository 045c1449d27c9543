"""Members of objects that callers send, read one by one; what is wrong is named by its place in the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.llm.errors import Code, InvalidRequest

__all__ = ["Fields", "fields_of", "param_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The members of one object, and where it stands in the body."""

    body: Mapping[str, object]
    at: str = ""

    def param(self, name: str) -> str:
        """Return a member's place in the body."""
        return param_of(self.at, name)

    def refusal(self, name: str, problem: str) -> InvalidRequest:
        """Return what is to be raised about a member."""
        return InvalidRequest(f"`{self.param(name)}` {problem}.", param=self.param(name))

    def text(self, name: str, *, most: int, optional: bool = False) -> str:
        """Return a string; one that is optional may be absent or empty."""
        if name not in self.body:
            if optional:
                return ""
            raise InvalidRequest(f"`{self.param(name)}` is required.", code=Code.MISSING_FIELD, param=self.param(name))
        value = self.body[name]
        if not isinstance(value, str):
            raise self.refusal(name, "must be a string")
        if not optional and not value.strip():
            raise self.refusal(name, "must not be empty")
        self.check_string(name, value, most)
        return value

    def check_string(self, name: str, value: str, most: int) -> None:
        """Refuse what is too long, and what a database or UTF-8 cannot take."""
        if len(value) > most:
            raise self.refusal(name, f"must have at most {most:,} characters")
        if "\0" in value:
            raise self.refusal(name, "must not contain the NUL character")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise self.refusal(name, "must not contain half of a surrogate pair")

    def line(self, name: str, *, most: int) -> str:
        """Return a string without line breaks."""
        value = self.text(name, most=most)
        if "\n" in value or "\r" in value:
            raise self.refusal(name, "must be one line")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            raise self.refusal(name, "must be true or false")
        return value

    def items(self, name: str, *, most: int) -> list[object]:
        """Return an array; an absent one is empty."""
        value = self.body.get(name, [])
        if not isinstance(value, list):
            raise self.refusal(name, "must be an array")
        if len(value) > most:
            raise self.refusal(name, f"must have at most {most:,} items")
        return value

    def strings(self, name: str, *, most: int, most_characters: int) -> list[str]:
        """Return an array of strings of one line, none empty; an absent one is empty."""
        values = self.items(name, most=most)
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value.strip() or "\n" in value or "\r" in value:
                raise self.refusal(f"{name}[{index}]", "must be one line of text")
            self.check_string(f"{name}[{index}]", value, most_characters)
        return [str(value) for value in values]


def fields_of(body: object, at: str) -> Fields:
    """Return the members of an object; one that is null is absent. Raises InvalidRequest if it is no object."""
    if not isinstance(body, Mapping):
        raise InvalidRequest(f"`{at}` must be an object.", param=at or None)
    return Fields(body={name: value for name, value in body.items() if value is not None}, at=at)


def param_of(at: str, name: str) -> str:
    """Return the place of a member of the object at `at`."""
    return f"{at}.{name}" if at else name
