"""Which steps are measured."""

import random

import pytest

from noisescale.cadence import Cadence


def chosen(
    plain: float, measured: float, first_step: int = 0, load: random.Random | None = None
) -> tuple[Cadence, list[int]]:
    """A training whose steps take so many seconds, after it chose; under load each takes up to a tenth longer."""
    now = 0.0
    cadence = Cadence(None, first_step, clocks=[lambda: now])
    steps = []
    for step in range(first_step, first_step + 80):
        measures = cadence.measures(step)
        if measures:
            steps.append(step)
        now += (measured if measures else plain) * (1 if load is None else 1 + load.uniform(0, 0.1))
        cadence.ended(step, measures)
    return cadence, steps


@pytest.mark.parametrize(
    ("plain", "measured", "every"),
    [
        (1.0, 1.054, 8),
        (1.0, 1.195, 28),
        (1.0, 1.0, 1),
        (1.0, 0.9, 1),
        # 1 ms a step: 50 of them are 50 ms.
        (0.001, 0.001, 50),
        (0.001, 0.001995, 143),
    ],
)
def test_what_a_measured_step_takes_longer_becomes_less_than_a_hundredth_of_the_time(
    plain: float, measured: float, every: int
) -> None:
    cadence, _ = chosen(plain, measured)
    assert cadence.every == every
    assert [step for step in range(200, 401) if cadence.measures(step)] == [
        s for s in range(200, 401) if s % every == 0
    ]


def test_measuring_costs_no_more_than_a_hundredth_where_other_work_makes_the_times_uncertain() -> None:
    loads = [random.Random(seed) for seed in range(300)]
    costs = [0.05 / chosen(1.0, 1.05, load=load)[0].every for load in loads]
    # An upper quartile of 23 differences is below their median in 0.5 % of the cases.
    assert sum(cost > 0.01 for cost in costs) <= 0.005 * len(loads)


def test_what_costs_more_of_the_processor_than_of_the_time_counts_by_the_processor() -> None:
    """Another process, or a device, is waited for longer where a step is not measured."""
    now = [0.0, 0.0]
    cadence = Cadence(None, 0, clocks=[lambda: now[0], lambda: now[1]])
    for step in range(80):
        now[0] += 1.0
        now[1] += 0.572 if cadence.measures(step) else 0.5
        cadence.ended(step, cadence.measures(step))
    assert cadence.every == 21


def test_of_the_first_steps_as_many_are_measured_as_the_collector_needs_for_an_answer() -> None:
    _, steps = chosen(1.0, 1.1, first_step=100)
    assert steps == [100, *range(109, 180, 3)]


def test_a_fixed_cadence_stays() -> None:
    cadence = Cadence(3, 0)
    for step in range(100):
        cadence.ended(step, cadence.measures(step))
    assert [step for step in range(10) if cadence.measures(step)] == [0, 3, 6, 9]
