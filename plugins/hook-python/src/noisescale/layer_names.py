"""Which layer a parameter belongs to, by its name."""

from collections.abc import Sequence

_MOST_LAYERS = 512


def layers_of(parameters: Sequence[str]) -> list[str]:
    """The layer of each parameter, whose name is a path with dots.

    A layer is what holds the parameter; where that gives more than 512, a level above it that does not.
    """
    depth = max((name.count(".") for name in parameters), default=1) or 1
    while depth > 1 and len({_layer(name, depth) for name in parameters}) > _MOST_LAYERS:
        depth -= 1
    return [_layer(name, depth) for name in parameters]


def _layer(parameter: str, depth: int) -> str:
    holder = parameter.split(".")[:-1][:depth]
    return (".".join(holder) or parameter)[:256]
