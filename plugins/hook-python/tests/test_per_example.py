"""Squares of each example's gradient, compared with a backward pass for each example."""

from collections.abc import Callable, Sequence
from typing import Literal

import pytest
import torch
from torch import nn

import noisescale
from noisescale.wire import Measurement
from training import FLOAT32, micro_gradients, squares_of

EXAMPLES = 6
Mode = Literal["zeros", "replicate", "circular"]
MODES: tuple[Mode, ...] = ("zeros", "replicate", "circular")


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        y: torch.Tensor = self.out(nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))
        return y


class Block(nn.Module):
    """A small transformer: what the norms are said to cover, together."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8, padding_idx=0)
        self.norm, self.attention, self.last = norm(8), Attention(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.words(x)
        y: torch.Tensor = self.last(h + self.attention(self.norm(h))).mean(1)
        return y


def images(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(5))


def words() -> torch.Tensor:
    return torch.randint(0, 11, (EXAMPLES, 7))


def rows() -> torch.Tensor:
    return torch.randn(8, 20)


def convolution(
    kind: type[nn.Conv1d] | type[nn.Conv2d], mode: Mode, shape: Sequence[int]
) -> tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]:
    return (
        lambda: images(kind(4, 6, 3, stride=2, dilation=2, groups=2, padding=2, padding_mode=mode), nn.Tanh()),
        lambda: torch.randn(EXAMPLES, 4, *shape),
    )


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]] = {
    "Linear": (
        lambda: nn.Sequential(nn.Linear(20, 9), nn.ReLU(inplace=True), nn.Linear(9, 5, bias=False)),
        lambda: torch.randn(EXAMPLES, 20),
    ),
    "Linear over a short sequence, by Gram matrices": (
        lambda: nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Flatten(), nn.Linear(80, 5)),
        lambda: torch.randn(EXAMPLES, 2, 30),
    ),
    "Linear over a sequence, as sums of each example's gradient": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Flatten(), nn.LazyLinear(5)),
        lambda: torch.randn(EXAMPLES, 5, 10, 4),
    ),
    "Linear over a long sequence": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(80, 5)),
        lambda: torch.randn(EXAMPLES, 4, 5, 3),
    ),
    "Embedding, LayerNorm, attention": (lambda: Block(nn.LayerNorm), words),
    "Embedding, RMSNorm, attention": (lambda: Block(nn.RMSNorm), words),
    "Conv1d": (
        lambda: images(nn.Conv1d(3, 6, 3, padding="same", dilation=2), nn.Tanh()),
        lambda: torch.randn(EXAMPLES, 3, 12),
    ),
    "Conv2d, GroupNorm": (
        lambda: images(nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, bias=False), nn.GroupNorm(3, 6), nn.Tanh()),
        lambda: torch.randn(EXAMPLES, 4, 9, 8),
    ),
    "Conv2d in groups, reflected": (
        lambda: images(nn.Conv2d(4, 6, 3, groups=2, padding=1, padding_mode="reflect"), nn.Tanh()),
        lambda: torch.randn(EXAMPLES, 4, 6, 6),
    ),
    **{
        f"{kind.__name__}, {mode}, strided, dilated, in groups": convolution(kind, mode, shape)
        for kind, shape in ((nn.Conv1d, (10,)), (nn.Conv2d, (9, 8)))
        for mode in MODES
    },
    "Conv2d in groups, by Gram matrices": (
        lambda: images(nn.Conv2d(16, 20, 3, stride=2, groups=2), nn.Tanh()),
        lambda: torch.randn(EXAMPLES, 16, 5, 5),
    ),
    "Conv2d of each channel, a stride that leaves a rest": (
        lambda: images(nn.Conv2d(4, 8, 3, stride=3, groups=4), nn.Tanh()),
        lambda: torch.randn(EXAMPLES, 4, 10, 8),
    ),
    "LayerNorm over two dimensions": (
        lambda: images(nn.LayerNorm((3, 4), bias=False), nn.Linear(4, 4)),
        lambda: torch.randn(EXAMPLES, 2, 3, 4),
    ),
    "GroupNorm of rows": (
        lambda: nn.Sequential(nn.Linear(20, 8), nn.GroupNorm(2, 8), nn.Linear(8, 5)),
        lambda: torch.randn(EXAMPLES, 20),
    ),
    "Embedding of one word each": (
        lambda: nn.Sequential(nn.Embedding(11, 8, padding_idx=0), nn.Linear(8, 5)),
        lambda: torch.randint(0, 11, (EXAMPLES,)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_examples_square_is_that_of_its_own_backward_pass(case: str) -> None:
    torch.manual_seed(0)
    make, draw = CASES[case]
    model, x, y = make(), draw(), torch.randint(0, 5, (EXAMPLES,))
    model(x)  # Gives lazy layers their size.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, layers=True, sink=seen.append)

    def loss_fn(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(model(x), y)

    # From the second step on, weights get their gradients as sums of the examples'.
    for _ in range(2):
        loss = watcher.backward(loss_fn, (x, y), per_example=True)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert watcher.counts == {"run-ended": 1}
    one_by_one = [(x[i : i + 1], y[i : i + 1]) for i in range(EXAMPLES)]
    small, big = squares_of(
        micro_gradients(model, one_by_one, [1 / EXAMPLES] * EXAMPLES, lambda _, batch: loss_fn(*batch))
    )
    for measurement in seen:
        assert (measurement["small"]["batch_size"], measurement["big"]["batch_size"]) == pytest.approx((1, EXAMPLES))
        assert measurement["small"]["count"] == EXAMPLES
        assert measurement["small"]["squared_norm"] == pytest.approx(EXAMPLES * sum(small.values()), rel=FLOAT32)
        assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
        assert measurement["loss"] == pytest.approx(float(loss))
        for layer, (layer_small, layer_big) in measurement["layers"].items():
            own = [name for name in small if name.rsplit(".", 1)[0] == layer]
            assert layer_small == pytest.approx(EXAMPLES * sum(small[name] for name in own), rel=FLOAT32)
            assert layer_big == pytest.approx(sum(big[name] for name in own), rel=FLOAT32)


def test_squares_of_loss_scaled_gradients_in_float16_do_not_overflow() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 400), nn.Tanh(), nn.Linear(400, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    batch = torch.randn(EXAMPLES, 7, 300), torch.randn(EXAMPLES)

    def loss_fn(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.float16):
            loss: torch.Tensor = (model(x).float().flatten(1).mean(1) - y).square().mean()
            return loss

    def measured(**options: bool) -> Measurement:
        seen: list[Measurement] = []
        watcher = noisescale.watch(model, optimizer, every=1, scaler=scaler, sink=seen.append)
        watcher.backward(loss_fn, batch, **options)  # type: ignore[arg-type]
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        watcher.close()
        (measurement,) = seen
        return measurement

    each = micro_gradients(
        model,
        [(batch[0][i : i + 1], batch[1][i : i + 1]) for i in range(EXAMPLES)],
        [1.0] * EXAMPLES,
        lambda _, part: loss_fn(*part),
    )
    small, _ = squares_of(each)
    # Rounding to float16.
    assert measured(per_example=True)["small"]["squared_norm"] == pytest.approx(
        sum(small.values()) / EXAMPLES, rel=0.01
    )


def test_squares_in_bfloat16_are_those_of_its_own_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 400), nn.Tanh(), nn.Linear(400, 2)).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x, y = torch.randn(40, 300, dtype=torch.bfloat16), torch.randint(0, 2, (40,))

    def loss_fn(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(model(x).float(), y)

    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, sink=seen.append)
    watcher.backward(loss_fn, (x, y), per_example=True)
    optimizer.step()
    one_by_one = [(x[i : i + 1], y[i : i + 1]) for i in range(40)]
    each = micro_gradients(model, one_by_one, [1.0] * 40, lambda _, part: loss_fn(*part))
    small, _ = squares_of(each)
    # Gradients are rounded to 8 bits, their norms are not.
    assert seen[0]["small"]["squared_norm"] == pytest.approx(sum(small.values()) / 40, rel=0.002)


def test_a_step_with_a_second_backward_pass_is_left_out() -> None:
    torch.manual_seed(0)
    model, x, y = nn.Linear(20, 5), torch.randn(EXAMPLES, 20), torch.randint(0, 5, (EXAMPLES,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, sink=seen.append)
    for step in range(4):
        watcher.backward(lambda x, y: nn.functional.cross_entropy(model(x), y), (x, y), per_example=True)
        if step == 1:
            model(x).square().mean().backward()
        if step == 2:
            watcher.backward(lambda x, y: nn.functional.cross_entropy(model(x), y), (x, y), per_example=True)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert [measurement["step"] for measurement in seen] == [0, 3]
    assert watcher.counts == {"parts-changed": 2, "run-ended": 1}
    assert seen[0]["small"] == seen[1]["small"]


def test_a_training_measured_by_example_is_the_one_that_is_not() -> None:
    """Sums of each example's gradient differ from the product over all by rounding alone."""
    gradients, losses = [], []
    for every in (1, 10**9):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(11, 8), nn.Dropout(0.2), nn.LayerNorm(8), nn.Linear(8, 9), nn.Linear(9, 5))
        model[4].bias.requires_grad_(False)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
        watcher = noisescale.watch(model, optimizer, every=every, sink=lambda _: None)
        x, y = torch.randint(0, 11, (EXAMPLES, 40)), torch.randint(0, 5, (EXAMPLES, 40))
        for _ in range(4):
            optimizer.zero_grad()
            loss = watcher.backward(
                lambda x, y, m=model: nn.functional.cross_entropy(m(x).mT, y),
                (x, y),
                per_example=True,
            )
            optimizer.step()
        assert "forward" not in model[3].__dict__
        losses.append(float(loss))
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-7)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(11, 5), nn.Linear(5, 11, bias=False)
        self.last.weight = self.words.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.words(x)).mean(1)
        return y


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(20, 20), nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.layer(torch.tanh(self.layer(x))))
        return y


class Past(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(20, 20), nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(torch.tanh(x @ self.layer.weight))
        return y


class DifferentiatedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(20, 20), nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.layer(x.requires_grad_()))
        (slope,) = torch.autograd.grad(h.sum(), x, create_graph=True)
        y: torch.Tensor = self.last(h + slope)
        return y


class Last(nn.Module):
    """A sequence's last place, of a layer's output or of the first of its outputs."""

    def forward(self, x: torch.Tensor | tuple[torch.Tensor, object]) -> torch.Tensor:
        whole = x if isinstance(x, torch.Tensor) else x[0]
        return whole[:, -1]


@pytest.mark.parametrize(
    ("make", "draw", "said", "first"),
    [
        (Tied, words, "last shares a parameter with words", 0),
        (
            lambda: nn.Sequential(nn.Linear(20, 5), nn.BatchNorm1d(5)),
            lambda: torch.randn(8, 20),
            "1 is a BatchNorm1d",
            0,
        ),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (5, 4)), nn.TransformerEncoderLayer(4, 2, 8), Last()),
            lambda: torch.randn(8, 20),
            "1.self_attn is a MultiheadAttention",
            0,
        ),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (5, 4)), nn.LSTM(4, 5, batch_first=True), Last()),
            lambda: torch.randn(8, 20),
            "1 is a LSTM",
            0,
        ),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (1, 5, 2, 2)), nn.Conv3d(1, 2, 2), nn.Flatten()),
            lambda: torch.randn(8, 20),
            "1 is a Conv3d",
            0,
        ),
        (
            lambda: nn.Sequential(nn.Embedding(11, 5, scale_grad_by_freq=True), Last()),
            words,
            "Embedding: scale_grad_by_freq",
            1,
        ),
        # Seen only in the first measured step, which has no parts then.
        (Twice, rows, "layer is called more than once", 1),
        (Past, rows, "a parameter is used past its layer's forward pass", 1),
        (DifferentiatedTwice, rows, "a Linear is differentiated more than once", 1),
    ],
)
def test_what_is_not_covered_is_named_and_chunks_are_the_parts(
    make: Callable[[], nn.Module],
    draw: Callable[[], torch.Tensor],
    said: str,
    first: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.manual_seed(0)
    model, x = make(), draw()
    y = torch.randint(0, 5, (len(x),))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, sink=seen.append)
    for _ in range(3):
        watcher.backward(lambda x, y: nn.functional.cross_entropy(model(x), y), (x, y), chunks=2, per_example=True)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert [measurement["step"] for measurement in seen] == list(range(first, 3))
    assert {measurement["small"]["count"] for measurement in seen} == {2}
    assert watcher.counts["not-covered"] == 1
    assert "one-part" not in watcher.counts
    assert said in caplog.text
