"""The cases of packages/client/test/batch-size-control.test.ts."""

import math
import random
from typing import Any, cast

import pytest

from noisescale.batch_size_control import BatchSizeChange, BatchSizeControl, BatchSizeLimits, Optimizer
from noisescale.wire import BriefSnapshot


def answered(
    step: int = 100,
    batch_size: float = 64,
    recommended: float | None = 64,
    *,
    factor: float | None = None,
    identifiable: bool = True,
    attempt: int = 0,
    held_back: str | None = None,
    **interval: float | None,
) -> BriefSnapshot:
    """The interval is very close where it is left out."""
    recommendation = {
        "batch_size": recommended,
        "batch_size_low": interval.get("low", recommended),
        "batch_size_high": interval.get("high", recommended),
        "learning_rate_factor": factor,
        "held_back": held_back,
    }
    snapshot = {
        "step": step,
        "measurements": step + 1,
        "attempt": attempt,
        "identifiable": identifiable,
        "batch_size": batch_size,
    }
    return cast(BriefSnapshot, {**snapshot, "recommendation": recommendation})


def limits(**given: Any) -> BatchSizeLimits:  # noqa: ANN401
    return BatchSizeLimits(**{"micro_batch": 1, "agreeing_measurements": 0, **given})


def decide(
    recommended: float | None,
    of: BatchSizeLimits | None = None,
    optimizer: Optimizer | None = None,
    **answer: Any,  # noqa: ANN401
) -> BatchSizeChange | None:
    control = BatchSizeControl(of or limits(), optimizer)
    control.measured(0, 100)
    return control.decide(answered(recommended=recommended, **answer))


def size(change: BatchSizeChange | None) -> tuple[float, int] | None:
    return None if change is None else (change.batch_size, change.accumulation)


class FollowingLoop:
    """A training that measures every step, hears of it at once, and does what it is asked."""

    def __init__(self, batch_size: float, of: BatchSizeLimits) -> None:
        self.control = BatchSizeControl(of, "sgd")
        self.batch_sizes = [batch_size]
        self.step = 0

    def take(self, recommended: float | None) -> None:
        self.control.measured(0, self.step)
        change = self.control.decide(answered(self.step, self.batch_sizes[-1], recommended))
        self.step += 1
        if change is not None:
            self.batch_sizes.append(change.batch_size)


def random_limits(draw: random.Random) -> BatchSizeLimits:
    return BatchSizeLimits(
        micro_batch=draw.randint(1, 64),
        hysteresis_factor=draw.uniform(1, 2),
        max_change_factor=draw.uniform(1.1, 8),
        measurements_between=draw.randint(0, 5),
        agreeing_measurements=draw.randint(0, 5),
    )


def positive(draw: random.Random) -> float:
    return math.exp(draw.uniform(0, math.log(1e6)))


def test_it_is_the_recommendation_in_whole_micro_batches_rounded_up() -> None:
    assert size(decide(100, limits(micro_batch=16))) == (112, 7)
    assert size(decide(96, limits(micro_batch=16))) == (96, 6)
    assert decide(40, limits(micro_batch=32)) is None
    assert size(decide(100)) == (100, 100)


def test_it_stays_within_the_micro_batches_that_a_step_may_accumulate() -> None:
    assert size(decide(128, limits(micro_batch=16, max_accumulation=6))) == (96, 6)
    assert size(decide(32, limits(micro_batch=16, min_accumulation=3))) == (48, 3)
    assert decide(4096, limits(micro_batch=16, max_accumulation=4)) is None


def test_it_rounds_down_where_rounding_up_would_go_beyond_the_largest_change() -> None:
    assert size(decide(4096, limits(micro_batch=32), batch_size=50)) == (96, 3)


def test_it_stands_where_not_even_one_micro_batch_lies_within_the_largest_change() -> None:
    assert decide(4096, limits(micro_batch=64), batch_size=20) is None


def test_it_stands_while_nothing_is_recommended_or_identified_or_the_answer_is_old() -> None:
    assert decide(None) is None
    assert decide(128, identifiable=False) is None
    assert decide(128, limits(max_age_steps=10), step=100 - 11) is None
    assert decide(128, limits(max_age_steps=10), step=100 - 10) is not None


def test_it_stands_while_the_recommendation_is_held_back() -> None:
    assert decide(128, held_back="learning_rate") is None


@pytest.mark.parametrize(
    ("recommended", "low", "high", "changes"),
    [
        (256, 63, 900, False),
        (256, 65, 900, True),
        (256, None, 900, False),
        (256, 65, None, True),
        (32, 8, 65, False),
        (32, None, 63, True),
        (32, 8, None, False),
    ],
)
def test_it_stands_in_the_recommendations_interval_and_an_end_that_is_not_known_holds_it(
    recommended: float, low: float | None, high: float | None, changes: bool
) -> None:
    assert (decide(recommended, low=low, high=high) is not None) == changes


def test_it_stands_at_the_answer_of_another_attempt_and_before_anything_was_measured() -> None:
    assert decide(128, attempt=7) is None
    assert BatchSizeControl(limits(), "sgd").decide(answered(recommended=128)) is None


def test_after_a_change_it_waits_for_measurements_of_its_own_and_for_the_answer_to_the_last_of_them() -> None:
    control = BatchSizeControl(limits(measurements_between=3), "sgd")

    def at(step: int) -> BatchSizeChange | None:
        return control.decide(answered(step, recommended=1000))

    control.measured(0, 10)
    assert at(10) is not None
    for step in (20, 30):
        control.measured(0, step)
    assert at(30) is None
    control.measured(0, 40)
    assert at(39) is None
    # The loop did not follow, and is asked again.
    assert size(at(40)) == (128, 128)


def test_what_is_measured_before_a_change_takes_effect_is_not_of_the_new_batch_size() -> None:
    control = BatchSizeControl(limits(measurements_between=1), "sgd")

    def at(step: int) -> BatchSizeChange | None:
        control.measured(0, step)
        return control.decide(answered(step, recommended=1000))

    assert at(10) is not None
    control.takes_effect(13)
    # Another process's numbers come late, of steps with the batch size before.
    assert [at(11), at(12)] == [None, None]
    assert at(13) is not None


def test_it_stands_until_answers_in_a_row_have_called_for_the_same_change_over_some_measurements() -> None:
    control = BatchSizeControl(limits(agreeing_measurements=10), "sgd")

    def at(step: int, recommended: float, *, identifiable: bool = True) -> BatchSizeChange | None:
        control.measured(0, step)
        return control.decide(answered(step, 256, recommended, identifiable=identifiable))

    assert at(100, 80) is None
    assert at(109, 80) is None
    # Another way, the right size, and nothing known each begin the row anew.
    assert at(110, 512) is None
    assert at(115, 80) is None
    assert at(124, 256) is None
    assert at(125, 80) is None
    assert at(134, 80, identifiable=False) is None
    assert at(135, 80) is None
    assert at(144, 90) is None
    assert size(at(145, 70)) == (128, 128)


def test_the_micro_batch_is_that_of_the_step_that_the_answer_is_of_where_no_limit_says_it() -> None:
    control = BatchSizeControl(BatchSizeLimits(agreeing_measurements=0), "sgd")
    control.measured(0, 99, 12)
    control.measured(0, 100, 16)
    # The last batch of an epoch is smaller.
    control.measured(0, 101, 14.5)
    change = control.decide(answered(recommended=100, factor=1.1))
    assert size(change) == (112, 7)
    assert control.decide(answered(step=99, recommended=100)) is None


@pytest.mark.parametrize("seed", range(100))
def test_it_never_changes_by_more_than_the_largest_factor_or_by_a_broken_micro_batch(seed: int) -> None:
    draw = random.Random(seed)
    of = random_limits(draw)
    loop = FollowingLoop(positive(draw), of)
    for _ in range(60):
        loop.take(positive(draw))
    for before, after in zip(loop.batch_sizes, loop.batch_sizes[1:], strict=False):
        assert max(after / before, before / after) <= of.max_change_factor
        assert of.micro_batch is not None
        assert after % of.micro_batch == 0


@pytest.mark.parametrize("seed", range(100))
def test_it_reaches_a_target_that_stands_up_to_hysteresis_and_one_micro_batch_and_rests(seed: int) -> None:
    draw = random.Random(seed)
    of = limits(micro_batch=draw.randint(1, 64), max_change_factor=draw.uniform(2, 8), measurements_between=2)
    assert of.micro_batch is not None
    # From below one micro-batch a doubling may not reach it.
    loop, target = FollowingLoop(max(positive(draw), of.micro_batch), of), positive(draw)
    for _ in range(100):
        loop.take(target)
    changes = len(loop.batch_sizes)
    for _ in range(100):
        loop.take(target)
    assert len(loop.batch_sizes) == changes
    assert target / of.hysteresis_factor <= loop.batch_sizes[-1] < target * of.hysteresis_factor + of.micro_batch


@pytest.mark.parametrize("seed", range(100))
def test_in_a_band_as_wide_as_the_hysteresis_it_moves_at_most_twice_after_it_is_there(seed: int) -> None:
    draw = random.Random(seed)
    of, low = random_limits(draw), positive(draw)
    assert of.micro_batch is not None
    loop = FollowingLoop(max(low, of.micro_batch), of)
    for _ in range(200):
        loop.take(low * of.hysteresis_factor ** draw.random())
    assert len(loop.batch_sizes) - 1 <= 2


def test_unknown_recommendations_between_known_ones_do_not_move_it() -> None:
    draw = random.Random(5)
    recommended = [draw.choice([None, draw.uniform(500, 600)]) for _ in range(100)]
    loops = []
    for values in (recommended, [value for value in recommended if value is not None]):
        loops.append(FollowingLoop(64, limits(measurements_between=0)))
        for value in values:
            loops[-1].take(value)
    assert loops[0].batch_sizes == loops[1].batch_sizes
    assert len(loops[0].batch_sizes) > 1


@pytest.mark.parametrize(("optimizer", "factor"), [("sgd", 1.7), ("adam", 1.4)])
def test_the_factor_on_the_rate_is_the_collectors_own_where_the_change_goes_all_the_way(
    optimizer: Optimizer, factor: float
) -> None:
    change = decide(128, optimizer=optimizer, factor=factor)
    assert change is not None
    assert change.learning_rate_factor == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("seed", range(50))
def test_the_factor_of_sgd_is_that_of_the_noise_scale_behind_the_collectors_for_a_size_in_between(seed: int) -> None:
    draw = random.Random(seed)
    noise_scale, recommended = positive(draw), draw.randint(200, 5000)

    def sgd(to: float) -> float:
        return (1 + noise_scale / 64) / (1 + noise_scale / to)

    change = decide(recommended, optimizer="sgd", factor=sgd(recommended))
    assert change is not None
    # Nine digits: the noise scale is the difference of two numbers that may nearly be equal.
    assert change.learning_rate_factor == pytest.approx(sgd(128), rel=1e-9)


def test_the_factor_of_adam_is_the_square_root_of_the_batch_sizes_ratio_for_a_size_in_between() -> None:
    change = decide(1024, optimizer="adam", factor=math.sqrt(1024 / 64))
    assert change is not None
    assert change.batch_size == 128
    assert change.learning_rate_factor == pytest.approx(math.sqrt(2), rel=1e-12)


def test_the_factor_is_none_where_the_collector_knows_none() -> None:
    change = decide(128, optimizer="sgd")
    assert change is not None
    assert change.learning_rate_factor is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"micro_batch": 0}, r"^batch_size_limits\.micro_batch: must be a number above 0, got 0$"),
        ({"min_accumulation": 1.5}, "min_accumulation: must be a whole number from 1"),
        (
            {"min_accumulation": 4, "max_accumulation": 2},
            "max_accumulation: must be a whole number from min_accumulation=4",
        ),
        ({"hysteresis_factor": 0.9}, "hysteresis_factor: must be a number from 1"),
        ({"max_change_factor": 1}, "max_change_factor: must be a number above 1"),
        ({"measurements_between": -1}, "measurements_between: must be a whole number from 0"),
        ({"max_age_steps": math.nan}, "max_age_steps: must be a number from 0"),
    ],
)
def test_a_wrong_limit_is_refused_with_its_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchSizeLimits(**given)
