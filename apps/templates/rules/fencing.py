"""A fence around a prompt that goes to a model as data: one that nothing inside can close."""

from __future__ import annotations

import hashlib
import re

__all__ = ["absent_name", "fence_of", "fenced", "holds_fence"]

_SHORTEST = 12
"""Hexadecimal digits: enough that a prompt holds its own digest only by design, and then the fence grows."""
_FENCE = re.compile(r"</?prompt-[0-9a-f]{12,64}>")


def fence_of(prompt: str) -> str:
    """Return the name of a prompt's fence, which does not occur in it. The same prompt has the same fence.

    The name comes from a digest of the whole prompt, so whoever writes the prompt cannot foresee it; should it occur
    nevertheless, a longer one is taken, and after the longest the digest of the digest.
    """
    return absent_name(prompt, hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest())


def absent_name(prompt: str, digest: str) -> str:
    """Return the shortest name made of a digest that does not occur in a prompt."""
    while True:
        for length in range(_SHORTEST, len(digest) + 1, 4):
            name = f"prompt-{digest[:length]}"
            if name not in prompt:
                return name
        digest = hashlib.sha256(digest.encode()).hexdigest()


def fenced(prompt: str) -> str:
    """Return a prompt between an opening and a closing fence of its own, each on its line."""
    name = fence_of(prompt)
    return f"<{name}>\n{prompt}\n</{name}>"


def holds_fence(text: str) -> bool:
    """Return whether a text shows a fence of this kind."""
    return _FENCE.search(text) is not None
