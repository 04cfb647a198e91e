"""Measures the gradient noise scale of a training that runs, and leaves the training as it is.

`watch` needs PyTorch, which is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noisescale.pytorch.watch import watch
    from noisescale.pytorch.watcher import Watcher

__version__ = "0.1.0"
__all__ = ["Watcher", "watch"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'noisescale' has no attribute {name!r}")
    from noisescale import pytorch

    return getattr(pytorch, name)
