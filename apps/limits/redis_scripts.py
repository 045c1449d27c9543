"""The books of the limits in Redis, and the scripts that keep them.

    promptcraft:limits:{chat:42}:rate      sorted set: a member for each completion of user 42, scored by when it began
    promptcraft:limits:{chat:42}:streams   sorted set: a member for each lease, scored by when it ends unless renewed
    promptcraft:limits:{workbench:42}:rate  and so for every other window, of a policy and a key
    promptcraft:limits:workers             sorted set: a member for each living process, scored likewise

Times are microseconds of Redis's own clock, so that the clocks of workers need not agree; the first argument of each
script puts another in its place. Each script names only keys of one hash slot, and each key has a time to live.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["ADMIT", "BEAT", "KEEP", "LOOK", "WORKERS", "Script", "rate_key", "streams_key"]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, and the name that Redis knows it by once it is loaded."""

    text: str
    sha1: str
    keys: int


def _script(keys: int, text: str) -> Script:
    text = _CLOCK + text
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), keys)


WORKERS = "promptcraft:limits:workers"


def rate_key(subject: str) -> str:
    """Return the key of a window's slots; the subject is such as `chat:42`."""
    return f"promptcraft:limits:{{{subject}}}:rate"


def streams_key(subject: str) -> str:
    """Return the key of a subject's leases."""
    return f"promptcraft:limits:{{{subject}}}:streams"


_CLOCK = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local function score(key, index)
  return tonumber(redis.call('ZRANGE', key, index, index, 'WITHSCORES')[2])
end
-- A clock that was set back would hold slots for as long as it was wrong.
local function clamp(key, most)
  local last = score(key, -1)
  if last and last > most then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. string.format('%.0f', most), '+inf')) do
      redis.call('ZADD', key, most, member)
    end
  end
end
"""

ADMIT = _script(
    2,
    """
local window, limit, streams, lease = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
clamp(KEYS[1], now)
clamp(KEYS[2], now + lease)
local taken = redis.call('ZCARD', KEYS[1])
local verdict, wait = 0, 0
if taken >= limit then
  verdict, wait = 1, score(KEYS[1], taken - limit) + window - now
elseif streams >= 0 and redis.call('ZCARD', KEYS[2]) >= streams then
  verdict = 2
else
  redis.call('ZADD', KEYS[1], now, ARGV[6])
  redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1000)
  if streams >= 0 then
    redis.call('ZADD', KEYS[2], now + lease, ARGV[6])
    redis.call('PEXPIRE', KEYS[2], math.ceil(lease / 1000) + 1000)
  end
  taken = taken + 1
end
local reset = 0
if taken > 0 then reset = score(KEYS[1], -1) + window - now end
return {verdict, taken, reset, wait}
""",
)
"""Take a slot of each kind, or neither; none of the second kind if `streams` is negative.

KEYS rate, streams. ARGV clock, window, limit, streams, length of a lease, member. Returns the verdict (0 granted, 1 the
window is full, 2 the streams are taken), the slots that count now, and the times until none does and until one is free.
"""

LOOK = _script(
    1,
    """
local window = tonumber(ARGV[2])
local taken = redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now - window), '+inf')
local reset = 0
if taken > 0 then reset = math.min(score(KEYS[1], -1) + window - now, window) end
return {taken, reset}
""",
)
"""Count, changing nothing. KEYS rate. ARGV clock, window. Returns the slots that count and the time until none does."""

KEEP = _script(
    2,
    """
local window, lease, slots = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- A script that began by taking something out may write although Redis is out of memory.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local first_lease = 5 + 2 * slots
for index = 5, first_lease - 1, 2 do
  redis.call('ZADD', KEYS[1], 'LT', now - tonumber(ARGV[index + 1]), ARGV[index])
end
if slots > 0 then redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1000) end
for index = first_lease, #ARGV do
  redis.call('ZADD', KEYS[2], now + lease, ARGV[index])
end
if first_lease <= #ARGV then redis.call('PEXPIRE', KEYS[2], math.ceil(lease / 1000) + 1000) end
return 0
""",
)
"""Write down again what a worker knows it holds: harmless where it is written down already.

KEYS rate, streams. ARGV clock, window, length of a lease, the number of rate slots, a member and its age for each, and
the members of the leases, which run for their length again from now.
"""

BEAT = _script(
    1,
    """
local life = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
clamp(KEYS[1], now + life)
local known = redis.call('ZSCORE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[1], now + life, ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(life / 1000) + 1000)
return {known and 1 or 0, redis.call('ZCARD', KEYS[1])}
""",
)
"""Say that a worker lives. KEYS workers. ARGV clock, how long that holds, the worker.

Returns whether it was known before, which it was unless Redis has lost what it held, and how many live.
"""
