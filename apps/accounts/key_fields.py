"""What is sent to make an API key, checked field by field; and a key's row as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from apps.accounts.access import Scope
from apps.accounts.api_keys import MOST_MODELS
from apps.accounts.bodies import text_field
from apps.accounts.models import ApiKey
from apps.llm.errors import Code, InvalidRequest

__all__ = ["KeyFields", "key_json", "read_key_fields"]

_MOST_NAME_CHARACTERS = 100
_MOST_MODEL_CHARACTERS = 200
_BUDGETS = ("daily_usd", "monthly_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFields:
    """A key that is asked for."""

    name: str
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    expires_at: datetime | None


def read_key_fields(body: Mapping[str, object]) -> KeyFields:
    """Read `{name, scopes?, expires_at?, models?}`; null is absent. Raises InvalidRequest, `param` the field."""
    sent = {name: value for name, value in body.items() if value is not None}
    for budget in _BUDGETS:
        if budget in sent:
            raise InvalidRequest(
                "Budgets of keys are not served yet. Leave it out.", code=Code.UNSUPPORTED_PARAMETER, param=budget
            )
    return KeyFields(
        name=_name(sent),
        scopes=_scopes(sent.get("scopes", [Scope.CHAT.value])),
        models=_models(sent.get("models", [])),
        expires_at=_instant(sent["expires_at"]) if "expires_at" in sent else None,
    )


def key_json(row: ApiKey) -> dict[str, object]:
    """Return a key as it is listed: without the key itself."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "start": row.start,
        "scopes": row.scopes,
        "models": row.allowed_models,
        "created_at": _written(row.created_at),
        "expires_at": _written(row.expires_at),
        "last_used_at": _written(row.last_used_at),
    }


def _name(sent: Mapping[str, object]) -> str:
    name = text_field(sent, "name", most_characters=_MOST_NAME_CHARACTERS)
    # It is printed in terminals, a line for each key.
    if not (name.isprintable() and name.strip()):
        raise InvalidRequest("`name` must have visible characters, and printable ones alone.", param="name")
    return name


def _scopes(value: object) -> tuple[Scope, ...]:
    names = [scope.value for scope in Scope]
    for index, name in enumerate(_list(value, "scopes")):
        if name not in names:
            raise InvalidRequest(f"`scopes` may have {', '.join(names)}.", param=f"scopes[{index}]")
    if not value:
        raise InvalidRequest(f"`scopes` needs at least one of {', '.join(names)}.", param="scopes")
    return tuple(Scope(name) for name in dict.fromkeys(_list(value, "scopes")))


def _models(value: object) -> tuple[str, ...]:
    models = _list(value, "models")
    if len(models) > MOST_MODELS:
        raise InvalidRequest(f"`models` may have {MOST_MODELS} names.", param="models")
    for index, name in enumerate(models):
        if not (name and len(name) <= _MOST_MODEL_CHARACTERS and name.isprintable()):
            raise InvalidRequest(
                f"A model's name has 1 to {_MOST_MODEL_CHARACTERS} printable characters.", param=f"models[{index}]"
            )
    return tuple(dict.fromkeys(models))


def _list(value: object, name: str) -> list[str]:
    if not isinstance(value, list):
        raise InvalidRequest(f"`{name}` must be an array of strings.", param=name)
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise InvalidRequest(f"`{name}` must be an array of strings.", param=f"{name}[{index}]")
    return value


def _instant(value: object) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
        instant = instant.astimezone(UTC) if instant is not None and instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        instant = None
    if instant is None:
        raise InvalidRequest(
            "`expires_at` must be a date and time with its zone, such as 2027-01-31T12:00:00Z.", param="expires_at"
        )
    # Kept in whole seconds: one that ends within this second would be dead when it is shown.
    instant = instant.replace(microsecond=0)
    if instant <= timezone.now():
        raise InvalidRequest("`expires_at` must be in the future.", param="expires_at")
    return instant


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
