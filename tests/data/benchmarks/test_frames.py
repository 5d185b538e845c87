import pickle
from typing import NamedTuple

import numpy as np
import pytest

from nearfar.data.benchmarks.frames import (
    FrameDataset,
    centered_at_half,
    in_list_order,
    names_of,
    span_of,
    where_known,
)
from nearfar.data.store import open_store
from nearfar.errors import ConfigError, DataError


class Named(NamedTuple):
    sample_id: str
    photo: str


FRAMES = tuple(Named(f"set/a/{i}", f"a/rgb/{i}.png") for i in (1, 2, 10))


def read(store, frame):
    return frame.photo


def test_frames_are_read_by_index_and_survive_a_pickle(tmp_path):
    data = pickle.loads(pickle.dumps(FrameDataset(open_store(tmp_path), FRAMES, read)))
    assert data.sample_ids == ("set/a/1", "set/a/2", "set/a/10")
    assert data.record(2) == "a/rgb/10.png"
    for index in (-1, 3):
        with pytest.raises(IndexError):
            data.record(index)


@pytest.mark.parametrize(
    "form", ["set/a/{}", "a/{}", "a/rgb/{}.png", "./a//rgb/{} extra", "a/{}.jpg"]
)
def test_a_list_gives_order_by_any_name(tmp_path, form):
    (tmp_path / "own.txt").write_text("# mine\r\n" + "\r\n".join(form.format(i) for i in (10, 1)))
    store = open_store(tmp_path)
    for list_file in (tmp_path / "own.txt", "own.txt"):
        assert in_list_order(FRAMES, list_file, store) == (FRAMES[2], FRAMES[0])
    assert in_list_order(FRAMES, None, store) == FRAMES


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        ("a/1\n\na/3\n", "own.txt:3: a/3 is not a sample"),
        ("a/1\na/1.png\n", "own.txt:2: a/1.png is li"),
    ],
)
def test_wrong_lines_of_a_list_are_named(tmp_path, lines, finding):
    (tmp_path / "own.txt").write_text(lines)
    with pytest.raises(DataError) as error:
        in_list_order(FRAMES, tmp_path / "own.txt", open_store(tmp_path))
    assert finding in str(error.value)


def test_spans_and_names():
    assert list(range(9))[span_of("", "x")] == list(range(9))
    assert list(range(9))[span_of("2:8:3", "x")] == [2, 5]
    assert list(range(9))[span_of("7:", "x")] == [7, 8]
    for text in ("3", "1:2:0", "-1:2", "a:b"):
        with pytest.raises(ConfigError, match="frames"):
            span_of(text, "frames")
    assert names_of("b, a", ["a", "b", "c"], "x") == ["b", "a"]
    assert names_of("", ["a", "b"], "x") == ["a", "b"]
    with pytest.raises(ConfigError, match="'d' is not there"):
        names_of("a,d", ["a"], "x")


def test_numbers_of_records():
    assert centered_at_half(5, 6, 3.5, 2.5).tolist() == [[5, 0, 4], [0, 6, 3], [0, 0, 1]]
    depth = where_known(np.array([[np.nan, 2.0]]), np.array([[False, True]]))
    assert depth.dtype == np.float32 and depth.tolist() == [[0, 2]]
