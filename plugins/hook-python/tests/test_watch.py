"""Every measurement is compared with the parts' gradients computed one by one with `torch.autograd.grad`."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import noisescale
from noisescale.pytorch.squares import squared_norm
from noisescale.wire import Measurement
from training import FLOAT32, Batch, Loss, assert_squares, batches, brute_force, cross_entropy, network


def train(
    model: nn.Module,
    steps: Sequence[Sequence[Batch]],
    *,
    weights: Sequence[float] | None = None,
    loss: Loss = cross_entropy,
    set_to_none: bool = True,
    clip: float | None = None,
    say_parts: bool = False,
    optimizer: torch.optim.Optimizer | None = None,
    **options: object,
) -> tuple[list[Measurement], noisescale.Watcher, list[tuple[dict[str, float], dict[str, float]]]]:
    """Runs steps of accumulation, and brute force beside each."""
    seen: list[Measurement] = []
    optimizer = optimizer or torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    watcher = noisescale.watch(
        model,
        optimizer,
        **{"micro_batch": 8, "every": 1, "layers": True, "sink": seen.append, **options},  # type: ignore[arg-type]
    )
    expected = []
    for parts in steps:
        factors = weights or [1 / len(parts)] * len(parts)
        expected.append(brute_force(model, parts, factors, loss))
        optimizer.zero_grad(set_to_none=set_to_none)
        for part, factor in zip(parts, factors, strict=True):
            if say_parts:
                watcher.part(len(part[0]), weight=factor, loss=loss(model, part))
            (loss(model, part) * factor).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    watcher.close()
    return seen, watcher, expected


def assert_equal_parts(
    seen: Sequence[Measurement],
    expected: Sequence[tuple[dict[str, float], dict[str, float]]],
    parts: int,
    rtol: float = FLOAT32,
) -> None:
    assert len(seen) == len(expected)
    for measurement, (small, big) in zip(seen, expected, strict=True):
        assert_squares(measurement, small, big, 1 / parts, rtol=rtol)
        assert measurement["small"]["batch_size"] == pytest.approx(8)
        assert measurement["small"]["count"] == parts
        assert measurement["big"]["batch_size"] == pytest.approx(8 * parts)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("clip", [None, 1e-3])
def test_accumulation_gives_the_squares_of_brute_force_whether_or_not_gradients_are_clipped_or_kept(
    set_to_none: bool, clip: float | None
) -> None:
    steps = [batches([8] * 4, seed) for seed in range(3)]
    seen, watcher, expected = train(network(), steps, set_to_none=set_to_none, clip=clip)
    assert_equal_parts(seen, expected, 4)
    assert watcher.counts == {"run-ended": 1}
    assert [m["step"] for m in seen] == [0, 1, 2]
    assert seen[0]["learning_rate"] == 0.05


def test_on_a_step_that_is_not_measured_no_hook_is_on_the_parameters() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=3, sink=lambda _: None)
    hooked = []
    for _ in range(7):
        hooked.append([bool(p._backward_hooks) and bool(p._post_accumulate_grad_hooks) for p in model.parameters()])
        for part in batches([8, 8]):
            (cross_entropy(model, part) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert hooked == [[step % 3 == 0] * 4 for step in range(7)]
    assert watcher.measurements == 3


def test_a_parameter_that_is_frozen_in_the_course_of_the_training_is_left_out_from_then_on() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=2, layers=True, sink=seen.append)
    for step in range(3):
        for part in batches([8, 8]):
            (cross_entropy(model, part) / 2).backward()
        if step == 0:
            model[0].requires_grad_(False)  # type: ignore[index]
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert watcher.counts == {"run-ended": 1}
    first, last = seen
    assert last["layers"]["0"] == (0, 0)
    assert last["layers"]["2"] == pytest.approx(first["layers"]["2"], rel=FLOAT32)


@pytest.mark.parametrize("change", ["unfrozen", "added", "replaced"])
def test_parameters_that_the_optimizer_gets_in_the_course_of_the_training_are_seen_from_then_on(change: str) -> None:
    model = network()
    assert isinstance(model, nn.Sequential)
    head = [*model[2].parameters()]
    if change == "unfrozen":
        model[0].requires_grad_(False)
    optimizer = torch.optim.AdamW(head if change == "added" else model.parameters(), lr=0.01)
    seen: list[Measurement] = []
    watcher = noisescale.watch(
        model, optimizer, micro_batch=8, every=2, layers=True, preconditioned=True, sink=seen.append
    )
    for step in range(6):
        if step == 3:
            model[0].requires_grad_(True)
            if change == "added":
                optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.02})
            if change == "replaced":
                model[0] = nn.Linear(20, 300)
                optimizer.param_groups[0]["params"] = [*model.parameters()]
        parts = batches([8, 8], step)
        small, big = brute_force(model, parts, [1 / 2] * 2)
        for part in parts:
            (cross_entropy(model, part) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 4:
            assert_equal_parts(seen[-1:], [(small, big)], 2)
    watcher.close()
    assert watcher.counts == {"run-ended": 1}
    assert [measurement["step"] for measurement in seen] == [0, 2, 4]


def test_a_part_of_weight_0_is_no_part_however_few_units_it_has() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, unit="token", sink=seen.append)

    def step(weights: Sequence[float], units: Sequence[float]) -> None:
        optimizer.zero_grad()
        for part, weight, count in zip(batches([8, 8, 3]), weights, units, strict=True):
            loss = cross_entropy(model, part)
            watcher.part(count, weight=weight, loss=loss if weight > 0 else float("nan"))
            (loss * weight).backward()
        optimizer.step()

    for _ in range(4):
        step([0.7, 0.0, 0.3], [8, 0, 3])
    step([1.0, 0.0, 0.0], [8, 0, 0])
    step([0.5, 0.2, 0.3], [8, 0, 3])
    watcher.close()
    counted = [batches([8, 8, 3])[number] for number in (0, 2)]
    small, big = brute_force(model, counted, [0.7, 0.3])
    assert len(seen) == 4
    assert seen[-1]["small"]["squared_norm"] == pytest.approx(sum(small.values()) / (0.49 + 0.09), rel=FLOAT32)
    assert seen[-1]["small"]["count"] == 2
    assert seen[-1]["big"]["batch_size"] == pytest.approx(1 / (0.49 / 8 + 0.09 / 3))
    assert seen[-1]["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
    losses = [cross_entropy(model, part).item() for part in counted]
    assert seen[-1]["loss"] == pytest.approx(0.7 * losses[0] + 0.3 * losses[1])
    # Neither a single part that is left nor one that weighs without units is measured.
    assert watcher.counts == {"one-part": 1, "part-sizes": 1, "run-ended": 1}


def test_uneven_and_weighted_parts_give_the_general_form() -> None:
    sizes, weights = [8, 8, 3], [0.5, 0.2, 0.3]
    seen, _, expected = train(network(), [batches(sizes, seed) for seed in range(2)], weights=weights, say_parts=True)
    q = sum(w * w for w in weights)
    c = sum(w * w / n for w, n in zip(weights, sizes, strict=True))
    for measurement, (small, big) in zip(seen, expected, strict=True):
        assert_squares(measurement, small, big, q)
        assert measurement["small"]["batch_size"] == pytest.approx(q / c)
        assert measurement["big"]["batch_size"] == pytest.approx(1 / c)
        assert measurement["units"] == 19
    model = network()
    losses = [cross_entropy(model, part).item() for part in batches(sizes, 0)]
    assert seen[0]["loss"] == pytest.approx(sum(w * x for w, x in zip(weights, losses, strict=True)))


def test_layers_are_named_for_their_modules_and_sum_to_the_whole() -> None:
    seen, _, expected = train(network(), [batches([8] * 4)], layers=True)
    (measurement,), ((small, big),) = seen, expected
    assert set(measurement["layers"]) == {"0", "2"}
    for layer, (small_square, big_square) in measurement["layers"].items():
        names = [f"{layer}.weight", f"{layer}.bias"]
        assert small_square == pytest.approx(4 * sum(small[n] for n in names), rel=FLOAT32)
        assert big_square == pytest.approx(sum(big[n] for n in names), rel=FLOAT32)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(20, 20)
        self.frozen = nn.Linear(20, 20).requires_grad_(False)
        self.last = nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.first(torch.tanh(self.frozen(self.first(x)))))
        return y


def test_a_tied_parameter_counts_once_and_a_frozen_one_not_at_all() -> None:
    torch.manual_seed(0)
    seen, _, expected = train(Tied(), [batches([8] * 3, seed) for seed in range(2)])
    assert_equal_parts(seen, expected, 3)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 8, sparse=True)
        self.last = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.words(x.abs().mul(7).long().clamp(max=29)).mean(1))
        return y


def test_sparse_gradients_are_coalesced_before_they_are_squared() -> None:
    torch.manual_seed(0)
    seen, _, expected = train(Words(), [batches([8] * 3, seed) for seed in range(2)])
    assert_equal_parts(seen, expected, 3)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_models_are_seen_as_they_are(reentrant: bool) -> None:
    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        x = batch[0].clone().requires_grad_()
        return nn.functional.cross_entropy(checkpoint(model, x, use_reentrant=reentrant), batch[1])

    steps = [batches([8] * 3, seed) for seed in range(2)]
    model = network()
    seen: list[Measurement] = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, layers=True, sink=seen.append)
    expected = []
    for parts in steps:
        expected.append(brute_force(model, parts, [1 / 3] * 3))
        for part in parts:
            (loss(model, part) / 3).backward()
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert_equal_parts(seen, expected, 3)


def test_bfloat16_parameters_are_squared_in_higher_precision() -> None:
    model = network().bfloat16()

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch[0].bfloat16()).float(), batch[1])

    seen, _, expected = train(model, [batches([8] * 3, seed) for seed in range(2)], loss=loss)
    # The accumulated gradient itself is rounded to 8 bits, 0.4 %, once a part.
    assert_equal_parts(seen, expected, 3, rtol=0.01)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_gradient_scaler_is_undone_and_a_step_that_it_skips_is_left_out(set_to_none: bool) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, layers=True, sink=seen.append, scaler=scaler)
    expected = []
    for number in range(4):
        parts = batches([8] * 3, number)
        spoilt = number == 2
        if not spoilt:
            expected.append(brute_force(model, parts, [1 / 3] * 3))
        for part in parts:
            loss = cross_entropy(model, part) / 3 * (float("inf") if spoilt else 1)
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=set_to_none)
    watcher.close()
    assert_equal_parts(seen, expected, 3)
    assert watcher.counts == {"not-finite": 1, "run-ended": 1}
    assert scaler.get_scale() == 512.0


def test_one_backward_pass_a_step_is_unavailable_and_said_once() -> None:
    seen, watcher, _ = train(network(), [batches([8], seed) for seed in range(5)])
    assert seen == []
    assert watcher.counts == {"one-part": 1, "run-ended": 1}


def test_a_last_short_accumulation_is_left_out_and_the_next_steps_are_not() -> None:
    steps = [batches([8] * k, seed) for seed, k in enumerate([4, 4, 2, 4, 4])]
    seen, watcher, expected = train(network(), steps)
    assert [m["step"] for m in seen] == [0, 1, 3, 4]
    assert watcher.counts["parts-changed"] == 1
    assert_equal_parts(seen, [expected[i] for i in (0, 1, 3, 4)], 4)


def test_a_step_in_so_many_is_measured_with_the_right_numbers() -> None:
    steps = [batches([8] * 2, seed) for seed in range(7)]
    seen, _, expected = train(network(), steps, every=3, first_step=5)
    assert [m["step"] for m in seen] == [6, 9]
    assert_equal_parts(seen, [expected[1], expected[4]], 2)


def test_gradients_taken_by_hand_do_not_count_as_parts() -> None:
    def penalised(model: nn.Module, batch: Batch) -> torch.Tensor:
        loss = cross_entropy(model, batch)
        gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        return loss + 0.1 * sum((g.square().sum() for g in gradients), torch.zeros(()))

    seen, _, expected = train(network(), [batches([8] * 3, seed) for seed in range(2)], loss=penalised)
    assert_equal_parts(seen, expected, 3)


class Halves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(20, 9), nn.Linear(20, 9), nn.Linear(9, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.left(x) if x[0, 0] > 0 else self.right(x))
        return y


def test_parameters_that_only_some_parts_use_are_read_at_their_own_last_part() -> None:
    torch.manual_seed(0)
    seen, _, expected = train(Halves(), [batches([8] * 4, seed) for seed in range(6)])
    dropped = 6 - len(seen)
    # Each of the two layers is found out at most once, and each time the next step reads anew.
    assert dropped <= 2
    assert_equal_parts(seen, [expected[m["step"]] for m in seen], 4)


def test_the_training_is_bit_for_bit_what_it_is_without_the_hook() -> None:
    steps = [batches([8] * 4, seed) for seed in range(5)]
    watched, alone = network(), network()
    train(watched, steps, layers=True)
    train(alone, steps, enabled=False)
    for one, other in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)


def test_switched_off_by_the_environment_it_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISESCALE_DISABLED", "1")
    seen, watcher, _ = train(network(), [batches([8] * 4)])
    assert (seen, watcher.measurements) == ([], 0)


def test_a_sink_that_raises_never_reaches_the_training(caplog: pytest.LogCaptureFixture) -> None:
    def broken(measurement: Measurement) -> None:
        raise OSError("disk full")

    _, watcher, _ = train(network(), [batches([8] * 2, seed) for seed in range(3)], sink=broken)
    assert watcher.counts["sink-failed"] == 3
    assert len(caplog.records) == 1


def test_batch_normalisation_is_warned_of() -> None:
    model = nn.Sequential(nn.Linear(20, 5), nn.BatchNorm1d(5))
    _, watcher, _ = train(model, [batches([8] * 2)])
    assert watcher.counts["batch-norm"] == 1


def test_many_backward_passes_in_one_step_of_lbfgs_are_no_parts() -> None:
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=lambda _: None)
    (part,) = batches([8])

    def closure() -> float:
        optimizer.zero_grad()
        loss = cross_entropy(model, part)
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    watcher.close()
    assert watcher.counts == {"lbfgs": 1, "run-ended": 1}
    assert watcher.measurements == 0


def test_one_batch_is_split_on_measured_steps_and_trains_as_whole() -> None:
    models = [network(), network()]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05) for model in models]
    seen: list[Measurement] = []
    watcher = noisescale.watch(models[0], optimizers[0], micro_batch=8, every=2, layers=True, sink=seen.append)
    expected = []
    for number in range(3):
        ((x, y),) = batches([32], number)
        quarters = list(zip(x.tensor_split(4), y.tensor_split(4), strict=True))
        expected.append(brute_force(models[0], quarters, [1 / 4] * 4))
        loss = watcher.backward(lambda x, y: cross_entropy(models[0], (x, y)), (x, y), chunks=4)
        whole = cross_entropy(models[1], (x, y))
        whole.backward()
        assert float(loss) == pytest.approx(whole.item(), rel=FLOAT32)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    watcher.close()
    assert [m["step"] for m in seen] == [0, 2]
    assert_equal_parts(seen, [expected[0], expected[2]], 4)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        # Float32 sums in another order, three steps of them.
        assert torch.allclose(one, other, atol=1e-6)


def test_a_batch_that_cannot_be_split_is_refused_and_an_empty_one_goes_on_unmeasured() -> None:
    model = network()
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), every=1, sink=seen.append)
    ((x, y),) = batches([12])

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(model, (x, y))

    with pytest.raises(TypeError, match="loss_fn: is a tuple, must be a function"):
        watcher.backward((x, y), loss)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="loss_fn: is a Tensor, must be a function"):
        watcher.backward(loss(x, y), (x, y))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="batch: is a tensor"):
        watcher.backward(lambda x: model(x).sum(), x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chunks=0: must be a whole number from 1"):
        watcher.backward(loss, (x, y), chunks=0)
    with pytest.raises(ValueError, match=r"batch: its tensors have \[12, 12, 3\] rows"):
        watcher.backward(lambda x, y, _: loss(x, y), (x, y, torch.ones(3)))
    assert watcher.backward(loss, (x[:0], y[:0])).isnan()
    watcher.close()
    assert seen == []


def test_a_later_batch_that_cannot_be_split_is_taken_whole_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, sink=seen.append)
    ((x, y),) = batches([12])
    wrong: list[tuple[Sequence[torch.Tensor], dict[str, object]]] = [
        ((x, y, torch.ones(3)), {}),
        ((x, y, torch.ones(12)), {"groups": [0.5] * 12}),
        ((x, y, torch.ones(12)), {"groups": [0] * 5}),
        ((x, y, torch.ones(12)), {"chunks": 0}),
    ]
    for batch, options in [((x, y, torch.ones(12)), {}), *wrong]:
        optimizer.zero_grad()
        watcher.backward(lambda x, y, _: cross_entropy(model, (x, y)), batch, **options)  # type: ignore[arg-type]
        whole = torch.autograd.grad(cross_entropy(model, (x, y)), [*model.parameters()])
        for parameter, gradient in zip(model.parameters(), whole, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)
        optimizer.step()
    watcher.close()
    assert [measurement["step"] for measurement in seen] == [0]
    assert watcher.counts == {"not-split": 3, "one-part": 1, "run-ended": 1}
    first, *_ = (record.getMessage() for record in caplog.records)
    assert first.endswith("(batch: its tensors have [12, 12, 3] rows; what has no row an example is no part of it)")


@pytest.mark.parametrize(("units", "weight"), [(0, None), (-3, None), (math.nan, None), (8, math.nan), (8, 0)])
def test_a_step_whose_parts_have_no_size_or_no_weight_is_left_out(units: float, weight: float | None) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, sink=seen.append)
    for part in batches([8] * 2):
        watcher.part(units, weight=weight)
        cross_entropy(model, part).backward()
    optimizer.step()
    watcher.close()
    assert seen == []
    assert watcher.counts["part-sizes"] == 1


@pytest.mark.parametrize("count", [1, 4095, 4097, 10_000_019])
def test_squares_of_long_gradients_keep_six_digits(count: int) -> None:
    gradient = torch.randn(count, generator=torch.Generator().manual_seed(0)) + 1
    exact = float(gradient.double().square().sum())
    assert float(squared_norm(gradient)) == pytest.approx(exact, rel=1e-6)


def test_the_square_of_1e8_elements_keeps_six_digits() -> None:
    million = torch.randn(10**6, generator=torch.Generator().manual_seed(0)) + 1
    gradient = million.repeat(100)
    assert float(squared_norm(gradient)) == pytest.approx(100 * float(million.double().square().sum()), rel=1e-6)


def test_squares_of_other_types_and_layouts_are_those_of_their_elements() -> None:
    assert math.isclose(float(squared_norm(torch.tensor([3 + 4j, 1j]))), 26, rel_tol=1e-6)
    assert float(squared_norm(torch.arange(6.0).reshape(2, 3).t())) == pytest.approx(55, rel=1e-6)
    assert float(squared_norm(torch.full((10,), 1e4, dtype=torch.float16))) == pytest.approx(1e9, rel=1e-3)
    assert float(squared_norm(torch.empty(0))) == 0
