"""What `attach` measures in a Hugging Face training, compared with gradients of each part's tokens."""

from pathlib import Path

import pytest
import torch

import noisescale
from noisescale.wire import Measurement
from training import FLOAT32, assert_squares, squares_of
from transformers_training import Sentences, language_model, token_sums, train, trainer_of


@pytest.mark.parametrize("unit", ["example", "token"])
def test_parts_of_a_loss_over_tokens_are_weighted_by_their_tokens(unit: str, tmp_path: Path) -> None:
    seen, watcher = train(
        tmp_path, 24, parts=3, micro_batch=4, options={"unit": unit, "layers": True}, max_grad_norm=1e-3
    )
    assert [measurement["step"] for measurement in seen] == [0, 1]
    assert watcher.counts == {"run-ended": 1}
    data, model = Sentences(24), language_model()
    for step, measurement in enumerate(seen):
        parts = [[data[row] for row in range(start, start + 4)] for start in range(12 * step, 12 * step + 12, 4)]
        sums = [token_sums(model, part) for part in parts]
        tokens = [count for _, count in sums]
        weights = [count / sum(tokens) for count in tokens]
        small, big = squares_of([{n: g / sum(tokens) for n, g in gradient.items()} for gradient, _ in sums])
        units = tokens if unit == "token" else [4] * 3
        q = sum(w * w for w in weights)
        c = sum(w * w / n for w, n in zip(weights, units, strict=True))
        assert len(set(tokens)) == 3
        assert_squares(measurement, small, big, q)
        assert measurement["small"]["batch_size"] == pytest.approx(q / c)
        assert measurement["big"]["batch_size"] == pytest.approx(1 / c)
        assert measurement["units"] == sum(units)
        with torch.no_grad():
            losses = [loss_of_tokens(model, part) for part in parts]
        assert measurement["loss"] == pytest.approx(sum(losses) / sum(tokens), rel=FLOAT32)


def loss_of_tokens(model: torch.nn.Module, rows: list[dict[str, torch.Tensor]]) -> float:
    labels = torch.stack([row["labels"] for row in rows])
    logits = model(
        input_ids=torch.stack([row["input_ids"] for row in rows]),
        attention_mask=torch.stack([row["attention_mask"] for row in rows]),
    ).logits
    flat = logits[:, :-1].reshape(-1, logits.shape[-1])
    return float(torch.nn.functional.cross_entropy(flat, labels[:, 1:].reshape(-1), reduction="sum"))


def test_the_short_accumulation_at_the_end_of_an_epoch_is_left_out(tmp_path: Path) -> None:
    seen, watcher = train(tmp_path, 20, parts=3, micro_batch=4)
    assert len(seen) == 1
    assert watcher.counts == {"parts-changed": 1, "run-ended": 1}


def test_one_batch_a_step_is_unavailable(tmp_path: Path) -> None:
    seen, watcher = train(tmp_path, 8, parts=1, micro_batch=4)
    assert seen == []
    assert watcher.counts["one-part"] == 1


def test_a_batch_with_a_number_among_its_tensors_has_the_rows_of_the_others(tmp_path: Path) -> None:
    seen: list[Measurement] = []
    trainer = trainer_of(tmp_path, Sentences(16), parts=2, micro_batch=4)
    inner = trainer.training_step

    def with_number(model: torch.nn.Module, inputs: dict[str, object], items: torch.Tensor | None) -> torch.Tensor:
        return inner(model, {name: inputs[name] for name in ("input_ids", "attention_mask", "labels")}, items)

    vars(trainer)["training_step"] = with_number
    attached = noisescale.transformers.attach(trainer, sink=seen.append, every=1)
    collate = trainer.data_collator
    trainer.data_collator = lambda rows: {"temperature": torch.tensor(1.0), **collate(rows)}
    trainer.train()
    assert attached.watcher is not None
    assert attached.watcher.counts == {"run-ended": 1}
    assert [measurement["units"] for measurement in seen] == [8, 8]
