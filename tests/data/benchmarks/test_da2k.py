import json

import numpy as np
import pytest
from mini_d1 import pack, photo, same, write, write_da2k

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError


def pairs_of(record):
    return [(pair.closer, pair.farther) for pair in record.pairs]


def test_pairs_are_row_col_with_the_closer_first(tmp_path):
    told = write_da2k(tmp_path / "d")
    data = open_dataset("da2k", tmp_path / "d")
    assert list(data.sample_ids) == told["ids"]
    for i, expected in enumerate(told["pairs"]):
        record = data.record(i)
        assert pairs_of(record) == expected and record.depth_kind == "ordinal"
        assert record.notes["scene_type"] == told["types"][i]
        assert not record.valid_HW.any() and record.depth_HW.shape == (6, 8)
    np.testing.assert_array_equal(data.record(1).rgb_HW3, photo(1))
    assert len({data.record(i).scene for i in range(3)}) == 3
    for kind in ("tar", "zip"):
        packed = open_dataset("da2k", pack(tmp_path / "d", kind))
        assert same(packed.record(1), data.record(1)) and packed.sample_ids == data.sample_ids
        assert pairs_of(packed.record(1)) == told["pairs"][1]


def test_choices(tmp_path):
    told = write_da2k(tmp_path)
    chosen = open_dataset("da2k", tmp_path, options={"scene_types": "indoor"})
    assert list(chosen.sample_ids) == told["ids"][1:]
    (tmp_path / "own.txt").write_text("images/indoor/b.png\n")
    assert open_dataset("da2k", tmp_path, list_file="own.txt").sample_ids == ("da2k/indoor/b",)
    with pytest.raises(DataError, match="no picture of attic"):
        open_dataset("da2k", tmp_path, options={"scene_types": "attic"})


POINT = {"point1": [1, 1], "point2": [2, 2], "closer_point": "point1"}


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        ([{**POINT, "closer_point": "left"}], "is not a pair"),
        ([{**POINT, "point1": [1.5, 2]}], "is not a pair"),
        ([{**POINT, "point1": [1, 2, 3]}], "is not a pair"),
        ([{"point1": [1, 1]}], "is not a pair"),
        ({}, "is not a pair"),
        ([], "is not a pair"),
        ([{**POINT, "point1": [1, 8]}], "point [1, 8] is outside the picture, 6 x 8"),
        ([{**POINT, "point2": [-1, 0]}], "point [-1, 0] is outside"),
    ],
)
def test_wrong_annotations_are_named_with_their_line(tmp_path, entry, finding):
    write_da2k(tmp_path)
    stated = {"images/indoor/a.png": [POINT], "images/indoor/b.png": entry}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in stated.items()]
    write(tmp_path / "annotations.json", "{\n" + ",\n".join(lines) + "\n}")
    with pytest.raises(DataError) as error:
        open_dataset("da2k", tmp_path).record(1)
    assert "annotations.json:3: " in str(error.value) and finding in str(error.value)


def test_broken_files_are_named(tmp_path):
    write_da2k(tmp_path)
    (tmp_path / "images/indoor/a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"images/indoor/a\.png"):
        open_dataset("da2k", tmp_path).record(1)
    (tmp_path / "images/indoor/a.png").unlink()
    with pytest.raises(DataError, match=r"images/indoor/a\.png: no such file"):
        open_dataset("da2k", tmp_path).record(1)
    write(tmp_path / "annotations.json", '{\n"a":\n[}')
    with pytest.raises(DataError, match=r"annotations\.json:3: is not JSON"):
        open_dataset("da2k", tmp_path)
    write(tmp_path / "annotations.json", "[]")
    with pytest.raises(DataError, match=r"annotations\.json: is not an object"):
        open_dataset("da2k", tmp_path)
    (tmp_path / "annotations.json").unlink()
    with pytest.raises(DataError, match=r"no annotations\.json"):
        open_dataset("da2k", tmp_path)
