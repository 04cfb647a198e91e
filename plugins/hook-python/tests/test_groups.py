"""Rows that are not independent: whole groups of them are the parts."""

import pytest
import torch
from torch import nn

import noisescale
from noisescale.pytorch.draws import parts_of_rows
from noisescale.wire import Measurement
from training import FLOAT32, batches, brute_force, cross_entropy, network


def test_each_row_is_in_one_part_with_all_of_its_group_and_parts_are_about_equal() -> None:
    groups = torch.tensor([7, 3, 7, 3, 9, 7, 1, 1, -2, 9, 7, 5])
    parts = parts_of_rows(groups, 3)
    assert sorted(row for part in parts for row in part.tolist()) == list(range(12))
    assert all(part.tolist() == sorted(part.tolist()) for part in parts)
    assert sorted(len(part) for part in parts) == [4, 4, 4]
    for label in groups.unique():
        assert sum(bool((groups[part] == label).any()) for part in parts) == 1


def test_fewer_groups_than_chunks_are_a_part_each() -> None:
    assert [part.tolist() for part in parts_of_rows(torch.tensor([2, 2, 0, 2]), 8)] == [[0, 1, 3], [2]]
    assert [part.tolist() for part in parts_of_rows(torch.tensor([4, 4, 4]), 8)] == [[0, 1, 2]]


def test_the_parts_squares_are_those_of_the_groups_also_where_they_are_of_unequal_size() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, unit="timestep", sink=seen.append)
    groups = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0])
    for number in range(2):
        ((x, y),) = batches([12], number)
        parts = [(x[groups == group], y[groups == group]) for group in range(3)]
        sizes = [len(part[0]) for part in parts]
        weights = [size / 12 for size in sizes]
        small, big = brute_force(model, parts, weights)
        whole = cross_entropy(model, (x, y)).item()
        loss = watcher.backward(lambda x, y: cross_entropy(model, (x, y)), (x, y), chunks=3, groups=groups)
        assert float(loss) == pytest.approx(whole, rel=FLOAT32)
        optimizer.step()
        optimizer.zero_grad()
        watcher.flush()
        q = sum(weight**2 for weight in weights)
        c = sum(weight**2 / size for weight, size in zip(weights, sizes, strict=True))
        measured = seen[-1]
        assert measured["small"]["squared_norm"] == pytest.approx(sum(small.values()) / q, rel=FLOAT32)
        assert measured["small"]["batch_size"] == pytest.approx(q / c)
        assert measured["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
        assert measured["big"]["batch_size"] == pytest.approx(1 / c)
    watcher.close()


def test_groups_of_more_than_one_dimension_are_refused() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with noisescale.watch(model, optimizer, every=1, sink=lambda _: None) as watcher:
        (batch,) = batches([6])
        groups = torch.arange(6).reshape(6, 1)
        with pytest.raises(ValueError, match=r"groups: has the shape \(6, 1\) .*: give one integer a row"):
            watcher.backward(lambda x, y: cross_entropy(model, (x, y)), batch, groups=groups)


@pytest.mark.parametrize(("sizes", "said"), [([4, 4, 4], 0), ([5, 4, 3], 2)])
def test_groups_that_differ_in_size_are_counted_and_said_once(
    sizes: list[int], said: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watcher = noisescale.watch(model, optimizer, every=1, unit="timestep", sink=lambda _: None)
    groups = torch.arange(3).repeat_interleave(torch.tensor(sizes))
    for number in range(2):
        (batch,) = batches([12], number)
        watcher.backward(lambda x, y: cross_entropy(model, (x, y)), batch, groups=groups)
        optimizer.step()
    watcher.close()
    assert watcher.counts.get("groups-uneven", 0) == said
    assert len(caplog.records) == min(said, 1)


def test_rollouts_of_very_unequal_length_give_the_signal_and_the_noise_of_such_a_batch() -> None:
    lengths, width = [2, 3, 4, 5, 8, 12, 20, 30], 30
    generator = torch.Generator().manual_seed(3)
    model = nn.Linear(width, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, unit="timestep", sink=seen.append)
    groups = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    for _ in range(600):
        # All time steps of an environment alike: it is as noisy however long it lasts.
        x = (0.3 + torch.randn(len(lengths), width, generator=generator))[groups]
        watcher.backward(lambda x: model(x).mean(), (x,), chunks=len(lengths), groups=groups)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    # |g|² of the batch's mean is |G|² + 30·ΣT²/(ΣT)², which is tr Σ a time step over the ΣT time steps.
    trace, square = width * sum(t * t for t in lengths) / sum(lengths), width * 0.3**2
    pairs = [
        ((m["small"]["batch_size"], m["small"]["squared_norm"]), (m["big"]["batch_size"], m["big"]["squared_norm"]))
        for m in seen
    ]
    traces = [(small - big) / (1 / b - 1 / batch) for (b, small), (batch, big) in pairs]
    signals = [(batch * big - b * small) / (batch - b) for (b, small), (batch, big) in pairs]
    # Four standard errors of 600 steps each.
    assert sum(traces) / len(traces) == pytest.approx(trace, rel=0.03)
    assert sum(signals) / len(signals) == pytest.approx(square, rel=0.13)


def mean_trace_and_signal(*, by_environment: bool) -> tuple[float, float]:
    """tr Σ per time step and |G|², means over simulated steps of 16 environments of 8 time steps each."""
    environments, length, width = 16, 8, 30
    generator = torch.Generator().manual_seed(3)
    model = nn.Linear(width, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, unit="timestep", sink=seen.append)
    signal = torch.full((width,), 0.3)
    groups = torch.arange(environments).repeat(length)
    for _ in range(300):
        own = torch.randn(environments, width, generator=generator)
        noise = torch.randn(length, environments, width, generator=generator)
        # The gradient of model(x).mean() is the mean of x: the signal, the environment's part, and the step's own.
        x = (signal + own + noise).reshape(length * environments, width)
        if by_environment:
            watcher.backward(lambda x: model(x).mean(), (x,), chunks=environments, groups=groups)
        else:
            shuffled = x[torch.randperm(len(x), generator=generator)]
            watcher.backward(lambda x: model(x).mean(), (shuffled,), chunks=environments)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    traces, signals = [], []
    for measured in seen:
        b, small = measured["small"]["batch_size"], measured["small"]["squared_norm"]
        batch, big = measured["big"]["batch_size"], measured["big"]["squared_norm"]
        traces.append((small - big) / (1 / b - 1 / batch))
        signals.append((batch * big - b * small) / (batch - b))
    return sum(traces) / len(traces), sum(signals) / len(signals)


def test_time_steps_of_one_environment_are_no_draws_and_split_by_environment_the_noise_is_right() -> None:
    # An environment's mean over 8 steps has variance 30·(1 + 1/8); a unit is one of its 8 time steps.
    trace, square = 8 * 30 * (1 + 1 / 8), 30 * 0.3**2
    whole, seen = mean_trace_and_signal(by_environment=True)
    assert whole == pytest.approx(trace, rel=0.03)
    assert seen == pytest.approx(square, rel=0.1)
    # Shuffled time steps: nearly all of the noise that environments share is taken for signal.
    apart, taken = mean_trace_and_signal(by_environment=False)
    assert apart < trace / 4
    assert taken > 1.5 * square


def test_wrong_groups_are_named() -> None:
    model = network()
    watcher = noisescale.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), sink=lambda measurement: None)
    ((x, y),) = batches([12])
    wrong = ([0, 1, 2], torch.zeros(12, 2, dtype=torch.int64), torch.zeros(12), ["pong"] * 12)
    for groups in wrong:
        with pytest.raises(ValueError, match="the batch has 12 rows: give one integer a row"):
            watcher.backward(lambda x, y: cross_entropy(model, (x, y)), (x, y), groups=groups)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="per_example takes every row as a draw"):
        watcher.backward(lambda x, y: cross_entropy(model, (x, y)), (x, y), groups=[0] * 12, per_example=True)
    watcher.close()
