"""Keeps a recommended number of parts until a trainer that counts the batches of an epoch can change to it."""

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from noisescale.batch_size_control import BatchSizeChange, BatchSizeLimits, check_limits
from noisescale.options import check_function

if TYPE_CHECKING:
    from noisescale.pytorch.watch import WatchOptions
    from noisescale.pytorch.watcher import Watcher


_MOST_LEFT_OUT = 1024


class Following:
    """For trainers that step after a multiple of the number of parts, counted from the epoch's beginning.

    Attributes:
        options: What `watch` is called with.
        watcher: What it returned.
    """

    def __init__(self, options: "WatchOptions", batches: float) -> None:
        """Takes the user's options.

        Args:
            options: As in `watch`; `on_recommendation` is called before the change.
            batches: That each process has in an epoch; inf where that is not known. A step has no more.

        Raises:
            ValueError, TypeError: Naming the option that is wrong.
        """
        self._told = options.get("on_recommendation")
        check_function("on_recommendation", self._told)
        check_limits(options.get("batch_size_limits"))
        self._batches = batches
        self.watcher: Watcher | None = None
        self._pending: BatchSizeChange | None = None
        # The first one after the last change.
        self._from_step = 0
        self._left_out: deque[int] = deque(maxlen=_MOST_LEFT_OUT)
        limits = options.get("batch_size_limits") or BatchSizeLimits()
        # Asked for more, a step would stay as large as an epoch, and the rate would be scaled again and again.
        most = min(limits.max_accumulation, max(batches, limits.min_accumulation or 2))
        self.options: WatchOptions = {
            **options,
            "on_recommendation": self._recommended,
            "batch_size_limits": replace(limits, max_accumulation=most),
        }

    def _recommended(self, change: BatchSizeChange) -> None:
        step = change.snapshot["step"]
        if change.accumulation > self._batches or step is None or step < self._from_step or step in self._left_out:
            return
        self._pending = change
        if self._told is not None:
            self._told(change)

    def due(self, batch: int) -> BatchSizeChange | None:
        """Hands out the change where steps of the new number of parts can begin.

        Args:
            batch: How many of the epoch's are behind a step that has ended.
        """
        pending = self._pending
        if pending is None or batch % pending.accumulation != 0:
            return None
        self._pending = None
        if self.watcher is not None:
            # Answers to earlier steps are about the batch size before, and may still come.
            self._from_step = self.watcher.step
        return pending

    def leave_out(self) -> None:
        """Says that the step that comes ends an epoch of several steps, and may be smaller than they are.

        The factor of a change is relative to the batch size that was measured, and the rate is that of a whole step.
        """
        if self.watcher is not None:
            self._left_out.append(self.watcher.step)
