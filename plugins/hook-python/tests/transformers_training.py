"""A Trainer on a small GPT-2 made from a configuration, which learns nothing."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import noisescale
from noisescale.wire import Measurement

LENGTH = 10
Row = dict[str, torch.Tensor]


class Sentences(Dataset[Row]):
    """Rows of random tokens, the last of which are padding, a different number in each."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.tokens = torch.randint(0, 50, (rows, LENGTH), generator=generator)
        self.lengths = torch.randint(3, LENGTH + 1, (rows,), generator=generator)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> Row:
        valid = torch.arange(LENGTH) < self.lengths[row]
        tokens = self.tokens[row]
        return {"input_ids": tokens, "attention_mask": valid.long(), "labels": tokens.where(valid, -100)}


def language_model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    configuration = GPT2Config(
        vocab_size=50,
        n_positions=LENGTH,
        n_embd=16,
        n_layer=2,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(configuration)


def token_sums(model: nn.Module, rows: Sequence[Row]) -> tuple[dict[str, torch.Tensor], int]:
    """Gradient of the sum of the predicted tokens' losses, and how many they are."""
    labels = torch.stack([row["labels"] for row in rows])
    logits = model(
        input_ids=torch.stack([row["input_ids"] for row in rows]),
        attention_mask=torch.stack([row["attention_mask"] for row in rows]),
    ).logits
    targets = labels[:, 1:].reshape(-1)
    loss = nn.functional.cross_entropy(logits[:, :-1].reshape(len(targets), -1), targets, reduction="sum")
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    named = {name: gradient.double() for name, gradient in zip(parameters, gradients, strict=True)}
    return named, int(targets.ne(-100).sum())


def trainer_of(
    folder: Path, data: Dataset[Row] | IterableDataset[Row], *, parts: int, micro_batch: int, **arguments: object
) -> Trainer:
    return Trainer(
        model=language_model(),
        args=TrainingArguments(
            **{  # type: ignore[arg-type]
                "output_dir": str(folder),
                "per_device_train_batch_size": micro_batch,
                "gradient_accumulation_steps": parts,
                "num_train_epochs": 1,
                "optim": "sgd",
                "learning_rate": 0.0,
                "use_cpu": True,
                "report_to": "none",
                "save_strategy": "no",
                "disable_tqdm": True,
                "logging_strategy": "no",
                "train_sampling_strategy": "sequential",
                **arguments,
            }
        ),
        train_dataset=data,
    )


def train(
    folder: Path,
    rows: int,
    *,
    parts: int,
    micro_batch: int,
    options: dict[str, object] | None = None,
    **arguments: object,
) -> tuple[list[Measurement], noisescale.Watcher]:
    seen: list[Measurement] = []
    trainer = trainer_of(folder, Sentences(rows), parts=parts, micro_batch=micro_batch, **arguments)
    attached = noisescale.transformers.attach(
        trainer,
        **{"sink": seen.append, "every": 1, **(options or {})},  # type: ignore[arg-type]
    )
    trainer.train()
    assert attached.watcher is not None
    return seen, attached.watcher
