"""Password hashers that can be watched."""

from __future__ import annotations

import threading
from contextlib import suppress

from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User

lock = threading.Lock()
meeting: threading.Barrier | None = None
leaving = 0
runs = 0
running = 0
most_running = 0


class WatchedHasher(MD5PasswordHasher):
    algorithm = "watched"

    def encode(self, password, salt):
        global runs, running, most_running
        with lock:
            runs += 1
            running += 1
            most_running = max(most_running, running)
        try:
            if meeting is not None:
                with suppress(threading.BrokenBarrierError):
                    meeting.wait()
            return super().encode(password, salt)
        finally:
            with lock:
                running -= 1


class LeavingHasher(MD5PasswordHasher):
    """Its user is deleted while it hashes."""

    algorithm = "leaving"

    def verify(self, password, encoded):
        User.objects.filter(pk=leaving).delete()
        return super().verify(password, encoded)


def reset(meeting_of=None, *, timeout_s=10.0):
    """Start counting anew; with `meeting_of` each run waits until so many are under way, or the time is up for all."""
    global meeting, runs, running, most_running
    runs = running = most_running = 0
    meeting = None if meeting_of is None else threading.Barrier(meeting_of, timeout=timeout_s)
