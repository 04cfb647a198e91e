"""`watch` on what Accelerate prepared."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.utils.data import DataLoader, TensorDataset

import noisescale
from noisescale.wire import Measurement
from training import assert_squares, batches, brute_force, cross_entropy, network


def test_accumulation_under_accelerate_gives_the_squares_of_brute_force() -> None:
    ((x, y),) = batches([8 * 7])
    accelerator = Accelerator(gradient_accumulation_steps=3, cpu=True)
    inner = network()
    model, optimizer, loader = accelerator.prepare(
        inner, torch.optim.SGD(inner.parameters(), lr=0.0), DataLoader(TensorDataset(x, y), batch_size=8)
    )
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, layers=True, sink=seen.append)
    for part in loader:
        with accelerator.accumulate(model):
            accelerator.backward(cross_entropy(model, part))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
            optimizer.zero_grad()
    watcher.close()
    AcceleratorState._reset_state(reset_partial_state=True)
    # The seventh batch ends the loader, and with it a short accumulation.
    assert watcher.counts == {"parts-changed": 1, "run-ended": 1}
    assert len(seen) == 2
    for step, measurement in enumerate(seen):
        parts = list(zip(x.split(8), y.split(8), strict=True))[3 * step : 3 * step + 3]
        small, big = brute_force(network(), parts, [1 / 3] * 3)
        assert_squares(measurement, small, big, 1 / 3)
        assert (measurement["small"]["batch_size"], measurement["big"]["batch_size"]) == pytest.approx((8, 24))


def test_the_optimizer_within_is_what_the_collector_is_told_of(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    inner = network()
    model, optimizer = accelerator.prepare(inner, torch.optim.AdamW(inner.parameters()))
    noisescale.watch(model, optimizer, micro_batch=8, sink=tmp_path / "m.ndjson").close()
    AcceleratorState._reset_state(reset_partial_state=True)
    (declared,) = (tmp_path / "m.ndjson").read_text().splitlines()
    assert json.loads(declared)["run"]["optimizer"] == "adam"
