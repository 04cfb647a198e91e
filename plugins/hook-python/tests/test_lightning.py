"""What the callback measures in a Lightning training, compared with the parts' gradients computed one by one."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import noisescale
from lightning_training import Network, fit
from training import FLOAT32, assert_squares, batches, brute_force, cross_entropy, network


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_accumulated_batches_are_the_parts_whether_or_not_gradients_are_clipped(clip: float | None) -> None:
    parts = batches([8] * 9)
    seen, watcher = fit(parts, accumulate_grad_batches=3, gradient_clip_val=clip)
    assert [measurement["step"] for measurement in seen] == [0, 1, 2]
    for step, measurement in enumerate(seen):
        own = parts[3 * step : 3 * step + 3]
        small, big = brute_force(network(), own, [1 / 3] * 3)
        assert_squares(measurement, small, big, 1 / 3, prefix="net.")
        assert (measurement["small"]["batch_size"], measurement["big"]["batch_size"]) == pytest.approx((8, 24))
        losses = [cross_entropy(network(), part).item() for part in own]
        assert measurement["loss"] == pytest.approx(sum(losses) / 3, rel=FLOAT32)
    assert watcher.counts == {"run-ended": 1}


def test_the_short_accumulation_at_the_end_of_an_epoch_is_left_out() -> None:
    seen, watcher = fit(batches([8] * 4), accumulate_grad_batches=3)
    assert len(seen) == 1
    assert watcher.counts == {"parts-changed": 1, "run-ended": 1}


def test_uneven_batches_have_their_own_sizes() -> None:
    seen, _ = fit(batches([8, 4]), accumulate_grad_batches=2)
    # Equal weights: b = q/c with q = 1/2 and c = (1/8 + 1/4)/4.
    assert seen[0]["small"]["batch_size"] == pytest.approx(16 / 3)
    assert seen[0]["units"] == 12


def test_a_single_batch_a_step_is_unavailable() -> None:
    seen, watcher = fit(batches([8] * 3))
    assert seen == []
    assert watcher.counts == {"one-part": 1, "run-ended": 1}


def test_manual_optimization_is_measured_too() -> None:
    parts = batches([8] * 2)
    seen, _ = fit(parts, module=Network(manual=True))
    small, big = brute_force(network(), parts, [1 / 2] * 2)
    assert_squares(seen[0], small, big, 1 / 2, prefix="net.")


def test_mixed_precision_is_measured_as_it_trains() -> None:
    parts = batches([8] * 4)

    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return cross_entropy(model, batch)

    seen, _ = fit(parts, accumulate_grad_batches=4, precision="bf16-mixed")
    small, big = brute_force(network(), parts, [1 / 4] * 4, loss)
    # The same rounding on both sides: gradients themselves are float32.
    assert_squares(seen[0], small, big, 1 / 4, prefix="net.")


def test_a_training_that_fails_ends_the_run_as_failed() -> None:
    class Failing(Network):
        def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
            if batch_idx == 2:
                raise RuntimeError("out of data")
            return super().training_step(batch, batch_idx)

    with pytest.raises(RuntimeError, match="out of data"):
        fit(batches([8] * 4), module=Failing(), accumulate_grad_batches=2)


def quiet(callback: noisescale.lightning.Callback, **options: object) -> pl.Trainer:
    return pl.Trainer(
        **{  # type: ignore[arg-type]
            "max_epochs": 1,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [callback],
            **options,
        }
    )


def loader() -> DataLoader[tuple[torch.Tensor, ...]]:
    ((x, y),) = batches([32])
    return DataLoader(TensorDataset(x, y), batch_size=8)


def test_batches_whose_units_cannot_be_told_leave_the_step_out_and_the_training_goes_on() -> None:
    def units_of(batch: object) -> float:
        raise ValueError("no tensor")

    callback = noisescale.lightning.Callback(sink=lambda measurement: None, every=1, units_of=units_of)
    trainer = quiet(callback, accumulate_grad_batches=2)
    trainer.fit(Network(), loader())
    assert trainer.global_step == 2
    assert callback.watcher is not None
    assert callback.watcher.counts == {"part-sizes": 2, "run-ended": 1}


def test_a_checkpoint_keeps_the_number_of_batches_that_its_rate_is_for() -> None:
    callback = noisescale.lightning.Callback(sink="http://127.0.0.1:9", follow_recommendation=True, enabled=False)
    assert callback.state_dict() == {}
    callback.load_state_dict({"accumulate_grad_batches": 2})
    trainer = quiet(callback)
    trainer.fit(Network(), loader())
    assert (trainer.accumulate_grad_batches, trainer.global_step) == (2, 2)
    assert callback.state_dict() == {"accumulate_grad_batches": 2}
