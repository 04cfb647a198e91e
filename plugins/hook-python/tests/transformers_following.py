"""A Trainer that follows a collector's recommendation, and a journal of the rows and the rates of its steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import noisescale
from collector_double import RecordingCollector
from noisescale.wire import BriefSnapshot
from test_batch_size_control import answered
from transformers_training import Row, Sentences, trainer_of

MICRO_BATCH = 4
# Weights as good as fixed, so that each part's gradient can be computed afterwards.
RATE = 1e-9
FACTOR = 1.5
EPOCH = 26


class Step(NamedTuple):
    epoch: int
    parts: list[list[int]]
    rate: float


class Journal(TrainerCallback):
    """Notes what each step took, and waits for the collector's answer to it."""

    def __init__(self, data: Sentences, model: nn.Module) -> None:
        self.steps: list[Step] = []
        self.attached: noisescale.transformers.Attachment | None = None
        self._row_of = {tuple(tokens.tolist()): row for row, tokens in enumerate(data.tokens)}
        self._parts: list[list[int]] = []
        self._epoch = -1
        model.register_forward_pre_hook(self._took, with_kwargs=True)

    def _took(self, module: nn.Module, args: object, inputs: Mapping[str, torch.Tensor]) -> None:
        self._parts.append([self._row_of[tuple(tokens.tolist())] for tokens in inputs["input_ids"]])

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self._epoch = round(state.epoch or 0)

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: torch.optim.Optimizer | None = None,
        **kwargs: object,
    ) -> None:
        assert optimizer is not None
        self.steps.append(Step(self._epoch, self._parts, optimizer.param_groups[0]["lr"]))
        self._parts = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if self.attached is not None and self.attached.watcher is not None:
            self.attached.watcher.flush()

    @property
    def sizes(self) -> list[int]:
        return [len(step.parts) for step in self.steps]

    def rows(self) -> dict[int, list[int]]:
        """In each epoch, in their order."""
        rows: dict[int, list[int]] = {}
        for step in self.steps:
            rows.setdefault(step.epoch, []).extend(row for part in step.parts for row in part)
        return rows


def journal_of(trainer: Trainer, data: Sentences) -> Journal:
    assert isinstance(trainer.model, nn.Module)
    journal = Journal(data, trainer.model)
    trainer.add_callback(journal)
    return journal


def follow(
    folder: Path,
    recommended: Mapping[int, float],
    *,
    parts: int,
    batches: int = EPOCH,
    data: Dataset[Row] | IterableDataset[Row] | None = None,
    checkpoint: str | None = None,
    **arguments: object,
) -> tuple[Trainer, Journal, list[noisescale.BatchSizeChange], list[Any]]:
    """Trains with a collector that recommends, from a step on, a batch size [rows]."""

    def answer(measurement: Any) -> BriefSnapshot:  # noqa: ANN401
        own = {name: measurement[name] for name in ("step", "attempt")}
        latest = max((step for step in recommended if step <= measurement["step"]), default=None)
        size = measurement["units"] if latest is None else recommended[latest]
        return answered(batch_size=measurement["units"], recommended=size, factor=FACTOR, **own)

    changes: list[noisescale.BatchSizeChange] = []
    sentences = Sentences(batches * MICRO_BATCH)
    trainer = trainer_of(
        folder,
        sentences if data is None else data,
        parts=parts,
        micro_batch=MICRO_BATCH,
        **{"learning_rate": RATE, "train_sampling_strategy": "random", **arguments},
    )
    journal = journal_of(trainer, sentences)
    with RecordingCollector() as collector:
        collector.answer = answer
        journal.attached = noisescale.transformers.attach(
            trainer,
            follow_recommendation=True,
            sink=collector.url,
            every=1,
            spool_directory=folder,
            user_runs=False,
            on_recommendation=changes.append,
            batch_size_limits=noisescale.BatchSizeLimits(agreeing_measurements=0, measurements_between=2),
        )
        trainer.train(resume_from_checkpoint=checkpoint)
        sent = [body["measurements"] for _, path, body in collector.requests if path.endswith("/measurements")]
    return trainer, journal, changes, [measurement for some in sent for measurement in some]
