import logging
import math
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar.data.adapt import AdaptedDataset, AdaptOptions, Mixture, whole_sample
from nearfar.data.catalog import open_dataset
from nearfar.data.record import DepthRecord
from nearfar.errors import ConfigError, DataError

sys.path.insert(0, str(Path(__file__).parent))
import mini_d2

H, W = 24, 32


def record(number: int = 0, **changes) -> DepthRecord:
    depth = np.full((H, W), 2.0 + number, np.float32)
    values = {"sample_id": f"toy/s/{number}", "scene": "s", "depth_HW": depth}
    values |= {"rgb_HW3": np.full((H, W, 3), 10 * number, np.uint8)} | changes
    values.setdefault("valid_HW", values["depth_HW"] > 0)
    return DepthRecord(**values)


class Toy:
    """Records 0..count-1; those in `broken` cannot be read."""

    def __init__(self, count: int, broken: tuple[int, ...] = ()) -> None:
        self.sample_ids = [f"toy/s/{i}" for i in range(count)]
        self.broken = broken
        self.reads = 0

    def record(self, index: int) -> DepthRecord:
        self.reads += 1
        if index in self.broken:
            raise DataError(f"/data/{index}.png", "is damaged")
        return record(index)


def options(**changes) -> AdaptOptions:
    return AdaptOptions(**{"size_hw": (12, 16)} | changes)


def test_photo_depth_masks_and_view():
    depth = np.full((H, W), 3.0, np.float32)
    sky = np.zeros((H, W), bool)
    sky[:12], depth[:12], depth[12:, :16] = True, 0, 0
    camera = np.array([[16.0, 0, 9], [0, 16, 12], [0, 0, 1]])
    given = record(5, depth_HW=depth, sky_HW=sky, intrinsics_33=camera)
    whole = whole_sample(given, options())
    assert whole.image_3HW.shape == (3, H, W) and float(whole.image_3HW[0, 0, 0]) == np.float32(
        50 / 255
    )
    assert whole.fov_x_deg == pytest.approx(90)
    assert (whole.valid_HW.numpy() == (depth > 0)).all() and (whole.sky_HW.numpy() == sky).all()

    class One(Toy):
        def record(self, index):
            return given

    sample = AdaptedDataset(One(1), options(size_hw=(12, 8))).sample(0)  # the middle half
    assert sample.fov_x_deg == pytest.approx(2 * math.degrees(math.atan(0.5)))
    assert sample.sky_HW[:6].all() and not sample.sky_HW[6:].any()
    assert not sample.valid_HW[:6].any() and not sample.valid_HW[6:, :4].any()
    assert sample.valid_HW[6:, 4:].all() and (sample.depth_HW[6:, 4:] == 3).all()
    assert (sample.depth_HW[~sample.valid_HW] == 0).all()


def test_a_real_reader_at_another_size(tmp_path):
    mini_d2.write_vkitti2(tmp_path)
    data = open_dataset("vkitti2", tmp_path, split="val")
    adapted = pickle.loads(pickle.dumps(AdaptedDataset(data, options(size_hw=(12, 16)))))
    assert len(adapted) == 4
    sample = adapted.sample(3)
    assert sample.sky_HW[:2].all() and not sample.sky_HW[2:].any()
    assert not (sample.sky_HW & sample.valid_HW).any()
    assert sorted(sample.depth_HW.unique().tolist()) == pytest.approx([0, 12.34, 90])
    near = AdaptedDataset(data, options(size_hw=(12, 16), max_depth=80.0)).sample(3)
    assert sorted(near.depth_HW.unique().tolist()) == pytest.approx([0, 12.34])
    assert near.sky_HW.equal(sample.sky_HW)  # a limit for depth is none for sky


def test_sparse_depth_does_not_spill_into_the_sky():
    depth = np.zeros((H, W), np.float32)
    depth[11::2, 1::2] = 4.0
    sky = np.zeros((H, W), bool)
    sky[:12] = depth[:12] == 0

    class One(Toy):
        def record(self, index):
            return record(depth_HW=depth, sky_HW=sky)

    sample = AdaptedDataset(One(1), options()).sample(0)
    assert not (sample.sky_HW & sample.valid_HW).any() and sample.valid_HW[6:].all()


def test_limits_and_useless_records():
    far = np.full((H, W), 50.0, np.float32)
    far[:, :8] = 5.0
    given = record(depth_HW=far)
    limited = whole_sample(given, options(min_depth=1.0, max_depth=20.0))
    assert int(limited.valid_HW.sum()) == H * 8
    with pytest.raises(DataError, match=r"toy/s/0: depth is known in 25.0 % of its pixels"):
        whole_sample(given, options(max_depth=20.0, min_valid=0.5))
    with pytest.raises(DataError, match=r"known in 0.0 %"):
        whole_sample(given, options(min_depth=90.0))
    sky = far > 20
    above = record(depth_HW=np.where(sky, 0, far), sky_HW=sky)
    assert int(whole_sample(above, options(min_valid=0.9)).valid_HW.sum()) == H * 8
    with pytest.raises(DataError, match="its depth is affine, not metres"):
        whole_sample(record(depth_kind="affine"), options())


def test_broken_samples_raise_or_are_counted(caplog):
    strict = AdaptedDataset(Toy(4, broken=(1,)), options())
    with pytest.raises(DataError, match=r"/data/1.png: is damaged"):
        strict.sample(1)
    toy = Toy(4, broken=(1, 2, 3))
    lenient = AdaptedDataset(toy, options(on_error="skip"))
    with caplog.at_level(logging.WARNING):
        sample = lenient.sample(1)
    assert float(sample.depth_HW.max()) == 2.0  # sample 0, round the end
    assert sorted(lenient.broken) == [1, 2, 3] and "/data/2.png" in lenient.broken[2]
    assert len(caplog.records) == 3 and "3 broken of 4 so far" in caplog.text
    reads = toy.reads
    assert lenient.sample(2).depth_HW.equal(sample.depth_HW)
    assert toy.reads == reads + 1  # what is broken is not read again
    with pytest.raises(DataError, match=r"toy/s/1: it and those after it are unusable"):
        AdaptedDataset(Toy(3, broken=(0, 1, 2)), options(on_error="skip")).sample(1)


def test_mixture_by_weight_reaches_every_sample():
    parts = [AdaptedDataset(Toy(count), options()) for count in (3, 10, 2)]
    mixed = Mixture(parts, [0.5, 0.3, 0.2])
    places = [mixed.place(i) for i in range(len(mixed))]
    share = np.bincount([place.part for place in places]) / len(places)
    np.testing.assert_allclose(share, [0.5, 0.3, 0.2], atol=0.02)
    assert {(p.part, p.number) for p in places} == {
        (part, i) for part, count in enumerate((3, 10, 2)) for i in range(count)
    }
    for part, count in enumerate((3, 10, 2)):
        times = np.bincount([p.number for p in places if p.part == part], minlength=count)
        assert times.max() - times.min() <= 1
    assert float(mixed.sample(places[-1]).depth_HW.max()) == 2.0 + places[-1].number
    plain = Mixture(parts)
    assert len(plain) == 15 and [plain.place(i).part for i in (0, 2, 3, 12, 13, 14)] == [
        0, 0, 1, 1, 2, 2
    ]  # fmt: skip
    with pytest.raises(IndexError):
        plain.place(15)
    for weights in ([1.0], [1.0, 0.0, 1.0]):
        with pytest.raises(ConfigError, match="weights"):
            Mixture(parts, weights)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_hw": (4, 16)},
        {"on_error": "ignore"},
        {"min_valid": 1.5},
        {"min_depth": -1.0},
        {"min_depth": 9.0, "max_depth": 5.0},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        options(**wrong)


def test_same_index_same_pixels():
    adapted = AdaptedDataset(Toy(4), options())
    assert torch.equal(adapted.sample(2).image_3HW, adapted.sample(2).image_3HW)
