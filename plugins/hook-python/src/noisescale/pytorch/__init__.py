"""Hooks for PyTorch."""

from noisescale.pytorch.watch import Watcher, watch

__all__ = ["Watcher", "watch"]
