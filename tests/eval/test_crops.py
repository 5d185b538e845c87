from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.eval.crops import (
    BOXES,
    Box,
    box_mask,
    crop,
    find_box,
    ppd_diode_mask,
    range_mask,
    sobel_magnitude,
)

FOLDER = Path(__file__).parents[1] / "golden" / "eval"
MASKS, DAR = dict(np.load(FOLDER / "masks.npz")), dict(np.load(FOLDER / "dar_metrics.npz"))
NAMES = {
    "kitti_bm": "kb_crop",
    "kitti_garg": "garg",
    "kitti_eigen": "eigen_kitti",
    "nyu_eigen": "eigen_nyu",
    "box.garg_crop": "garg",
    "box.eigen_crop": "eigen_kitti",
}
GOLDEN_BOXES = [
    (NAMES[key.rpartition(".")[0]], key.rpartition(".")[2], tuple(int(v) for v in values))
    for key, values in (*MASKS.items(), *DAR.items())
    if key.rpartition(".")[0] in NAMES
]


@pytest.mark.parametrize(("name", "size", "box"), GOLDEN_BOXES)
def test_boxes_are_those_of_released_code(name, size, box):
    height, width = (int(side) for side in size.split("x"))
    assert tuple(find_box(name, (height, width))) == box


def test_all_golden_boxes_are_compared():
    assert len(GOLDEN_BOXES) == 24


@pytest.mark.parametrize(
    ("name", "size_hw", "box"),
    [
        ("full", (5, 7), (0, 5, 0, 7)),
        ("border_8", (480, 640), (8, 472, 8, 632)),
        ("scannet", (480, 640), (8, 472, 11, 629)),
        ("kitti_video", (375, 1242), (0, 374, 0, 1242)),
        ("kitti_video", (376, 1241), (0, 374, 0, 1241)),
        ("kitti_video", (370, 1224), (0, 370, 0, 1224)),
        ("eigen_nyu_like", (480, 640), (45, 471, 41, 601)),
        ("eigen_nyu_like", (531, 681), (0, 531, 0, 681)),
    ],
)
def test_other_boxes(name, size_hw, box):
    assert tuple(find_box(name, size_hw)) == box


@pytest.mark.parametrize(
    ("name", "size_hw"),
    [("eigen_nyu", (240, 320)), ("kb_crop", (300, 1242)), ("scannet", (10, 640)), ("no", (9, 9))],
)
def test_boxes_that_do_not_fit_are_refused(name, size_hw):
    with pytest.raises(ConfigError):
        find_box(name, size_hw)


@pytest.mark.parametrize("name", BOXES)
def test_mask_and_crop_agree(name):
    box = find_box(name, (480, 640) if "nyu" in name else (376, 1242))
    size_hw = (480, 640) if "nyu" in name else (376, 1242)
    mask = box_mask(size_hw, box)
    assert mask.sum() == (box.bottom - box.top) * (box.right - box.left)
    assert crop(mask, box).all()
    assert crop(np.zeros((*size_hw, 3)), Box(1, 3, 2, 7)).shape == (2, 5, 3)


@pytest.mark.parametrize(("name", "low", "high"), [("nyu", 1e-3, 10), ("kitti", 1e-5, 80)])
def test_ranges_are_strict_and_never_hold_nan_or_infinity(name, low, high):
    inside = range_mask(MASKS["range.values"], low, high)
    assert np.array_equal(inside, MASKS[f"range.{name}"])
    assert not range_mask(np.array([np.inf, np.nan]), 0, np.inf, high_inclusive=True).any()


def test_inclusive_limits():
    values = np.array([0.6, 1, 350], np.float32)
    assert range_mask(values, 0.6, 350).tolist() == [False, True, False]
    assert range_mask(values, 0.6, 350, low_inclusive=True).tolist() == [True, True, False]
    assert range_mask(values, 0.6, 350, high_inclusive=True).tolist() == [False, True, True]


def test_diode_mask_is_ppds():
    depth, file_mask = MASKS["ppd_diode.depth"], MASKS["ppd_diode.file_mask"]
    np.testing.assert_array_equal(sobel_magnitude(depth), MASKS["ppd_diode.grad"])
    assert np.array_equal(ppd_diode_mask(depth, file_mask), MASKS["ppd_diode.mask"])
    assert 0 < MASKS["ppd_diode.mask"].sum() < file_mask.sum()


def test_diode_mask_limits():
    mask = np.ones((6, 6), bool)
    for step, kept in ((0.0374, True), (0.0376, False)):  # the Sobel of a ramp is 8 steps
        ramp = (1 + step * np.arange(6, dtype=np.float32))[None].repeat(6, axis=0)
        assert ppd_diode_mask(ramp, mask)[3, 3] == kept
        assert ppd_diode_mask(ramp.T, mask)[3, 3] == kept
    flat = np.ones((6, 6), np.float32)
    for depth, kept in ((0.59, False), (0.61, True), (350, True), (350.1, False)):
        assert ppd_diode_mask(flat * np.float32(depth), mask)[3, 3] == kept
    assert not ppd_diode_mask(flat, ~mask).any()
