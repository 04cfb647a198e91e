"""What a run's watch tells, a second time: each rule as a pass over the whole history, on made-up intervals.

The history comes from whole numbers that the test makes in the same way, so that only what was told has to be stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Json = dict[str, object]

MEASUREMENTS = 6000
BATCH_SIZE = 256
CENTRES = (20, 40, 110, 150, 256, 420, 560, 1100, 3000)


def numbers(seed: int) -> Iterator[int]:
    """Park and Miller's generator (1988)."""
    state = seed
    while True:
        state = state * 48_271 % 2_147_483_647
        yield state


@dataclass(frozen=True)
class Interval:
    """B_simple's interval; without a high end it is not identifiable."""

    low: int
    high: int | None


@dataclass(frozen=True)
class Row:
    now: Interval
    #: plain averages: over 50 measurements, over those that a batch size is decided by, over 400
    quick: Interval
    plain: Interval
    long: Interval
    uncalibrated: bool
    held_back: bool


def history(seed: int) -> list[Row]:
    """Stretches of some hundred measurements around one centre each, jittered, with gaps and odd ones."""
    draw = numbers(seed)
    rows: list[Row] = []
    while len(rows) < MEASUREMENTS:
        centre = CENTRES[next(draw) % len(CENTRES)]
        agrees = next(draw) % 5 > 0
        lost = next(draw) % 4 == 0
        uncalibrated = next(draw) % 2 == 0
        held_back = next(draw) % 8 == 0
        long_lost = next(draw) % 3 > 0 and lost
        quick_agrees = next(draw) % 5 > 0
        further = next(draw) % 3 == 0
        for _ in range(30 + next(draw) % 900):
            low = centre + next(draw) % (centre // 8 + 1)
            odd = next(draw) % 10 == 0
            high = None if lost != odd else low + centre // 4
            plain, quick = (low if same else 256 for same in (agrees, quick_agrees))
            if further:
                plain = 4 * low if low > 256 else low // 4
            rows.append(
                Row(
                    Interval(low, high),
                    Interval(quick - quick // 3, None if lost else quick * 2),
                    Interval(plain - plain // 3, None if lost else plain * 2),
                    Interval(low - low // 4, None if long_lost else low * 2),
                    uncalibrated,
                    held_back,
                )
            )
    return rows[:MEASUREMENTS]


class Lead:
    """A standing value that another one replaces once it leads by a number of votes; votes for a third count against it."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.votes: list[object] = []

    def vote(self, value: object, dwell: int) -> bool:
        challenger = self.votes[-1] if self.votes else value
        if value == challenger and value != self.value:
            self.votes.append(value)
        elif self.votes:
            self.votes.pop()
        if len(self.votes) < dwell:
            return False
        self.value, self.votes = value, []
        return True


def batch_sizes(rows: list[Row], factor: float, dwell: int) -> list[list[object]]:
    """Batch too large or too small, at r = B_crit: the recommendation is B_simple itself."""
    lead, indicator, told = Lead("fine"), False, []
    for i, row in enumerate(rows):
        if row.held_back:
            continue
        verdict = "fine"
        # how many times too large, and too small, the filter and the plain average say at the least
        views = (row.now, row.plain)
        large = [BATCH_SIZE / view.high if view.high is not None else 0.0 for view in views]
        small = [view.low / BATCH_SIZE for view in views]
        for name, (filtered, plain) in (("too_large", large), ("too_small", small)):
            both = min(filtered, plain) > 1 and max(filtered, plain) > factor
            still = filtered > factor / 1.25 or (filtered > 1 and plain > factor / 1.25)
            if verdict == "fine" and (still if lead.value == name else both):
                verdict = name
        if verdict == "fine" and lead.value == "too_large" and row.now.high is None:
            continue  # whether it still is too large cannot be told
        changed = lead.vote(verdict, dwell)
        views_of = {"fine": [0.0], "too_large": large, "too_small": small}[str(lead.value)]
        reached = min(views_of) > 1 and max(views_of) > factor
        if changed or (reached and indicator and not row.uncalibrated):
            indicator = row.uncalibrated
            told.append([i, lead.value, row.uncalibrated])
    return told


def signals(rows: list[Row], dwell: int) -> list[list[object]]:
    """The signal found and lost."""
    lead, told = Lead(False), []
    for i, row in enumerate(rows):
        seen = row.now.high is not None or (lead.value is True and row.long.high is not None)
        if lead.vote(seen, 5 * dwell):
            told.append([i, "found" if lead.value else "lost"])
    return told


def jumps(rows: list[Row], factor: float, dwell: int) -> list[list[object]]:
    """Jumps, seen at every 25th measurement since the rate last moved or the last jump."""

    def beyond(interval: Interval, before: Interval, by: float) -> bool:
        up = interval.low > by * (before.high or 0)
        return up or (interval.high is not None and interval.high < before.low / by)

    told: list[list[object]] = []
    marks: list[Interval] = []
    before: Interval | None = None
    since, lasting = 0, 0
    for i, row in enumerate(rows):
        if row.held_back:
            marks, before, since, lasting = [], None, 0, 0
            continue
        since += 1
        if since % 25:
            continue
        if before is None and len(marks) >= 16:
            older = marks[-16:-8]
            if all(mark.high is not None for mark in older):
                steady = max(mark.low for mark in older) <= min(mark.high or 0 for mark in older)
                before = older[-1] if steady else None
        if before is not None and beyond(row.now, before, factor) and beyond(row.quick, before, 1):
            lasting += 25
            if lasting >= dwell:
                told.append([i, before.low])
                marks, before, since, lasting = [], None, 0, 0
                continue
        else:
            before, lasting = None, 0
        marks.append(row.now)
    return told


def references() -> list[Json]:
    """What is told of several histories, under several settings."""
    cases = []
    for seed in range(1, 13):
        rows = history(seed)
        factor, dwell = ((2.0, 100), (1.5, 25), (4.0, 60))[seed % 3]
        cases.append(
            {
                "seed": seed,
                "factor": factor,
                "dwell": dwell,
                "batch_sizes": batch_sizes(rows, factor, dwell),
                "signals": signals(rows, dwell),
                "jumps": jumps(rows, factor, dwell),
            }
        )
    return cases
