"""Which user names are taken: a name is, once another user has one that looks like it (`apps.core.look_alikes`).

Every form of a name is a row of its own, whose uniqueness the database keeps. The rows are written where Django writes
a user, whoever asks it to: a form, a command, a shell. `bulk_create` and `update` go past this, and nothing here uses
them for names. Users from before, whose names look alike, keep them; the oldest has the forms.
"""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver

from apps.accounts.models import NameForm
from apps.core.look_alikes import forms

__all__ = ["NAME_TAKEN", "name_is_taken"]

NAME_TAKEN = "This name is taken, or looks like one that is. Choose another."


def name_is_taken(name: str) -> bool:
    """Tell whether a name may not be given to a new user, as one has it already, or it shows nothing."""
    of_name = forms(name)
    return "" in of_name or NameForm.objects.filter(form__in=of_name).exists()


@receiver(pre_save, sender=User)
def _rename(*, instance: User, raw: bool, update_fields: Collection[str] | None, **_: object) -> None:
    """Give a user the forms of another name. Raises IntegrityError if one of them is taken."""
    if raw or instance.pk is None or (update_fields is not None and "username" not in update_fields):
        return
    before = User.objects.filter(pk=instance.pk).values_list("username", flat=True).first()
    if before is not None and before != instance.username:
        with transaction.atomic():
            NameForm.objects.filter(user_id=instance.pk).delete()
            _claim(instance)


@receiver(post_save, sender=User)
def _name_first(*, instance: User, created: bool, raw: bool, **_: object) -> None:
    """Give a new user the forms of the name. Raises IntegrityError, and leaves no user, if one of them is taken."""
    if raw or not created:
        return
    try:
        with transaction.atomic():
            _claim(instance)
    except IntegrityError:
        # Outside a transaction the user is there already.
        User.objects.filter(pk=instance.pk).delete()
        raise


def _claim(user: User) -> None:
    of_name = forms(user.username)
    if "" in of_name:
        raise IntegrityError("the name shows nothing")
    NameForm.objects.bulk_create([NameForm(form=form, user_id=user.pk) for form in sorted(of_name)])
