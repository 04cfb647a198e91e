"""A Lightning training that learns nothing, so that the parts' gradients can be computed one by one beside it."""

from collections.abc import Sequence
from itertools import pairwise

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import noisescale
from noisescale.wire import Measurement
from training import Batch, cross_entropy, network


class Network(pl.LightningModule):
    def __init__(self, manual: bool = False) -> None:
        super().__init__()
        self.net = network()
        self.automatic_optimization = not manual

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = cross_entropy(self.net, (batch[0], batch[1]))
        if not self.automatic_optimization:
            self.manual_backward(loss / 2)
            if batch_idx % 2 == 1:
                optimizer = self.optimizers()
                assert not isinstance(optimizer, list)
                optimizer.step()
                optimizer.zero_grad()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(
    parts: Sequence[Batch], *, module: Network | None = None, **options: object
) -> tuple[list[Measurement], noisescale.Watcher]:
    """One epoch over the parts, each a batch of the loader."""
    data = TensorDataset(torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
    rows = [0]
    for x, _ in parts:
        rows.append(rows[-1] + len(x))
    loader = DataLoader(data, batch_sampler=[list(range(a, b)) for a, b in pairwise(rows)])
    seen: list[Measurement] = []
    callback = noisescale.lightning.Callback(sink=seen.append, every=1, layers=True)
    trainer = pl.Trainer(
        **{  # type: ignore[arg-type]
            "max_epochs": 1,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "use_distributed_sampler": False,
            "callbacks": [callback],
            **options,
        }
    )
    trainer.fit(module or Network(), loader)
    assert callback.watcher is not None
    return seen, callback.watcher


def inner(module: nn.Module) -> nn.Module:
    assert isinstance(module, Network)
    return module.net
