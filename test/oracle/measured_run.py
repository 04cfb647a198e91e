"""Measurements of a simulated run as a hook would send them, with layers, and everything that is to be known of it."""

from __future__ import annotations

from dataclasses import dataclass

import filter_bank
import measured_forms
import noise_scale
import numpy as np
import training_settings

Array = np.ndarray
Json = dict[str, object]

HORIZONS = (25, 50, 100, 200, 400, 800, 1600)
LAYER_HORIZON = 200
DIMENSIONS = 60
# coordinates of each layer, and the share of the run in which it reports
LAYERS = {"embedding": (0, 10, 0.0, 1.0), "__proto__": (10, 40, 0.25, 1.0), "head": (40, 60, 0.0, 0.5)}


@dataclass(frozen=True)
class Plan:
    """What the run does at each of its measurements, [measurements]."""

    name: str
    seed: int
    b_simple: Array
    batch: Array
    parts: Array
    units: Array
    step: Array
    dataset_units: float | None
    layers: bool = False
    #: autocorrelation of neighbouring measurements' noise, and degrees of its Student's t (None: normal)
    correlation: float = 0.0
    degrees: float | None = None
    #: by which all gradients of each measurement are multiplied
    scale: Array | float = 1.0
    forms: measured_forms.Forms | None = None


def nine_digits(value: float) -> float:
    """Short in a file, and exact there."""
    return float(f"{value:.9g}")


def measure(plan: Plan) -> list[Json]:
    """One squared-norm pair a measurement, for the whole and for each layer."""
    rng = np.random.default_rng(plan.seed)
    variance = 1 / np.arange(1, DIMENSIONS + 1)
    variance /= variance.sum()
    direction = rng.standard_normal(DIMENSIONS) * np.sqrt(variance)
    direction /= np.linalg.norm(direction)
    measurements = []
    standard = None
    scale = np.broadcast_to(plan.scale, len(plan.b_simple))
    for i, b_simple in enumerate(plan.b_simple):
        parts = int(plan.parts[i])
        small_batch = plan.batch[i] / parts
        shape = (parts, DIMENSIONS)
        drawn = rng.standard_normal(shape) if plan.degrees is None else rng.standard_t(plan.degrees, shape)
        if plan.correlation and standard is not None:
            drawn = plan.correlation * standard + np.sqrt(1 - plan.correlation**2) * drawn
        standard = drawn
        gradients = scale[i] * (direction / np.sqrt(b_simple) + standard * np.sqrt(variance / small_batch))
        small, big = (gradients**2).mean(axis=0), gradients.mean(axis=0) ** 2
        measurement: Json = {
            "step": int(plan.step[i]),
            "units": float(plan.units[i]),
            "small": [float(small_batch), nine_digits(small.sum())],
            "big": [float(plan.batch[i]), nine_digits(big.sum())],
        }
        if plan.layers:
            done = i / len(plan.b_simple)
            measurement["layers"] = {
                name: [nine_digits(small[start:end].sum()), nine_digits(big[start:end].sum())]
                for name, (start, end, first, last) in LAYERS.items()
                if first <= done < last
            }
        if plan.forms is not None:
            measurement |= measured_forms.measure_forms(plan.forms, i, gradients, plan.batch[i], nine_digits)
        measurements.append(measurement)
    return measurements


def interval_json(interval: noise_scale.Interval) -> Json:
    """As the comparison reads it."""
    return {
        "b_simple": interval.value,
        "b_simple_low": interval.low,
        "b_simple_high": interval.high,
        "invalid": interval.invalid,
    }


def average_json(signal: Array, trace: Array, horizon: int) -> Json:
    """A horizon's answer."""
    average = noise_scale.horizon_average(signal, trace, horizon)
    return {
        **interval_json(average.interval),
        "gradient_squared_norm": average.signal,
        "covariance_trace": average.trace,
        "effective_measurements": average.effective,
    }


def estimates(measurements: list[Json], dataset_units: float | None) -> tuple[Array, Array, Array, Array]:
    """|G|^2, tr Sigma, B and K of every measurement."""
    small_batch, small = np.array([m["small"] for m in measurements]).T
    batch, big = np.array([m["big"] for m in measurements]).T
    signal, trace = noise_scale.one_step(small, big, small_batch, batch)
    if dataset_units is not None:
        signal = signal + trace / dataset_units
    return signal, trace, batch, batch / small_batch


def follow(measurements: list[Json], dataset_units: float | None) -> dict[str, Array]:
    """The filter after every measurement from its start on: mean, quantiles of 1/B_simple, tr Sigma and its outliers."""
    signal, trace, batch, parts = (column[:, None] for column in estimates(measurements, dataset_units))
    steps = np.diff([m["step"] for m in measurements], prepend=measurements[0]["step"] - 1.0)[:, None]
    n = filter_bank.WARM_UP
    first = np.arange(n)
    skipped = 0
    while not (fine := filter_bank.plausible(signal[first, 0], trace[first, 0], batch[first, 0])).all():
        skipped += n - fine.sum()
        first = np.concatenate([first[fine], first[-1] + 1 + np.arange(n - fine.sum())])
    begin = first[-1]
    bank = filter_bank.start(signal[first], trace[first], batch[first], parts[first], steps[first])
    rows = []
    for i in range(begin, len(measurements)):
        if i > begin:
            filter_bank.update(bank, signal[i], trace[i], batch[i], parts[i], steps[i])
        quantiles = [bank.quantile(probability)[0] / bank.b0[0] for probability in (0.025, 0.5, 0.975)]
        rows.append([*quantiles, bank.mean[0] / bank.b0[0], bank.sigma[0], bank.outliers[0] + skipped])
    return dict(zip(("lower", "median", "upper", "mean", "sigma", "outliers"), np.array(rows).T, strict=True))


def held_b_simple(followed: dict[str, Array]) -> float | None:
    """What the recommendation rests on after a filter's last answer; None where it never told the signal from 0.

    An old value stands while the current one is within the hysteresis of it, and while the interval holds it.
    """
    known = followed["lower"] > 0
    held = None
    columns = (1 / followed[name][known] for name in ("upper", "median", "lower"))
    for low, value, high in zip(*columns, strict=True):
        factor = training_settings.FACTOR
        if held is None or not max(low, value / factor) <= held <= min(high, value * factor):
            held = float(value)
    return held


def expected(measurements: list[Json], dataset_units: float | None, checkpoints: list[int]) -> list[Json]:
    """What is known after each number of measurements in `checkpoints`."""
    signal, trace, _, _ = estimates(measurements, dataset_units)
    followed = follow(measurements, dataset_units)
    # measurements until the filter starts
    warm_up = len(measurements) - len(followed["mean"]) + 1
    steps = np.array([m["step"] for m in measurements])
    elapsed = np.diff(steps, prepend=steps[0] - 1)
    units = np.array([m["units"] for m in measurements])
    hessian = measured_forms.follow_form(measurements, "hessian", dataset_units, signed=True)
    preconditioned = measured_forms.follow_form(measurements, "preconditioned", dataset_units, signed=False)
    answers = []
    for n in checkpoints:
        answer: Json = {
            "measurements": n,
            "horizons": {str(h): average_json(signal[:n], trace[:n], h) for h in HORIZONS},
        }
        layers = {name for m in measurements[:n] for name in m.get("layers", {})}
        if layers:
            answer["layers"] = layer_answers(measurements[:n], dataset_units, sorted(layers))
        if n >= warm_up:
            now = {name: float(values[n - warm_up]) for name, values in followed.items()}
            answer["headline"] = {
                "b_simple": 1 / now["median"] if now["lower"] > 0 else None,
                "b_simple_low": 1 / now["upper"] if now["upper"] > 0 else None,
                "b_simple_high": 1 / now["lower"] if now["lower"] > 0 else None,
                "gradient_squared_norm": now["median"] * now["sigma"],
                "covariance_trace": now["sigma"],
            }
            answer["outliers"] = int(now["outliers"])
            answer["held_b_simple"] = held_b_simple({name: column[: n - warm_up + 1] for name, column in followed.items()})
            predicted: Json = {}
            for bound, column in (("low", "lower"), ("middle", "mean"), ("high", "upper")):
                # the measurements before the start count at the first value
                inverse = np.concatenate([np.full(warm_up - 1, followed[column][0]), followed[column]])[:n]
                predicted[bound] = noise_scale.predicted_frontier(inverse, units[:n], elapsed[:n])
                if bound == "middle":
                    answer["adaptive_gain"] = training_settings.adaptive_gain(inverse, units[:n], elapsed[:n])
            by_noise = measured_forms.frontier_of_form(hessian, n, units, elapsed)
            answer["predicted_min_steps_and_min_units"] = predicted
            answer["predicted_basis"] = "b_simple" if by_noise is None else "b_noise"
            answer |= by_noise or {}
            answer["b_noise"] = measured_forms.form_answer(hessian, n, signed=True)
            answer["b_preconditioned"] = measured_forms.form_answer(preconditioned, n, signed=False)
        answers.append(answer)
    return answers


def layer_answers(measurements: list[Json], dataset_units: float | None, names: list[str]) -> Json:
    """Each layer's average over the measurements that hold it, and its share of the summed tr Sigma."""
    found: dict[str, Json] = {}
    for name in names:
        own = [
            {"small": [m["small"][0], m["layers"][name][0]], "big": [m["big"][0], m["layers"][name][1]]}
            for m in measurements
            if name in m["layers"]
        ]
        signal, trace, _, _ = estimates(own, dataset_units)
        found[name] = average_json(signal, trace, LAYER_HORIZON)
    total = sum(answer["covariance_trace"] for answer in found.values())
    for answer in found.values():
        answer["covariance_trace_share"] = answer["covariance_trace"] / total
    return found
