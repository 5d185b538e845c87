import hashlib

import pytest
from mini_c import put

from nearfar.data.lists import (
    fingerprint,
    natural_key,
    parse_list,
    read_list,
    right_ones,
    table_rows,
)
from nearfar.data.store import open_store
from nearfar.errors import DataError

TEXT = (
    "\ufeff# made by hand\r\n/a/rgb_1.jpg  //a/depth_1.png 518.8579\r\n\r\n"
    "a/rgb_2.jpg None 518.8579"
)


def test_lines_are_read_as_the_official_lists_write_them():
    first, second = parse_list(TEXT, "list.txt", columns=(2, 3))
    assert (first.where, second.where) == ("list.txt:2", "list.txt:4")
    assert first.path(0) == "a/rgb_1.jpg" and first.path(1) == "a/depth_1.png"
    assert first.number(2) == 518.8579 and first.number(0) is None and first.number(5) is None
    assert second.columns[1] is None
    with pytest.raises(DataError, match=r"list\.txt:4: column 2 is not a path"):
        second.path(1)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a b\na\n", r"list:2: has 1 columns. Write 2 to 3"),
        ("a b c d\n", r"list:1: has 4 columns"),
        ("# nothing\n\n", "list: lists no samples"),
    ],
)
def test_wrong_lines_are_named(text, finding):
    with pytest.raises(DataError, match=finding):
        parse_list(text, "list", columns=(2, 3))


def test_paths_out_of_the_dataset_are_refused_with_their_line():
    (line,) = parse_list("a ../../b", "list", columns=(2, 2))
    with pytest.raises(DataError, match=r"list:1: \.\./\.\./b leaves the dataset folder"):
        line.path(1)


def test_lists_lie_on_disk_or_in_the_dataset(tmp_path):
    put(tmp_path, {"root/inside.txt": "a b\n", "outside.txt": "c d\n", "bytes.txt": b"\xff\xfe"})
    store = open_store(tmp_path / "root")
    inside = read_list("inside.txt", columns=(2, 2), store=store)
    assert inside[0].where == f"{tmp_path}/root/inside.txt:1"
    assert read_list(tmp_path / "outside.txt", columns=(2, 2), store=store)[0].columns == ("c", "d")
    with pytest.raises(DataError, match="cannot be read"):
        read_list(tmp_path / "gone.txt", columns=(2, 2), store=None)
    with pytest.raises(DataError, match="is not text"):
        read_list(tmp_path / "bytes.txt", columns=(2, 2))


def test_natural_order():
    names = ["b/2.jpg", "b/10.jpg", "a10", "b/1x.jpg", "a9", "a"]
    assert sorted(names, key=natural_key) == ["a", "a9", "a10", "b/1x.jpg", "b/2.jpg", "b/10.jpg"]


def test_fingerprint_is_of_the_sorted_distinct_keys():
    expected = hashlib.sha256(b"a\nb\nc").hexdigest()
    assert fingerprint(["c", "a", "b", "a"]) == expected


def test_fingerprint_of_a_published_split():
    """Marigold's Virtual KITTI 2 training split, from its rule (20,148 frames)."""
    frames = {"Scene02": 233, "Scene06": 270, "Scene18": 339, "Scene20": 837}
    variants = ("clone", "morning", "overcast", "sunset", "15-deg-left", "15-deg-right")
    keys = [
        f"{scene}/{variant}/Camera_{camera}/rgb_{frame:05d}"
        for scene, count in frames.items()
        for variant in variants
        for camera in (0, 1)
        for frame in range(count)
    ]
    assert len(keys) == 20148
    assert fingerprint(keys).startswith("4eaf1a15e6135f81")


def test_tables_with_any_separator_and_case():
    for text in ("rgb,K\na.png,1", "RGB;k\n\na.png;1", "Rgb\tK\na.png\t1"):
        ((line, row),) = table_rows(text, "t.csv", columns=("rgb", "K"))
        assert line in (2, 3) and row == {"rgb": "a.png", "K": "1"}
    assert table_rows("", "t.csv", columns=("rgb",)) == []
    with pytest.raises(DataError, match="t.csv:1: unknown column 'rbg'. Known: rgb"):
        table_rows("rbg\na", "t.csv", columns=("rgb",))


def test_right_ones_go_on_after_wrong_ones(caplog):
    def make(number):
        if number < 0:
            raise DataError(f"list:{number}", "is negative")
        return number

    faults = []
    assert right_ones([1, -2, 3, -4], make, faults) == [1, 3]
    assert [fault.where for fault in faults] == ["list:-2", "list:-4"] and not caplog.records
    assert right_ones([1, -2], make, None) == [1] and "list:-2: is negative" in caplog.text
    with pytest.raises(DataError, match="list:-3"):
        right_ones([-3, -4], make, faults)
