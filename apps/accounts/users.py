"""Users as staff see them: listed, disabled, enabled."""

from __future__ import annotations

from django.contrib.auth.models import User

from apps.accounts.families import families_revoke
from apps.llm.errors import Forbidden, InvalidRequest, NotFound

__all__ = ["MOST_USERS_OF_PAGE", "user_set_active", "users_page"]

MOST_USERS_OF_PAGE = 100
# Within the range of every database's keys.
_MOST_ID = 2**31 - 1


def users_page(*, after: int, limit: int) -> tuple[list[User], bool]:
    """Return up to `limit` users with an id after this one, in the order of their ids, and whether there are more."""
    found = list(User.objects.filter(pk__gt=min(after, _MOST_ID)).order_by("pk")[: limit + 1])
    return found[:limit], len(found) > limit


def user_set_active(*, user_id: int, by_user_id: int | None, active: bool) -> User:
    """Disable a user, which ends their log-ins, and their keys for as long as it lasts; or enable one again.

    `by_user_id` is None for the operator. Raises NotFound, InvalidRequest if staff would disable themselves,
    Forbidden if the user is a superuser and whoever asks is not.
    """
    user = User.objects.filter(pk=user_id).first() if user_id <= _MOST_ID else None
    if user is None:
        raise NotFound("There is no such user.")
    if user.pk == by_user_id and not active:
        raise InvalidRequest("You cannot disable yourself: somebody else of the staff can.")
    if by_user_id is not None and user.is_superuser and not _is_superuser(by_user_id):
        raise Forbidden("Only a superuser may disable or enable a superuser.")
    User.objects.filter(pk=user.pk).update(is_active=active)
    user.is_active = active
    if not active:
        families_revoke(user_id=user.pk)
    return user


def _is_superuser(user_id: int) -> bool:
    return User.objects.filter(pk=user_id, is_superuser=True).exists()
