import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.video.folder import FolderClip
from nearfar.io.video.reader import VideoClip
from nearfar.io.video.source import file_identity, open_clip


def test_files_and_folders_are_told_apart(tmp_path, make_clip, rgb):
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(rgb).save(folder / "a.png")
    assert isinstance(open_clip(make_clip()), VideoClip)
    clip = open_clip(folder)
    assert isinstance(clip, FolderClip)
    assert clip.info.rate == 24


@pytest.mark.parametrize(
    "source, finding", [("gone.mp4", "no such file"), ("https://a.b/c.mp4", "is not a file")]
)
def test_what_is_not_there_is_one_line(tmp_path, source, finding):
    with pytest.raises(InputError, match=finding):
        open_clip(source if "://" in source else tmp_path / source)


def test_identity_is_of_the_content(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * 3_000_000)
    b.write_bytes(b"x" * 3_000_000)
    assert file_identity(a) == file_identity(b)
    b.write_bytes(b"x" * 2_999_999 + b"y")
    assert file_identity(a) != file_identity(b)


def test_one_picture_is_no_clip_and_a_pattern_is(tmp_path):
    for number in (1, 2):
        Image.new("RGB", (32, 24)).save(tmp_path / f"a.{number}.png")
    with pytest.raises(InputError, match=r"is one picture, not a clip.*%04d"):
        open_clip(tmp_path / "a.1.png")
    assert open_clip(tmp_path / "a.%d.png").info.frames == 2
    moving = tmp_path / "moving.png"
    frames = [Image.new("RGB", (32, 24), color) for color in ("red", "blue", "lime")]
    frames[0].save(moving, save_all=True, append_images=frames[1:], duration=100)
    assert len(list(open_clip(moving).frames())) == 3
