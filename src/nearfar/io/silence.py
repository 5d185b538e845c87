"""Decoders in C write lines of their own to standard error; ours says all in one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2


class _Silence:
    """Standard error leads nowhere while at least one thread is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._kept = -1

    def enter(self) -> None:
        """Redirect if nobody else has."""
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            try:
                self._kept = os.dup(_STDERR)
            except OSError:  # closed: nothing to silence
                self._kept = -1
                return
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _STDERR)
            os.close(nowhere)

    def leave(self) -> None:
        """Restore if nobody else is inside."""
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._kept >= 0:
                os.dup2(self._kept, _STDERR)
                os.close(self._kept)


_SILENCE = _Silence()


@contextmanager
def decoders_silenced() -> Iterator[None]:
    """Inside the block libtiff and OpenEXR write nothing; for decoding only, since nobody does."""
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()
