"""Decides when a training changes its batch size, by the collector's recommendation; as packages/client does."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from noisescale.wire import BriefSnapshot, SnapshotRecommendation

Optimizer = Literal["sgd", "adam", "other"]

_MOST_UNANSWERED = 10_000


class BatchSizeChange(NamedTuple):
    """What a training loop is asked to change to.

    Attributes:
        batch_size: Of one optimizer step, over all processes [units].
        accumulation: Micro-batches that one step accumulates in each process: the recommendation, rounded up.
        learning_rate_factor: On the rate that was in use at `snapshot["batch_size"]`; None where no rule is known to
            hold: keep or tune the rate.
        snapshot: The collector's answer that this rests on; its `recommendation` says the basis and the trade.
    """

    batch_size: float
    accumulation: int
    learning_rate_factor: float | None
    snapshot: BriefSnapshot


@dataclass(frozen=True)
class BatchSizeLimits:
    """How the batch size may follow the recommendation.

    Attributes:
        micro_batch: Units that one more accumulation adds to a step, those of all processes together; where it is None,
            the mean of the parts of the step that the collector's answer is of.
        min_accumulation: Fewest micro-batches that one step may accumulate; where it is None, 2 for a process that
            trains alone, since one part says nothing about the noise, else 1.
        max_accumulation: Most of them.
        hysteresis_factor: The batch size stands while the recommendation is within this factor of it, and while it lies
            in the recommendation's interval.
        max_change_factor: Largest factor of one change, up or down.
        measurements_between: Measurements that are taken after a change before the next one.
        agreeing_measurements: Measurements over which answers in a row have to call for a change the same way before it
            is made.
        max_age_steps: Steps by which the collector's answer may lag behind the training.
    """

    micro_batch: float | None = None
    min_accumulation: int | None = None
    max_accumulation: float = math.inf
    hysteresis_factor: float = 1.25
    max_change_factor: float = 2.0
    measurements_between: int = 25
    agreeing_measurements: int = 10
    max_age_steps: float = 1000

    def __post_init__(self) -> None:
        fewest = 1 if self.min_accumulation is None else self.min_accumulation
        positive = self.micro_batch is None or 0 < self.micro_batch < math.inf
        _require("micro_batch", self.micro_batch, positive, "a number above 0")
        _require("min_accumulation", fewest, isinstance(fewest, int) and fewest >= 1, "a whole number from 1")
        whole = self.max_accumulation == math.inf or isinstance(self.max_accumulation, int)
        most = self.max_accumulation
        _require("max_accumulation", most, whole and most >= fewest, f"a whole number from min_accumulation={fewest}")
        _require("hysteresis_factor", self.hysteresis_factor, self.hysteresis_factor >= 1, "a number from 1")
        _require("max_change_factor", self.max_change_factor, self.max_change_factor > 1, "a number above 1")
        between = self.measurements_between
        _require("measurements_between", between, isinstance(between, int) and between >= 0, "a whole number from 0")
        agree = self.agreeing_measurements
        _require("agreeing_measurements", agree, isinstance(agree, int) and agree >= 0, "a whole number from 0")
        _require("max_age_steps", self.max_age_steps, self.max_age_steps >= 0, "a number from 0")


def check_limits(value: object) -> None:
    """Raises TypeError, naming the option, if `value` is neither None nor limits."""
    if not isinstance(value, BatchSizeLimits | None):
        raise TypeError(f"batch_size_limits={value!r}: must be noisescale.BatchSizeLimits(…)")


class BatchSizeControl:
    """Every change is relative to the batch size that was measured.

    A loop that does not follow, or follows late, is asked again and never told a factor twice.
    """

    def __init__(self, limits: BatchSizeLimits, optimizer: Optimizer | None) -> None:
        self._limits = limits
        self._optimizer = optimizer
        self._last: tuple[int, int] | None = None
        # Of the measured steps that no answer has come to, where the limits do not say it.
        self._micro_batches: dict[int, float] = {}
        # Measurements still to be taken before the next change.
        self._missing = 0
        # Answers from before this step say nothing of the batch size after the last change.
        self._from_step = 0
        # Whether the last answers in a row call for a larger batch, and the measurements of the first of them.
        self._calling: tuple[bool, float] | None = None

    def measured(self, attempt: int, step: int, micro_batch: float | None = None) -> None:
        """Tells of a measurement as it is taken, long before the collector answers.

        Args:
            attempt: The process's.
            step: Number of the optimizer step.
            micro_batch: Units of its parts, where the limits do not say them.
        """
        self._last = (attempt, step)
        if self._limits.micro_batch is None and micro_batch is not None:
            self._micro_batches[step] = micro_batch
            if len(self._micro_batches) > _MOST_UNANSWERED:
                del self._micro_batches[next(iter(self._micro_batches))]
        if self._missing > 0 and step >= self._from_step:
            self._missing -= 1
            self._from_step = step

    def takes_effect(self, step: int) -> None:
        """Tells of the first step that may have the batch size of the change that was decided last."""
        self._from_step = max(self._from_step, step)

    def decide(self, snapshot: BriefSnapshot) -> BatchSizeChange | None:
        """Returns the change that is due, and None while the batch size stands."""
        current, recommendation = snapshot["batch_size"], snapshot["recommendation"]
        recommended, micro_batch = recommendation["batch_size"], self._micro_batch_of(snapshot)
        if self._last is None or micro_batch is None or current is None or recommended is None:
            self._calling = None
            return None
        if not self._may_decide(snapshot, *self._last) or not self._is_off(recommendation, recommended, current):
            self._calling = None
            return None
        if not self._is_agreed(recommended > current, snapshot["measurements"]):
            return None
        accumulation = self._accumulation(recommended, current, micro_batch)
        batch_size = accumulation * micro_batch
        if not self._is_towards(batch_size, recommended, current):
            return None
        self._calling = None
        self._missing = self._limits.measurements_between
        self._from_step = self._last[1] + 1
        factor = recommendation["learning_rate_factor"]
        if factor is not None:
            factor = learning_rate_factor_at(batch_size, self._optimizer, current, recommended, factor)
        return BatchSizeChange(batch_size, accumulation, factor, snapshot)

    def _micro_batch_of(self, snapshot: BriefSnapshot) -> float | None:
        """That of the answer's own step, as its batch size is: a later step may have an uneven part."""
        if self._limits.micro_batch is not None or snapshot["step"] is None:
            return self._limits.micro_batch
        for step in [step for step in self._micro_batches if step < snapshot["step"]]:
            del self._micro_batches[step]
        return self._micro_batches.get(int(snapshot["step"]))

    def _may_decide(self, snapshot: BriefSnapshot, attempt: int, step: int) -> bool:
        held_back = snapshot["recommendation"]["held_back"] is not None
        if not snapshot["identifiable"] or held_back or snapshot["step"] is None or self._missing > 0:
            return False
        # Another attempt's answer comes of a spool, or of a process that took the run over.
        if snapshot["attempt"] != attempt:
            return False
        return snapshot["step"] >= self._from_step and step - snapshot["step"] <= self._limits.max_age_steps

    def _is_off(self, recommendation: SnapshotRecommendation, recommended: float, current: float) -> bool:
        """Off by more than the hysteresis, and by more than the recommendation is uncertain."""
        low, high = recommendation["batch_size_low"], recommendation["batch_size_high"]
        if recommended > current:
            return recommended > current * self._limits.hysteresis_factor and low is not None and low > current
        return current > recommended * self._limits.hysteresis_factor and high is not None and high < current

    def _is_agreed(self, larger: bool, measurements: float) -> bool:
        """One large gradient may move the estimate, with its whole interval, for a few measurements."""
        if self._calling is None or self._calling[0] != larger:
            self._calling = (larger, measurements)
        return measurements - self._calling[1] >= self._limits.agreeing_measurements

    def _accumulation(self, recommended: float, current: float, micro_batch: float) -> int:
        limits = self._limits
        highest = current * limits.max_change_factor
        wanted = min(max(recommended, current / limits.max_change_factor), highest)
        most = min(math.floor(highest / micro_batch), limits.max_accumulation)
        return int(max(min(math.ceil(wanted / micro_batch), most), limits.min_accumulation or 1))

    def _is_towards(self, batch_size: float, recommended: float, current: float) -> bool:
        """Limits and rounding may leave nothing of a change, or turn it round."""
        factor = batch_size / current
        if max(factor, 1 / factor) > self._limits.max_change_factor:
            return False
        return batch_size > current if recommended > current else batch_size < current


def learning_rate_factor_at(
    batch_size: float, optimizer: Optimizer | None, current: float, recommended: float, factor: float
) -> float:
    """Factor on the learning rate for a batch size on the way to the recommended one.

    A change is limited and rounded, so it is seldom the one that the collector's factor is for; the noise scale behind
    that factor is the collector's to choose. SGD: (1 + 𝓑/B)/(1 + 𝓑/B′), so that 1/factor is linear in 1/B′ (McCandlish
    et al. 2018, arXiv:1812.06162, equation 2.6). Adam: (B′/B)^p, so that the logarithms are proportional (Malladi et
    al. 2022, arXiv:2205.10287).

    Args:
        batch_size: B′ [units].
        optimizer: Its kind.
        current: B [units].
        recommended: Not B [units].
        factor: The collector's, for the whole way from `current` to `recommended`.
    """
    if optimizer == "sgd":
        share = (1 / current - 1 / batch_size) / (1 / current - 1 / recommended)
        return 1 / (1 + share * (1 / factor - 1))
    power: float = factor ** (math.log(batch_size / current) / math.log(recommended / current))
    return power


def _require(name: str, value: float | None, right: bool, what: str) -> None:
    if not right:
        raise ValueError(f"batch_size_limits.{name}: must be {what}, got {value}")
