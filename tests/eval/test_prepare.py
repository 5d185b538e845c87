from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mini_data import MiniData, mini_protocol

from nearfar.errors import ConfigError, DataError
from nearfar.eval.prepare import (
    BOXES,
    Box,
    box_mask,
    crop,
    data_hash,
    find_box,
    interpolate,
    nearest,
    ppd_diode_mask,
    prepare,
    range_mask,
    sobel_magnitude,
)
from nearfar.eval.protocol import load_protocol

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


def prepared(record, *changes, name="real-folder"):
    return prepare(record, mini_protocol(name, *changes))


def test_native_size_leaves_everything_where_it_is():
    record = MiniData().record(1)
    sample = prepared(record)
    assert sample.rgb_HW3 is record.rgb_HW3 or np.array_equal(sample.rgb_HW3, record.rgb_HW3)
    np.testing.assert_array_equal(sample.truth_HW, record.depth_HW)
    np.testing.assert_array_equal(sample.scored_HW, record.valid_HW)


def test_a_crop_of_image_and_truth_moves_the_camera():
    record = MiniData(size_hw=(40, 50)).record(2)
    sample = prepared(record, "image.crop=border_8", "truth.crop=border_8")
    np.testing.assert_array_equal(sample.rgb_HW3, record.rgb_HW3[8:-8, 8:-8])
    np.testing.assert_array_equal(sample.truth_HW, record.depth_HW[8:-8, 8:-8])
    np.testing.assert_allclose(sample.intrinsics_33[:2, 2], [25 - 8, 20 - 8])


def test_an_unequal_crop_moves_the_principal_point_right_and_down_by_its_own():
    record = MiniData(size_hw=(40, 50)).record(2)  # center 25, 20
    crops = ("image.crop=scannet", "truth.crop=scannet")  # 8 rows, 11 columns of each side
    sample = prepared(record, *crops)
    np.testing.assert_allclose(sample.intrinsics_33[:2, 2], [25 - 11, 20 - 8])
    half = prepared(record, *crops, "truth.resize=nearest", "truth.size=[12, 28]")
    np.testing.assert_allclose(half.intrinsics_33, [[50, 0, 14], [0, 25, 6], [0, 0, 1]])
    np.testing.assert_array_equal(record.intrinsics_33[:2, 2], [25, 20])


def test_boxes_of_kitti_are_fractions_of_the_crop():
    record = MiniData(size_hw=(375, 1242)).record(0)
    sample = prepare(record, load_protocol("marigold-kitti"))
    assert sample.rgb_HW3.shape == (352, 1216, 3)
    rows, columns = np.nonzero(sample.scored_HW)
    assert (rows.min(), rows.max() + 1) == (117, 321)
    assert (columns.min(), columns.max() + 1) == (43, 1172)


def test_squash_and_nearest_truth():
    record = MiniData(size_hw=(20, 30)).record(0)
    sizes = "image.resize=size", "image.size=[10, 16]", "image.interpolation=area"
    sample = prepared(record, *sizes, "truth.resize=nearest", "truth.size=[10, 16]")
    assert sample.rgb_HW3.shape == (10, 16, 3) and sample.truth_HW.shape == (10, 16)
    assert set(np.unique(sample.truth_HW)) <= set(np.unique(record.depth_HW))
    np.testing.assert_allclose(sample.intrinsics_33[0], [30 * 16 / 30, 0, 8.0])
    long = prepared(
        record, "image.resize=long_side", "image.size=[15]", "image.interpolation=bilinear"
    )
    assert long.rgb_HW3.shape == (10, 15, 3) and long.truth_HW.shape == (20, 30)


def test_range_is_strict_unless_stated_and_in_float32():
    record = MiniData().record(0)
    depth = record.depth_HW.copy()
    depth[5, 5:8] = np.float32(0.001), np.float32(10.0), 9.0
    record = replace(record, depth_HW=depth)
    strict = prepared(record, "mask.max=10.0").scored_HW[5, 5:8]
    assert strict.tolist() == [False, False, True]
    open_ends = "mask.max=10.0", "mask.is_max_open=false"
    assert prepared(record, *open_ends).scored_HW[5, 5:8].tolist() == [False, True, True]
    free = prepared(record, "mask.terms=[]").scored_HW
    assert free.all()


def test_sobel_term_drops_steps():
    record = MiniData().record(0)
    terms = "mask.terms=['file', 'sobel:0.3']"
    kept = prepared(record, terms).scored_HW
    assert not kept[8, 10:14].any() and kept.any()


def test_filled_depth_and_named_masks_must_be_there():
    record = MiniData().record(0)
    with pytest.raises(DataError, match="no filled"):
        prepared(record, "truth.map=filled")
    with pytest.raises(DataError, match="no mask 'a'"):
        prepared(record, "mask.terms=['mask:a']")
    with pytest.raises(ConfigError, match="unknown"):
        prepared(record, "mask.terms=['planes']")
    half = np.zeros(record.valid_HW.shape, bool)
    half[10:] = True
    chosen = prepared(replace(record, masks={"a": half}), "mask.terms=['file', 'mask:a']")
    assert not chosen.scored_HW[:10].any() and chosen.scored_HW[10:].all()


def test_moge_warp_reaches_the_size_of_its_set():
    record = MiniData(size_hw=(48, 64)).record(0)
    sample = prepared(record, "image.size=[24, 24]", name="moge-affine-gso")
    assert sample.rgb_HW3.shape == (24, 24, 3) == (*sample.truth_HW.shape, 3)
    with pytest.raises(DataError, match="no camera"):
        prepared(replace(record, intrinsics_33=None), name="moge-affine-gso")


def test_hash_follows_the_data():
    data = MiniData()
    assert data_hash(data.record(0)) == data_hash(data.record(0)) != data_hash(data.record(1))


def test_interpolations():
    ramp = np.arange(12.0).reshape(3, 4)
    assert interpolate(ramp, (3, 4), "bilinear") is ramp
    corners = interpolate(ramp, (5, 7), "bilinear", align_corners=True)
    np.testing.assert_allclose(corners[[0, -1]][:, [0, -1]], ramp[[0, -1]][:, [0, -1]])
    centers = interpolate(ramp, (6, 8), "bilinear")
    assert centers[0, 0] == 0 and centers[0, 1] == 0.25
    np.testing.assert_array_equal(nearest(ramp, (6, 4))[::2], ramp)
    with pytest.raises(ConfigError):
        interpolate(ramp, (6, 8), "cubic")
