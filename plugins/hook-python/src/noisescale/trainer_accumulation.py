"""Changes how many batches the Hugging Face Trainer accumulates, while it trains."""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import ProgressCallback, Trainer, TrainingArguments
from transformers.trainer_utils import has_length

from noisescale.batch_size_control import BatchSizeChange
from noisescale.following import Following
from noisescale.pytorch.learning_rate import scale_learning_rate
from noisescale.pytorch.watch import WatchOptions

# Under which a checkpoint's `trainer_state.json` says where the data is.
_SAVED = "noisescale"
_METHODS = ("set_initial_training_values", "_init_training_state", "_run_epoch", "get_batch_samples")

Samples = list[dict[str, object]]


class TrainerAccumulation:
    """Does anew what a Trainer fixes for a whole training by the number of batches that it accumulates at first.

    Those are the steps of an epoch; the steps of the training and its schedule, where it is given in epochs; the
    epochs, where it is given in steps; and where a checkpoint is in the data. Until a first change each is the
    Trainer's own.
    """

    def __init__(self, trainer: Trainer) -> None:
        """Replaces methods of this one Trainer.

        Raises:
            ValueError: The installed transformers has not got them.
        """
        missing = [name for name in _METHODS if not hasattr(trainer, name)]
        if missing:
            raise ValueError(f"follow_recommendation=True: needs transformers 5, whose Trainer has {missing[0]}")
        self._trainer = trainer
        self._of_trainer: dict[str, Callable[..., Any]] = {name: getattr(trainer, name) for name in _METHODS}
        vars(trainer).update({name: getattr(self, f"_{name.lstrip('_')}") for name in _METHODS})
        self._following: Following | None = None
        self._changed = False
        # That each process has in an epoch; without a length the Trainer supposes them, and steps after the last.
        self._batches = 0
        self._has_length = True
        # Steps that the schedule was made for.
        self._schedule_steps = 0
        self._epoch = 0
        # Batches of the epoch so far.
        self._taken = 0

    def begin(self, options: WatchOptions) -> Following:
        """Says what to call `watch` with, when training begins."""
        self._following = Following(options, self._batches if self._has_length else math.inf)
        if self._changed:
            self._schedule_by_data()
        self._set_lengths()
        return self._following

    def _set_initial_training_values(
        self, args: TrainingArguments, dataloader: DataLoader[object]
    ) -> tuple[object, ...]:
        epochs, *rest = self._of_trainer["set_initial_training_values"](args, dataloader)
        self._batches, self._schedule_steps = rest[-2:]
        self._has_length = has_length(dataloader)
        # It ends after so many steps; of more batches they take more epochs.
        return (sys.maxsize if args.max_steps > 0 else epochs, *rest)

    def _init_training_state(self, *args: object, **kwargs: object) -> tuple[int, int]:
        trainer = self._trainer
        self._epoch, self._taken = self._of_trainer["_init_training_state"](*args, **kwargs)
        saved = _saved_by_name(trainer)
        self._changed = _SAVED in saved
        if self._changed:
            # The Trainer's own count of batches supposes that all steps had the same number.
            place = saved[_SAVED]["attributes"]
            trainer.args.gradient_accumulation_steps = place["accumulation"]
            self._epoch, self._taken = place["epoch"], place["batches"]
            if self._has_length and self._taken >= self._batches:
                self._epoch, self._taken = self._epoch + 1, 0
            if trainer.args.ignore_data_skip:
                self._taken = 0
        return self._epoch, self._taken

    def _run_epoch(self, **kwargs: object) -> None:
        self._epoch = cast(int, kwargs["epoch"])
        resumed = self._epoch == kwargs["epochs_trained"] and kwargs["resume_from_checkpoint"] is not None
        self._taken = cast(int, kwargs["steps_trained_in_current_epoch"]) if resumed else 0
        # More than there can be: `get_batch_samples` ends the epoch.
        kwargs["num_update_steps_per_epoch"] = self._taken + self._batches
        self._of_trainer["_run_epoch"](**kwargs)

    def _get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, object]], num_batches: int, device: torch.device
    ) -> tuple[Samples, torch.Tensor | int | None]:
        """Hands out the batches up to the Trainer's next step."""
        trainer = self._trainer
        batches: Samples = []
        items: torch.Tensor | int | None = None
        if self._taken < self._batches or not self._has_length:
            change = None if self._following is None else self._following.due(self._taken)
            if change is not None:
                self._change(change)
            accumulation = trainer.args.gradient_accumulation_steps
            more = accumulation - self._taken % accumulation
            if self._taken < self._batches:
                more = min(more, self._batches - self._taken)
            batches, items = self._of_trainer["get_batch_samples"](epoch_iterator, more, device)
            first = self._taken == 0
            self._taken += len(batches)
            last = len(batches) < accumulation or (self._has_length and self._taken >= self._batches)
            if self._following is not None and last and not first:
                self._following.leave_out()
        if not batches:
            trainer.control.should_epoch_stop = True
        elif self._changed:
            place = {
                "accumulation": trainer.args.gradient_accumulation_steps,
                "epoch": self._epoch,
                "batches": self._taken,
            }
            _saved_by_name(trainer)[_SAVED] = {"attributes": place}
        return batches, items

    def _change(self, change: BatchSizeChange) -> None:
        trainer = self._trainer
        trainer.args.gradient_accumulation_steps = change.accumulation
        if change.learning_rate_factor is not None and trainer.optimizer is not None:
            scale_learning_rate(trainer.optimizer, change.learning_rate_factor, [trainer.lr_scheduler])
        if not self._changed:
            self._changed = True
            self._schedule_by_data()
        self._set_lengths()

    def _set_lengths(self) -> None:
        """Sets the steps of a training that is given in epochs, and the epochs of one that is given in steps."""
        if not self._has_length:
            return
        trainer, batches = self._trainer, self._batches
        args, state = trainer.args, trainer.state
        accumulation = args.gradient_accumulation_steps
        steps_of_epoch = _steps(batches, accumulation)
        if args.max_steps > 0:
            left = state.max_steps - state.global_step - _steps(batches - self._taken, accumulation)
            state.num_train_epochs = self._epoch + 1 + _steps(max(left, 0), steps_of_epoch)
        elif self._changed:
            left = math.ceil(args.num_train_epochs * batches) - self._epoch * batches
            whole, rest = divmod(max(left - batches, 0), batches)
            now = _steps(min(left, batches) - self._taken, accumulation)
            if left > 0:
                # The step that comes is taken, where rounding to steps has taken more than the share of the last epoch.
                now = max(now, 1)
            state.max_steps = state.global_step + now + whole * steps_of_epoch + _steps(rest, accumulation)
            for callback in trainer.callback_handler.callbacks:
                if isinstance(callback, ProgressCallback) and callback.training_bar is not None:
                    callback.training_bar.total = state.max_steps

    def _schedule_by_data(self) -> None:
        """Has the schedule of a training that is given in epochs run by the share of the data that was taken.

        So it ends with the training, whose steps have no fixed number now. A schedule of the user's own stays.
        """
        trainer, scheduler = self._trainer, self._trainer.lr_scheduler
        if trainer.args.max_steps > 0 or not trainer._created_lr_scheduler or not isinstance(scheduler, LambdaLR):
            return
        steps, whole = self._schedule_steps, trainer.args.num_train_epochs * self._batches

        def by_data(factor: Callable[[int], float]) -> Callable[[int], float]:
            def at(_: int) -> float:
                # The batches of the step that has ended are among them.
                taken = self._epoch * self._batches + self._taken
                # Transformers' schedules take parts of a step too.
                return cast(Callable[[float], float], factor)(steps * min(taken / whole, 1.0))

            return at

        scheduler.lr_lambdas = [by_data(factor) for factor in scheduler.lr_lambdas]


def _saved_by_name(trainer: Trainer) -> dict[str, dict[str, dict[str, int]]]:
    # Typed as it is given, a list.
    return cast(dict[str, dict[str, dict[str, int]]], trainer.state.stateful_callbacks)


def _steps(batches: int, accumulation: int) -> int:
    """So many batches make; the last step may have fewer."""
    return -(-batches // accumulation)
