"""Every measurement is compared with the parts' gradients computed one by one with `jax.grad`."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree

import noisescale
from collector_double import RecordingCollector
from jax_device_cases import CASES, DEVICES, PROCESS_CASES, PROCESSES
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
    losses_of,
    network,
    token_loss,
    valid_rows,
)
from noisescale.jax import grad_parts, part_sums, squares
from noisescale.jax.sums import Tree
from noisescale.wire import Measurement
from test_batch_size_control import answered

BATCH = batch_of(19)
ONE_PART = jax.jit(grad_parts(loss, 1))
THREE_PARTS = jax.jit(grad_parts(loss, 3))


def watched(**options: Tree) -> tuple[noisescale.jax.Watcher, list[Measurement]]:
    seen: list[Measurement] = []
    return noisescale.jax.watch(**{"sink": seen.append, "every": 1, "layers": True, **options}), seen


def measured(function: Callable[..., Tree], *args: Tree, **options: Tree) -> tuple[Tree, Tree, Measurement]:
    """Loss, gradient and the measurement of one jitted step."""
    watcher, seen = watched()
    value, gradient, parts = jax.jit(function)(*args, **options)
    watcher.record(parts, learning_rate=0.1)
    assert watcher.close()
    (measurement,) = seen
    return value, gradient, measurement


@pytest.mark.parametrize("by", ["scan", "vmap"])
@pytest.mark.parametrize(
    ("parts", "sizes"), [(3, [7, 7, 5]), ("examples", [1] * 19)], ids=["uneven parts", "per example"]
)
def test_parts_give_the_squares_of_brute_force_and_the_gradient_of_the_whole_batch(
    by: Tree, parts: Tree, sizes: list[int]
) -> None:
    params = network()
    value, gradient, measurement = measured(grad_parts(loss, parts, by=by), params, *BATCH)
    weights = [n / 19 for n in sizes]
    assert_measured(measurement, brute_force(loss, params, cut(BATCH, sizes), weights), sizes, weights)
    assert_gradient(gradient, compiled_gradient(loss)(params, *BATCH))
    expected = float(loss(params, *BATCH))
    assert float(value) == pytest.approx(expected, rel=1e-6)
    assert measurement["loss"] == pytest.approx(expected, rel=1e-6)
    assert measurement["learning_rate"] == pytest.approx(0.1)
    assert measurement["step"] == 0


def test_a_loss_over_what_is_not_padding_is_weighted_by_it() -> None:
    params, sizes = network(), [7, 7, 5]

    def valid(x: jax.Array, y: jax.Array) -> jax.Array:
        return valid_rows(x).sum()

    _, gradient, measurement = measured(grad_parts(token_loss, 3, weights=valid, units=valid), params, *BATCH)
    parts = cut(BATCH, sizes)
    counts = [float(valid(*part)) for part in parts]
    weights = [count / sum(counts) for count in counts]
    assert_measured(measurement, brute_force(token_loss, params, parts, weights), counts, weights)
    assert_gradient(gradient, compiled_gradient(token_loss)(params, *BATCH))


def test_a_part_of_nothing_but_padding_is_no_part() -> None:
    params = network()
    x, y = batch_of(12)
    x = x.at[:4, 0].set(-1).at[4:, 0].set(1)

    def loss_fn(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        return (losses_of(params, x, y) * valid_rows(x)).sum() / jnp.maximum(valid_rows(x).sum(), 1)

    def valid(x: jax.Array, y: jax.Array) -> jax.Array:
        return valid_rows(x).sum()

    counted = grad_parts(loss_fn, 3, weights=valid, units=valid)
    _, _, measurement = measured(counted, params, x, y)
    assert_measured(
        measurement, brute_force(loss_fn, params, cut((x[4:], y[4:]), [4, 4]), [0.5] * 2), [4] * 2, [0.5] * 2
    )


def test_a_part_whose_mean_loss_is_not_defined_leaves_the_gradient_that_of_the_batch() -> None:
    params = network()
    x, y = batch_of(12)
    # Nothing of the first part counts: the mean over it is 0/0.
    x = x.at[:4, 0].set(-1).at[4:, 0].set(1)

    def valid(x: jax.Array, y: jax.Array) -> jax.Array:
        return valid_rows(x).sum()

    for by in ("scan", "vmap"):
        counted = grad_parts(token_loss, 3, by=by, weights=valid, units=valid)
        value, gradient, measurement = measured(counted, params, x, y)
        assert float(value) == pytest.approx(float(token_loss(params, x, y)), rel=FLOAT32)
        assert_gradient(gradient, compiled_gradient(token_loss)(params, x, y))
        expected = brute_force(token_loss, params, cut((x[4:], y[4:]), [4, 4]), [0.5] * 2)
        assert_measured(measurement, expected, [4] * 2, [0.5] * 2)
    gradients = [compiled_gradient(token_loss)(params, *part) for part in cut((x, y), [4, 4, 4])]
    weights = jnp.asarray([0.0, 4.0, 4.0])
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *gradients[1:])
    sums = part_sums(jnp.stack([squares(gradient) for gradient in gradients]), mean, weights, weights)
    np.testing.assert_allclose(sums.small.sum(), 64 * sum(expected[0].values()), rtol=FLOAT32)


def test_two_arrays_whose_paths_read_the_same_both_count() -> None:
    gradient = {"a.b": jnp.array([3.0]), "a": {"b": jnp.array([4.0])}}
    assert sorted(float(square) for square in squares(gradient)) == [9.0, 16.0]


def test_bfloat16_gradients_are_summed_and_squared_in_float32() -> None:
    params, sizes = network(dtype=jnp.bfloat16), [7, 7, 5]
    _, gradient, measurement = measured(grad_parts(loss, 3), params, *BATCH)
    weights = [n / 19 for n in sizes]
    # The two programs round to bfloat16 at other places.
    assert_measured(measurement, brute_force(loss, params, cut(BATCH, sizes), weights), sizes, weights, rtol=0.02)
    assert gradient["first"]["kernel"].dtype == jnp.bfloat16


def test_several_arguments_auxiliary_data_and_keys_are_those_of_value_and_grad() -> None:
    params = network()

    def loss_fn(first: Tree, last: Tree, x: jax.Array, y: jax.Array, key: jax.Array) -> tuple[jax.Array, Tree]:
        each = losses_of({"first": first, "last": last}, x, y)
        return each.mean(), {"largest": each.mean() * 2, "draw": jax.random.uniform(key)}

    function = jax.jit(grad_parts(loss_fn, 2, argnums=(0, 1), has_aux=True, key_argnums=[4]))
    key = jax.random.key(0)
    (value, aux), (first, last), parts = function(params["first"], params["last"], *BATCH, key)
    expected = compiled_gradient(loss)(params, *BATCH)
    assert_gradient({"first": first, "last": last}, expected)
    assert float(aux["largest"]) == pytest.approx(2 * float(value), rel=1e-6)
    draws = [float(jax.random.uniform(jax.random.fold_in(key, part))) for part in range(2)]
    assert float(aux["draw"]) == pytest.approx((10 * draws[0] + 9 * draws[1]) / 19, rel=1e-5)
    assert parts.names == ("0.bias", "0.kernel", "1.bias", "1.kernel")


def test_auxiliary_data_of_each_row_are_refused_and_so_are_arguments_of_other_length() -> None:
    def with_rows(params: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return loss(params, x, y), losses_of(params, x, y)

    with pytest.raises(ValueError, match="has_aux: "):
        grad_parts(with_rows, 2, has_aux=True)(network(), *BATCH)
    with pytest.raises(ValueError, match=r"batch_argnums: .*argument 1 19, argument 2 5;"):
        grad_parts(loss, 2)(network(), BATCH[0], BATCH[1][:5])
    with pytest.raises(ValueError, match=r"batch_argnums: .*argument 1 0, argument 2 0;"):
        grad_parts(loss, 2)(network(), BATCH[0][:0], BATCH[1][:0])
    with pytest.raises(ValueError, match="parts=0"):
        grad_parts(loss, 0)


def test_a_batch_of_fewer_rows_than_parts_has_a_part_for_each_row() -> None:
    _, _, measurement = measured(grad_parts(loss, 8), network(), *batch_of(3))
    assert_measured(
        measurement, brute_force(loss, network(), cut(batch_of(3), [1] * 3), [1 / 3] * 3), [1] * 3, [1 / 3] * 3
    )


def test_a_step_that_is_not_measured_is_value_and_grad_to_the_bit_and_returns_one_number_more() -> None:
    params = network()
    value, gradient, parts = jax.jit(grad_parts(loss, 3, whole=True))(params, *BATCH, measure=None)
    jax.tree.map(np.testing.assert_array_equal, (value, gradient), jax.jit(jax.value_and_grad(loss))(params, *BATCH))
    assert [float(leaf) for leaf in jax.tree.leaves(parts)] == [0]
    tap = noisescale.optax.tap()
    _, state = tap.update(gradient, tap.init(params), small_sq=parts)
    assert float(state.last.parts) == 0


def test_what_is_not_trained_does_not_count() -> None:
    params, sizes = network(), [7, 7, 5]
    weights = [n / 19 for n in sizes]
    mask = {"first": False, "last": True}
    small, big = brute_force(loss, params, cut(BATCH, sizes), weights)
    trained = ({n: v for n, v in s.items() if n.startswith("last")} for s in (small, big))
    expected = tuple(trained)
    _, gradient, measurement = measured(grad_parts(loss, 3, mask=mask), params, *BATCH)
    assert_measured(measurement, (expected[0], expected[1]), sizes, weights)
    assert_gradient(gradient, compiled_gradient(loss)(params, *BATCH))

    def frozen(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        return loss({**params, "first": jax.lax.stop_gradient(params["first"])}, x, y)

    _, _, measurement = measured(grad_parts(frozen, 3), params, *BATCH)
    assert measurement["layers"]["first"] == (0, 0)
    assert measurement["small"]["squared_norm"] == pytest.approx(
        sum(expected[0].values()) / sum(w * w for w in weights), rel=FLOAT32
    )

    masked = optax.masked(optax.chain(noisescale.optax.tap(), optax.clip_by_global_norm(1e-3)), mask)
    watcher, seen = watched()
    _, gradient, parts = THREE_PARTS(params, *BATCH)
    watcher.record(jax.jit(masked.update)(gradient, masked.init(params), params, small_sq=parts)[1])
    watcher.close()
    assert_measured(seen[0], (expected[0], expected[1]), sizes, weights)


def test_a_tap_before_clipping_reads_what_the_parts_say_and_a_state_may_be_donated() -> None:
    params, sizes, weights = network(), [7, 7, 5], [7 / 19, 7 / 19, 5 / 19]
    optimizer = optax.chain(noisescale.optax.tap(), optax.clip_by_global_norm(1e-3), optax.adam(1e-2))

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: Tree, x: jax.Array, y: jax.Array) -> tuple[Params, Tree]:
        _, gradient, parts = THREE_PARTS(params, x, y)
        updates, state = optimizer.update(gradient, state, params, small_sq=parts)
        return optax.apply_updates(params, updates), state

    watcher, seen = watched()
    state, expected = optimizer.init(params), []
    for seed in range(3):
        batch = batch_of(19, seed)
        expected.append(brute_force(loss, params, cut(batch, sizes), weights))
        params, state = step(params, state, *batch)
        watcher.record(state)
    watcher.close()
    assert [m["step"] for m in seen] == [0, 1, 2]
    for measurement, squares_of_step in zip(seen, expected, strict=True):
        assert_measured(measurement, squares_of_step, sizes, weights)


def test_an_own_loop_hands_the_squares_of_each_part_to_the_tap_or_to_part_sums() -> None:
    params, weights = network(), [1 / 2, 1 / 2]
    batch = batch_of(16)
    parts = cut(batch, [8, 8])

    @jax.jit
    def own_loop(params: Params) -> tuple[Tree, jax.Array]:
        stacked = jax.tree.map(lambda x: x.reshape(2, 8, *x.shape[1:]), batch)
        total, each = jax.lax.scan(
            lambda total, part: (
                jax.tree.map(jnp.add, total, g := jax.grad(loss)(params, *part)),
                squares(g),
            ),
            jax.tree.map(jnp.zeros_like, params),
            stacked,
        )
        return jax.tree.map(lambda g: g / 2, total), each

    mean, each = own_loop(params)
    expected = brute_force(loss, params, parts, weights)
    tap = noisescale.optax.tap(part_size=8, every=2)
    state = tap.init(params)
    watcher, seen = watched()
    for _ in range(3):
        _, state = tap.update(mean, state, params, small_sq=each)
        watcher.record(state)
    watcher.record(part_sums(each, mean, units=8))
    watcher.close()
    assert [m["step"] for m in seen] == [0, 2, 3]
    for measurement in seen:
        assert_measured(measurement, expected, [8, 8], weights)
    with pytest.raises(ValueError, match=r"small_sq: has the shape \(2,\)"):
        tap.update(mean, state, params, small_sq=each.sum(1))


@pytest.mark.parametrize("mean", [True, False], ids=["of the mean", "of the sum"])
def test_micro_batches_of_multi_steps_are_the_parts_and_their_mean_is_seen_before_clipping(mean: bool) -> None:
    params, sizes = network(), [8, 8, 3]

    def skipped(updates: Tree, step: Tree, params: Tree) -> Tree:
        return jnp.logical_not(jnp.isfinite(optax.tree.norm(updates))), ()

    optimizer = noisescale.optax.multi_steps(
        optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1e-2)),
        3,
        part_size=8,
        use_grad_mean=mean,
        should_skip_update_fn=skipped,
    )

    @jax.jit
    def step(params: Params, state: Tree, gradient: Tree, units: float) -> tuple[Params, Tree]:
        updates, state = optimizer.update(gradient, state, params, units=units)
        return optax.apply_updates(params, updates), state

    watcher, seen = watched()
    state, expected = optimizer.init(params), []
    gradient_of = compiled_gradient(loss)
    for seed in range(2):
        parts = cut(batch_of(19, seed), sizes)
        weights = [1 / 3 if mean else 1.0] * 3
        expected.append(brute_force(loss, params, parts, weights))
        for number, part in enumerate(parts):
            gradient = gradient_of(params, *part)
            if number == 1:
                bad = jax.tree.map(lambda g: g * jnp.nan, gradient)
                params, state = step(params, state, bad, 8.0)
                watcher.record(state)
            params, state = step(params, state, gradient, float(sizes[number]))
            watcher.record(state)
    watcher.close()
    assert [m["step"] for m in seen] == [0, 1]
    for measurement, (small, big) in zip(seen, expected, strict=True):
        if not mean:
            # Gradients of the sum are three times those of the mean, and so is each part's share.
            small, big = ({n: v * 9 for n, v in s.items()} for s in (small, big))
        assert_measured(measurement, (small, big), sizes, [1 / 3] * 3 if mean else [1.0] * 3)


class Network(nnx.Module):
    def __init__(self, rngs: nnx.Rngs, *, norm: bool = False) -> None:
        self.first = nnx.Linear(12, 30, rngs=rngs)
        self.norm = nnx.BatchNorm(30, rngs=rngs) if norm else None
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.last = nnx.Linear(30, 5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = jnp.tanh(self.first(x))
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.last(self.dropout(hidden))


def module_loss(model: Network, x: jax.Array, y: jax.Array) -> jax.Array:
    losses: jax.Array = optax.softmax_cross_entropy_with_integer_labels(model(x), y)
    return losses.mean()


def test_a_module_of_flax_is_seen_as_accumulation_by_nnx_value_and_grad_sees_it() -> None:
    model, by_hand = Network(nnx.Rngs(0)), Network(nnx.Rngs(0))
    transformation = optax.chain(noisescale.optax.tap(), optax.clip_by_global_norm(1e-3), optax.adam(1e-2))
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)
    function = grad_parts(module_loss, 3)

    @nnx.jit
    def step(model: Network, optimizer: nnx.Optimizer[Network], x: jax.Array, y: jax.Array) -> Tree:
        value, gradient, parts = function(model, x, y)
        optimizer.update(model, gradient, small_sq=parts)
        return value, parts

    watcher, seen = watched()
    other, from_parts = watched()
    _, parts = step(model, optimizer, *BATCH)
    watcher.record(optimizer)
    other.record(parts)
    watcher.close()
    other.close()
    sizes, weights = [7, 7, 5], [7 / 19, 7 / 19, 5 / 19]
    gradient_of = nnx.jit(nnx.grad(module_loss))
    gradients = [gradient_of(by_hand, *part) for part in cut(BATCH, sizes)]
    each = np.stack([np.asarray(squares(gradient), float) for gradient in gradients])
    total = jax.tree.map(lambda *g: sum(w * x for w, x in zip(weights, g, strict=True)), *gradients)
    expected = (
        dict(zip(parts.names, np.square(weights) @ each, strict=True)),
        dict(zip(parts.names, np.asarray(squares(total), float), strict=True)),
    )
    assert_measured(seen[0], expected, sizes, weights)
    assert_measured(from_parts[0], expected, sizes, weights)
    assert set(seen[0]["layers"]) == {"first", "last"}
    # Random numbers went on as in a loop over the parts.
    assert int(model.dropout.rngs.count[...]) == int(by_hand.dropout.rngs.count[...]) == 3


def test_batch_normalisation_in_training_is_warned_of_and_its_running_means_go_on() -> None:
    model = Network(nnx.Rngs(0), norm=True)
    watcher, seen = watched()
    _, _, parts = nnx.jit(grad_parts(module_loss, 2))(model, *BATCH)
    watcher.record(parts)
    watcher.close()
    assert watcher.counts == {"batch-norm": 1, "run-ended": 1}
    assert len(seen) == 1
    assert model.norm is not None
    assert float(jnp.abs(model.norm.mean[...]).max()) > 0
    with pytest.raises(ValueError, match="by='vmap': the module has state"):
        grad_parts(module_loss, 2, by="vmap")(model, *BATCH)


def test_the_hessian_and_adams_metric_give_the_forms_of_brute_force() -> None:
    params, sizes = network(), [4, 4, 4, 4]
    batch = batch_of(16)
    parts = cut(batch, sizes)
    optimizer = optax.adam(1e-2)
    state = optimizer.init(params)
    function = jax.jit(
        lambda params, state, x, y, measure: grad_parts(loss, 4)(
            params, x, y, measure=measure, metric=noisescale.optax.adam_metric(state)
        )
    )
    watcher, seen = watched(hessian_every=1)
    _, gradient, sums = function(params, state, *batch, watcher.measure)
    watcher.record(sums)
    updates, state = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    measure = watcher.measure
    assert measure is not None
    assert measure.hessian_key is not None
    _, _, sums = function(params, state, *batch, measure)
    watcher.record(sums)
    watcher.close()
    assert watcher.counts == {"run-ended": 1}
    assert "preconditioned" not in seen[0]

    flat, unravel = ravel_pytree(params)
    gradients = [compiled_gradient(loss)(params, *part) for part in parts]
    each = np.stack([np.asarray(ravel_pytree(gradient)[0], np.float64) for gradient in gradients])
    moments = np.asarray(ravel_pytree(state[0].nu)[0], np.float64) / (1 - 0.999)
    metric = 1 / (np.sqrt(moments) + 1e-8)
    assert seen[1]["preconditioned"]["small"]["value"] == pytest.approx((each**2 @ metric).mean(), rel=FLOAT32)
    assert seen[1]["preconditioned"]["big"]["value"] == pytest.approx(each.mean(0) ** 2 @ metric, rel=FLOAT32)
    assert seen[1]["preconditioned"]["big"]["batch_size"] == 16

    hessian = np.asarray(jax.jit(jax.hessian(lambda p: loss(unravel(p), *parts[3])))(flat), np.float64)
    signs = np.asarray(jax.random.rademacher(measure.hessian_key, (3,), jnp.float32), np.float64)
    signed, total = signs @ each[:3], each[:3].sum(0)
    # Second derivatives in float32.
    assert seen[1]["hessian"]["small"]["value"] == pytest.approx(signed @ hessian @ signed / 3, rel=1e-3)
    assert seen[1]["hessian"]["big"]["value"] == pytest.approx(total @ hessian @ total / 9, rel=1e-3)
    assert seen[1]["hessian"]["small"]["batch_size"] == 4
    assert seen[1]["hessian"]["big"]["batch_size"] == 12


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "noisescale"]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("one-part", "grad_parts(loss_fn, parts=4)"),
        ("part-sizes", "part_size"),
        ("not-one-gradient", "put noisescale.optax.tap first"),
    ],
)
def test_wrong_use_is_one_warning_and_no_number(code: str, remedy: str, caplog: pytest.LogCaptureFixture) -> None:
    params = network()
    watcher, seen = watched()
    _, gradient, one = ONE_PART(params, *BATCH)
    _, _, three = THREE_PARTS(params, *BATCH)
    tap = noisescale.optax.tap()
    late = optax.chain(optax.clip_by_global_norm(1e-3), tap)
    given: Tree = one
    if code == "part-sizes":
        given = tap.update(gradient, tap.init(params), small_sq=jnp.ones((2, 4)))[1]
    if code == "not-one-gradient":
        given = late.update(gradient, late.init(params), small_sq=three)[1]
    with caplog.at_level(logging.WARNING, "noisescale"):
        watcher.record(given)
        watcher.record(given)
        watcher.record(one)
        watcher.close()
    assert seen == []
    assert watcher.counts[code] == 1
    (line,) = [line for line in said(caplog) if remedy in line]
    assert line.startswith("noisescale: ")


def test_what_fails_in_the_hook_never_reaches_the_training(caplog: pytest.LogCaptureFixture) -> None:
    watcher, seen = watched()
    with caplog.at_level(logging.WARNING, "noisescale"):
        for _ in range(4):
            watcher.record({"no": "sums"})
    assert watcher.counts["hook-failed"] == 3
    assert watcher.measure is None
    assert len(said(caplog)) == 1
    assert "record was given no PartSums" in said(caplog)[0]
    watcher, seen = watched()
    _, _, parts = THREE_PARTS(network(), BATCH[0] * jnp.inf, BATCH[1])
    watcher.record(parts)
    watcher.close()
    assert seen == []
    assert watcher.counts == {"not-finite": 1, "run-ended": 1}


def test_a_step_that_is_not_measured_is_a_program_of_its_own_and_the_cadence_is_chosen_from_the_first_ones() -> None:
    params = network()
    watcher, seen = watched(every=None, layers=False)
    traced = []

    @jax.jit
    def step(params: Params, x: jax.Array, y: jax.Array, measure: Tree) -> Tree:
        traced.append(measure)
        return grad_parts(loss, 2, whole=True)(params, x, y, measure=measure)

    for number in range(100):
        _, gradient, parts = step(params, *BATCH, watcher.measure)
        if watcher.measure is None:
            assert float(parts.parts) == 0
        watcher.record(parts)
        if number == 0:
            assert_gradient(gradient, compiled_gradient(loss)(params, *BATCH))
    watcher.close()
    assert len(traced) == 2
    assert watcher.every >= 1
    chosen = [step for step in range(80, 100) if step % watcher.every == 0]
    assert [m["step"] for m in seen] == [0, *range(9, 80, 3), *chosen]


def test_a_loop_that_follows_the_recommendation_is_told_by_record(tmp_path: Path) -> None:
    gradient, parts, changes = network(), 2, []

    def follow(change: noisescale.BatchSizeChange) -> None:
        nonlocal parts
        parts = change.accumulation
        changes.append((change.batch_size, change.accumulation))

    with RecordingCollector() as collector:
        collector.answer = lambda measurement: answered(
            batch_size=measurement["units"],
            recommended=32,
            step=measurement["step"],
            attempt=measurement["attempt"],
        )
        watcher = noisescale.jax.watch(
            sink=collector.url,
            every=1,
            spool_directory=tmp_path,
            user_runs=False,
            on_recommendation=follow,
            batch_size_limits=noisescale.BatchSizeLimits(agreeing_measurements=0),
        )
        for _ in range(4):
            watcher.record(part_sums(jnp.ones((parts, 4)), gradient, units=8))
            # The answer has come by the next step's end.
            assert watcher.flush()
        assert watcher.close()
        seen = [body["measurements"] for _, path, body in collector.requests if path.endswith("/measurements")]
    assert changes == [(32, 4)]
    assert [measurement["units"] for some in seen for measurement in some] == [16, 16, 32, 32]
    assert watcher.counts == {"run-ended": 1}


def test_a_run_that_is_watched_again_by_its_name_ends_its_earlier_watcher_and_goes_on_from_the_new_first_step(
    tmp_path: Path,
) -> None:
    def watch(run: str | None, first_step: int = 0) -> noisescale.jax.Watcher:
        return noisescale.jax.watch(
            run=run,
            project="digits",
            sink=collector.url,
            every=1,
            first_step=first_step,
            spool_directory=tmp_path,
            user_runs=False,
        )

    _, _, parts = THREE_PARTS(network(), *BATCH)
    with RecordingCollector() as collector:
        before, other, unnamed = watch("digits-7"), watch("digits-8"), watch(None)
        before.record(parts)
        after = watch("digits-7", first_step=5)
        for watcher in (before, after, other, unnamed, watch(None)):
            watcher.record(parts)
            watcher.close()
        seen = [
            (measurement["step"], measurement["attempt"])
            for _, path, body in collector.requests
            for measurement in body.get("measurements", [])
            if path.endswith("/digits-7/measurements")
        ]
    assert before.counts == after.counts == {"run-ended": 1}
    assert (before.measurements, other.measurements, unnamed.measurements) == (1, 1, 1)
    assert [step for step, _ in seen] == [0, 5]
    assert len({attempt for _, attempt in seen}) == 2


@pytest.mark.parametrize("left_out", [True, False], ids=["left out", "always None"])
def test_a_step_that_does_not_go_by_measure_is_one_warning(left_out: bool, caplog: pytest.LogCaptureFixture) -> None:
    function = jax.jit(grad_parts(loss, 3))
    watcher, seen = watched(every=4)
    with caplog.at_level(logging.WARNING, "noisescale"):
        for _ in range(6):
            parts = function(network(), *BATCH, **({} if left_out else {"measure": None}))[2]
            watcher.record(parts)
        watcher.close()
    assert watcher.counts == {"measure-unused": 1, "run-ended": 1}
    assert [m["step"] for m in seen] == ([0, 4] if left_out else [])
    (line,) = said(caplog)
    assert "hand it over as measure=" in line


def test_nothing_is_measured_where_measuring_is_switched_off() -> None:
    watcher, seen = watched(enabled=False, every=None)
    assert watcher.measure is None
    watcher.record({"anything": 1})
    watcher.close()
    assert seen == []
    assert watcher.counts == {"run-ended": 1}


def test_squares_of_a_hundred_million_elements_keep_six_digits() -> None:
    gradient = np.random.default_rng(0).random((10_000, 10_000), np.float32)
    exact = sum(float(np.square(rows, dtype=np.float64).sum()) for rows in gradient)
    assert float(jax.jit(squares)({"kernel": gradient})[0]) == pytest.approx(exact, rel=1e-6)


def failed_cases(folder: Path, processes: int) -> list[dict[str, str]]:
    """What failed on four devices, by case, in each process."""
    here = Path(__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{here.parent / 'src'}:{here}",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES // processes}",
    }
    files = [folder / f"{rank}.json" for rank in range(processes)]
    ran = [
        subprocess.Popen(
            [sys.executable, str(here / "jax_device_cases.py"), str(file)]
            + ([] if processes == 1 else [str(rank), str(port)]),
            env=environment,
        )
        for rank, file in enumerate(files)
    ]
    try:
        assert [process.wait(300) for process in ran] == [0] * processes
    finally:
        for process in ran:
            process.kill()
    return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def failed_in_one_process(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return failed_cases(tmp_path_factory.mktemp("devices"), 1)


@pytest.fixture(scope="module")
def failed_in_two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return failed_cases(tmp_path_factory.mktemp("processes"), PROCESSES)


@pytest.mark.parametrize("case", [case.__name__ for case in CASES])
def test_devices_that_share_a_batch_are_measured_by_the_parts_of_all(
    case: str, failed_in_one_process: list[dict[str, str]]
) -> None:
    assert [failed.get(case) for failed in failed_in_one_process] == [None]


@pytest.mark.parametrize("case", [case.__name__ for case in PROCESS_CASES])
def test_processes_that_share_a_batch_are_measured_by_the_parts_of_all_and_the_first_one_sends(
    case: str, failed_in_two_processes: list[dict[str, str]]
) -> None:
    assert [failed.get(case) for failed in failed_in_two_processes] == [None] * PROCESSES


def test_a_wrong_option_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"^first_step=-1: must be a whole number from 0$"):
        noisescale.jax.watch(first_step=-1)
    with pytest.raises(ValueError, match=r"^on_recommendation='bigger': must be a function$"):
        noisescale.jax.watch(on_recommendation="bigger")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="declaration: has no field 'tag'"):
        noisescale.jax.watch(declaration={"tag": "x"})  # type: ignore[arg-type]
