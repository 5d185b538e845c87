import numpy as np
import pytest

from nearfar.data.benchmarks.rendered_clips import open_rendered_clips
from nearfar.data.catalog import find_dataset, open_dataset
from nearfar.data.scenes.options import SCENES_VERSION
from nearfar.errors import ConfigError

SMALL = {"count": 2, "frames": 3, "height": 24, "width": 32}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    data = open_rendered_clips(options={**SMALL, "cache": str(folder)})
    first = [data.record(i) for i in range(3)]
    return data, first, folder


def test_opening_names_the_frames_without_drawing():
    data = open_dataset("clips", None)
    assert len(data.sample_ids) == 8 * 24
    assert data.sample_ids[23:25] == ["clips/0000/0023", "clips/0001/0000"]
    assert find_dataset("clips").allows_commercial_use


def test_frames_of_a_clip_are_one_scene_that_moves(records):
    _, frames, _ = records
    assert {record.scene for record in frames} == {"0000"}
    assert [record.time_s * 24 for record in frames] == [0, 1, 2]
    for record in frames:
        assert record.depth_HW.shape == (24, 32) and record.rgb_HW3.std() > 5
        assert record.valid_HW.any() and not (record.sky_HW & record.valid_HW).any()
        assert np.array_equal(record.intrinsics_33, frames[0].intrinsics_33)
    a, b = frames[0], frames[2]
    assert not np.array_equal(a.rgb_HW3, b.rgb_HW3)
    both = a.valid_HW & b.valid_HW
    assert np.median(np.abs(np.log(a.depth_HW[both] / b.depth_HW[both]))) < 0.1


def test_the_cache_holds_the_whole_clip_and_survives_damage(records):
    data, frames, folder = records
    files = sorted(folder.rglob("*.npz"))
    assert [path.stem for path in files] == ["0000", "0001", "0002"]
    before = files[1].stat().st_mtime_ns
    assert np.array_equal(data.record(1).depth_HW, frames[1].depth_HW)
    assert files[1].stat().st_mtime_ns == before
    files[1].write_bytes(b"x")
    assert np.array_equal(data.record(1).depth_HW, frames[1].depth_HW)
    assert np.array_equal(data.record(1).rgb_HW3, frames[1].rgb_HW3)


@pytest.mark.parametrize(
    "options, finding",
    [
        ({"size": 3}, "unknown option 'size'"),
        ({"count": "many"}, "not a whole number"),
        ({"count": 0}, "0 clips"),
        ({"height": 4}, "use 8..4096"),
        ({"scenes": SCENES_VERSION - 1}, "this renderer draws version"),
    ],
)
def test_impossible_options_are_refused(options, finding):
    with pytest.raises(ConfigError, match=finding):
        open_rendered_clips(options=options)


def test_there_is_one_split_and_no_list(tmp_path):
    with pytest.raises(ConfigError, match="no split 'train'"):
        open_rendered_clips(split="train")
    with pytest.raises(ConfigError, match="takes no list"):
        open_rendered_clips(list_file=tmp_path / "a.txt")
    with pytest.raises(IndexError):
        open_rendered_clips(options=SMALL).record(6)
