"""Decoders write lines of their own; ours says all in one."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_STDERR = 2


@contextmanager
def decoders_silenced() -> Iterator[None]:
    """Inside the block libtiff (in C, to stderr) and OpenEXR (print) write nothing.

    For decoding only. In threads beside the main one it does nothing: the main one may be writing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        kept = os.dup(_STDERR)
    except OSError:  # closed: nothing to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STDERR)
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
        os.close(nowhere)
