"""Steps that the cadence leaves out."""

import pytest
import torch
from torch import nn

import noisescale


@pytest.mark.parametrize("per_example", [False, True])
def test_nothing_is_attached_to_model_and_parameters_in_a_step_that_is_not_measured(per_example: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 9), nn.ReLU(), nn.Linear(9, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = noisescale.watch(model, optimizer, every=3, sink=lambda _: None)

    def something_is_attached() -> bool:
        on_parameters = any(p._backward_hooks or p._post_accumulate_grad_hooks for p in model.parameters())
        return on_parameters or any(m._forward_hooks or "forward" in m.__dict__ for m in model.modules())

    for step in range(7):
        assert watcher.measuring == (step % 3 == 0)
        assert something_is_attached() == watcher.measuring
        if not watcher.measuring:
            # A dictionary that is empty is called by each backward pass as one with hooks is.
            assert all(p._backward_hooks is None is p._post_accumulate_grad_hooks for p in model.parameters())
        x, y = torch.randn(8, 20), torch.randint(0, 5, (8,))
        watcher.backward(lambda x, y: nn.functional.cross_entropy(model(x), y), (x, y), per_example=per_example)
        optimizer.step()
        optimizer.zero_grad()
    assert watcher.measurements == 3


def test_hooks_of_others_on_the_parameters_stay() -> None:
    model = nn.Linear(20, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    called = []
    model.weight.register_hook(lambda _: called.append("before"))
    model.weight.register_post_accumulate_grad_hook(lambda _: called.append("after"))
    watcher = noisescale.watch(model, optimizer, every=2, sink=lambda _: None)
    for _ in range(3):
        watcher.backward(lambda x: model(x).square().mean(), (torch.randn(8, 20),), chunks=1)
        optimizer.step()
    assert called == ["before", "after"] * 3
