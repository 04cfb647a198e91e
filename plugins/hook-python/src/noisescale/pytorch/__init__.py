"""Hooks for PyTorch."""

from noisescale.pytorch.learning_rate import scale_learning_rate
from noisescale.pytorch.watch import watch
from noisescale.pytorch.watcher import Watcher

__all__ = ["Watcher", "scale_learning_rate", "watch"]
