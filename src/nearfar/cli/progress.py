"""What a long run shows on standard error: lines, and below them a bar with speed and time left."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def one_line(text: object) -> str:
    """The text with newlines and other control characters as escapes."""
    return json.dumps(str(text), ensure_ascii=False)[1:-1].replace('\\"', '"')


class RunProgress:
    """Lines and a progress bar on standard error; the bar only on a terminal, nothing if quiet."""

    def __init__(self, total: int | None, *, what: str, quiet: bool) -> None:
        self._total, self._what, self._quiet = total, what, quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._worked = 0

    def __enter__(self) -> Self:
        if self._quiet or not sys.stderr.isatty():
            return self
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=False,  # standard output may be a pipe that wants JSON lines only
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=self._total, speed="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Print one line above the bar; if quiet, only errors."""
        if self._quiet and not is_error:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def advance(self, *, worked: bool = True) -> None:
        """One more is finished; skipped ones (not worked) do not count for the speed."""
        self._worked += worked
        if self._bar is None or self._task is None:
            return
        elapsed = self._bar.tasks[0].elapsed or 0.0
        speed = f"{self._worked / elapsed:.2f} {self._what}/s" if self._worked and elapsed else ""
        self._bar.update(self._task, advance=1, speed=speed)


def counting_bar() -> Progress:
    """A bar on standard error with counts and time left, gone when done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
