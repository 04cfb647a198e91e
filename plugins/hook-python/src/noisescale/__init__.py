"""Measures the gradient noise scale of a training that runs, and leaves the training as it is."""

__version__ = "0.1.0"
