"""Hooks within what the user compiles."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

_P = ParamSpec("_P")
_R = TypeVar("_R")


def uncompiled(hook: Callable[_P, _R]) -> Callable[_P, _R]:
    """Keeps `torch.compile` out of a hook.

    A training step that is compiled whole would trace the hooks too: of a backward pass that ended with an error, of an
    optimizer's step it took a compilation for each step's number.
    """
    return cast(Callable[_P, _R], torch.compiler.disable(hook))
