"""The gradient of a batch as the mean of its parts', with the parts' squared norms."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from noisescale.jax.hessian import hessian_form
from noisescale.jax.modules import Functional, functional
from noisescale.jax.sums import Counts, Mask, PartSums, Tree, form_of, named_leaves, squares_of, widened

Axis = Hashable | tuple[Hashable, ...]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Measure:
    """Says that a step is measured; None in its place, that it is not.

    As an argument of a jitted function either is a program of its own: what is not measured costs nothing.

    Attributes:
        hessian_key: Key of the random signs, where B_noise is due; else None.
    """

    hessian_key: jax.Array | None = None


ALWAYS = Measure()


def grad_parts(
    loss_fn: Callable[..., Any],
    parts: int | Literal["examples"],
    *,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    by: Literal["scan", "vmap"] = "scan",
    batch_argnums: Sequence[int] | None = None,
    key_argnums: Sequence[int] = (),
    weights: Callable[..., Any] | None = None,
    units: Callable[..., Any] | None = None,
    whole: bool | None = None,
    axis_name: Axis | None = None,
    mask: Mask = None,
) -> Callable[..., tuple[Any, Tree, PartSums]]:
    """As `jax.value_and_grad`, over the parts of a batch; what is returned has their squared norms too.

    A batch of B rows is cut into parts of ⌈B/parts⌉ rows, the last with what is left; of B < `parts` rows each is one.
    The gradient is that of the whole batch, as `loss_fn` is a mean over its rows, or over what `weights` counts. It is
    summed up in float32 at least.

    Args:
        loss_fn: Gives the mean loss, shape (), of its arguments' rows.
        parts: K; "examples" makes each row a part.
        argnums: What is differentiated by: a pytree, or a module of flax nnx, whose `nnx.Param`s are.
        has_aux: Whether `loss_fn` returns (loss, auxiliary data). These are averaged as the loss is, and must be of
            floating type and of a shape that does not depend on the number of rows.
        by: "scan" takes one part after the other, as gradient accumulation does; "vmap" all at once, with the memory of
            K gradients.
        batch_argnums: The arguments that have a row for each draw; all that are not differentiated by, where it is left
            out. The others are handed to every part as they are.
        key_argnums: Arguments that are random keys: each part gets one of its own.
        weights: Called with a part's batch arguments, gives what its mean loss is a mean over, shape (): the number of
            tokens that are not padding. The number of rows, where it is left out.
        units: Called likewise, gives the part's units, shape (). The number of rows, where it is left out.
        whole: Whether a step that is not measured takes the batch in one piece, as `jax.value_and_grad` does. Where it
            is left out, with "vmap".
        axis_name: Of the devices, inside `shard_map` or `pmap`: their parts are parts of one batch, one a device is
            enough, and the gradient is that of all. Parameters are the same on all devices.
        mask: Which parameters count, as optax.masked takes it; those that are not trained should not.

    Returns:
        A function of the arguments of `loss_fn`, of `measure` (a `Watcher.measure`; where it is left out, every step is
        measured) and `metric` (see `noisescale.optax.adam_metric`). It returns the loss, or (loss, auxiliary data); the
        gradient; and the parts' sums for `Watcher.record`.

    Raises:
        ValueError: Naming the option that is wrong; that of the batch, when the function is traced.
    """
    if parts != "examples" and not (isinstance(parts, Integral) and int(parts) >= 1):
        raise ValueError(f"parts={parts!r}: must be a whole number from 1, or 'examples'")
    if by not in {"scan", "vmap"}:
        raise ValueError(f"by={by!r}: must be 'scan' or 'vmap'")
    in_one_piece = by == "vmap" if whole is None else whole

    def gradient_of(
        *args: Tree, measure: Measure | None = ALWAYS, metric: Tree | None = None
    ) -> tuple[Any, Tree, PartSums]:
        target = functional(loss_fn, args, argnums, has_aux)
        if by == "vmap" and jax.tree.leaves(target.state):
            raise ValueError("by='vmap': the module has state that its parts change one after the other; use by='scan'")
        differentiated = {argnums} if isinstance(argnums, int) else set(argnums)
        rest = sorted(set(range(len(args))) - differentiated - set(key_argnums))
        work = _Work(
            target=target,
            args=args,
            batch_argnums=tuple(rest if batch_argnums is None else batch_argnums),
            key_argnums=tuple(key_argnums),
            weights=weights,
            units=units,
            axis_name=axis_name,
            mask=mask,
            metric=metric,
            measure=measure,
        )
        return work.run(1 if in_one_piece and measure is None else parts, by, has_aux)

    return gradient_of


class _Sums(NamedTuple):
    """Sums over some parts, each weighted."""

    gradient: Tree
    signed: Tree | None
    small: jax.Array | None
    metric: jax.Array | None
    counts: Counts
    loss: jax.Array
    aux: Tree


@dataclasses.dataclass(frozen=True)
class _Work:
    """One call of the gradient function, while it is traced."""

    target: Functional
    args: tuple[Any, ...]
    batch_argnums: tuple[int, ...]
    key_argnums: tuple[int, ...]
    weights: Callable[..., Any] | None
    units: Callable[..., Any] | None
    axis_name: Axis | None
    mask: Mask
    metric: Tree | None
    measure: Measure | None

    def run(self, parts: int | Literal["examples"], by: str, has_aux: bool) -> tuple[Any, Tree, PartSums]:
        batch = tuple(self.args[number] for number in self.batch_argnums)
        rows = _rows(dict(zip(self.batch_argnums, batch, strict=True)))
        size = 1 if parts == "examples" else -(-rows // min(parts, rows))
        full, tail = divmod(rows, size)
        with_hessian = self.measure is not None and self.measure.hessian_key is not None
        if with_hessian and tail == 0 and full > 1:
            # The last part's draws are for the Hessian alone.
            full, tail = full - 1, size
        if with_hessian and (full + (tail > 0)) * self._devices() < 3:
            raise ValueError("hessian_every: needs three parts or more, those of all devices together; leave it out")
        if has_aux:
            self._check_aux(jax.tree.map(lambda x: x[:size], batch), batch)
        params, state = self._varying(self.target.params), self._varying(self.target.state)
        if size == rows and self.measure is None and self.axis_name is None:
            return self._as_it_is(params, state, batch, has_aux)
        head = jax.tree.map(lambda x: x[: full * size].reshape(full, size, *x.shape[1:]), batch)
        last = jax.tree.map(lambda x: x[full * size :], batch)
        signs = self._signs(full) if with_hessian else None
        sums, after = (self._mapped if by == "vmap" else self._scanned)(params, state, head, signs, full, size)
        hessian = None
        if with_hessian and tail > 0:
            hessian = self._hessian(params, after, last, full, sums, weight=self._scalar(self.weights, last, tail))
        elif with_hessian:
            # Of devices that have one part each, every second one's draws are for the Hessian.
            gives = jax.lax.axis_index(self.axis_name) % 2 == 0
            directions = jax.tree.map(lambda x: jnp.where(gives, x, 0), sums)
            weight = jnp.where(gives, 0, sums.counts.weight)
            hessian = self._hessian(params, state, batch, 0, directions, weight=weight)
        if tail > 0:
            one, after = self._part(params, after, tail, last, jnp.asarray(full), None)
            sums = jax.tree.map(jnp.add, sums._replace(signed=None), one)
        self.target.put_back(after)
        return self._ended(sums, hessian, has_aux)

    def _as_it_is(self, params: Tree, state: Tree, batch: tuple[Any, ...], has_aux: bool) -> tuple[Any, Tree, PartSums]:
        """The batch in one piece, and no arithmetic but that of `jax.value_and_grad`."""
        args = self._part_args(batch, jnp.asarray(0))
        (loss, (aux, after)), gradient = jax.value_and_grad(self.target.loss, has_aux=True)(params, state, args)
        self.target.put_back(after)
        loss, aux = widened(loss), jax.tree.map(widened, aux)
        return ((loss, aux) if has_aux else loss), gradient, PartSums.not_measured()

    def _scanned(
        self, params: Tree, state: Tree, head: Tree, signs: jax.Array | None, full: int, size: int
    ) -> tuple[_Sums, Tree]:
        if full == 1:
            return self._part(params, state, size, *_first(head, signs))

        def body(carry: tuple[_Sums, Tree], x: tuple[Tree, jax.Array, jax.Array | None]) -> tuple[Any, None]:
            sums, state = carry
            batch, number, sign = x
            one, state = self._part(params, state, size, batch, number, sign)
            return (jax.tree.map(jnp.add, sums, one), state), None

        shapes = jax.eval_shape(lambda: self._part(params, state, size, *_first(head, signs))[0])
        zeros = self._varying(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
        carry, _ = jax.lax.scan(body, (zeros, state), (head, jnp.arange(full), signs))
        sums, state = carry
        return sums, state

    def _mapped(
        self, params: Tree, state: Tree, head: Tree, signs: jax.Array | None, full: int, size: int
    ) -> tuple[_Sums, Tree]:
        def one(batch: Tree, number: jax.Array, sign: jax.Array | None) -> _Sums:
            return self._part(params, state, size, batch, number, sign)[0]

        mapped = jax.vmap(one, in_axes=(0, 0, None if signs is None else 0))(head, jnp.arange(full), signs)
        return jax.tree.map(lambda x: x.sum(0), mapped), state

    def _part(
        self, params: Tree, state: Tree, size: int, batch: tuple[Any, ...], number: jax.Array, sign: jax.Array | None
    ) -> tuple[_Sums, Tree]:
        """One part's share of the sums."""
        args = self._part_args(batch, number)
        (loss, (aux, state)), gradient = jax.value_and_grad(self.target.loss, has_aux=True)(params, state, args)
        weight = self._scalar(self.weights, batch, size)
        weighted = jax.tree.map(lambda x: _times(widened(x), weight), gradient)
        leaves = named_leaves(weighted, self.mask)
        measured = self.measure is not None
        sums = _Sums(
            gradient=weighted,
            signed=None if sign is None else jax.tree.map(lambda x: x * sign, weighted),
            small=squares_of(list(leaves.values())) if measured else None,
            metric=self._form(leaves) if measured and self.metric is not None else None,
            counts=Counts.of(self._scalar(self.units, batch, size), weight),
            loss=_times(widened(loss), weight),
            aux=jax.tree.map(lambda x: _times(widened(x), weight), aux),
        )
        return self._varying(sums), state

    def _ended(
        self, sums: _Sums, hessian: tuple[Counts, jax.Array] | None, has_aux: bool
    ) -> tuple[Any, Tree, PartSums]:
        sums = self._over_devices(sums)
        weight = sums.counts.weight
        mean = jax.tree.map(lambda x: x / weight, sums.gradient)
        gradient = jax.tree.map(lambda x, p: x.astype(p.dtype), mean, self.target.params)
        loss, aux = sums.loss / weight, jax.tree.map(lambda x: x / weight, sums.aux)
        numbers = PartSums.not_measured()
        if sums.small is not None:
            leaves = named_leaves(mean, self.mask)
            square = jnp.square(weight)
            numbers = dataclasses.replace(
                PartSums.nothing(tuple(leaves)),
                counts=sums.counts,
                small=sums.small,
                big=squares_of(list(leaves.values())) * square,
                loss=loss,
                batch_norm=self.target.batch_norm,
            )
            if sums.metric is not None:
                metric = jnp.stack([sums.metric, self._form(leaves) * square])
                numbers = dataclasses.replace(numbers, metric=metric)
            if hessian is not None:
                numbers = dataclasses.replace(numbers, hessian=hessian)
        return ((loss, aux) if has_aux else loss), gradient, numbers

    def _hessian(
        self, params: Tree, state: Tree, part: tuple[Any, ...], number: int, sums: _Sums, weight: jax.Array
    ) -> tuple[Counts, jax.Array]:
        """Counts of parts, and the forms vᵀHv of their sum under random signs and of their sum.

        H is that of the mean loss over each device's `part`, weighted; the sums are of parts with other draws.
        """
        counts, signed, total = self._over_devices((sums.counts, sums.signed, sums.gradient))
        args = self._part_args(part, jnp.asarray(number))

        def of_part(vector: Tree) -> jax.Array:
            counted = self._varying(_only(vector, self.mask))
            return hessian_form(lambda p: self.target.loss(p, state, args)[0], params, counted)

        forms = _times(jnp.stack([of_part(signed), of_part(total)]), weight)
        return counts, self._over_devices(forms) / self._over_devices(weight)

    def _devices(self) -> int:
        return 1 if self.axis_name is None else jax.lax.axis_size(self.axis_name)

    def _over_devices(self, tree: Tree) -> Tree:
        """The sum over all devices."""
        if self.axis_name is None:
            return tree
        return jax.tree.map(lambda x: jax.lax.psum(x, self.axis_name), tree)  # type: ignore[no-untyped-call]

    def _part_args(self, batch: tuple[Any, ...], number: jax.Array) -> list[Any]:
        args = list(self.args)
        for place, value in zip(self.batch_argnums, batch, strict=True):
            args[place] = value
        for place in self.key_argnums:
            args[place] = jax.random.fold_in(self._of_device(args[place]), number)
        return args

    def _scalar(self, function: Callable[..., Any] | None, batch: tuple[Any, ...], rows: int) -> jax.Array:
        value = jnp.asarray(rows if function is None else function(*batch), jnp.float32)
        if value.shape != ():
            raise ValueError(f"weights and units: must give one number a part, of shape (), not {value.shape}")
        return value

    def _signs(self, full: int) -> jax.Array:
        assert self.measure is not None
        assert self.measure.hessian_key is not None
        return jax.random.rademacher(self._of_device(self.measure.hessian_key), (full,), jnp.float32)

    def _of_device(self, key: jax.Array) -> jax.Array:
        """A key of its own for each device."""
        return key if self.axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(self.axis_name))

    def _form(self, leaves: dict[str, jax.Array]) -> jax.Array:
        metric = named_leaves(self.metric)
        missing = next((name for name in leaves if name not in metric), None)
        if missing is not None:
            raise ValueError(f"metric: has no {missing}; leave what is not trained out with mask")
        return form_of(list(leaves.values()), [metric[name] for name in leaves])

    def _check_aux(self, part: tuple[Any, ...], batch: tuple[Any, ...]) -> None:
        def shapes(of: tuple[Any, ...]) -> Tree:
            args = self._part_args(of, jnp.asarray(0))
            aux = jax.eval_shape(lambda p, s: self.target.loss(p, s, args)[1][0], self.target.params, self.target.state)
            return jax.tree.map(lambda x: (x.shape, x.dtype), aux)

        of_part = jax.tree.leaves(shapes(part), is_leaf=lambda x: isinstance(x, tuple))
        if shapes(part) != shapes(batch) or not all(jnp.issubdtype(dtype, jnp.inexact) for _, dtype in of_part):
            raise ValueError(
                "has_aux: auxiliary data are averaged over the parts, so that they must be of floating type, and of a "
                "shape that does not depend on the number of rows; return a mean of them"
            )

    def _varying(self, tree: Tree) -> Tree:
        """Of each device its own, so that gradients are not summed up over the devices on their way."""
        if self.axis_name is None:
            return tree
        axes = self.axis_name if isinstance(self.axis_name, tuple) else (self.axis_name,)

        def of_each(x: jax.Array) -> jax.Array:
            kind = jax.typeof(x)
            has: frozenset[Hashable] = getattr(getattr(kind, "mat", None), "varying", getattr(kind, "vma", frozenset()))
            lacks = tuple(axis for axis in axes if axis not in has)
            return jax.lax.pcast(x, lacks, to="varying") if lacks else x

        return jax.tree.map(of_each, tree)


def _rows(batch: dict[int, Any]) -> int:
    """How many rows the arguments of these numbers have."""
    rows = {
        number: sorted({jnp.shape(leaf)[0] if jnp.ndim(leaf) > 0 else 0 for leaf in jax.tree.leaves(arg)})
        for number, arg in batch.items()
    }
    counts = {count for of_arg in rows.values() for count in of_arg}
    if len(counts) != 1 or counts == {0}:
        each = ", ".join(f"argument {number} {' and '.join(map(str, of_arg))}" for number, of_arg in rows.items())
        raise ValueError(
            f"batch_argnums: each argument of a batch has the same number of rows, a row a draw, and these have "
            f"{each or 'no argument'}; name those that have"
        )
    return counts.pop()


def _times(value: jax.Array, weight: jax.Array) -> jax.Array:
    """The product; 0 where the weight is, as the mean loss of a part without a token is 0/0."""
    return jnp.where(weight == 0, 0, value * weight)


def _first(head: Tree, signs: jax.Array | None) -> tuple[Tree, jax.Array, jax.Array | None]:
    """Batch, number and sign of the first part."""
    return jax.tree.map(lambda x: x[0], head), jnp.asarray(0), None if signs is None else signs[0]


def _only(tree: Tree, mask: Mask) -> Tree:
    """The tree with zeros where the mask leaves something out."""
    if mask is None:
        return tree
    masks = mask(tree) if callable(mask) else mask
    return jax.tree.map(lambda kept, below: below if kept else jax.tree.map(jnp.zeros_like, below), masks, tree)
