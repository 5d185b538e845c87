"""The files below a folder, through links to folders as well, without ever going in circles."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path


def walk_files(
    top: str | Path,
    *,
    once: bool,
    skip: Callable[[Path], bool] = lambda path: False,
    on_error: Callable[[OSError], None] = lambda error: None,
) -> Iterator[Path]:
    """Every file below `top`, in no order; a link that leads back into its own way ends there.

    once: a folder or file that can be reached in several ways is given once, by its own name where
    that lies below `top`. skip: folders to leave out.
    """
    start = Path(top)
    seen: set[str] = set()
    linked: list[Path] = []
    # folders wait with the real paths above them; links wait until all real folders are through
    waiting = deque([(start, frozenset[str]())])
    links: deque[tuple[Path, frozenset[str]]] = deque()
    while waiting or links:
        folder, above = (waiting or links).popleft()
        real = os.path.realpath(folder)
        if real in above or (once and real in seen):
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            on_error(error)
            continue
        for entry in entries:
            path = folder / entry.name
            if _is_folder(entry):
                if not skip(path):
                    (links if entry.is_symlink() else waiting).append((path, above | {real}))
            elif once and entry.is_symlink():
                linked.append(path)
            else:
                seen.add(os.path.join(real, entry.name))
                yield path
    for path in linked:
        real = os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
