"""The service's settings, with passwords hashed in a time of the test's choosing: the real hasher takes too long."""

from __future__ import annotations

import os

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from promptcraft.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.operations.hasty_settings.HastyHasher"]


class HastyHasher(PBKDF2PasswordHasher):
    """The default one, with as many rounds as the environment says."""

    iterations = int(os.environ.get("TEST_HASH_ITERATIONS", "1000"))
