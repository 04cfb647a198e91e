"""Which steps are measured, so that measuring costs a hundredth of the time at most."""

import math
import statistics
import time
from collections.abc import Callable, Sequence

# Of the time of training. The rest of 1 % is for what a hook runs at the end of each step: some 10 calls in Python,
# which took 0.02 to 0.04 ms, 0.3 % of a step of 10 ms.
_COST = 0.007
_SHORTEST_SECONDS = 0.05
# The collector tells B_simple from 20 measurements on, and a step or two may have to be left out.
_MEASURED = 24
_WARM_UP = 8
# A measured step makes the one after it slower too; the third is as steps are that are not measured.
_APART = 3
_TRIED = _WARM_UP + _APART * _MEASURED
_AGREED = _TRIED + 10
_UPPER_QUARTILE = 2


class Cadence:
    """A fixed one, or one that is chosen from the first 80 steps.

    Of these every third one is measured, after 8 to warm up: 24, whatever they cost, which is as many as the collector
    needs for its first answer. What a measured step and the one after it took longer than the two around them is spread
    over so many steps that it is 0.7 % of them, by the clock and by CPU time: the clock hides what is computed while
    another process or a device is waited for. Of the 23 shares the upper quartile counts: it is above the median of
    their distribution with a probability of 99 %, so that what other work on the machine leaves in doubt makes
    measuring rarer, and not dearer. A measurement comes every 50 ms at most. Until the choice, and where it cannot be
    made, a step in ten is measured.

    Processes that train together take the first one's choice, 10 steps later: a step of theirs ends in all of them or
    in none, so that it is known to each by then.
    """

    def __init__(
        self,
        every: int | None,
        first_step: int,
        *,
        tell: Callable[[int], None] | None = None,
        ask: Callable[[], int | None] | None = None,
        clocks: Sequence[Callable[[], float]] = (time.perf_counter, time.process_time),
    ) -> None:
        """Begins with the first step.

        Args:
            every: A step in so many; None chooses.
            first_step: Number of the first step.
            tell: Hands the choice to the other processes; in the first of several.
            ask: Gets it from there; in all of several.
            clocks: Seconds, by each of which the cost is kept; the first is that of the world.
        """
        self.every = every or 10
        self._chooses = every is None
        self._first_step = first_step
        self._tell = tell
        self._ask = ask
        self._clocks = clocks
        self._last: list[float] | None = None
        self._tried: list[tuple[bool, list[float]]] = []

    @property
    def choosing(self) -> bool:
        """Whether the time that steps take is still asked for."""
        return self._chooses

    def measures(self, step: int) -> bool:
        """Whether a step is measured."""
        every, rest = self.rule(step)
        return step % every == rest

    def rule(self, step: int) -> tuple[int, int]:
        """The steps that are measured from this one on, until the rule changes.

        Returns:
            N and r: those whose number is r modulo N.
        """
        if self._chooses and _WARM_UP <= step - self._first_step < _TRIED:
            return _APART, (self._first_step + _WARM_UP + 1) % _APART
        return self.every, 0

    def ended(self, step: int, measured: bool) -> None:
        """Takes the time of a step that ended."""
        if not self._chooses:
            return
        since, now = step - self._first_step, [clock() for clock in self._clocks]
        if self._last is not None and _WARM_UP <= since < _TRIED:
            self._tried.append((measured, [end - begin for begin, end in zip(self._last, now, strict=True)]))
        self._last = now
        if since == _TRIED - 1 and (self._ask is None or self._tell is not None):
            choice = self._choice()
            if self._tell is not None:
                self._tell(choice)
            else:
                self.every, self._chooses = choice, False
        if self._ask is not None and since == _AGREED - 1:
            self.every, self._chooses = self._ask() or self.every, False

    def _choice(self) -> int:
        plain = [seconds[0] for measured, seconds in self._tried if not measured]
        extras = [
            _extra([(measured, seconds[clock]) for measured, seconds in self._tried])
            for clock in range(len(self._clocks))
        ]
        if min(map(len, extras)) < 2 or (one := statistics.median(plain)) <= 0:
            return self.every
        by_cost = [math.ceil(statistics.quantiles(extra, n=4)[_UPPER_QUARTILE] / _COST) for extra in extras]
        return max(1, *by_cost, math.ceil(_SHORTEST_SECONDS / one))


def _extra(tried: Sequence[tuple[bool, float]]) -> list[float]:
    """What each measured step and the next one took longer than the two around them, as a share of one of these."""
    return [
        2 * (here + next_one) / (before + after) - 2
        for (_, before), (measured, here), (_, next_one), (_, after) in zip(
            tried[:-3], tried[1:-2], tried[2:-1], tried[3:], strict=True
        )
        if measured and before + after > 0
    ]
