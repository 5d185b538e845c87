import pytest

from nearfar.io.walk import walk_files


def below(folder, **options):
    return sorted(p.relative_to(folder).as_posix() for p in walk_files(folder, **options))


@pytest.fixture
def linked(tmp_path):
    """Two files, a folder that is linked, a file that is linked, links to itself, to nowhere."""
    top = tmp_path / "top"
    (top / "z" / "deep").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    for name in ("top/a", "top/z/deep/b", "far/c"):
        (tmp_path / name).touch()
    (top / "link").symlink_to(top / "z")
    (top / "a_link").symlink_to("a")
    (top / "far").symlink_to(tmp_path / "far")
    (top / "again").symlink_to(tmp_path / "far" / "c")
    (top / "loop").symlink_to("loop")
    (top / "gone").symlink_to("nowhere")
    for name in ("one", "two"):
        (top / name).symlink_to(".")
        (top / "z" / name).symlink_to("..")
    return top


def test_each_file_once_by_its_own_name(linked):
    assert below(linked, once=True) == ["a", "far/c", "gone", "loop", "z/deep/b"]


def test_every_way_to_a_file_but_no_circles(linked):
    assert below(linked, once=False) == sorted(
        ["a", "a_link", "again", "far/c", "gone", "link/deep/b", "loop", "z/deep/b"]
    )


def test_skipped_folders_and_errors(linked):
    faults = []
    assert "z/deep/b" not in below(linked, once=False, skip=lambda path: path.name == "z")
    assert below(linked / "none", once=True, on_error=faults.append) == []
    assert isinstance(faults[0], FileNotFoundError)
