"""A Hugging Face Trainer that follows a recommendation while it trains: which rows it takes, and at which rates."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import IterableDataset
from transformers import Trainer

import noisescale
from training import FLOAT32, squares_of
from transformers_following import EPOCH, FACTOR, MICRO_BATCH, RATE, Journal, follow, journal_of
from transformers_training import Row, Sentences, language_model, token_sums, trainer_of


def assert_each_row_once(journal: Journal, epochs: int, batches: int = EPOCH) -> None:
    rows = journal.rows()
    assert list(rows) == list(range(epochs))
    for epoch in range(epochs):
        assert sorted(rows[epoch]) == list(range(batches * MICRO_BATCH))


def test_more_parts_lose_no_row_of_an_epoch_and_the_schedule_ends_with_the_last(tmp_path: Path) -> None:
    trainer, journal, changes, seen = follow(tmp_path, {0: 12}, parts=2, num_train_epochs=3)
    assert [change.accumulation for change in changes] == [3]
    # Told after two steps, four batches; the sixth is the first that three divides.
    first = [2] * 3 + [3] * 6 + [2]
    assert journal.sizes == first + 2 * ([3] * 8 + [2])
    assert_each_row_once(journal, 3)
    assert trainer.state.global_step == trainer.state.max_steps == len(journal.steps)
    assert trainer.state.epoch == 3
    taken = 0
    for number, step in enumerate(journal.steps):
        # Linear, of 39 steps at first.
        expected = RATE * (1 - number / 39) if number <= 3 else FACTOR * RATE * (1 - taken / (3 * EPOCH))
        if number == 3:
            expected *= FACTOR
        assert step.rate == pytest.approx(expected)
        taken += len(step.parts)
    assert trainer.optimizer is not None
    assert trainer.optimizer.param_groups[0]["lr"] == 0
    data, model = Sentences(EPOCH * MICRO_BATCH), language_model()
    for measurement in seen:
        parts = journal.steps[measurement["step"]].parts
        sums = [token_sums(model, [data[row] for row in part]) for part in parts]
        tokens = sum(count for _, count in sums)
        small, big = squares_of([{n: g / tokens for n, g in gradient.items()} for gradient, _ in sums])
        q = sum((count / tokens) ** 2 for _, count in sums)
        assert measurement["units"] == MICRO_BATCH * len(parts)
        assert measurement["small"]["squared_norm"] == pytest.approx(sum(small.values()) / q, rel=FLOAT32)
        assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)


def test_fewer_parts_take_the_whole_epoch_too(tmp_path: Path) -> None:
    trainer, journal, changes, _ = follow(tmp_path, {0: 8}, parts=4, num_train_epochs=2)
    assert [change.accumulation for change in changes] == [2]
    assert journal.sizes == [4] * 2 + [2] * 9 + [2] * 13
    assert_each_row_once(journal, 2)
    assert trainer.state.global_step == trainer.state.max_steps
    assert trainer.optimizer is not None
    assert trainer.optimizer.param_groups[0]["lr"] == 0


def test_steps_that_are_given_stay_and_their_schedule(tmp_path: Path) -> None:
    trainer, journal, changes, _ = follow(tmp_path, {0: 24}, parts=2, max_steps=20)
    # A doubling at most, and then what is left.
    assert [change.accumulation for change in changes] == [4, 6]
    # Told anew after five steps, 16 batches; 24 is the first that six divides.
    assert journal.sizes == [2] * 2 + [4] * 5 + [2] + 2 * ([6] * 4 + [2]) + [6] * 2
    assert trainer.state.global_step == trainer.state.max_steps == 20
    # Two of them at first.
    assert trainer.state.num_train_epochs == 4
    first, second = [change.learning_rate_factor or 0.0 for change in changes]
    factors = [1.0] * 2 + [first] * 5 + [first * second] * 13
    rates = [RATE * factor * (1 - number / 20) for number, factor in enumerate(factors)]
    assert [step.rate for step in journal.steps] == pytest.approx(rates)
    rows = journal.rows()
    last = rows.pop(3)
    assert len(set(last)) == len(last)
    assert [sorted(rows[epoch]) for epoch in rows] == 3 * [list(range(EPOCH * MICRO_BATCH))]


def test_part_of_an_epoch_at_the_end_stays_that_part(tmp_path: Path) -> None:
    trainer, journal, _, _ = follow(tmp_path, {0: 12}, parts=2, num_train_epochs=1.5)
    # Of the second epoch 13 batches.
    assert journal.sizes == [2] * 3 + [3] * 6 + [2] + [3] * 5
    assert trainer.state.global_step == trainer.state.max_steps
    assert trainer.optimizer is not None
    assert trainer.optimizer.param_groups[0]["lr"] == 0


def test_an_epoch_of_few_batches_is_the_most_that_a_step_becomes(tmp_path: Path) -> None:
    trainer, journal, changes, _ = follow(tmp_path, {0: 400}, parts=2, batches=4, num_train_epochs=12)
    # Whole epochs, and the rate is scaled once.
    assert [change.accumulation for change in changes] == [4]
    assert journal.sizes == [2] * 2 + [4] * 11
    assert_each_row_once(journal, 12, batches=4)
    assert changes[0].learning_rate_factor is not None
    assert journal.steps[-1].rate == pytest.approx(changes[0].learning_rate_factor * RATE / 12)
    assert trainer.state.global_step == trainer.state.max_steps


def test_an_epoch_of_one_batch_changes_nothing(tmp_path: Path) -> None:
    _, journal, changes, _ = follow(tmp_path, {0: 400}, parts=2, batches=1, num_train_epochs=3)
    assert (changes, journal.sizes) == ([], [1, 1, 1])


class Stream(IterableDataset[Row]):
    def __init__(self, data: Sentences) -> None:
        self._data = data

    def __iter__(self) -> Iterator[Row]:
        return (self._data[row] for row in range(len(self._data)))


def test_data_without_a_length_is_taken_row_by_row_until_the_steps_are_done(tmp_path: Path) -> None:
    data = Sentences(100 * MICRO_BATCH)
    trainer, journal, _, _ = follow(tmp_path, {0: 12}, parts=2, batches=100, data=Stream(data), max_steps=12)
    # The Trainer supposes 24 batches, and steps after them.
    assert journal.sizes == [2] * 3 + [3] * 9
    assert journal.rows()[0] == list(range(33 * MICRO_BATCH))
    assert trainer.state.global_step == 12


@pytest.mark.parametrize(
    ("arguments", "at"),
    [
        # Eleven steps in the first epoch, and three batches of the second.
        ({"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 14}, 14),
        ({"num_train_epochs": 3, "save_strategy": "epoch"}, 10),
        ({"max_steps": 30, "save_strategy": "steps", "save_steps": 14}, 14),
    ],
    ids=str,
)
def test_a_checkpoint_is_resumed_at_its_row_with_its_parts_and_its_rate(
    arguments: dict[str, object], at: int, tmp_path: Path
) -> None:
    trainer, journal, _, _ = follow(tmp_path, {0: 12}, parts=2, **arguments)  # type: ignore[arg-type]
    checkpoint = str(tmp_path / f"checkpoint-{at}")
    resumed, rest, _, _ = follow(tmp_path, {}, parts=2, checkpoint=checkpoint, **arguments)  # type: ignore[arg-type]
    assert [step.parts for step in rest.steps] == [step.parts for step in journal.steps[at:]]
    assert [step.rate for step in rest.steps] == pytest.approx([step.rate for step in journal.steps[at:]])
    for name in ("global_step", "max_steps", "num_train_epochs", "epoch"):
        assert getattr(resumed.state, name) == getattr(trainer.state, name)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_train_epochs": 2},
        {"num_train_epochs": 1.3},
        {"max_steps": 15},
        {"num_train_epochs": 2, "save_strategy": "epoch", "gradient_accumulation_steps": 5},
    ],
    ids=str,
)
def test_without_a_change_the_training_is_the_one_without_the_hook(
    arguments: dict[str, object], tmp_path: Path
) -> None:
    # The last step of an epoch has two batches.
    data = Sentences(EPOCH * MICRO_BATCH)
    common = {"learning_rate": 0.1, "train_sampling_strategy": "random", "max_grad_norm": 0.0, **arguments}
    plain = trainer_of(tmp_path / "plain", data, **{"parts": 4, "micro_batch": MICRO_BATCH, **common})  # type: ignore[arg-type]
    expected = journal_of(plain, data)
    plain.train()
    trainer, journal, changes, _ = follow(tmp_path / "followed", {}, parts=4, **common)  # type: ignore[arg-type]
    assert changes == []
    assert journal.steps == expected.steps
    for own, others in zip(trainer.model.parameters(), plain.model.parameters(), strict=True):  # type: ignore[union-attr]
        assert torch.equal(own, others)
    for name in ("global_step", "max_steps", "num_train_epochs", "epoch"):
        assert getattr(trainer.state, name) == getattr(plain.state, name)


def test_a_trainer_that_is_not_of_transformers_5_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Trainer, "_run_epoch")
    trainer = trainer_of(tmp_path, Sentences(8), parts=2, micro_batch=MICRO_BATCH)
    with pytest.raises(ValueError, match="follow_recommendation=True: needs transformers 5, whose Trainer has _run"):
        noisescale.transformers.attach(trainer, follow_recommendation=True)
