import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.io.video.codes import DepthRange
from nearfar.io.video.parts import (
    PartWriter,
    fitting_range,
    part_path,
    read_parts,
    remove_parts,
    staged_folder,
)


def steady(result, low, high):
    depth = np.linspace(low, high, result.depth.size, dtype=np.float32).reshape(result.size_hw)
    return dataclasses.replace(result, depth=depth, valid=np.ones(result.size_hw, bool), sky=None)


def write(folder, number, results, *, limits=None):
    part = PartWriter(folder, number, size_hw=results[0].size_hw, limits=limits)
    with part:
        for i, result in enumerate(results):
            part.add(result, Fraction(number * 10 + i, 7))
    return part.limits


def test_parts_come_back_in_order_with_times_and_meaning(tmp_path, result_of):
    results = [result_of(seed=i) for i in range(5)]
    limits = write(tmp_path / "parts", 0, results[:3])
    write(tmp_path / "parts", 1, results[3:], limits=limits)
    back = list(read_parts(tmp_path / "parts", 2))
    assert [frame.time * 7 for frame in back] == [0, 1, 2, 10, 11]
    for frame, result in zip(back, results):
        assert np.array_equal(frame.result.valid, result.valid)
        assert np.array_equal(frame.result.sky, result.sky)
        wrong = np.abs(frame.result.depth - result.depth)[result.valid]
        assert wrong.max() < 0.51 * 1.21 * 60 / 65533
        assert frame.result.kind == result.kind
        assert frame.result.fov_x_deg == result.fov_x_deg
    assert len(list(read_parts(tmp_path / "parts", 1))) == 3


def test_the_range_stays_while_it_fits(result_of):
    first = fitting_range(steady(result_of(), 1, 5), None)
    assert first.near < 1 and first.far > 5
    assert fitting_range(steady(result_of(), 1.2, 4.9), first) == first
    wider = fitting_range(steady(result_of(), 1, 8), first)
    assert wider.far > 8
    narrow = fitting_range(steady(result_of(), 2, 2.5), first)  # an eighth of the steps is a waste
    assert narrow.far - narrow.near < 1
    assert fitting_range(steady(result_of(), 2, 2), first) == first
    nothing = dataclasses.replace(result_of(), valid=np.zeros((23, 31), bool))
    assert fitting_range(nothing, first) == first
    assert fitting_range(nothing, None) == DepthRange(0, 1)


def test_a_missing_or_broken_part_is_one_line(tmp_path, result_of):
    write(tmp_path, 0, [result_of()])
    with pytest.raises(InputError, match="depth_000001.mkv: part is missing or damaged"):
        list(read_parts(tmp_path, 2))
    part_path(tmp_path, 0).write_bytes(b"x")
    with pytest.raises(InputError, match="depth_000000.mkv: part is missing or damaged"):
        list(read_parts(tmp_path, 1))


def test_an_error_leaves_no_part(tmp_path, result_of):
    with (
        pytest.raises(KeyboardInterrupt),
        PartWriter(tmp_path, 0, size_hw=(23, 31), limits=None) as part,
    ):
        part.add(result_of(), Fraction(0))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_parts_can_be_removed(tmp_path, result_of):
    write(tmp_path / "parts", 0, [result_of()])
    (staged_folder(tmp_path / "parts") / "clip_exr").mkdir(parents=True)
    (tmp_path / "parts" / "depth_notes.txt").touch()  # somebody's own
    remove_parts(tmp_path / "parts")
    remove_parts(tmp_path / "parts")
    remove_parts(tmp_path / "none")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["depth_notes.txt"]
