import numpy as np
import pytest
from mini_c import put

from nearfar.data.benchmarks.entries import (
    Entry,
    EntryDataset,
    first_existing,
    known_metres,
    pinhole,
)
from nearfar.data.store import open_store
from nearfar.errors import DataError


class Set(EntryDataset):
    """A dataset whose every sample lacks its file."""

    name = "set"

    def read_entry(self, entry):
        return self.content(entry.rgb)


def test_ids_and_keys_are_known_without_reading(tmp_path):
    data = Set(
        open_store(tmp_path), [Entry("a/1", "a", "r", "d"), Entry("a/2", "a", "r", "d", "k")]
    )
    assert data.sample_ids == ["set/a/1", "set/a/2"] and data.keys == ["a/1", "k"]
    assert len(data) == 2


def test_samples_listed_twice_are_refused(tmp_path):
    entries = [Entry("a/1", "a", "r", "d", where=f"list:{line}") for line in (1, 5)]
    with pytest.raises(DataError, match=r"list:5: a/1 is listed twice \(list:1\)"):
        Set(open_store(tmp_path), entries)


def test_errors_name_list_line_and_file(tmp_path):
    store = open_store(tmp_path)
    with pytest.raises(DataError, match=r"^list:3: .*/gone\.png: no such file"):
        Set(store, [Entry("a/1", "a", "gone.png", "d", where="list:3")]).record(0)
    with pytest.raises(DataError, match=rf"^{tmp_path}/gone\.png: no such file"):
        Set(store, [Entry("a/1", "a", "gone.png", "d")]).record(0)
    with pytest.raises(TypeError, match="has no decoder"):
        EntryDataset(store, [Entry("a/1", "a", "r", "d")]).record(0)


def test_known_metres_have_no_nan_and_no_negative_values():
    depth, valid = known_metres(np.array([[1.5, 0, -2], [np.nan, np.inf, 1e-3]]))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, np.array([[1.5, 0, 0], [0, 0, 1e-3]], np.float32))
    assert valid.tolist() == [[True, False, False], [False, False, True]]


def test_pinhole_moves_the_first_pixel_center_to_a_half():
    assert pinhole(2, 3, 10, 20).tolist() == [[2, 0, 10.5], [0, 3, 20.5], [0, 0, 1]]


def test_first_existing(tmp_path):
    put(tmp_path, {"b": "", "c": ""})
    assert first_existing(open_store(tmp_path), ["a", "b", "c"]) == "b"
    assert first_existing(open_store(tmp_path), ["a"]) is None
