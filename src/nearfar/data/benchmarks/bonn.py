"""Bonn RGB-D Dynamic: Kinect videos of moving people and things (docs/datasets.md).

The files are those of TUM RGB-D (`tum.py`): depth png / 5000 metres, stamps that need pairing.
Video protocols pair by position instead, which can be one frame off: options pairing=index (all
of `rgb/` and `depth/`) and pairing=prepared (`rgb_110/` and `depth_110/`) reproduce that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..store import Store
from .frames import FrameDataset, in_list_order, names_of, span_of
from .tum import RgbdFrame, nearest_pose, paired, poses_of, read_frame, sequences_below

CAMERA = (542.822841, 542.57687, 315.59352, 237.756098)  # first pixel at (0, 0)
SPLITS = {  # sequences of the video protocols; `all` is every sequence
    "video": ("balloon2", "crowd2", "crowd3", "person_tracking", "synchronous"),
    "monst3r": ("balloon2", "crowd2", "crowd3", "person_tracking2", "synchronous"),
}


def open_bonn(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[RgbdFrame]:
    """Every pair of every sequence (split `all`), or of the five that protocols use.

    split: `video` (DepthCrafter, Video-Depth-Anything) or `monst3r`; those present are taken.

    Options: sequences (names with commas, `rgbd_bonn_` may be left out), frames (`first:end:step`
    of each sequence's pairs), pairing time, index or prepared.
    """
    folders = {
        name.removeprefix("rgbd_bonn_"): folder for name, folder in sequences_below(store).items()
    }
    if split in SPLITS:
        folders = {name: folders[name] for name in SPLITS[split] if name in folders}
        if not folders:
            raise store.nothing_found(*(f"rgbd_bonn_{name}" for name in SPLITS[split]))
    asked = options.get("sequences", "").replace("rgbd_bonn_", "")
    pairing = options.get("pairing", "time")
    span = span_of(options.get("frames", ""), "bonn: frames")
    frames: list[RgbdFrame] = []
    for name in names_of(asked, list(folders), "bonn: sequences"):
        folder = folders[name]
        if pairing == "prepared":
            pairs = paired(store, folder, "index", names=("rgb_110", "depth_110"))
        else:
            pairs = paired(store, folder, pairing)
        poses = poses_of(store, folder)
        frames += [
            RgbdFrame(
                f"bonn/{name}/{Path(photo.name).stem}",
                photo.name,
                depth.name,
                name,
                photo.time_s,
                depth.time_s,
                CAMERA,
                False,  # its small radial distortion is left in
                nearest_pose(poses, photo.time_s),
            )
            for photo, depth in pairs[span]
        ]
    return FrameDataset(store, in_list_order(frames, list_file, store), read_frame)
