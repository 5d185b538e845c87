import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.data.folder import FolderDataset, read_list
from nearfar.errors import ConfigError, DataError

METRES = np.linspace(1, 5, 24 * 32, dtype=np.float32).reshape(24, 32)


@pytest.fixture
def folder(tmp_path):
    rgb = np.zeros((24, 32, 3), np.uint8)
    rgb[..., 0] = np.arange(32) * 8
    Image.fromarray(rgb).save(tmp_path / "a.png")
    np.save(tmp_path / "m.npy", METRES)
    np.savez(tmp_path / "cm.npz", depth=METRES * 100)
    Image.fromarray((METRES * 1000).round().astype(np.uint16)).save(tmp_path / "mm.png")
    Image.fromarray((METRES * 5000).round().astype(np.uint16)).save(tmp_path / "tum.png")
    sparse = np.zeros_like(METRES)
    sparse[::7, ::5] = METRES[::7, ::5]
    np.save(tmp_path / "sparse.npy", sparse)
    mask = np.zeros((24, 32), np.uint8)
    mask[:, :16] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def csv_list(folder, *lines, header="rgb,depth,unit,mask,intrinsics"):
    path = folder / "list.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_units_give_the_same_metres(folder):
    path = csv_list(folder, "a.png,m.npy,,,", "a.png,cm.npz,cm,,", "a.png,mm.png,mm,,",
                    "a.png,tum.png,5000,,")  # fmt: skip
    data = FolderDataset(path, size_hw=(24, 32))
    assert len(data) == 4
    batch = data.batch(torch.tensor([0, 1, 2, 3]))
    torch.testing.assert_close(batch.depth_BHW[0], torch.from_numpy(METRES))
    for i in (1, 2, 3):
        torch.testing.assert_close(batch.depth_BHW[i], batch.depth_BHW[0], atol=6e-4, rtol=0)
    assert batch.valid_BHW.all() and not batch.sky_BHW.any()
    assert batch.fov_x_deg_B.isnan().all()
    assert batch.image_B3HW[0, 0, 0].tolist() == pytest.approx([i * 8 / 255 for i in range(32)])


def test_masks_intrinsics_and_jsonl(folder):
    row = {"rgb": "a.png", "depth": "m.npy", "mask": "mask.png", "intrinsics": "16,16,16,12"}
    path = folder / "list.jsonl"
    path.write_text(json.dumps(row) + "\n\n" + json.dumps(row | {"intrinsics": [32, 32, 16, 12]}))
    data = FolderDataset(path, size_hw=(24, 32))
    sample = data.sample(0)
    assert sample.fov_x_deg == pytest.approx(90)
    assert sample.valid_HW[:, :16].all() and not sample.valid_HW[:, 16:].any()
    assert (sample.depth_HW[:, 16:] == 0).all()
    assert data.sample(1).fov_x_deg == pytest.approx(2 * math.degrees(math.atan(0.5)))


def test_cutting_to_another_aspect_narrows_the_view(folder):
    path = csv_list(folder, 'a.png,m.npy,m,,"16,16,16,12"')
    sample = FolderDataset(path, size_hw=(24, 16)).sample(0)
    assert sample.fov_x_deg == pytest.approx(2 * math.degrees(math.atan(0.5)))
    torch.testing.assert_close(sample.depth_HW, torch.from_numpy(METRES[:, 8:24].copy()))


def test_sparse_depth_survives_shrinking(folder):
    path = csv_list(folder, "a.png,sparse.npy,m,,")
    full = FolderDataset(path, size_hw=(24, 32)).sample(0)
    small = FolderDataset(path, size_hw=(12, 16)).sample(0)
    assert int(full.valid_HW.sum()) == int(small.valid_HW.sum()) == 28
    assert set(small.depth_HW.unique().tolist()) == set(full.depth_HW.unique().tolist())


def test_depth_of_another_resolution_is_spread_by_nearest(folder):
    np.save(folder / "half.npy", METRES[::2, ::2])
    path = csv_list(folder, "a.png,half.npy,m,,")
    depth = FolderDataset(path, size_hw=(24, 32)).sample(0).depth_HW
    assert torch.equal(depth[::2, ::2], torch.from_numpy(METRES[::2, ::2].copy()))
    assert torch.equal(depth[0, 0], depth[1, 1])


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("a.png,,m,,", "depth is missing"),
        ("a.png,m.npy,feet,,", "unit 'feet'"),
        ("a.png,m.npy,-3,,", "unit '-3'"),
        ('a.png,m.npy,m,,"1,2"', "intrinsics '1,2'"),
        ("gone.png,m.npy,m,,", "{}/gone.png: no such file"),
        ("a.png,gone.npy,m,,", "{}/gone.npy: no such file"),
        ("a.png,m.npy,m,,,,", "has more values than columns"),
    ],
)
def test_wrong_lines_are_named_and_the_rest_counts(folder, line, finding, caplog):
    path = csv_list(folder, "a.png,m.npy,m,,", line)
    faults, finding = [], finding.format(folder)
    assert [entry.depth.name for entry in read_list(path, faults=faults)] == ["m.npy"]
    assert f"list.csv:3: {finding}" in str(faults[0]) and len(faults) == 1
    assert not caplog.records and len(FolderDataset(path, size_hw=(24, 32))) == 1
    assert f"list.csv:3: {finding}" in caplog.text  # told where nobody asks for the faults
    with pytest.raises(DataError, match=r"list\.csv:2"):
        read_list(csv_list(folder, line))


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("a.png,wide.npy,m,,", "differ in aspect"),
        ("a.png,zero.npy,m,,", "no known depth"),
        ("a.png,mm.png,,,", "holds integers and nothing states their unit"),
        ("a.png,far.npy,,,", "median depth would be 3000 m"),
        ("a.png,far.npy,m,,", "median depth would be 3000 m"),
        ("a.png,m.npy,mm,,", "median depth would be 0.003 m"),
    ],
)
def test_broken_files_are_named_with_their_line(folder, line, finding):
    np.save(folder / "wide.npy", np.ones((10, 90), np.float32))
    np.save(folder / "zero.npy", np.zeros((24, 32), np.float32))
    np.save(folder / "far.npy", METRES * 1000)
    data = FolderDataset(csv_list(folder, line), size_hw=(24, 32))
    with pytest.raises(DataError) as error:
        data.sample(0)
    assert "list.csv:2" in str(error.value) and finding in str(error.value)
    assert "\n" not in str(error.value)


def test_a_number_as_unit_is_taken_as_it_is(folder):
    np.save(folder / "far.npy", METRES * 1000)
    sample = FolderDataset(csv_list(folder, "a.png,far.npy,1,,"), size_hw=(24, 32)).sample(0)
    assert sample.depth_HW.max() == 5000


@pytest.mark.parametrize("orientation", [3, 6])
def test_depth_and_mask_are_turned_like_their_photo(folder, orientation):
    exif, quarters = Image.Exif(), {3: 2, 6: 1}[orientation]
    exif[0x0112] = orientation
    with Image.open(folder / "a.png") as photo:
        stored = np.rot90(np.asarray(photo), quarters)
    Image.fromarray(np.ascontiguousarray(stored)).save(folder / "phone.png", exif=exif)
    np.save(folder / "turned.npy", np.rot90(METRES, quarters))
    with Image.open(folder / "mask.png") as mask:
        turned = np.ascontiguousarray(np.rot90(np.asarray(mask), quarters))
    Image.fromarray(turned).save(folder / "m.png")
    path = csv_list(folder, "a.png,m.npy,m,mask.png,", "phone.png,turned.npy,m,m.png,")
    plain, phone = (FolderDataset(path, size_hw=(24, 32)).sample(i) for i in (0, 1))
    assert torch.equal(plain.depth_HW, phone.depth_HW)
    assert torch.equal(plain.image_3HW, phone.image_3HW)


def test_other_dialects_of_csv(folder):
    (folder / "sub").mkdir()
    np.save(folder / "sub/m.npy", METRES)
    path = csv_list(folder, "a.png;sub\\m.npy;m", header="RGB;Depth;Unit")
    assert FolderDataset(path, size_hw=(24, 32)).sample(0).depth_HW.max() == 5


def test_lists_that_are_no_lists(folder):
    with pytest.raises(DataError, match="unknown column"):
        read_list(csv_list(folder, "a.png,m.npy", header="rgb,dpeth"))
    with pytest.raises(DataError, match="lists no samples"):
        read_list(csv_list(folder))
    with pytest.raises(DataError, match="cannot be read"):
        read_list(folder / "none.csv")
    bad = folder / "bad.jsonl"
    bad.write_text('{"rgb": "a.png"\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:1: is not JSON"):
        read_list(bad)
    bad.write_text("[1]\n")
    with pytest.raises(DataError, match="not a JSON object"):
        read_list(bad)
    with pytest.raises(ConfigError):
        FolderDataset(csv_list(folder, "a.png,m.npy,m,,"), size_hw=(4, 4))
