"""Measures the gradient noise scale of a training that runs, and leaves the training as it is.

`watch` needs PyTorch, and each framework's module the framework: imported when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING

from noisescale.batch_size_control import BatchSizeChange, BatchSizeLimits

if TYPE_CHECKING:
    from noisescale import jax, keras, lightning, optax, transformers
    from noisescale.pytorch.learning_rate import scale_learning_rate
    from noisescale.pytorch.watch import watch
    from noisescale.pytorch.watcher import Watcher

__version__ = "0.1.0"
__all__ = [
    "BatchSizeChange",
    "BatchSizeLimits",
    "Watcher",
    "jax",
    "keras",
    "lightning",
    "optax",
    "scale_learning_rate",
    "transformers",
    "watch",
]


# What each needs, by the name that pip installs it by.
_NEEDS = {
    "jax": "jax",
    "keras": "keras",
    "lightning": "lightning",
    "optax": "optax",
    "transformers": "'transformers[torch]'",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'noisescale' has no attribute {name!r}")
    module = f"noisescale.{name}" if name in _NEEDS else "noisescale.pytorch"
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        needed = _NEEDS.get(name, "torch")
        if (error.name or "").startswith("noisescale"):
            raise
        raise ModuleNotFoundError(
            f"noisescale.{name} needs {error.name}, which is not installed: pip install {needed}", name=error.name
        ) from error
    return loaded if name in _NEEDS else getattr(loaded, name)
