"""How many log-ins may fail, and how many registrations may be tried, in any minute.

In the same sliding windows as completions (`apps.limits`). A log-in takes its slots before the password is looked at,
and gets them back if it was right: however many guess at once, no more than the limit are told that they are wrong.
Names are counted by the form that look-alikes share, and as digests; addresses as `client_network` gives them.
"""

from __future__ import annotations

import hashlib

from apps.core.look_alikes import folded
from apps.limits.limiter import Lease, Rate
from apps.limits.opening import current_windows

__all__ = ["FAILURES_OF_ADDRESS", "FAILURES_OF_NAME", "REGISTRATIONS_OF_ADDRESS", "Attempt", "attempt_take", "name_key"]

_MINUTE_S = 60.0

FAILURES_OF_NAME = Rate(policy="log-ins-of-name", limit=5, window_s=_MINUTE_S, what="failed log-ins for this name")
FAILURES_OF_ADDRESS = Rate(
    policy="log-ins-of-address", limit=20, window_s=_MINUTE_S, what="failed log-ins from this address"
)
REGISTRATIONS_OF_ADDRESS = Rate(
    policy="registrations", limit=20, window_s=_MINUTE_S, what="registrations from this address"
)


class Attempt:
    """A log-in that counts as failed until it is forgiven; at once, if it is never found out."""

    def __init__(self, network: str, name: str) -> None:
        """Take a slot of the address and one of the name, or neither. Raises RateLimited, ServiceUnavailable."""
        self._leases = [attempt_take(FAILURES_OF_ADDRESS, network)]
        try:
            self._leases.append(attempt_take(FAILURES_OF_NAME, name))
        except BaseException:
            self.forgive()
            raise

    def forgive(self) -> None:
        """Count it no more: the log-in succeeded, or failed through no fault of its sender."""
        for lease in self._leases:
            lease.give_back()


def attempt_take(rate: Rate, key: str) -> Lease:
    """Count one attempt; in a thread. Raises RateLimited, having counted nothing, and ServiceUnavailable."""
    admission = current_windows().take_in_thread(rate, key)
    if admission.lease is None:
        assert admission.refusal is not None
        raise admission.refusal
    return admission.lease


def name_key(username: str) -> str:
    """Return what a name, and every one that looks like it, is counted under, whether or not a user has it."""
    return hashlib.sha256(folded(username).encode("utf-8", "surrogatepass")).hexdigest()
