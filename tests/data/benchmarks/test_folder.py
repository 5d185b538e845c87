import json
import pickle

import numpy as np
import pytest
from mini_d1 import (
    FORMATS,
    H,
    W,
    folder_depth,
    moge_codes,
    pack,
    photo,
    same,
    save,
    write,
    write_folder,
    write_kit,
    write_stems,
)
from PIL import Image, ImageOps

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError


def one(folder, **options):
    """The record of a folder with one line in its index."""
    return open_dataset("folder", folder, options=options).record(0)


def write_one(folder, stored=None, **values):
    """A photo, its depth as `d.npy`, and an index of one line."""
    save(folder / "a.png", photo())
    np.save(folder / "d.npy", folder_depth() if stored is None else stored)
    row = {"rgb": "a.png", "depth": "d.npy"} | values
    write(folder / "index.jsonl", json.dumps({k: v for k, v in row.items() if v is not None}))


def test_an_index_of_every_format(tmp_path):
    told = write_folder(tmp_path / "f")
    data = open_dataset("folder", tmp_path / "f")
    assert list(data.sample_ids) == told["ids"]
    for i, form in enumerate(FORMATS):
        record = data.record(i)
        tolerance = told["log_step"] if form == "moge.png" else 2e-7
        np.testing.assert_allclose(record.depth_HW, told["depth"], rtol=tolerance)
        np.testing.assert_array_equal(record.valid_HW, told["depth"] > 0)
        np.testing.assert_array_equal(record.rgb_HW3, photo(i))
        assert record.intrinsics_33.tolist() == told["intrinsics"]
        assert record.scene == f"room{i % 2}" and record.depth_kind == "metric"
        assert record.sources == (f"photos/p{i}.png", f"depths/d.{form}")
    for kind in ("tar", "zip"):
        packed = pickle.loads(pickle.dumps(open_dataset("folder", pack(tmp_path / "f", kind))))
        assert packed.sample_ids == data.sample_ids
        for i in range(len(FORMATS)):
            assert same(packed.record(i), data.record(i))


def test_own_lists(tmp_path):
    told = write_folder(tmp_path / "f")
    text = (tmp_path / "f/index.csv").read_text().splitlines()
    (tmp_path / "own.csv").write_text("\n".join([text[0], text[3]]))
    chosen = open_dataset("folder", tmp_path / "f", list_file=tmp_path / "own.csv")
    assert list(chosen.sample_ids) == told["ids"][2:3]
    np.testing.assert_array_equal(chosen.record(0).rgb_HW3, photo(2))
    write(tmp_path / "f/part.csv", "\n".join([text[0], text[1]]))
    assert len(open_dataset("folder", tmp_path / "f", list_file="part.csv").sample_ids) == 1
    write(tmp_path / "f/own.txt", "photos/p3.png\nroom0/0\n")
    chosen = open_dataset("folder", tmp_path / "f", list_file="own.txt")
    assert list(chosen.sample_ids) == [told["ids"][3], told["ids"][0]]
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        open_dataset("folder", tmp_path / "f", list_file="none.csv")


def test_stems_without_an_index(tmp_path):
    told = write_stems(tmp_path)
    data = open_dataset("folder", tmp_path)
    assert list(data.sample_ids) == told["ids"]
    for i in range(3):
        np.testing.assert_array_equal(data.record(i).rgb_HW3, photo(i))
        assert data.record(i).depth_HW[1, 1] == folder_depth()[1, 1] + np.float32(i)
    save(tmp_path / "depth/2.png", np.full((H, W), 5000, np.uint16))
    (tmp_path / "depth/2.npy").unlink()
    with pytest.raises(DataError, match=r"rgb/2\.png: .*2\.png holds integers and nothing states"):
        open_dataset("folder", tmp_path).record(0)
    assert one(tmp_path, unit="5000").depth_HW[0, 0] == 1
    assert one(tmp_path, kind="affine").depth_HW[0, 0] == 5000


def test_kits(tmp_path):
    told = write_kit(tmp_path / "k")
    data = open_dataset("folder", tmp_path / "k")
    assert list(data.sample_ids) == told["ids"]
    record = data.record(0)
    expected = folder_depth()
    expected[told["masked_row"]] = 0
    np.testing.assert_array_equal(record.depth_HW, expected)
    assert not record.valid_HW[told["masked_row"]].any() and not record.valid_HW[0, 0]
    assert record.intrinsics_33.tolist() == told["intrinsics"] and record.scene == "desk"
    half = open_dataset("folder", tmp_path / "k", options={"center": "half"}).record(0)
    assert half.intrinsics_33[0, 2] == told["intrinsics"][0][2] - 0.5
    other = data.record(1)
    assert other.intrinsics_33 is None and other.depth_kind == "affine" and other.valid_HW[0, 0]
    assert same(open_dataset("folder", pack(tmp_path / "k", "zip")).record(1), other)


def test_masks_sky_invalid_values_and_time(tmp_path):
    depth = folder_depth()
    depth[3, 3], depth[4, 4], depth[4, 5] = 99, -1, np.nan
    mask = np.full((H, W), 7, np.uint8)
    mask[1] = 0
    save(tmp_path / "mask.png", mask)
    sky = np.zeros((H, W, 3), np.uint8)
    sky[2, :, 1] = 255
    save(tmp_path / "sky.png", sky)
    pose = [1, 0, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7, 0, 0, 0, 1]
    write_one(tmp_path, depth, mask="mask.png", sky="sky.png", invalid=99, time=2.5, sequence="s",
              pose=pose)  # fmt: skip
    record = one(tmp_path)
    unknown = {(0, 0), (3, 3), (4, 4), (4, 5)} | {(1, x) for x in range(W)}
    unknown |= {(2, x) for x in range(W)}
    assert {tuple(place) for place in np.argwhere(~record.valid_HW).tolist()} == unknown
    assert record.sky_HW[2].all() and record.sky_HW.sum() == W
    assert (record.time_s, record.sequence) == (2.5, "s")
    assert record.pose_44.ravel().tolist() == pose


def test_sky_of_log_coded_depth(tmp_path):
    write_one(tmp_path)
    save(tmp_path / "d.png", moge_codes(), text={"near": "1", "far": "100"})
    write(tmp_path / "index.csv", "rgb,depth\na.png,d.png")
    record = one(tmp_path)
    assert record.sky_HW[2].all() and record.depth_HW[1, 0] == pytest.approx(100)


@pytest.mark.parametrize(
    ("kind", "expected"), [("metric", 0.15), ("scale", 0.15), ("affine", 15), ("disparity", 15)]
)
def test_units_apply_to_kinds_that_have_them(tmp_path, kind, expected):
    write_one(tmp_path, np.full((H, W), 15.0), unit="cm", depth_kind=kind)
    record = one(tmp_path)
    assert record.depth_kind == kind and record.depth_HW[0, 0] == np.float32(expected)


def test_negative_affine_depth_is_known(tmp_path):
    depth = folder_depth() - 5
    depth[5, 5] = np.nan
    write_one(tmp_path, depth, depth_kind="affine")
    record = one(tmp_path)
    assert np.argwhere(~record.valid_HW).tolist() == [[5, 5]] and record.depth_HW[0, 0] == -5


def test_larger_photos_are_averaged_and_their_camera_scaled(tmp_path):
    write_one(tmp_path, K=[20, 22, 7.5, 5.5], mask="mask.png")
    big = np.zeros((2 * H, 2 * W, 3), np.uint8)
    big[::2] = 100
    save(tmp_path / "a.png", big)
    mask = np.zeros((2 * H, 2 * W), np.uint8)
    mask[:, W:] = 1
    save(tmp_path / "mask.png", mask)
    record = one(tmp_path)
    assert record.rgb_HW3.shape == (H, W, 3) and (record.rgb_HW3 == 50).all()
    assert record.intrinsics_33.tolist() == [[10, 0, 4], [0, 11, 3], [0, 0, 1]]
    assert record.valid_HW[:, W // 2 :].all() and not record.valid_HW[:, : W // 2].any()


def test_mattes_stand_alone_or_beside_depth(tmp_path):
    alpha = np.zeros((H, W), np.uint8)
    alpha[2, 2], alpha[2, 3] = 25, 26  # a tenth of 255 is 25.5
    save(tmp_path / "alpha.png", alpha)
    write_one(tmp_path, alpha="alpha.png")
    assert np.argwhere(one(tmp_path).masks["alpha"]).tolist() == [[2, 3]]
    write(tmp_path / "index.jsonl", json.dumps({"rgb": "a.png", "alpha": "alpha.png"}))
    record = one(tmp_path)
    assert record.masks["alpha"].sum() == 1 and record.depth_kind == "ordinal"
    assert not record.valid_HW.any()


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"rgb": "gone.png"}, "gone.png: no such file"),
        ({"depth": "gone.exr"}, "gone.exr: no such file"),
        ({"depth": "cut.png"}, "cut.png: is"),
        ({"depth": "eight.png"}, "eight.png: holds uint8"),
        ({"depth": "codes.png"}, "codes.png holds integers and nothing states their unit"),
        ({"depth": "wide.npy"}, "they differ in aspect"),
        ({"depth": "large.npy"}, "Give a photo that is not smaller"),
        ({"mask": "wide.png"}, "wide.png: mask is [6, 20]"),
        ({"mask": "cut.png"}, "cut.png: is"),
        ({"npz": "bad.npz", "depth": None}, "bad.npz: mask is [2, 2], depth [6, 8]"),
        ({"npz": "none.npz", "depth": None}, "none.npz: has no array depth"),
        ({"npz": "camera.npz", "depth": None}, "camera.npz: its K is not a 3x3 camera matrix"),
    ],
)
def test_broken_files_are_named(tmp_path, values, finding):
    write(tmp_path / "cut.png", b"\x89PNG\r\n\x1a\n")
    save(tmp_path / "eight.png", np.ones((H, W), np.uint8))
    save(tmp_path / "wide.png", np.ones((H, 20), np.uint8))
    Image.fromarray(np.ones((H, W), np.uint16)).save(tmp_path / "codes.png")
    np.save(tmp_path / "wide.npy", np.ones((H, 20)))
    np.save(tmp_path / "large.npy", np.ones((2 * H, 2 * W)))
    np.savez(tmp_path / "bad.npz", depth=np.ones((H, W)), mask=np.ones((2, 2), bool))
    np.savez(tmp_path / "none.npz", z=np.ones((H, W)))
    np.savez(tmp_path / "camera.npz", depth=np.ones((H, W)), K=np.ones(4))
    write_one(tmp_path, **values)
    with pytest.raises(DataError) as error:
        one(tmp_path)
    assert finding in str(error.value) and "\n" not in str(error.value)


def test_wrong_lines_and_empty_folders(tmp_path):
    write(tmp_path / "f/index.csv", "rgb,depth\nb.png,\n")
    with pytest.raises(DataError, match=r"f/index\.csv:2: depth is missing"):
        open_dataset("folder", tmp_path / "f")
    (tmp_path / "e").mkdir()
    with pytest.raises(DataError, match=r"no index\.csv .* no rgb/ with depth/"):
        open_dataset("folder", tmp_path / "e")


@pytest.mark.parametrize(("values", "unit"), [(3000.0, None), (3000.0, "m"), (0.003, "cm")])
def test_a_map_whose_median_is_no_distance_asks_for_its_unit(tmp_path, values, unit):
    write_one(tmp_path, np.full((H, W), values), unit=unit)
    with pytest.raises(DataError, match=r"index\.jsonl:1: .*median depth would be .*its unit"):
        one(tmp_path)
    write_one(tmp_path, np.full((H, W), values), unit=1)  # a number is meant
    assert one(tmp_path).depth_HW[0, 0] == np.float32(values)


@pytest.mark.parametrize(
    ("orientation", "is_upright"),
    [*((n, False) for n in range(1, 9)), *((n, True) for n in range(5, 9))],
)
def test_depth_and_mask_are_turned_like_their_photo(tmp_path, orientation, is_upright):
    """Maps are stored like the photo's pixels; where the shape says upright, they stay so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    depth, mask = np.arange(12.0).reshape(3, 4) + 1, np.eye(3, 4, dtype=np.uint8)
    (tmp_path / "a").mkdir()
    stored = np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4)[..., None], 3, 2)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))[..., 0]
    if is_upright:
        depth, mask = depth.reshape(4, 3), np.eye(4, 3, dtype=np.uint8)
    np.save(tmp_path / "d.npy", depth)
    save(tmp_path / "m.png", mask)
    row = {"rgb": "a.png", "depth": "d.npy", "mask": "m.png"}
    write(tmp_path / "index.jsonl", json.dumps(row))
    record = one(tmp_path)
    expected = depth if is_upright else shown + 1.0
    kept = mask > 0 if is_upright else np.isin(shown, [0, 5, 10])
    np.testing.assert_array_equal(record.valid_HW, kept)
    np.testing.assert_array_equal(record.depth_HW, np.where(kept, expected, 0))


def test_absolute_paths_and_other_dialects(tmp_path):
    write_one(tmp_path)
    write(tmp_path / "index.jsonl", "")
    write(tmp_path / "index.csv", f"RGB;Depth;Unit\n{tmp_path}/a.png;.\\d.npy;m\n")
    assert one(tmp_path).sources == ("a.png", "d.npy")
