"""Which steps are measured."""

import pytest

from noisescale.cadence import Cadence


def chosen(plain: float, measured: float, first_step: int = 0) -> tuple[Cadence, list[int]]:
    """A training whose steps take so many seconds, after it chose."""
    now = 0.0
    cadence = Cadence(None, first_step, clock=lambda: now)
    steps = []
    for step in range(first_step, first_step + 40):
        measures = cadence.measures(step)
        if measures:
            steps.append(step)
        now += measured if measures else plain
        cadence.ended(step, measures)
    return cadence, steps


@pytest.mark.parametrize(
    ("plain", "measured", "every"),
    [
        (1.0, 1.054, 6),
        (1.0, 1.2, 20),
        (1.0, 1.0, 1),
        (1.0, 0.9, 1),
        # 1 ms a step: 50 of them are 50 ms.
        (0.001, 0.001, 50),
        (0.001, 0.002, 100),
    ],
)
def test_what_a_measured_step_takes_longer_becomes_a_hundredth_of_the_time(
    plain: float, measured: float, every: int
) -> None:
    cadence, _ = chosen(plain, measured)
    assert cadence.every == every
    assert [step for step in range(200, 401) if cadence.measures(step)] == [
        s for s in range(200, 401) if s % every == 0
    ]


def test_the_first_steps_are_measured_in_turns() -> None:
    _, steps = chosen(1.0, 1.1, first_step=100)
    assert steps == [100, *range(109, 140, 2)]


def test_a_fixed_cadence_stays() -> None:
    cadence = Cadence(3, 0)
    for step in range(60):
        cadence.ended(step, cadence.measures(step))
    assert [step for step in range(10) if cadence.measures(step)] == [0, 3, 6, 9]
