"""B_noise and Adam's metric: the quadratic forms of every part's gradient, computed one by one in float64."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

import noisescale
from noisescale.exchange import RankSums, over_ranks
from noisescale.measurements import measurement_of
from noisescale.parts import sum_parts
from noisescale.wire import Measurement
from training import FLOAT32, Batch, batches, cross_entropy, micro_gradients


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 6), nn.Tanh(), nn.Linear(6, 5))


def flat(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([gradient.reshape(-1) for gradient in gradients.values()])


def hessian(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The whole matrix, row by row, in float64."""
    double = nn.Sequential(nn.Linear(20, 6), nn.Tanh(), nn.Linear(6, 5)).double()
    double.load_state_dict(model.state_dict())
    parameters = list(double.parameters())
    gradient = torch.autograd.grad(cross_entropy(double, (batch[0].double(), batch[1])), parameters, create_graph=True)
    elements = torch.cat([g.reshape(-1) for g in gradient])
    rows = [torch.autograd.grad(element, parameters, retain_graph=True) for element in elements]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


def form(matrix: torch.Tensor, vector: torch.Tensor) -> float:
    return float(vector @ matrix @ vector)


def signed_forms(matrix: torch.Tensor, micro: Sequence[torch.Tensor]) -> list[float]:
    """q(Σ ε_k h_k) for the signs of two parts: the first pair equal, the second opposite."""
    one, other = micro
    return [form(matrix, one + other), form(matrix, one - other)]


@pytest.mark.parametrize("scaled", [False, True])
def test_one_batch_gives_the_hessians_form_of_all_parts_but_the_last_whose_hessian_it_is(scaled: bool) -> None:
    model = small_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0) if scaled else None
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, hessian_every=1, sink=seen.append, scaler=scaler)
    ((x, y),) = batches([24])
    parts = list(zip(x.split(8), y.split(8), strict=True))
    for _ in range(20):
        watcher.backward(lambda x, y: cross_entropy(model, (x, y)), (x, y), chunks=3)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad()
    watcher.close()
    matrix = hessian(model, parts[2])
    micro = [flat(h) for h in micro_gradients(model, parts[:2], [1 / 3] * 2)]
    total = torch.stack(micro).sum(0)
    # Weights of 1/3: q = Σw² = 2/9, W = Σw = 2/3.
    expected = [value / (2 / 9) for value in signed_forms(matrix, micro)]
    values = {round(measurement["hessian"]["small"]["value"], 6) for measurement in seen}
    assert sorted(values) == pytest.approx(sorted(expected), rel=1e-3)
    # Over the signs the mean is that of the parts' own forms.
    own = [form(matrix, h) / (2 / 9) for h in micro]
    assert sum(expected) / 2 == pytest.approx(sum(own), rel=FLOAT32)
    for measurement in seen:
        assert measurement["hessian"]["big"]["value"] == pytest.approx(form(matrix, total) / (2 / 3) ** 2, rel=1e-3)
        assert measurement["hessian"]["small"]["batch_size"] == pytest.approx(8)
        assert measurement["hessian"]["big"]["batch_size"] == pytest.approx(16)
        assert measurement["small"]["count"] == 3


def test_a_loop_of_its_own_says_which_draws_the_hessian_is_of() -> None:
    model = small_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, hessian_every=2, sink=seen.append)
    *parts, other = batches([8, 8, 16])
    for _ in range(3):
        for part in parts:
            (cross_entropy(model, part) / 2).backward()
        watcher.hessian(lambda x, y: cross_entropy(model, (x, y)), other)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    matrix = hessian(model, other)
    micro = [flat(h) for h in micro_gradients(model, parts, [1 / 2] * 2)]
    total = torch.stack(micro).sum(0)
    assert ["hessian" in measurement for measurement in seen] == [True, False, True]
    assert seen[0]["hessian"]["big"]["value"] == pytest.approx(form(matrix, total), rel=1e-3)
    assert seen[0]["hessian"]["big"]["batch_size"] == 16


class Noisy(nn.Module):
    """Batch normalisation and dropout: what a further forward pass would change."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(20, 9), nn.BatchNorm1d(9), nn.Dropout(0.3), nn.Linear(9, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.net(x)
        return y


def test_the_training_is_bit_for_bit_what_it_is_without_the_hessian() -> None:
    models = [Noisy(), Noisy()]
    for model, every in zip(models, [1, None], strict=True):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        watcher = noisescale.watch(model, optimizer, every=1, hessian_every=every, sink=lambda _: None)
        torch.manual_seed(1)
        for step in range(4):
            (batch,) = batches([24], step)
            watcher.backward(lambda x, y, model=model: cross_entropy(model, (x, y)), batch, chunks=3)
            optimizer.step()
            optimizer.zero_grad()
        watcher.close()
    for one, other in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_without_a_second_derivative_costs_the_hessian_alone() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
            return gradient.clone()

    model = small_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watcher = noisescale.watch(model, optimizer, every=1, hessian_every=1, sink=lambda _: None)

    once: Callable[[torch.Tensor], torch.Tensor] = Once.apply

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(once(model(x)), y)

    for step in range(3):
        (batch,) = batches([24], step)
        watcher.backward(loss, batch, chunks=3)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert watcher.measurements == 3
    assert watcher.counts == {"hessian-failed": 1, "run-ended": 1}


def test_forms_of_uneven_processes_are_those_of_one_pair_of_batch_sizes() -> None:
    slope, noise = 3.0, 40.0
    processes = [sum_parts([8, 3], [0.5, 0.25]), sum_parts([6, 2, 9], [0.3, 0.1, 0.4])]
    ranks = [
        RankSums(
            step=0,
            dropped=None,
            **own._asdict(),
            small=[1.0],
            big=[1.0],
            # What is expected of the forms of each process.
            hessian=(
                own,
                own.squared_weight * slope + own.variance * noise,
                own.weight**2 * slope + own.variance * noise,
            ),
        )
        for own in processes
    ]
    measurement = measurement_of(over_ranks(ranks), None)
    for value in (measurement["hessian"]["small"], measurement["hessian"]["big"]):
        assert value["value"] == pytest.approx(slope + noise / value["batch_size"])


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adams_metric_is_that_of_the_second_moments_from_before_the_step(
    kind: type[torch.optim.Adam], amsgrad: bool
) -> None:
    model = small_network()
    optimizer = kind(model.parameters(), lr=0.01, betas=(0.9, 0.95), eps=1e-4, amsgrad=amsgrad)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, preconditioned=True, sink=seen.append)
    expected = []
    for step in range(4):
        parts = batches([8] * 3, step)
        micro = micro_gradients(model, parts, [1 / 3] * 3)
        roots = {}
        for name, parameter in model.named_parameters():
            state = optimizer.state[parameter]
            if state:
                moment = state["max_exp_avg_sq" if amsgrad else "exp_avg_sq"].double()
                roots[name] = ((moment / (1 - 0.95 ** float(state["step"]))).sqrt() + 1e-4) ** -0.5
        if roots:
            rooted = [flat({name: h[name] * roots[name] for name in h}) for h in micro]
            small = sum(float(h.square().sum()) for h in rooted)
            expected.append((3 * small, float(torch.stack(rooted).sum(0).square().sum())))
        for part in parts:
            (cross_entropy(model, part) / 3).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert ["preconditioned" in measurement for measurement in seen] == [False, True, True, True]
    for measurement, (small, big) in zip(seen[1:], expected, strict=True):
        assert measurement["preconditioned"]["small"] == {"batch_size": 8, "value": pytest.approx(small, rel=FLOAT32)}
        assert measurement["preconditioned"]["big"]["value"] == pytest.approx(big, rel=FLOAT32)
        assert measurement["preconditioned"]["big"]["batch_size"] == pytest.approx(24)


def test_wrong_options_are_named() -> None:
    model = small_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="hessian_every=0: must be a whole number from 1"):
        noisescale.watch(model, optimizer, micro_batch=8, hessian_every=0, sink=lambda _: None)
    with pytest.raises(ValueError, match="preconditioned=True"):
        noisescale.watch(model, optimizer, micro_batch=8, preconditioned=True, sink=lambda _: None)
