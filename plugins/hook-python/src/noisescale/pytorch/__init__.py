"""Hooks for PyTorch."""

from noisescale.pytorch.watch import watch
from noisescale.pytorch.watcher import Watcher

__all__ = ["Watcher", "watch"]
