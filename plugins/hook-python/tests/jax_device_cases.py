"""Data parallel training over four devices, of one process or of two; what failed goes into a file, by case, as JSON.

python tests/jax_device_cases.py FILE [RANK PORT]
"""

import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import optax
from jax.experimental.multihost_utils import process_allgather
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import noisescale
from collector_double import RecordingCollector
from jax_training import (
    FLOAT32,
    Params,
    assert_gradient,
    assert_measured,
    batch_of,
    brute_force,
    compiled_gradient,
    cut,
    loss,
    network,
)
from noisescale.jax import Measure, PartSums, grad_parts
from noisescale.jax.sums import Tree
from noisescale.wire import Measurement
from test_batch_size_control import answered

DEVICES, PROCESSES = 4, 2
ROWS = 20
SECOND_DERIVATIVES = 1e-3
ALL, EACH = PartitionSpec(), PartitionSpec("d")  # type: ignore[no-untyped-call]


def recorded(parts: Tree, watcher: noisescale.jax.Watcher, seen: list[Measurement]) -> Measurement:
    """The measurement of one step, which the first process alone sends."""
    watcher.record(parts)
    watcher.close()
    assert watcher.counts == {"run-ended": 1}, watcher.counts
    assert watcher.last is not None
    assert seen == ([watcher.last] if jax.process_index() == 0 else [])
    return watcher.last


def check(parts: Tree, gradient: Tree, sizes: list[int]) -> None:
    params, batch = network(), batch_of(ROWS)
    seen: list[Measurement] = []
    watcher = noisescale.jax.watch(sink=seen.append, every=1, layers=True)
    measurement = recorded(parts, watcher, seen)
    weights = [n / ROWS for n in sizes]
    assert_measured(measurement, brute_force(loss, params, cut(batch, sizes), weights), sizes, weights)
    whole = compiled_gradient(loss)(params, *batch)
    assert_gradient(gradient, whole)
    assert abs(measurement["loss"] / float(loss(params, *batch)) - 1) < 1e-5


def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((DEVICES,), ("d",), axis_types=(AxisType.Auto,))


def mapped(parts: int, by: Tree = "scan", **options: Tree) -> Callable[..., tuple[Tree, PartSums]]:
    function = grad_parts(loss, parts, by=by, axis_name="d")

    def step(params: Params, x: jax.Array, y: jax.Array) -> tuple[Tree, PartSums]:
        return function(params, x, y)[1:]

    sharded: Callable[..., tuple[Tree, PartSums]] = jax.jit(
        jax.shard_map(step, mesh=mesh(), in_specs=(ALL, EACH, EACH), out_specs=(ALL, ALL), **options)
    )
    return sharded


def one_part_a_device() -> None:
    gradient, parts = mapped(1)(network(), *batch_of(ROWS))
    check(parts, gradient, [5] * 4)


def uneven_parts_on_each_device() -> None:
    gradient, parts = mapped(2)(network(), *batch_of(ROWS))
    check(parts, gradient, [3, 2] * 4)


def parts_at_once_without_the_check_of_what_varies() -> None:
    gradient, parts = mapped(5, by="vmap", check_vma=False)(network(), *batch_of(ROWS))
    check(parts, gradient, [1] * 20)


def pmap() -> None:
    function = grad_parts(loss, 2, axis_name="d")
    first = jax.process_index() * jax.local_device_count()
    here = slice(first, first + jax.local_device_count())
    batch = [x.reshape(DEVICES, 5, *x.shape[1:])[here] for x in batch_of(ROWS)]
    _, gradient, parts = jax.pmap(function, axis_name="d", in_axes=(None, 0, 0))(network(), *batch)
    check(parts, jax.tree.map(lambda x: x[0], gradient), [3, 2] * 4)


def a_batch_that_jit_spreads_over_the_devices() -> None:
    batch = [jax.device_put(x, NamedSharding(mesh(), EACH)) for x in batch_of(ROWS)]
    _, gradient, parts = jax.jit(grad_parts(loss, 4, by="vmap"))(network(), *batch)
    check(parts, gradient, [5] * 4)


def a_tap_before_clipping() -> None:
    function = grad_parts(loss, 1, axis_name="d")
    optimizer = optax.chain(noisescale.optax.tap(), optax.clip_by_global_norm(1e-3))
    params = network()

    def step(params: Params, state: Tree, x: jax.Array, y: jax.Array) -> tuple[Tree, Tree]:
        _, gradient, parts = function(params, x, y)
        return gradient, optimizer.update(gradient, state, params, small_sq=parts)[1]

    specs = (ALL, ALL, EACH, EACH)
    sharded = jax.jit(jax.shard_map(step, mesh=mesh(), in_specs=specs, out_specs=(ALL, ALL)))
    gradient, state = sharded(params, optimizer.init(params), *batch_of(ROWS))
    check(state, gradient, [5] * 4)


def hessian_forms(parts: int, sizes: list[int], directions: list[int], second: list[list[int]]) -> None:
    """B_noise of a step, and what it must be.

    Args:
        parts: Of each device.
        sizes: Of all parts, device by device.
        directions: Numbers of the parts whose gradients are multiplied with H.
        second: For each device with draws for H the rows of these.
    """
    params, (x, y) = network(), batch_of(ROWS)
    function = grad_parts(loss, parts, axis_name="d")
    seen: list[Measurement] = []
    watcher = noisescale.jax.watch(sink=seen.append, every=1, hessian_every=1)
    measure = watcher.measure
    assert measure is not None
    assert measure.hessian_key is not None

    def step(params: Params, x: jax.Array, y: jax.Array, measure: Measure) -> PartSums:
        return function(params, x, y, measure=measure)[2]

    specs = (ALL, EACH, EACH, ALL)
    sharded = jax.jit(jax.shard_map(step, mesh=mesh(), in_specs=specs, out_specs=ALL))
    measurement = recorded(sharded(params, x, y, measure), watcher, seen)
    weights = [n / ROWS for n in sizes]
    small, big = brute_force(loss, params, cut((x, y), sizes), weights)
    np.testing.assert_allclose(
        measurement["small"]["squared_norm"], sum(small.values()) / np.square(weights).sum(), rtol=FLOAT32
    )
    np.testing.assert_allclose(measurement["big"]["squared_norm"], sum(big.values()), rtol=FLOAT32)

    flat, unravel = ravel_pytree(params)
    gradients = [ravel_pytree(compiled_gradient(loss)(params, *part))[0] for part in cut((x, y), sizes)]
    counted = np.asarray([sizes[number] for number in directions], float)
    each = counted[:, None] * np.stack([np.asarray(gradients[number], float) for number in directions])
    full = len(directions) // len({number // parts for number in directions})
    keys = [jax.random.fold_in(measure.hessian_key, device) for device in {number // parts for number in directions}]
    signs = np.concatenate([np.asarray(jax.random.rademacher(key, (full,)), float) for key in keys])
    rows = np.asarray(second).ravel()
    hessian = np.asarray(jax.jit(jax.hessian(lambda p: loss(unravel(p), x[rows], y[rows])))(flat), float)
    signed, total = signs @ each, each.sum(0)
    forms = measurement["hessian"]
    # Second derivatives in float32.
    np.testing.assert_allclose(
        forms["small"]["value"], signed @ hessian @ signed / np.square(counted).sum(), rtol=SECOND_DERIVATIVES
    )
    np.testing.assert_allclose(
        forms["big"]["value"], total @ hessian @ total / counted.sum() ** 2, rtol=SECOND_DERIVATIVES
    )
    np.testing.assert_allclose(forms["small"]["batch_size"], np.square(counted).sum() / counted.sum(), rtol=FLOAT32)
    np.testing.assert_allclose(forms["big"]["batch_size"], counted.sum(), rtol=FLOAT32)


def the_hessian_of_each_devices_last_part() -> None:
    rows = [[5 * device + 3, 5 * device + 4] for device in range(DEVICES)]
    hessian_forms(2, [3, 2] * 4, [0, 2, 4, 6], rows)
    rows = [[5 * device + 4] for device in range(DEVICES)]
    hessian_forms(5, [1] * 20, [number for number in range(20) if number % 5 < 4], rows)


def the_hessian_of_every_second_device_where_each_has_one_part() -> None:
    hessian_forms(1, [5] * 4, [0, 2], [[*range(5, 10)], [*range(15, 20)]])


def train(watcher: noisescale.jax.Watcher, steps: int, parts: int, seconds: float = 0.0) -> list[int]:
    """A training that goes by the watcher; the steps that were measured."""
    function = grad_parts(loss, parts, axis_name="d")

    def step(params: Params, x: jax.Array, y: jax.Array, measure: Measure | None) -> PartSums:
        return function(params, x, y, measure=measure)[2]

    sharded = jax.jit(jax.shard_map(step, mesh=mesh(), in_specs=(ALL, EACH, EACH, ALL), out_specs=ALL))
    measured = []
    for _ in range(steps):
        if watcher.measure is not None:
            measured.append(watcher.step)
            time.sleep(seconds)
        watcher.record(sharded(network(), *batch_of(ROWS), watcher.measure))
        # In the first process: an answer has come by the next step's end.
        watcher.flush()
    return measured


def processes_measure_the_same_steps_as_the_first_one_chose() -> None:
    watcher = noisescale.jax.watch(sink=lambda _: None)
    # A measured step takes so much longer that no other choice is left than a rare one.
    measured = train(watcher, 100, 1, seconds=0.03)
    watcher.close()
    assert watcher.counts == {"run-ended": 1}, watcher.counts
    assert watcher.every > 50
    assert measured == [0, *range(9, 80, 3), 80]
    chosen = process_allgather(np.asarray(watcher.every))
    assert (chosen == watcher.every).all(), chosen


def processes_are_told_of_a_recommendation_after_the_same_step() -> None:
    changes: list[tuple[int, float, int]] = []

    def follow(change: noisescale.BatchSizeChange) -> None:
        changes.append((watcher.step, change.batch_size, change.accumulation))

    with RecordingCollector() as collector, tempfile.TemporaryDirectory() as folder:
        collector.answer = lambda measurement: answered(
            batch_size=measurement["units"],
            recommended=40,
            step=measurement["step"],
            attempt=measurement["attempt"],
        )
        watcher = noisescale.jax.watch(
            sink=collector.url,
            every=3,
            spool_directory=folder,
            user_runs=False,
            on_recommendation=follow,
            batch_size_limits=noisescale.BatchSizeLimits(agreeing_measurements=0),
        )
        train(watcher, 10, 2)
        watcher.close()
    # Step 0 was measured, the answer was there at the end of step 3, and step 4 told it.
    assert changes == [(5, 40.0, 8)], changes
    assert watcher.counts == {"run-ended": 1}, watcher.counts


CASES: list[Callable[[], None]] = [
    one_part_a_device,
    uneven_parts_on_each_device,
    parts_at_once_without_the_check_of_what_varies,
    pmap,
    a_batch_that_jit_spreads_over_the_devices,
    a_tap_before_clipping,
    the_hessian_of_each_devices_last_part,
    the_hessian_of_every_second_device_where_each_has_one_part,
]


PROCESS_CASES: list[Callable[[], None]] = [
    uneven_parts_on_each_device,
    pmap,
    a_tap_before_clipping,
    the_hessian_of_every_second_device_where_each_has_one_part,
    processes_measure_the_same_steps_as_the_first_one_chose,
    processes_are_told_of_a_recommendation_after_the_same_step,
]


def main() -> None:
    file, *process = sys.argv[1:]
    cases = CASES
    if process:
        rank, port = process
        cases = PROCESS_CASES
        jax.config.update("jax_cpu_collectives_implementation", "gloo")  # type: ignore[no-untyped-call]
        jax.distributed.initialize(f"127.0.0.1:{port}", PROCESSES, int(rank))
    assert len(jax.devices()) == DEVICES
    failed = {}
    for case in cases:
        try:
            case()
        except Exception:
            failed[case.__name__] = traceback.format_exc()
    Path(file).write_text(json.dumps(failed))


if __name__ == "__main__":
    main()
