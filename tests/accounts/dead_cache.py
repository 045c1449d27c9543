from __future__ import annotations

from django.core.cache.backends.dummy import DummyCache


class DeadCache(DummyCache):
    """Answers as a memcached that is down does: nothing is added, nothing is there."""

    def add(self, *args, **kwargs):
        return False

    def get(self, *args, **kwargs):
        return None
