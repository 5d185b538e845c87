from dataclasses import replace

import numpy as np
import pytest
from mini_data import MiniData, mini_protocol

from nearfar.errors import ConfigError, DataError
from nearfar.eval.prepare import data_hash, interpolate, nearest, prepare
from nearfar.eval.protocol import load_protocol


def prepared(record, *changes, name="real-folder"):
    return prepare(record, mini_protocol(name, *changes))


def test_native_size_leaves_everything_where_it_is():
    record = MiniData().record(1)
    case = prepared(record)
    assert case.rgb_HW3 is record.rgb_HW3 or np.array_equal(case.rgb_HW3, record.rgb_HW3)
    np.testing.assert_array_equal(case.truth_HW, record.depth_HW)
    np.testing.assert_array_equal(case.scored_HW, record.valid_HW)


def test_a_crop_of_image_and_truth_moves_the_camera():
    record = MiniData(size_hw=(40, 50)).record(2)
    case = prepared(record, "image.crop=border_8", "truth.crop=border_8")
    np.testing.assert_array_equal(case.rgb_HW3, record.rgb_HW3[8:-8, 8:-8])
    np.testing.assert_array_equal(case.truth_HW, record.depth_HW[8:-8, 8:-8])
    np.testing.assert_allclose(case.intrinsics_33[:2, 2], [25 - 8, 20 - 8])


def test_an_unequal_crop_moves_the_principal_point_right_and_down_by_its_own():
    record = MiniData(size_hw=(40, 50)).record(2)  # center 25, 20
    crops = ("image.crop=scannet", "truth.crop=scannet")  # 8 rows, 11 columns of each side
    case = prepared(record, *crops)
    np.testing.assert_allclose(case.intrinsics_33[:2, 2], [25 - 11, 20 - 8])
    half = prepared(record, *crops, "truth.resize=nearest", "truth.size=[12, 28]")
    np.testing.assert_allclose(half.intrinsics_33, [[50, 0, 14], [0, 25, 6], [0, 0, 1]])
    np.testing.assert_array_equal(record.intrinsics_33[:2, 2], [25, 20])


def test_boxes_of_kitti_are_fractions_of_the_crop():
    record = MiniData(size_hw=(375, 1242)).record(0)
    case = prepare(record, load_protocol("marigold-kitti"))
    assert case.rgb_HW3.shape == (352, 1216, 3)
    rows, columns = np.nonzero(case.scored_HW)
    assert (rows.min(), rows.max() + 1) == (117, 321)
    assert (columns.min(), columns.max() + 1) == (43, 1172)


def test_squash_and_nearest_truth():
    record = MiniData(size_hw=(20, 30)).record(0)
    sizes = "image.resize=size", "image.size=[10, 16]", "image.interpolation=area"
    case = prepared(record, *sizes, "truth.resize=nearest", "truth.size=[10, 16]")
    assert case.rgb_HW3.shape == (10, 16, 3) and case.truth_HW.shape == (10, 16)
    assert set(np.unique(case.truth_HW)) <= set(np.unique(record.depth_HW))
    np.testing.assert_allclose(case.intrinsics_33[0], [30 * 16 / 30, 0, 8.0])
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
    case = prepared(record, "image.size=[24, 24]", name="moge-affine-gso")
    assert case.rgb_HW3.shape == (24, 24, 3) == (*case.truth_HW.shape, 3)
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
