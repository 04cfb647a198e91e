"""Hands measurements and events to the sink, counts them, and keeps every failure away from the training."""

import logging
import sys
import time
from collections import Counter
from typing import Literal

from noisescale.sinks import Sink
from noisescale.wire import Measurement, RunEvent

_log = logging.getLogger("noisescale")

EventCode = Literal[
    "back-end",
    "batch-norm",
    "groups-uneven",
    "hessian-failed",
    "hook-failed",
    "lbfgs",
    "measure-unused",
    "not-covered",
    "not-finite",
    "not-one-gradient",
    "not-split",
    "one-part",
    "parts-changed",
    "part-sizes",
    "data-parallel",
    "rank-missing",
    "recommendation-failed",
    "run-ended",
    "several-optimizers",
    "sink-failed",
]
"""Why a step gave no measurement, or what to know about those it gave; the collector gets the same codes."""

_SAID = {
    "back-end": "Keras trains on a back end whose gradients are not seen: on torch and jax they are",
    "batch-norm": (
        "batch normalisation couples the examples of a micro-batch, so that the noise scale is that of small parts; "
        "a larger micro-batch lessens it"
    ),
    "hessian-failed": "the loss could not be differentiated twice: B_noise is not measured, everything else is",
    "hook-failed": "the hook failed and measures no further; the training goes on as it would without it",
    "groups-uneven": (
        "groups of a batch differ in size: each weighs as its rows, and the noise scale is that of batches with such a "
        "mixture of sizes"
    ),
    "lbfgs": "LBFGS runs many backward passes a step, which are no parts of one batch: nothing is measured",
    "measure-unused": (
        "the step does not go by watcher.measure, so that each step is measured or none is: hand it over as measure= "
        "to what grad_parts gave back"
    ),
    "not-covered": "the squares of each example's gradient cannot be read, parts of the batch are taken instead",
    "not-one-gradient": (
        "the squares of the parts and that of their mean are of different gradients, and nothing is measured: both "
        "must be read before clipping and before anything else that changes gradients"
    ),
    "not-split": "a batch cannot be split into parts, and was taken whole",
    "one-part": (
        "each step has a single part, which says nothing about the noise: accumulate over two or more micro-batches, "
        "or split the batch"
    ),
    "part-sizes": "it is not known how many units, more than 0, each part of a step has, and the step is left out",
    "data-parallel": (
        "several processes train, and what each contributes is seen under DistributedDataParallel and under "
        "fully_shard over all of them alone: pass the model as these give it back; nothing is measured"
    ),
    "rank-missing": (
        "a process that trains along sent no numbers for a step, which is left out: call watch in every process, with "
        "the same options"
    ),
    "recommendation-failed": "on_recommendation failed, and the training goes on",
    "several-optimizers": "a MultiOptimizer hands each optimizer a part of the gradients: nothing is measured",
}


class Report:
    """Counts and passes on; says each code once, unless another process says the same."""

    def __init__(self, sink: Sink, *, says: bool = True) -> None:
        self.sink = sink
        self._says = says
        self.last: Measurement | None = None
        self.measurements = 0
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How often each code came."""
        return dict(self._counts)

    def measured(self, measurement: Measurement) -> None:
        """Passes a measurement on."""
        self.last = measurement
        self.measurements += 1
        try:
            self.sink.record(measurement)
        except Exception:
            self._sink_failed()

    def event(
        self,
        step: int,
        kind: Literal["dropped", "warning", "unavailable", "finished", "failed"],
        code: EventCode,
        detail: str | None = None,
    ) -> None:
        """Counts an event, passes it on, and says it the first time, with what is particular to it."""
        self._counts[code] += 1
        if self._says and self._counts[code] == 1 and code in _SAID:
            cause = code == "hook-failed" and sys.exc_info()[0] is not None
            _log.warning("noisescale: %s%s", _SAID[code], "" if detail is None else f" ({detail})", exc_info=cause)
        event: RunEvent = {"step": max(0, step), "time_ms": time.time() * 1000, "kind": kind, "code": code, "count": 1}
        try:
            self.sink.event(event)
        except Exception:
            self._sink_failed()

    def _sink_failed(self) -> None:
        self._counts["sink-failed"] += 1
        if self._counts["sink-failed"] == 1:
            _log.warning("noisescale: the sink failed; further failures are only counted", exc_info=True)
