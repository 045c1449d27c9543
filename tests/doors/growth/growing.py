"""What can grow at a door, and how its growth is measured."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from tests.doors.growth.counting import Counter

__all__ = ["MOST_FACTOR", "Growing", "Measured", "measured"]

MOST_FACTOR = 2.7
"""For twice the input: linear work makes 2, sorted input a little more, quadratic work 4."""
_FLAT = 0.05
"""Less growth than this share of what the smallest input takes is none: threads do not meet at the same places."""
_TRIES = 3
_LEAST_SIZE = 64

Work = Callable[[], Awaitable[object] | object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """One thing that somebody else decides the size of. `work` makes the work of a size; making it is not counted."""

    door: str
    thing: str
    size: int
    """The smallest of three, each twice the one before."""
    works: Mapping[str, Callable[[int], Work]]
    """By their names, the forms that it may have. They are done one after the other and counted together."""

    @property
    def name(self) -> str:
        return f"{self.door} | {self.thing}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Steps at the three sizes, and how much more each unit of the second doubling took than of the first."""

    name: str
    size: int
    steps: tuple[int, int, int]
    factor: float

    @property
    def grows_too_fast(self) -> bool:
        return self.factor > MOST_FACTOR


async def measured(growing: Growing, counter: Counter) -> Iterable[Measured]:
    """Measure; where all forms seem to grow too fast, each by itself: one may meet its bound before another."""
    whole = await _measured(growing, counter)
    if not whole.grows_too_fast or len(growing.works) == 1:
        return [whole]
    apart = [
        replace(growing, thing=f"{growing.thing}: {form}", works={form: growing.works[form]}) for form in growing.works
    ]
    return [await _measured(one, counter) for one in apart]


async def _measured(growing: Growing, counter: Counter) -> Measured:
    """Measure; where it grows too fast, half and twice as much: a step is no growth."""
    growing = await _affordable(growing, counter)
    whole = await _tried(growing, counter)
    if not whole.grows_too_fast:
        return whole
    sizes = max(1, growing.size // 2), growing.size * 2
    beside = [await _tried(replace(growing, size=size), counter) for size in sizes]
    return whole if any(one.grows_too_fast for one in beside) else beside[1]


async def _tried(growing: Growing, counter: Counter) -> Measured:
    """Measure; again where it grows too fast, for a thread may have done something else meanwhile."""
    best: Measured | None = None
    for _ in range(_TRIES):
        small, middle, large = [await _steps(growing, growing.size * times, counter) for times in (1, 2, 4)]
        if small > middle:
            # Something was made for the first time, which is not the work of this size.
            small = await _steps(growing, growing.size, counter)
        factor = _factor(small, middle, large, counter.least)
        if best is None or factor < best.factor:
            best = Measured(name=growing.name, size=growing.size, steps=(small, middle, large), factor=factor)
        if not best.grows_too_fast:
            break
    assert best is not None
    return best


async def _affordable(growing: Growing, counter: Counter) -> Growing:
    """Return the same of a smaller size if that size takes more than is needed to see how it grows.

    It is done once before it is counted: what runs for the first time takes more.
    """
    if not counter.most:
        return growing
    sample = max(1, growing.size // 4)
    await _done(growing, sample)
    taken = await _steps(growing, sample, counter)
    size = max(_LEAST_SIZE, sample * counter.most // max(taken, 1))
    return growing if size >= growing.size else replace(growing, size=size)


def _factor(small: int, middle: int, large: int, least: int) -> float:
    """Return the growth of a doubling, without what does not depend on the size."""
    floor = max(_FLAT * small, least)
    if large - middle <= floor:
        return 1.0
    if middle < small - floor:
        # Beyond a bound, where it is refused at once.
        return round(large / middle, 2)
    return round((large - middle) / max(middle - small, floor / 2), 2)


async def _done(growing: Growing, size: int) -> None:
    """Do all of the work of a size, uncounted: what runs for the first time takes more."""
    for work in [work(size) for work in growing.works.values()]:
        await _finished(work)


async def _steps(growing: Growing, size: int, counter: Counter) -> int:
    works = [work(size) for work in growing.works.values()]
    counter.mark()
    for work in works:
        await _finished(work)
    counter.mark()
    return counter.between_marks()


async def _finished(work: Work) -> None:
    result = work()
    if inspect.isawaitable(result):
        await result
