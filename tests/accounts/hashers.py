"""Password hashers that can be watched."""

from __future__ import annotations

import threading

from django.contrib.auth.hashers import MD5PasswordHasher

lock = threading.Lock()
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
            for _ in range(2_000):
                encoded = super().encode(password, salt)
            return encoded
        finally:
            with lock:
                running -= 1


def reset():
    global runs, running, most_running
    runs = running = most_running = 0
