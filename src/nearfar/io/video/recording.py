"""A Rerun recording of a clip: camera, photo, depth and colored cloud, by frame and by time.

`.rrd` files open in the Rerun viewer (package `rerun-sdk`, the extra `rerun`). A recording is to
look at: pictures and maps are thinned to a long side of 640, clouds to 50 000 points a frame. The
camera stands at the origin (x right, y down, z forward); where it moved, nobody knows.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import OutputError
from nearfar.extras import load_extra
from nearfar.geometry.clouds import CloudOptions, point_cloud
from nearfar.result import DepthResult

from ..atomic import atomic_path
from ..encode import picture_bytes
from ..resample import resize_lanczos
from .codes import DepthRange

_SIDE, _POINTS = 640, 50_000
_MILLIMETRES, _LARGEST = 1000.0, 65535
_PIECE = 1 << 20
_PATIENCE_S = 120.0  # for the last bytes to come through
CAMERA, PHOTO, DEPTH, CLOUD = "/camera", "/camera/photo", "/camera/depth", "/cloud"
RELATIVE = "/depth"  # not below the camera, where the viewer would take it for metres


def load_rerun() -> Any:
    """The Rerun SDK; MissingExtraError without it."""
    return load_extra("rerun", extra="rerun")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingForm:
    """What a recording is told at its beginning.

    name: of the clip. farthest: metres that the maps' whole numbers must reach. cloud: its filters.
    """

    name: str
    farthest: float
    cloud: CloudOptions = field(default_factory=CloudOptions)


@dataclass(frozen=True, slots=True)
class Thinning:
    """Which rows and columns of a map are kept."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


def thinning(size_hw: tuple[int, int]) -> Thinning:
    """Rows and columns, evenly spread, that leave a long side of at most 640."""
    shrink = min(1.0, _SIDE / max(size_hw))
    kept = [max(1, round(side * shrink)) for side in size_hw]
    rows, columns = (
        ((np.arange(count) + 0.5) * side / count).astype(np.intp)
        for count, side in zip(kept, size_hw, strict=True)
    )
    return Thinning(rows, columns)


class RecordingWriter:
    """A recording that grows by `add`; in a `with` block, complete or absent at its end.

    Every frame is on its way to the disk when `add` returns, so memory does not grow. notes: what
    could not be shown, one line each. OutputError if the disk is full, MissingExtraError.
    """

    def __init__(self, target: str | Path, form: RecordingForm) -> None:
        self._target, self._form = Path(target), form
        self._stack = ExitStack()
        self._camera_33: NDArray[np.float64] | None = None
        # units a metre: millimetres, coarser where the clip reaches farther than they do
        self._meter = min(_MILLIMETRES, _LARGEST / max(form.farthest, 1e-9))
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        rerun = load_rerun()
        try:
            temporary = self._stack.enter_context(atomic_path(self._target))
            self._pipe = _Pipe(temporary, self._target)
            self._stack.callback(self._pipe.remove)
            self._stream: Any = rerun.RecordingStream("nearfar", recording_id=self._form.name)
            self._stream.save(self._pipe.path, default_blueprint=_layout(rerun))
            self._stream.log("/", rerun.ViewCoordinates.RDF, static=True)
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def add(self, result: DepthResult, time: Fraction, *, number: int, limits: DepthRange) -> None:
        """One more frame; `limits` are the depths its colors span. The photo is `result.image`."""
        rerun, stream = load_rerun(), self._stream
        stream.set_time("frame", sequence=number)
        stream.set_time("time", duration=float(time))
        step = thinning(result.size_hw)
        if result.image is not None:
            size_hw = (len(step.rows), len(step.columns))
            photo = resize_lanczos(result.image, size_hw)
            content = picture_bytes(photo, form="JPEG")
            stream.log(PHOTO, rerun.EncodedImage(contents=content, media_type="image/jpeg"))
        self._log_camera(result, step)
        depth_hw = result.depth[step.rows[:, None], step.columns]
        valid_hw = result.valid[step.rows[:, None], step.columns]
        if result.is_metric:
            stream.log(DEPTH, self._depth_image(depth_hw, valid_hw, limits))
            self._log_cloud(result)
        else:
            shown_hw = np.where(valid_hw, depth_hw, np.float32(np.nan))
            stream.log(RELATIVE, rerun.DepthImage(shown_hw, depth_range=list(limits)))
            self._note("rrd has no cloud: the depth of this clip is not in metres")
        stream.flush()
        self._pipe.check()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stream.disconnect()
            self._pipe.finish()
            if error is None:
                self._pipe.check()
        except BaseException as fault:
            self._stack.__exit__(type(fault), fault, fault.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)

    def _log_camera(self, result: DepthResult, step: Thinning) -> None:
        """The pinhole of the thinned pictures, where it is another than before."""
        if result.intrinsics is None:
            return
        height, width = len(step.rows), len(step.columns)
        full_height, full_width = result.size_hw
        scale = np.diag([width / full_width, height / full_height, 1.0])
        camera_33 = scale @ result.intrinsics
        if self._camera_33 is not None and np.array_equal(camera_33, self._camera_33):
            return
        rerun = load_rerun()
        pinhole = rerun.Pinhole(
            image_from_camera=camera_33,
            resolution=[width, height],
            camera_xyz=rerun.ViewCoordinates.RDF,
        )
        self._stream.log(CAMERA, pinhole)
        self._camera_33 = camera_33

    def _depth_image(
        self, depth_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_], limits: DepthRange
    ) -> Any:
        """Metres as whole numbers, 0 where there are none."""
        codes = np.rint(np.where(valid_hw, depth_hw, 0) * self._meter)
        codes_hw = np.clip(codes, valid_hw.astype(np.int64), _LARGEST).astype(np.uint16)
        shown = [limit * self._meter for limit in limits]
        return load_rerun().DepthImage(codes_hw, meter=self._meter, depth_range=shown)

    def _log_cloud(self, result: DepthResult) -> None:
        if result.intrinsics is None:
            self._note("rrd has no cloud: the model gives no camera")
            return
        points = self._form.cloud.max_points
        cloud = point_cloud(
            result.depth,
            result.intrinsics,
            usable_HW=result.valid,
            image_HW3=result.image,
            options=replace(self._form.cloud, max_points=min(points or _POINTS, _POINTS)),
        )
        rerun = load_rerun()
        self._stream.log(CLOUD, rerun.Points3D(cloud.points_P3, colors=cloud.colors_P3))

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _layout(rerun: Any) -> Any:
    """Cloud and camera on the left; photo above depth on the right."""
    view = load_extra("rerun.blueprint", extra="rerun")
    space = view.Spatial3DView(origin="/", contents=[CAMERA, PHOTO, CLOUD], name="cloud")
    photo = view.Spatial2DView(origin=PHOTO, name="photo")
    depth = view.Spatial2DView(origin=CAMERA, contents=[DEPTH, RELATIVE], name="depth")
    return view.Blueprint(view.Horizontal(space, view.Vertical(photo, depth)))


class _Pipe:
    """A named pipe the SDK writes into, and a thread that copies it into the file.

    The SDK's own file sink was seen to wait for ever on a full disk; so the fault is ours to tell.
    """

    def __init__(self, file: Path, target: Path) -> None:
        self._file, self._target = file, target
        self._folder = Path(tempfile.mkdtemp(prefix="nearfar-"))
        self.path = self._folder / "recording"
        self._fault: OSError | None = None
        try:
            os.mkfifo(self.path)
        except (OSError, AttributeError) as error:
            self.remove()
            raise OutputError(
                target, f"this system has no named pipes ({error})", "Leave out rrd"
            ) from error
        self._thread = threading.Thread(target=self._copy, name="nearfar rrd", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """OutputError if something could not be written."""
        if self._fault is not None:
            raise OutputError(
                self._target,
                f"cannot be written ({self._fault.strerror or self._fault})",
                "Free space or choose another output folder",
            ) from self._fault

    def finish(self) -> None:
        """Wait until all that was written has come through."""
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            raise OutputError(self._target, "Rerun did not finish its recording", "Leave out rrd")

    def remove(self) -> None:
        """Remove the pipe; a thread that still waits for its writer ends."""
        with suppress(OSError):  # nobody reads there any more
            os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _copy(self) -> None:
        with open(self.path, "rb", buffering=0) as source:
            try:
                with open(self._file, "wb") as file:
                    while piece := source.read(_PIECE):
                        file.write(piece)
            except OSError as error:
                self._fault = error
            while source.read(_PIECE):  # the writer must never wait
                pass
