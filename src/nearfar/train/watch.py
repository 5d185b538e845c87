"""Looking on: what a run reports while it works, and its clock."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from .validation import Compared


class StepReport(NamedTuple):
    """What a progress bar shows after a step; times in seconds, nan while unknown."""

    step: int
    steps: int
    loss: float
    samples_per_s: float
    seconds_left: float


class Watcher:
    """Someone looking on; the base class looks away. Called on the first process only."""

    def on_data(self, ready: int, wanted: int) -> None:
        """While images are made before the first step: how many of them there are."""

    def on_step(self, report: StepReport) -> None:
        """After every step."""

    def on_record(self, record: dict[str, Any]) -> None:
        """After every line of the log."""

    def on_pictures(self, step: int, pictures: list[Compared], folder: Path) -> None:
        """After a validation that has something to show; folder: where pictures may go."""

    def should_stop(self) -> bool:
        """True ends the run after this step, with a checkpoint."""
        return False


class Clock:
    """Speed, time left, and means between two lines of the log; times in seconds."""

    def __init__(self, batch: int, steps: int, *, started: float) -> None:
        self._batch, self._steps, self._started = batch, steps, started
        self._last = self._last_save = self._last_record = time.perf_counter()
        self._waited_s = 0.0
        self._step_s = math.nan  # smoothed
        self._sums: dict[str, float | Tensor] = {}
        self._good, self._steps_taken = 0, 0

    def took_step(self, values: dict[str, float | Tensor] | None, *, waited_s: float) -> float:
        """Seconds since the last step, of which `waited_s` for images.

        values: to average in the log; None for a skipped step.
        """
        now = time.perf_counter()
        took, self._last = now - self._last, now
        is_first = math.isnan(self._step_s)
        self._step_s = took if is_first else 0.95 * self._step_s + 0.05 * took
        self._steps_taken += 1
        self._waited_s += waited_s
        if values is not None:
            self._good += 1
            for name, value in values.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
        return took

    def report(self, step: int, loss: float) -> StepReport:
        """The report after step number `step`."""
        left = (self._steps - step) * self._step_s
        return StepReport(step, self._steps, loss, self._batch / self._step_s, left)

    def record(self) -> dict[str, float]:
        """Means and speed since the last record; starts the next ones."""
        now = time.perf_counter()
        means = {name: float(value) / self._good for name, value in self._sums.items()}
        seconds = max(now - self._last_record, 1e-9)
        speed = {
            "samples_per_s": round(self._steps_taken * self._batch / seconds, 3),
            "data_share": round(self._waited_s / seconds, 4),
        }
        self._sums, self._good, self._steps_taken, self._waited_s = {}, 0, 0, 0.0
        self._last_record = now
        return means | speed

    def since_save(self) -> float:
        """Seconds since the last checkpoint of this session."""
        return time.perf_counter() - self._last_save

    def session(self) -> float:
        """Seconds since this session began, making images included."""
        return time.perf_counter() - self._started

    def saved(self) -> None:
        """A checkpoint was written now."""
        self._last_save = time.perf_counter()
