"""The run's log: one JSON object a line, and TensorBoard where it is installed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import OutputError
from nearfar.io.atomic import atomic_path

if TYPE_CHECKING:
    from .validation import Compared

Record = dict[str, Any]


class RunLog:
    """Appends records to folder/log.jsonl (complete lines) and scalars to folder/tensorboard.

    On resume, records of steps after `start_step` (of the killed run) are dropped first. Without a
    folder (processes beside the first) nothing is written.
    """

    def __init__(self, folder: Path | None, *, start_step: int, use_tensorboard: bool) -> None:
        self._file: TextIO | None = None
        self._board = None
        if folder is None:
            return
        path = folder / "log.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _drop_after(path, start_step)
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise OutputError(folder, f"cannot be written ({error})", "Set log.folder") from error
        if use_tensorboard:
            self._board = _tensorboard(folder, start_step)

    def write(self, step: int, group: str, values: Record) -> Record:
        """Log named values of a step under a group (train, val, event); returns the record."""
        record = {"step": step, "group": group, **values}
        if self._file is not None:
            self._file.write(json.dumps(record, allow_nan=True) + "\n")
            self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{group}/{name}", value, step)
        return record

    def show(self, step: int, pictures: Sequence[Compared]) -> None:
        """Held-out images in TensorBoard: photo, truth and prediction side by side."""
        if self._board is not None:
            for index, picture in enumerate(pictures):
                panel_HW3 = side_by_side(picture)
                self._board.add_image(f"val/{index}", panel_HW3, step, dataformats="HWC")

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def side_by_side(picture: Compared) -> NDArray[np.uint8]:
    """Photo, truth and prediction as one image [H,3W,3]; depth grey, near = bright, unknown black.

    Both maps in ln(metres + 1) between the nearest and the farthest of the truth.
    """
    truth_HW, known_HW = np.log1p(picture.depth_HW), picture.valid_HW
    near, far = truth_HW[known_HW].min(), truth_HW[known_HW].max()
    maps = [picture.image_HW3]
    for depth_HW, shown_HW in ((picture.depth_HW, known_HW), (picture.aligned_HW, True)):
        share_HW = (far - np.log1p(np.maximum(depth_HW, 0))) / max(far - near, 1e-6)
        grey_HW = np.where(shown_HW, 0.1 + 0.9 * share_HW.clip(0, 1), 0.0)
        maps.append(np.broadcast_to(grey_HW[..., None], picture.image_HW3.shape))
    return (255 * np.concatenate(maps, axis=1).clip(0, 1)).round().astype(np.uint8)


def read_log(folder: Path) -> list[Record]:
    """All complete records of a run folder's log, in order."""
    records = []
    path = folder / "log.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # the line a kill cut short
    return records


def is_log(folder: Path) -> bool:
    """Whether the folder's log.jsonl, if there is one, is a run's; it may be cut or empty."""
    path = folder / "log.jsonl"
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError:
        return not path.exists()
    return b'{"step": '.startswith(head)


def _drop_after(path: Path, step: int) -> None:
    """Rewrite the log without records beyond the step (a fresh run starts an empty one)."""
    if not path.exists():
        return
    kept = [r for r in read_log(path.parent) if r.get("step", 0) <= step and step > 0]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")


def _tensorboard(folder: Path, start_step: int) -> Any:
    """A TensorBoard writer, or None if the package is absent."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start_step + 1)
