"""Squared norms of each example's gradient from one backward pass of the whole batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from noisescale.pytorch.example_gradients import from_each_example
from noisescale.pytorch.example_rules import Rule, rule_of


class NotCoveredError(Exception):
    """Some layer's parameters are used in a way that the norms of their examples are not read from."""


class ExampleSquares:
    """Σ_i |h_i|² by group, over the examples i of one batch, each with its part h_i of the batch's gradient."""

    def __init__(self, model: nn.Module, parameters: Sequence[tuple[nn.Parameter, int]], groups: int) -> None:
        """Finds each parameter's layer.

        Args:
            model: Its layers take tensors whose first dimension counts the examples.
            parameters: Each with the number of its group.
            groups: How many groups there are.
        """
        self._groups = groups
        self._group_of = {id(parameter): group for parameter, group in parameters}
        self._layers: list[tuple[str, nn.Module, Rule]] = []
        self._seen: dict[int, torch.Tensor] = {}
        self._problem: str | None = None
        self._proven = False
        # Layers whose input was seen to have more dimensions than examples and features.
        self._over_sequences: set[str] = set()
        # Group and number of the squares of each parameter in the last step, and the group of each square.
        self._places: list[tuple[int, int]] = []
        self._index = torch.empty(0)
        owners: dict[int, str] = {}
        for name, module in model.named_modules():
            held = [parameter for parameter in module.parameters(recurse=False) if id(parameter) in self._group_of]
            rule = rule_of(module)
            shared = next((owners[id(parameter)] for parameter in held if id(parameter) in owners), None)
            if held and (rule is None or shared is not None):
                why = f"shares a parameter with {shared}" if shared is not None else f"is a {type(module).__name__}"
                self._problem = self._problem or f"{name or 'the model'} {why}"
            if held and rule is not None:
                self._layers.append((name, module, rule))
            owners.update(dict.fromkeys(map(id, held), name))

    @property
    def problem(self) -> str | None:
        """Which layer is not covered, and why; None where all are."""
        return self._problem

    @contextmanager
    def reading(self, examples: int) -> Iterator[None]:
        """Reads the one forward and backward pass within.

        The first time it only looks on. Once that has shown that each layer is used once, and by what a hook sees,
        weights may get their gradients as sums of the examples'.
        """
        self._seen = {}
        called: set[str] = set()
        exchanged = [(n, module) for n, module, _ in self._layers if self._proven and n in self._over_sequences]
        with from_each_example(exchanged, examples, self._keep) as summed:
            handles = [
                module.register_forward_hook(self._forward(name, rule, examples, called, summed))
                for name, module, rule in self._layers
            ]
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def squares(self, used: Sequence[torch.Tensor]) -> torch.Tensor:
        """What was read.

        Args:
            used: The parameters that got a gradient.

        Returns:
            Shape (groups,), float64 [gradient²].

        Raises:
            NotCoveredError: If one of them was used past its layer, or a layer twice. It stays so.
        """
        if self._problem is None and any(id(parameter) not in self._seen for parameter in used):
            self._problem = "a parameter is used past its layer's forward pass"
        if self._problem is not None:
            raise NotCoveredError(self._problem)
        self._proven = True
        device = used[0].device
        each = [self._seen[id(parameter)].to(device) for parameter in used]
        squares = torch.cat(each)
        if self._groups == 1:
            return squares.sum(0, keepdim=True, dtype=torch.float64)
        places = [(self._group_of[id(p)], len(own)) for p, own in zip(used, each, strict=True)]
        if places != self._places:
            numbers, lengths = torch.tensor(places).unbind(1)
            self._places, self._index = places, numbers.repeat_interleave(lengths)
        self._index = self._index.to(device)
        return torch.zeros(self._groups, dtype=torch.float64, device=device).index_add_(
            0, self._index, squares.double()
        )

    def _forward(
        self, name: str, rule: Rule, examples: int, called: set[str], summed: set[str]
    ) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        front = (examples,)

        def after_forward(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if not isinstance(output, torch.Tensor) or not output.requires_grad:
                return
            given = inputs[0] if inputs else None
            if name in called:
                self._problem = self._problem or f"{name} is called more than once"
            elif not isinstance(given, torch.Tensor) or given.shape[:1] != front or output.shape[:1] != front:
                self._problem = self._problem or f"{name} has no dimension of examples in front"
            else:
                called.add(name)
                if given.dim() > 2:
                    self._over_sequences.add(name)
                if name in summed:
                    return
                entered = given.detach()
                output.register_hook(lambda gradient: self._take(module, rule, entered, gradient.detach()))

        return after_forward

    def _take(self, module: nn.Module, rule: Rule, entered: torch.Tensor, gradient: torch.Tensor) -> None:
        try:
            if gradient.dtype is torch.float16:
                # With a loss scale a gradient fits into it, its square does not.
                gradient = gradient.float()
            entered = entered.to(gradient.dtype) if entered.is_floating_point() else entered
            self._keep(module, rule(module, entered, gradient))
        except Exception as error:
            self._problem = self._problem or f"{type(module).__name__}: {error}"

    def _keep(self, module: nn.Module, squares: dict[str, torch.Tensor]) -> None:
        for name, square in squares.items():
            parameter = module._parameters.get(name)
            if parameter is None or id(parameter) not in self._group_of:
                continue
            if id(parameter) in self._seen:
                self._problem = self._problem or f"a {type(module).__name__} is differentiated more than once"
            self._seen[id(parameter)] = square
