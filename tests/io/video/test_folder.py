from fractions import Fraction

import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.video.clip import ReadReport
from nearfar.io.video.folder import FolderClip, frame_files


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
