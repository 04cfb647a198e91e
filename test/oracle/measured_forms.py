"""Other quadratic forms than |g|^2 of a simulated run: g'Hg on the halves of a batch, g'Pg on its parts, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

import filter_bank
import noise_scale
import numpy as np
import training_settings

Array = np.ndarray
Json = dict[str, object]

TRACE_HORIZON = 199
#: a stretch without a form is a gap beyond this many measurements, and beyond this many times the mean stretch
LONGEST_STRETCH = 20
LONGEST_RELATIVE_STRETCH = 3


@dataclass(frozen=True)
class Forms:
    """Diagonals of H and of P, and the measurements that have them."""

    hessian: Array  # [measurements, dimensions]
    hessian_at: Array  # [measurements], bool
    preconditioner: Array  # [dimensions]
    preconditioned_at: Array


def measure_forms(forms: Forms, index: int, gradients: Array, batch: float, digits) -> Json:
    """What a hook would add to a measurement.

    Args:
        gradients: of the equal parts of a batch, [parts, dimensions].
        digits: rounds a number to what is stored.
    """

    def pair(diagonal: Array, small: Array) -> Json:
        values = (small**2 @ diagonal).mean(), gradients.mean(axis=0) ** 2 @ diagonal
        return {
            "small": [float(batch / len(small)), digits(values[0])],
            "big": [float(batch), digits(values[1])],
        }

    added: Json = {}
    if forms.hessian_at[index]:
        halves = gradients.reshape(2, len(gradients) // 2, -1).mean(axis=1)
        added["hessian"] = pair(forms.hessian[index], halves)
    if forms.preconditioned_at[index]:
        added["preconditioned"] = pair(forms.preconditioner, gradients)
    return added


@dataclass(frozen=True)
class Followed:
    """A form's filter after every measurement of the run, [measurements]; NaN before its start."""

    present: Array
    lower: Array
    median: Array
    upper: Array
    mean: Array
    #: whether the confidence set of tr(MS) lies above 0
    trace_above_zero: Array


def follow_form(measurements: list[Json], name: str, dataset_units: float | None, signed: bool) -> Followed:
    """One filter a form, from the form's own measurements and the steps between them."""
    n = len(measurements)
    present = np.array([name in m for m in measurements])
    values = np.full((4, n), np.nan)
    above_zero = np.full(n, not signed)
    bank, kept, traces, last = None, [], [], None
    for i, measurement in enumerate(measurements):
        if i > 0:
            values[:, i] = values[:, i - 1]
            above_zero[i] = above_zero[i - 1]
        if not present[i]:
            continue
        (small_batch, small), (batch, big) = measurement[name]["small"], measurement[name]["big"]
        signal, trace = noise_scale.one_step(small, big, small_batch, batch)
        signal += 0.0 if dataset_units is None else trace / dataset_units
        row = [signal, trace, batch, batch / small_batch, 1.0 if last is None else measurement["step"] - last]
        last = measurement["step"]
        traces.append(trace)
        if bank is None:
            kept = [*kept, row][-filter_bank.WARM_UP :]
            if len(kept) == filter_bank.WARM_UP and np.mean([one[1] for one in kept]) > 0:
                bank = filter_bank.start(*(np.array(column)[:, None] for column in zip(*kept, strict=True)))
        else:
            filter_bank.update(bank, *(np.array([value]) for value in row))
        if signed:
            low, middle = noise_scale.mean_lower_end(np.array(traces), TRACE_HORIZON)
            above_zero[i] = low > 0
            if bank is not None and middle <= 0:
                bank, kept = None, []
        if bank is None:
            values[:, i] = np.nan
        else:
            quantiles = [bank.quantile(probability)[0] for probability in (0.025, 0.5, 0.975)]
            values[:, i] = np.array([*quantiles, bank.mean[0]]) / bank.b0[0]
    return Followed(present, *values, above_zero)


def is_regular(present: Array, *, whole: bool) -> bool:
    """No stretch without the form is a gap: over the whole run, or only the one that is still open."""
    places = np.flatnonzero(present)
    if len(places) == 0:
        return False
    edges = np.concatenate([[-1], places])
    stretches = [len(present) - 1 - places[-1], *(np.diff(edges) if whole else [])]
    return max(stretches) <= max(LONGEST_STRETCH, LONGEST_RELATIVE_STRETCH * len(present) / len(places))


def form_answer(form: Followed, n: int, signed: bool) -> list[float | None]:
    """Noise scale, low and high after n measurements."""
    lower, median, upper = (values[n - 1] for values in (form.lower, form.median, form.upper))
    if np.isnan(median) or not form.trace_above_zero[n - 1] or not is_regular(form.present[:n], whole=False):
        return [None, None, None]
    if lower > 0:
        return [1 / median, 1 / upper, 1 / lower]
    return [None, 1 / upper if upper > 0 and not signed else None, None]


def frontier_of_form(form: Followed, n: int, units: Array, elapsed: Array) -> Json | None:
    """What the run would have taken by this form alone; None where it does not speak of the whole run, or has no upper bound.

    Each step counts at the value of the form's next measurement; those after the last wait.
    """
    if np.isnan(form.mean[n - 1]) or not is_regular(form.present[:n], whole=True):
        return None
    valued = np.flatnonzero(form.present[:n] & ~np.isnan(form.mean[:n]))
    counted = np.arange(valued[-1] + 1)
    at = valued[np.searchsorted(valued, counted)]
    unbounded = ~form.trace_above_zero[at]
    inverse = {
        "low": np.where(unbounded, 0.0, form.lower[at]),
        "middle": form.mean[at],
        "high": np.where(unbounded, np.inf, form.upper[at]),
    }
    predicted = {
        bound: noise_scale.predicted_frontier(x, units[counted], elapsed[counted]) for bound, x in inverse.items()
    }
    if predicted["low"][0] == 0:
        return None
    return {
        "predicted_min_steps_and_min_units": predicted,
        "adaptive_gain": training_settings.adaptive_gain(inverse["middle"], units[counted], elapsed[counted]),
    }
