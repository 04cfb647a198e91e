"""For the Hugging Face Trainer: `noisescale.transformers.attach(trainer)` before `trainer.train()`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from noisescale.pytorch.watch import WatchOptions, watch
from noisescale.pytorch.watcher import Watcher
from noisescale.trainer_accumulation import TrainerAccumulation

if TYPE_CHECKING:
    from typing_extensions import Unpack

_IGNORED = -100


class Attachment(TrainerCallback):
    """A watched Trainer."""

    def __init__(self, trainer: Trainer, options: WatchOptions, follow_recommendation: bool) -> None:
        self.watcher: Watcher | None = None
        self._trainer = trainer
        self._options = options
        self._accumulation = TrainerAccumulation(trainer) if follow_recommendation else None
        self._shifts = _shifts_labels(trainer)
        self._train = trainer.training_step
        vars(trainer)["training_step"] = self._training_step

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Attaches the hooks."""
        optimizer = self._trainer.optimizer
        following = None if self._accumulation is None else self._accumulation.begin(self._options)
        if optimizer is not None:
            self.watcher = watch(
                self._trainer.model_wrapped,
                optimizer,
                scaler=self._trainer.accelerator.scaler,
                first_step=state.global_step,
                **(self._options if following is None else following.options),
            )
            if following is not None:
                following.watcher = self.watcher

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Ends the run."""
        if self.watcher is not None:
            self.watcher.close()

    def _training_step(
        self,
        model: nn.Module,
        inputs: dict[str, object],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        if self.watcher is None or not self.watcher.measuring:
            return self._train(model, inputs, num_items_in_batch)
        # What is handed over instead may be anything that the user's own loss takes.
        named = inputs if isinstance(inputs, Mapping) else {}
        tensors = (value for value in named.values() if isinstance(value, torch.Tensor))
        # Of unknown size, a step is left out.
        rows = next((float(len(value)) for value in tensors if value.dim() > 0), math.nan)
        tokens = self._tokens(named)
        loss = self._train(model, inputs, num_items_in_batch)
        units = tokens if self._options.get("unit") == "token" and tokens is not None else rows
        if tokens is None or num_items_in_batch is None or not self._over_tokens():
            # The mean over the part, divided by the number of parts.
            self.watcher.part(units, loss=loss * self._trainer.current_gradient_accumulation_steps)
        else:
            # The sum over the part's tokens, divided by those of the whole batch.
            weight = tokens / torch.as_tensor(num_items_in_batch, device=tokens.device)
            if self._trainer.args.average_tokens_across_devices:
                weight = weight * self._trainer.accelerator.num_processes
            self.watcher.part(units, weight=weight, loss=loss / weight)
        return loss

    def _over_tokens(self) -> bool:
        """Whether the loss is divided by the tokens of all parts; the Trainer decides so by the same two."""
        scaled: bool | None = getattr(self._trainer, "loss_is_scaled_for_ga", None)
        if scaled is not None:
            return scaled
        return bool(self._trainer.model_accepts_loss_kwargs) or self._trainer.compute_loss_func is not None

    def _tokens(self, inputs: Mapping[str, object]) -> torch.Tensor | None:
        """Labels that are predicted; None where there are none. A padded one is not, nor a causal model's first."""
        if isinstance(shifted := inputs.get("shift_labels"), torch.Tensor):
            return shifted.ne(_IGNORED).sum()
        labels = inputs.get("labels")
        if not isinstance(labels, torch.Tensor):
            return None
        first = 1 if self._shifts and labels.dim() > 1 else 0
        return labels[..., first:].ne(_IGNORED).sum()


def _shifts_labels(trainer: Trainer) -> bool:
    """Whether a row's first label is not predicted: so in a causal model's own loss.

    The Trainer's own reading misses models whose configuration names no loss, GPT-2 among them (transformers 5.23); its
    count is a common factor and does no harm, but parts are to be weighted by what is summed in them.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    loss = getattr(model, "loss_function", None)
    both = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return getattr(loss, "__name__", "") == "ForCausalLMLoss" and not both


def attach(trainer: Trainer, *, follow_recommendation: bool = False, **options: "Unpack[WatchOptions]") -> Attachment:
    """Has a Trainer's training measured: accumulation or processes give the parts.

    Losses over the tokens of all parts are weighted so. `unit="token"` counts predicted tokens; else a unit is a row of
    the batch. Either way a row is what is drawn.

    Args:
        trainer: Before its `train`.
        follow_recommendation: `gradient_accumulation_steps` becomes what is recommended, and the learning rate is
            scaled along, where the collector knows a factor. It does so when an epoch begins, or after a number of
            batches that the new number divides: the Trainer steps after its multiples, counted from the epoch's
            beginning. Each epoch has all of its rows. `max_steps` stays where it is given; else `num_train_epochs`
            does, and the steps and the schedule are made to end with it. A checkpoint is resumed with the number of
            batches, and at the row, that it was saved with.
        options: As in `watch`; `on_recommendation` is called before the change.

    Returns:
        Its `watcher` is None until training begins.

    Raises:
        ValueError: `follow_recommendation` with transformers before version 5.
    """
    attachment = Attachment(trainer, options, follow_recommendation)
    trainer.add_callback(attachment)
    return attachment
