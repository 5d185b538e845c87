from pathlib import Path

import pytest

from nearfar.errors import InputError
from nearfar.io.inputs import find_inputs, is_url


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (
        "in/b.jpg",
        "in/a.PNG",
        "in/sub/deep/c.webp",
        "in/sub/new\nline \u00e9.jpg",
        "in/notes.md",
        "in/.hidden.jpg",
        "in/.cache/x.jpg",
        "in/out/b_vis.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def relatives(items):
    return [item.relative.as_posix() for item in items]


def test_folder_is_walked_sorted_and_mirrored(tree):
    items = find_inputs(tree / "in", exclude=tree / "in" / "out")
    assert relatives(items) == ["a", "b", "sub/deep/c", "sub/new\nline \u00e9"]
    assert [Path(item.path).name for item in items][:2] == ["a.PNG", "b.jpg"]
    assert "out/b_vis" in relatives(find_inputs("in"))


def test_single_file_whatever_its_suffix(tree):
    assert find_inputs("in/b.jpg") == [("in/b.jpg", Path("b"))]
    assert relatives(find_inputs("in/notes.md")) == ["notes.md"]
    assert relatives(find_inputs("in/.hidden.jpg")) == [".hidden"]


def test_glob_mirrors_below_its_fixed_part(tree):
    assert relatives(find_inputs("in/*.jpg")) == ["b"]
    assert relatives(find_inputs("in/sub/**/*.webp")) == ["deep/c"]
    assert relatives(find_inputs(str(tree / "in" / "s*" / "*.jpg"))) == ["sub/new\nline \u00e9"]


def test_a_file_named_like_a_glob_is_the_file(tree):
    (tree / "in" / "x[1].jpg").touch()
    assert find_inputs("in/x[1].jpg") == [("in/x[1].jpg", Path("x[1]"))]


def test_list_file(tree):
    lines = ["# photos", "", "b.jpg", "sub/deep/c.webp", " in/a.PNG ", "https://x.org/p/q.jpg?z=1"]
    (tree / "in" / "list.txt").write_text("\n".join(lines))
    items = find_inputs("in/list.txt")
    assert relatives(items) == ["b", "sub/deep/c", "in/a", "q"]
    assert Path(items[0].path) == Path("in/b.jpg") and Path(items[2].path) == Path("in/a.PNG")
    assert items[3].path == "https://x.org/p/q.jpg?z=1"
    (tree / "list.txt").write_text(f"{tree}/in/b.jpg\nin/../in/a.PNG\n")
    assert relatives(find_inputs("list.txt")) == ["b", "a"]
    (tree / "list.txt").write_text("in/b.jpg\nin/nope.jpg\n")
    with pytest.raises(InputError, match=r"list\.txt:2.*nope"):
        find_inputs("list.txt")


def test_equal_stems_become_distinct(tree):
    for name in ("a.jpg", "b.png", "b_png.jpg", "B.webp"):
        (tree / "in" / name).touch()
    items = find_inputs("in", exclude="in/out")
    keys = [r.casefold() for r in relatives(items)]
    assert len(set(keys)) == len(items) == 8
    names = {Path(item.path).name: item.relative.name for item in items}
    assert names["a.PNG"] == "a_PNG" and names["a.jpg"] == "a_jpg" and names["b_png.jpg"] == "b_png"
    assert items == find_inputs("in", exclude="in/out")


def test_same_name_from_several_folders_and_repeats(tree):
    (tree / "in" / "sub" / "b.jpg").touch()
    items = find_inputs(["in/b.jpg", "in/sub/b.jpg", "in/b.jpg"])
    assert relatives(items) == ["b_jpg", "b_jpg_2"]


def test_standard_input_and_urls(tree):
    assert find_inputs("-") == [("-", Path("stdin"))]
    for url, name in {
        "https://x.org/a%20b.jpg": "a b",
        "https://x.org/": "download",
        "http://x.org/..%2F..%2Fetc%5Cpasswd": "etc_passwd",
        "https://x.org/a%00%0A.png": "a__",
    }.items():
        (item,) = find_inputs(url)
        assert item.path == url and item.relative == Path(name)
    assert is_url("HTTPS://x") and not is_url("ftp://x") and not is_url("http.jpg")


@pytest.mark.parametrize(
    "source", ["nope.jpg", "in/*.tif", "http://[bad/x", "in/sub/deep/none", "", "no\0pe", []]
)
def test_nothing_found(tree, source):
    with pytest.raises(InputError):
        find_inputs(source)


def test_empty_folder_and_empty_list(tree):
    (tree / "empty").mkdir()
    (tree / "empty.txt").write_text("# nothing\n")
    for source in ("empty", "empty.txt"):
        with pytest.raises(InputError, match="no images"):
            find_inputs(source)


def test_outputs_never_leave_the_folder(tree):
    (tree / "in" / "sub" / "up.txt").write_text("../b.jpg\n../../in/a.PNG\n")
    for item in find_inputs("in/sub/up.txt"):
        assert ".." not in item.relative.parts and not item.relative.is_absolute()


def test_linked_folders_and_files_count_once(tree, tmp_path):
    """Links into the tree, out of it, in circles, and one file by two names."""
    far = tmp_path / "far"
    far.mkdir()
    for name in ("f1.png", "f2.png"):
        (far / name).touch()
    once = relatives(find_inputs("in"))
    for name in ("loop", "more"):
        (tree / "in" / name).symlink_to(".")
    (tree / "in" / "far").symlink_to(far)
    (tree / "in" / "zz.png").symlink_to(far / "f1.png")
    assert sorted(relatives(find_inputs("in"))) == sorted([*once, "far/f1", "far/f2"])
    assert sorted(relatives(find_inputs("in/**/*.png"))) == ["far/f1", "far/f2", "out/b_vis"]
    assert sorted(relatives(find_inputs("in/**"))) == sorted([*once, "far/f1", "far/f2"])
    both = find_inputs([far / "f1.png", tree / "in" / "zz.png", far])
    assert [item.relative.as_posix() for item in both] == ["f1", "f2"]


def test_wrong_lines_of_a_list_are_named_and_the_rest_counts(tree):
    lines = ["b.jpg", "nope.jpg", "-", '"a.PNG"', "a.PNG 0.5", "http://[/x.png"]
    (tree / "in" / "list.txt").write_text("\n".join(lines))
    faults = []
    items = find_inputs("in/list.txt", faults=faults)
    assert [Path(item.path).name for item in items] == ["b.jpg", "a.PNG"]
    assert [str(fault).split(": ")[0] for fault in faults] == [
        f"in/list.txt:{number}" for number in (2, 3, 5, 6)
    ]
    (tree / "in" / "list.txt").write_text("x\ny\n")
    with pytest.raises(InputError, match=r"list\.txt:1.*1 more lines are wrong, none is right"):
        find_inputs("in/list.txt", faults=faults)
    assert len(faults) == 4


def test_list_in_utf16_and_a_home_folder(tree, monkeypatch):
    (tree / "list.txt").write_bytes("in/b.jpg\r\nin/a.PNG\r\n".encode("utf-16"))
    assert relatives(find_inputs("list.txt")) == ["in/b", "in/a"]
    monkeypatch.setenv("HOME", str(tree / "in"))
    (tree / "list.txt").write_text("~/b.jpg\n")
    items = find_inputs("list.txt")
    assert relatives(items) == ["b"] and Path(items[0].path) == tree / "in" / "b.jpg"
