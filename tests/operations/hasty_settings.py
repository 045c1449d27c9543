"""The service's settings, with passwords hashed in a time of the test's choosing: the real hasher takes too long."""

from __future__ import annotations

import re

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from promptcraft.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.operations.hasty_settings.HastyHasher"]


class HastyHasher(PBKDF2PasswordHasher):
    """The default one, with few rounds, or as many as a password begins with: `30000 rounds`."""

    iterations = 1000

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Hash; a stored hash is checked with the rounds that it was made with."""
        asked = re.match(r"(\d+) rounds", password)
        return super().encode(password, salt, iterations or (int(asked[1]) if asked else self.iterations))
