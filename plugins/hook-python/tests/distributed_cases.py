"""Trainings on two processes, each compared with the gradients of every part on every process.

Run by test_distributed.py, once a process for all the cases, since a process takes seconds to begin:

    python tests/distributed_cases.py RANK PORT FILE
"""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import lightning_training
import noisescale
import transformers_following
import transformers_training
from collector_double import RecordingCollector
from distributed_forms import (
    hessian_of_each_process,
    in_adams_metric,
    the_hessian_leaves_the_training_as_it_is,
    the_hessian_of_sharded_parameters,
    thin_network,
)
from distributed_models import RANKS, Wrap, gathered, sharded, sharded_and_replicated, sharded_whole
from noisescale.pytorch import readings
from noisescale.wire import Measurement
from test_batch_size_control import answered
from training import FLOAT32, Batch, Loss, assert_squares, batches, cross_entropy, micro_gradients, network, squares_of


def train(
    wrap: Wrap,
    *,
    parts: int = 3,
    steps: int = 3,
    sync_all: bool = False,
    make: Callable[[], nn.Module] = network,
    loss: Loss = cross_entropy,
    sizes: Sequence[Sequence[int]] | None = None,
    rtol: float = FLOAT32,
    **options: object,
) -> noisescale.Watcher:
    """A few steps of each process on its own data; the first process compares what it measured.

    Args:
        sizes: Of each process's parts, for uneven ones weighted by their size.
    """
    rank = distributed.get_rank()
    plain, inner = make(), make()
    model = wrap(inner)
    seen: list[Measurement] = []
    optimizers = [torch.optim.SGD(one.parameters(), lr=0.05) for one in (plain, model)]
    watcher = noisescale.watch(
        model,
        optimizers[1],
        **{"micro_batch": 8, "every": 1, "layers": True, "sink": seen.append, **options},  # type: ignore[arg-type]
    )
    all_sizes = sizes or [[8] * parts] * RANKS
    units = sum(sum(row) for row in all_sizes)
    expected = []
    for step in range(steps):
        data = batches(all_sizes[rank], seed=100 * step + rank)
        # Averaged over the processes, so that the whole is the mean over all units.
        weights = [RANKS * n / units for n in all_sizes[rank]] if sizes else [1 / parts] * parts
        expected.append(squares_over_ranks(plain, data, weights))
        for number, (part, weight) in enumerate(zip(data, weights, strict=True)):
            last = number == len(data) - 1
            if isinstance(model, FSDPModule):
                model.set_requires_gradient_sync(last or sync_all)
            if sizes:
                watcher.part(len(part[0]), weight=weight, loss=cross_entropy(plain, part))
            quiet = isinstance(model, DistributedDataParallel) and not (last or sync_all)
            with model.no_sync() if quiet else nullcontext():  # type: ignore[operator]
                (loss(model, part) * weight).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-2)
        follow(plain, optimizers[0], expected[-1][2])
        for one in optimizers:
            one.step()
            one.zero_grad()
    watcher.close()
    if rank > 0:
        assert seen == []
        return watcher
    counts = [len(row) for row in all_sizes]
    assert watcher.counts == {"run-ended": 1}
    assert [measurement["step"] for measurement in seen] == list(range(steps))
    for measurement, (small, big, _) in zip(seen, expected, strict=True):
        if sizes:
            q = sum((n / units) ** 2 for row in all_sizes for n in row)
            assert measurement["small"]["batch_size"] == pytest.approx(q * units)
            assert "loss" in measurement
        else:
            q = 1 / sum(counts)
            assert measurement["small"]["batch_size"] == pytest.approx(8)
        assert measurement["small"]["count"] == sum(counts)
        assert measurement["big"]["batch_size"] == pytest.approx(units)
        assert measurement["units"] == units
        assert_squares(measurement, small, big, q, rtol=rtol)
    return watcher


Expected = tuple[dict[str, float], dict[str, float], dict[str, torch.Tensor]]


def squares_over_ranks(model: nn.Module, data: Sequence[Batch], weights: Sequence[float]) -> Expected:
    """Σ|h|² and |Σh|² over the parts of all processes, which average their gradients; and the averaged gradient."""
    micro = gathered(micro_gradients(model, data, [weight / RANKS for weight in weights]))
    names = {name for one in micro for name in one}
    mean = {name: torch.stack([one[name] for one in micro if name in one]).sum(0) for name in names}
    return *squares_of(micro), mean


def follow(plain: nn.Module, optimizer: torch.optim.Optimizer, gradient: dict[str, torch.Tensor]) -> None:
    """Gives the model of the brute force the clipped gradient, so that it takes the same step."""
    for name, parameter in plain.named_parameters():
        parameter.grad = gradient[name].to(parameter.dtype) if name in gradient else None
    nn.utils.clip_grad_norm_(plain.parameters(), 1e-2)


class Halves(nn.Module):
    """One of two layers has no gradient in a part."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right, self.last = nn.Linear(20, 9), nn.Linear(20, 9), nn.Linear(9, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.left(x) if x[0, 0] > 0 else self.right(x))
        return y


def checkpointed(model: nn.Module, batch: Batch, reentrant: bool) -> torch.Tensor:
    x = batch[0].clone().requires_grad_()
    return nn.functional.cross_entropy(checkpoint(model, x, use_reentrant=reentrant), batch[1])


def with_compiled_layers(model: nn.Module) -> nn.Module:
    for layer in model.children():
        layer.compile(backend="aot_eager")
    return model


def skipped_by_the_scaler() -> None:
    rank = distributed.get_rank()
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=seen.append, scaler=scaler)
    for step in range(4):
        for number, part in enumerate(batches([8] * 2, seed=10 * step + rank)):
            spoilt = step == 2 and rank == 1
            with model.no_sync() if number == 0 else nullcontext():
                scaler.scale(cross_entropy(model, part) / 2 * (float("inf") if spoilt else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    watcher.close()
    if rank == 0:
        assert [measurement["step"] for measurement in seen] == [0, 1, 2]
        assert watcher.counts == {"not-finite": 1, "run-ended": 1}


def cadence_is_agreed_on() -> None:
    rank = distributed.get_rank()
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, sink=seen.append)
    for step in range(100):
        cross_entropy(model, batches([8], seed=10 * step + rank)[0]).backward()
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    chosen = torch.tensor(watcher.every)
    distributed.broadcast(chosen, src=0)
    assert watcher.every == int(chosen)
    if rank == 0:
        after = [step for step in range(90, 100) if step % watcher.every == 0]
        assert [measurement["step"] for measurement in seen] == [0, *range(9, 80, 3), 80, *after]
        assert watcher.counts == {"run-ended": 1}


def hook_fails_in_one_process() -> None:
    rank = distributed.get_rank()
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=seen.append)
    taken, read = watcher._hooks.take, readings._read
    for step in range(8):
        cross_entropy(model, batches([8], seed=10 * step + rank)[0]).backward()
        if rank == 1:
            watcher._hooks.take = broken if step == 2 else taken  # type: ignore[method-assign,assignment]
            readings._read = broken if step == 5 else read  # type: ignore[assignment]
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    if rank == 0:
        assert [measurement["step"] for measurement in seen] == [0, 1, 3, 4, 6, 7]
        assert watcher.counts == {"hook-failed": 2, "run-ended": 1}


def broken(*_: object) -> NoReturn:
    raise RuntimeError("broken")


def one_batch(per_example: bool, rows: Sequence[int] = (8, 8), **options: object) -> None:
    """`watcher.backward` in each process: the parts are the examples of all, or four chunks of each."""
    rank = distributed.get_rank()
    inner = network()
    model = DistributedDataParallel(inner, **options)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, sink=seen.append)
    ((x, y),) = batches([rows[rank]], seed=rank)
    for _ in range(2):
        watcher.backward(lambda x, y: cross_entropy(model, (x, y)), (x, y), chunks=4, per_example=per_example)
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    # Fewer rows than twice the chunks are not split.
    each = 1 if per_example else 2 if len(x) == 8 else len(x)
    parts = list(zip(x.split(each), y.split(each), strict=True))
    own = [len(part[0]) / len(x) / RANKS for part in parts]
    sizes: list[list[int]] = [[]] * RANKS
    distributed.all_gather_object(sizes, [len(part[0]) for part in parts])
    weights = [(n, n / sum(row) / RANKS) for row in sizes for n in row]
    q, c = sum(w * w for _, w in weights), sum(w * w / n for n, w in weights)
    small, big = squares_of(gathered(micro_gradients(inner, parts, own)))
    assert watcher.counts == {"run-ended": 1}
    assert len(seen) == (2 if rank == 0 else 0)
    for measurement in seen:
        assert measurement["small"]["count"] == len(weights)
        assert measurement["small"]["squared_norm"] == pytest.approx(sum(small.values()) / q, rel=FLOAT32)
        assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
        assert (measurement["small"]["batch_size"], measurement["big"]["batch_size"]) == pytest.approx((q / c, 1 / c))


def watched_by_the_first_alone() -> None:
    rank = distributed.get_rank()
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watcher = None
    if rank == 0:
        watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=lambda _: None)
    for step in range(20):
        cross_entropy(model, batches([8], seed=10 * step + rank)[0]).backward()
        optimizer.step()
        optimizer.zero_grad()
    if watcher is not None:
        watcher.close(deadline_seconds=0.01)
        assert watcher.measurements == 0
        assert watcher.counts["rank-missing"] == 20


def not_wrapped() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=lambda _: None)
    for step in range(2):
        for part in batches([8] * 2, seed=step):
            (cross_entropy(model, part) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    assert watcher.measurements == 0
    if distributed.get_rank() == 0:
        assert watcher.counts == {"data-parallel": 1, "run-ended": 1}


def lightning_trains(**options: object) -> None:
    rank = distributed.get_rank()
    data = [batches([8] * 6, seed=one) for one in range(RANKS)]
    seen, watcher = lightning_training.fit(
        data[rank],
        accumulate_grad_batches=3,
        gradient_clip_val=1e-3,
        devices=RANKS,
        strategy=DDPStrategy(process_group_backend="gloo", **options),  # type: ignore[arg-type]
    )
    assert len(seen) == (2 if rank == 0 else 0)
    for step, measurement in enumerate(seen):
        parts = [part for own in data for part in own[3 * step : 3 * step + 3]]
        small, big = squares_of(micro_gradients(network(), parts, [1 / 6] * 6))
        assert_squares(measurement, small, big, 1 / 6, prefix="net.")
        assert (measurement["small"]["batch_size"], measurement["big"]["batch_size"]) == pytest.approx((8, 48))
    assert watcher.counts == {"run-ended": 1}


def transformers_train(parts: int) -> None:
    """Processes take the loader's batches in turn; each token of all of them weighs the same."""
    rank = distributed.get_rank()
    rows = 2 * RANKS * parts * 4
    with tempfile.TemporaryDirectory() as folder:
        seen, watcher = transformers_training.train(
            Path(folder), rows, parts=parts, micro_batch=4, options={"layers": True}
        )
    assert watcher.counts == {"run-ended": 1}
    assert len(seen) == (2 if rank == 0 else 0)
    data, model = transformers_training.Sentences(rows), transformers_training.language_model()
    each = RANKS * parts * 4
    for step, measurement in enumerate(seen):
        starts = range(each * step, each * step + each, 4)
        sums = [transformers_training.token_sums(model, [data[row] for row in range(a, a + 4)]) for a in starts]
        tokens = sum(count for _, count in sums)
        small, big = squares_of([{n: g / tokens for n, g in gradient.items()} for gradient, _ in sums])
        q = sum((count / tokens) ** 2 for _, count in sums)
        assert measurement["small"]["count"] == RANKS * parts
        assert_squares(measurement, small, big, q)
        assert measurement["big"]["batch_size"] == pytest.approx(4 / q)


def transformers_follow_a_recommendation() -> None:
    """Steps have the same number of parts in both, which take each row of an epoch once between them."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, journal, changes, _ = transformers_following.follow(Path(folder), {0: 16}, parts=1, num_train_epochs=2)
    assert [change.accumulation for change in changes] == [2]
    both: list[tuple[list[int], dict[int, list[int]], list[float]]] = [([], {}, [])] * RANKS
    distributed.all_gather_object(both, (journal.sizes, journal.rows(), [step.rate for step in journal.steps]))
    (sizes, rows, rates), (others_sizes, others_rows, others_rates) = both
    assert sizes == others_sizes
    assert rates == others_rates
    # When the first process has its answer is a matter of time; both change where two divide the batches so far.
    ones = sizes.index(2)
    assert ones in {4, 6, 8}
    assert sizes == [1] * ones + [2] * ((13 - ones) // 2) + [1] + [2] * 6 + [1]
    for epoch in range(2):
        assert sorted(rows[epoch] + others_rows[epoch]) == list(range(104))
    assert trainer.state.global_step == trainer.state.max_steps
    assert trainer.optimizer is not None
    assert trainer.optimizer.param_groups[0]["lr"] == 0


def accelerate_trains() -> None:
    rank = distributed.get_rank()
    accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)
    inner = network()
    model, optimizer = accelerator.prepare(inner, torch.optim.SGD(inner.parameters(), lr=0.0))
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, layers=True, sink=seen.append)
    data = [batches([8] * 4, seed=one) for one in range(RANKS)]
    for part in data[rank]:
        with accelerator.accumulate(model):
            accelerator.backward(cross_entropy(model, part))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
            optimizer.zero_grad()
    watcher.close()
    AcceleratorState._reset_state(reset_partial_state=True)
    assert len(seen) == (2 if rank == 0 else 0)
    for step, measurement in enumerate(seen):
        parts = [part for own in data for part in own[2 * step : 2 * step + 2]]
        small, big = squares_of(micro_gradients(network(), parts, [1 / 4] * 4))
        assert_squares(measurement, small, big, 1 / 4)


def parts_follow_a_recommendation() -> None:
    """The first process hears of it, and all of them change after the same step."""
    rank, parts, counts = distributed.get_rank(), 1, []

    def change_parts(change: noisescale.BatchSizeChange) -> None:
        nonlocal parts
        assert (change.batch_size, change.learning_rate_factor) == (32, 1.5)
        parts = change.accumulation

    model = ddp(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with RecordingCollector() as collector, tempfile.TemporaryDirectory() as folder:
        collector.answer = lambda measurement: answered(
            measurement["step"], measurement["units"], 32, factor=1.5, attempt=measurement["attempt"]
        )
        watcher = noisescale.watch(
            model,
            optimizer,
            micro_batch=8,
            every=2,
            sink=collector.url,
            spool_directory=folder,
            on_recommendation=change_parts,
            batch_size_limits=noisescale.BatchSizeLimits(agreeing_measurements=0),
        )
        for step in range(14):
            counts.append(parts)
            for part in batches([8] * parts, seed=step):
                (cross_entropy(model, part) / parts).backward()
            optimizer.step()
            optimizer.zero_grad()
            # Only the first process has something to wait for.
            watcher.flush()
        watcher.close()
        # All reduced a gradient in each backward pass: with other numbers of parts they would not have come here.
        steps = collector.steps()
    together: list[list[int]] = [[]] * RANKS
    distributed.all_gather_object(together, counts)
    assert together[0] == together[1]
    assert counts[0] == 1
    assert counts[-1] == 2
    if rank == 0:
        # One measured step is left out; the others come a step later than they were taken, at most.
        assert watcher.counts == {"parts-changed": 1, "run-ended": 1}
        assert steps == [step for step in range(0, 14, 2) if step != counts.index(2) + counts.index(2) % 2]


ddp = DistributedDataParallel
CASES: dict[str, Callable[[], object]] = {
    "DDP, one part a process": partial(train, ddp, parts=1),
    "DDP, three parts with no_sync": partial(train, ddp),
    "DDP, three parts reduced each": partial(train, ddp, sync_all=True),
    "DDP, more parts than rows of the buffer": partial(train, ddp, parts=37),
    "DDP, static graph, one part": partial(train, partial(ddp, static_graph=True), parts=1),
    # A static graph whose first backward pass is under no_sync fails in PyTorch 2.13 itself.
    "DDP, static graph, three parts reduced each": partial(train, partial(ddp, static_graph=True), sync_all=True),
    "DDP, gradients as bucket views": partial(train, partial(ddp, gradient_as_bucket_view=True)),
    "DDP, static graph, gradients as bucket views": partial(
        train, partial(ddp, static_graph=True, gradient_as_bucket_view=True), sync_all=True
    ),
    "DDP, small buckets": partial(train, partial(ddp, bucket_cap_mb=0.001)),
    "DDP, uneven parts": partial(train, ddp, sizes=[[8, 3, 5], [6, 8]]),
    "DDP, parameters that some parts do not use": partial(
        train, partial(ddp, find_unused_parameters=True), make=Halves, steps=8
    ),
    "DDP, reentrant checkpoints": partial(
        train, partial(ddp, static_graph=True), sync_all=True, loss=partial(checkpointed, reentrant=True)
    ),
    "DDP, checkpoints": partial(train, ddp, loss=partial(checkpointed, reentrant=False)),
    "DDP, compiled": partial(train, lambda model: ddp(torch.compile(model, backend="aot_eager"))),
    "DDP, a step that the scaler skips": skipped_by_the_scaler,
    "DDP, in Adam's metric": partial(in_adams_metric, ddp),
    "FSDP2, in Adam's metric": partial(in_adams_metric, sharded, pieces=2),
    "FSDP2, in Adam's metric, parameters of a single row": partial(
        in_adams_metric, sharded, pieces=2, make=thin_network
    ),
    "HSDP, replicated, in Adam's metric": partial(in_adams_metric, partial(sharded_and_replicated, shape=(2, 1))),
    "HSDP, sharded, in Adam's metric": partial(
        in_adams_metric, partial(sharded_and_replicated, shape=(1, 2)), pieces=2
    ),
    "DDP, the Hessian of one batch": partial(hessian_of_each_process, once=True),
    "DDP, the Hessian of a static graph": partial(hessian_of_each_process, once=True, static_graph=True),
    "DDP, the Hessian where unused parameters are looked for": partial(
        hessian_of_each_process, once=True, find_unused_parameters=True
    ),
    "DDP, the Hessian between parts under no_sync": partial(hessian_of_each_process, once=False),
    "DDP, the Hessian between parts that are reduced each": partial(
        hessian_of_each_process, once=False, sync_all=True, gradient_as_bucket_view=True
    ),
    "DDP, the training beside the Hessian": the_hessian_leaves_the_training_as_it_is,
    "FSDP2, the Hessian": the_hessian_of_sharded_parameters,
    "DDP, one batch in chunks": partial(one_batch, per_example=False),
    "DDP, one batch in chunks of a static graph": partial(one_batch, per_example=False, static_graph=True),
    "DDP, one batch that not each process can split": partial(one_batch, per_example=False, rows=(8, 5)),
    "DDP, each example of one batch": partial(one_batch, per_example=True),
    "DDP, how often it is measured": cadence_is_agreed_on,
    "DDP, the hook fails in one process": hook_fails_in_one_process,
    "DDP, the number of parts that is recommended": parts_follow_a_recommendation,
    "several processes without a wrapper": not_wrapped,
    "FSDP2, one part a process": partial(train, sharded, parts=1),
    "FSDP2, three parts, the last one reduced": partial(train, sharded),
    "FSDP2, three parts reduced each": partial(train, sharded, sync_all=True),
    "FSDP2, the model in one group": partial(train, sharded_whole),
    "FSDP2, uneven parts": partial(train, sharded, sizes=[[8, 3, 5], [6, 8, 2]]),
    "FSDP2, resharded after forward never": partial(train, partial(sharded, reshard_after_forward=False)),
    "FSDP2, checkpoints": partial(train, sharded, loss=partial(checkpointed, reentrant=False)),
    "FSDP2, reentrant checkpoints": partial(train, sharded, loss=partial(checkpointed, reentrant=True)),
    "FSDP2, layers compiled": partial(train, lambda model: sharded(with_compiled_layers(model))),
    # Gradients of 8 bits: 0.4 % each.
    "FSDP2, bfloat16 gradients reduced in float32": partial(
        train,
        partial(sharded, policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)),
        rtol=0.02,
    ),
    "HSDP, replicated": partial(train, partial(sharded_and_replicated, shape=(2, 1))),
    "HSDP, sharded": partial(train, partial(sharded_and_replicated, shape=(1, 2))),
    "Lightning with DDP": lightning_trains,
    "Lightning with DDP, unused parameters looked for": partial(lightning_trains, find_unused_parameters=True),
    "Accelerate": accelerate_trains,
    "Hugging Face Trainer, one part a process": partial(transformers_train, 1),
    "Hugging Face Trainer, three parts a process": partial(transformers_train, 3),
    "Hugging Face Trainer, the number of parts that is recommended": transformers_follow_a_recommendation,
    # The last one: later trainings of the first process would not meet their like.
    "DDP, watched by one process alone": watched_by_the_first_alone,
}


def main() -> None:
    rank, port, results = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        GROUP_RANK="0",
        WORLD_SIZE=str(RANKS),
        LOCAL_WORLD_SIZE=str(RANKS),
        TORCHELASTIC_RUN_ID="tests",
    )
    distributed.init_process_group("gloo")
    failed: dict[str, str] = {}
    for name, case in CASES.items():
        try:
            case()
        except Exception:
            failed[name] = traceback.format_exc()
        distributed.barrier()
    results.write_text(json.dumps(failed))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
