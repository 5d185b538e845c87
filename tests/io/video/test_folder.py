from fractions import Fraction

import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.video.clip import ReadReport
from nearfar.io.video.folder import FolderClip, frame_files, is_pattern, notes_of_names


@pytest.fixture
def folder(tmp_path, picture_frames):
    place = tmp_path / "frames"
    place.mkdir()
    for number, picture in enumerate(picture_frames(12)):
        Image.fromarray(picture).save(place / f"f{number}.png")
    (place / "notes.txt").write_text("no picture")
    return place


def clip_of(folder):
    return FolderClip(folder, rate=Fraction(10), max_pixels=10**6)


def test_numbers_in_names_are_counted(folder):
    assert [path.stem for path in frame_files(folder)] == [f"f{i}" for i in range(12)]


def test_frames_have_the_pixels_of_the_files(folder, picture_frames):
    clip = clip_of(folder)
    assert (clip.info.frames, clip.info.size_hw, clip.info.rate) == (12, (48, 64), 10)
    frames = list(clip.frames(start=10))
    assert [(f.index, f.time) for f in frames] == [(10, 1), (11, Fraction(11, 10))]
    assert (frames[1].rgb_HW3 == picture_frames(12)[11]).all()


def test_unreadable_pictures_are_left_out_and_counted(folder):
    (folder / "f3.png").write_bytes(b"damaged")
    report = ReadReport()
    frames = list(clip_of(folder).frames(report=report))
    assert [f.time * 10 for f in frames] == [0, 1, 2, *range(4, 12)]
    assert [f.index for f in frames] == list(range(11))
    assert report.skipped == 1


def test_identity_follows_the_files(folder):
    before = clip_of(folder).info.identity
    assert clip_of(folder).info.identity == before
    (folder / "f11.png").unlink()
    assert clip_of(folder).info.identity != before


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no pictures"):
        clip_of(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="no picture can be read"):
        clip_of(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [("f%d.png", range(12)), ("f%04d.png", range(12)), ("f1*.png", (1, 10, 11)), ("g%d.png", ())],
)
def test_patterns_name_pictures(folder, pattern, numbers):
    (folder / "f3_depth.png").write_bytes((folder / "f3.png").read_bytes())
    (folder / "f[1].png").write_bytes((folder / "f1.png").read_bytes())
    assert is_pattern(folder / pattern)
    if not numbers:
        with pytest.raises(InputError, match="names no pictures"):
            clip_of(folder / pattern)
        return
    clip = clip_of(folder / pattern)
    assert [path.name for path in clip._files] == [f"f{number}.png" for number in numbers]
    assert clip.info.frames == len(list(clip.frames()))


def test_digits_of_other_scripts_are_letters(folder):
    for number in "\u00b2\u0663":
        (folder / "f0.png").rename(folder / f"f{number}.png")
        assert len(frame_files(folder)) == 12
        (folder / f"f{number}.png").rename(folder / "f0.png")


@pytest.mark.parametrize(
    ("names", "note"),
    [
        ("s1001 s1002 s1004 s1009", "numbers 1003, 1005 to 1008 are missing"),
        ("s1 s2 s3", ""),
        ("s2 s4 s6", ""),  # every second one
        ("s9 s10 s011", ""),
        ("take2_1 take2_3 take2_4", "numbers 2 are missing"),
        ("001 001_depth 002 002_depth", "pictures named in 2 ways (2 like #.png, 2 like #_depth"),
        ("a", ""),
        ("a b", "2 ways"),
    ],
)
def test_unusual_names_are_told(names, note):
    found = notes_of_names([f"{name}.png" for name in names.split()])
    assert len(found) == bool(note) and all(note in line for line in found)


def test_a_new_size_is_told_with_the_file(folder):
    Image.new("RGB", (65, 48)).save(folder / "f2.png")
    Image.new("RGB", (48, 64)).save(folder / "f4.png")
    report, frames = ReadReport(), []
    with pytest.raises(InputError, match=r"frame 4 \(f4\.png\) has another shape: 48x64"):
        frames.extend(clip_of(folder).frames(report=report))
    assert any("frame 2 (f2.png) changes size, 65x48 after 64x48" in note for note in report.notes)
