"""A gradient function that also gives the squared norms of a batch's parts, and what takes these to the collector."""

from noisescale.jax.gradient import Measure, grad_parts
from noisescale.jax.sums import PartSums, part_sums, squares
from noisescale.jax.watch import watch
from noisescale.jax.watcher import Watcher

__all__ = ["Measure", "PartSums", "Watcher", "grad_parts", "part_sums", "squares", "watch"]
