import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from nearfar.errors import OutputError
from nearfar.io.video import encoder as encoder_file
from nearfar.io.video.encoder import VideoEncoder, VideoForm
from nearfar.io.video.source import open_clip

FULL_DISK = """
import resource, signal, sys
import numpy as np
from fractions import Fraction
from pathlib import Path
from nearfar.errors import OutputError
from nearfar.io.video.encoder import VideoEncoder, VideoForm

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
form = VideoForm(codec="ffv1", size_hw=(240, 320), rate=Fraction(24),
                 time_base=Fraction(1, 24), metadata={})
rng = np.random.default_rng(0)
try:
    with VideoEncoder(Path(sys.argv[1]), form) as file:
        for i in range(40):
            file.add(rng.integers(0, 65535, (240, 320), dtype=np.uint16), Fraction(i, 24))
except OutputError as error:
    print(error)
"""


def form_of(codec, size_hw, **more):
    return VideoForm(
        codec=codec,
        size_hw=size_hw,
        rate=Fraction(12),
        time_base=Fraction(1, 24),
        metadata=more.pop("metadata", {}),
        **more,
    )


def write(path, form, pictures, times):
    with VideoEncoder(path, form) as file:
        for picture, time in zip(pictures, times):
            file.add(picture, time)
    return file


@pytest.mark.parametrize("size_hw", [(48, 64), (47, 63)])
def test_color_video_has_the_pictures_and_times(tmp_path, picture_frames, size_hw):
    frames = picture_frames(6, size_hw=size_hw)
    times = [Fraction(t, 24) for t in (0, 2, 3, 9, 11, 12)]
    write(tmp_path / "a.mp4", form_of("h264", size_hw), frames, times)
    seen = list(open_clip(tmp_path / "a.mp4").frames())
    assert [frame.time for frame in seen] == times
    assert seen[0].rgb_HW3.shape == (48, 64, 3)
    for frame, picture in zip(seen, frames):
        inside = frame.rgb_HW3[: size_hw[0], : size_hw[1]].astype(int)
        assert np.abs(inside - picture).mean() < 5
        assert np.abs((inside - picture).mean(axis=(0, 1))).max() < 2  # no color cast


def test_grey_video_is_lossless_and_carries_its_text(tmp_path):
    codes = np.random.default_rng(0).integers(0, 65536, (5, 47, 63), dtype=np.uint16)
    form = form_of("ffv1", (47, 63), metadata={"nearfar": '{"a": 1}'})
    write(tmp_path / "a.mkv", form, codes, [Fraction(i, 12) for i in range(5)])
    with av.open(str(tmp_path / "a.mkv")) as file:
        assert file.metadata["NEARFAR"] == '{"a": 1}'
        back = np.stack([frame.to_ndarray() for frame in file.decode(video=0)])
    assert np.array_equal(back, codes)


def test_the_same_pictures_give_the_same_bytes(tmp_path, picture_frames):
    for codec, pictures in (("h264", picture_frames(24)), ("ffv1", picture_frames(24)[..., 0])):
        files, memory = set(), []
        for number in range(12):
            memory.append(np.full(90_000 * (number + 1), number, np.uint8))  # another layout
            form = form_of(codec, (48, 64))
            pictures = pictures if codec == "h264" else pictures.astype(np.uint16)
            write(tmp_path / "a", form, pictures, [Fraction(i, 12) for i in range(24)])
            files.add((tmp_path / "a").read_bytes())
        assert len(files) == 1


def packets_of(path):
    with av.open(str(path)) as file:
        return [bytes(p) for p in file.demux(audio=0) if p.size]


def test_sound_is_copied_not_encoded(tmp_path, make_clip, picture_frames):
    source = make_clip(sound="aac")
    times = [Fraction(i, 12) for i in range(12)]
    form = form_of("h264", (48, 64), sound=str(source))
    write(tmp_path / "a.mp4", form, picture_frames(12), times)
    assert packets_of(tmp_path / "a.mp4") == packets_of(source)
    # a clip that ends early takes only the sound up to there
    write(tmp_path / "b.mp4", form, picture_frames(6), times[:6])
    half = packets_of(tmp_path / "b.mp4")
    assert half == packets_of(source)[: len(half)]
    assert len(half) == pytest.approx(len(packets_of(source)) / 2, abs=2)


def test_sound_that_does_not_fit_is_noted(tmp_path, make_clip, picture_frames):
    source = make_clip("a.mkv", sound="wavpack")
    form = form_of("h264", (48, 64), sound=str(source))
    file = write(tmp_path / "a.mp4", form, picture_frames(2), [Fraction(0), Fraction(1, 12)])
    assert file.notes == ["sound (wavpack) does not fit into mp4"]
    assert not av.open(str(tmp_path / "a.mp4")).streams.audio


def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path, picture_frames):
    (tmp_path / "a.mp4").write_text("older")
    with (
        pytest.raises(RuntimeError),
        VideoEncoder(tmp_path / "a.mp4", form_of("h264", (48, 64))) as f,
    ):
        f.add(picture_frames(1)[0], Fraction(0))
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "older"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.mkv")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "a.mkv: cannot be written (" in done.stdout, done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_encoder_is_one_line(tmp_path, monkeypatch):
    lacking = {**encoder_file._FORMS}
    lacking["h264"] = encoder_file._Form(
        container="mp4", encoder="libnone", pixels="yuv420p", options={}
    )
    monkeypatch.setattr(encoder_file, "_FORMS", lacking)
    with (
        pytest.raises(OutputError, match="this FFmpeg has no encoder libnone"),
        VideoEncoder(tmp_path / "a.mp4", form_of("h264", (48, 64))),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def form_with_sound(source):
    return VideoForm(
        codec="h264",
        size_hw=(48, 64),
        rate=Fraction(12),
        time_base=Fraction(1, 12),
        metadata={},
        sound=str(source),
    )


def test_sound_of_transport_streams_keeps_its_moment(tmp_path, make_clip, picture_frames):
    source = make_clip("a.ts", picture_frames(12), sound="aac", container="mpegts")
    form = form_with_sound(source)
    with VideoEncoder(tmp_path / "b.mp4", form) as encoder:
        for number, picture in enumerate(picture_frames(12)):
            encoder.add(picture, Fraction(number, 12))
    assert encoder.notes == []
    with av.open(str(tmp_path / "b.mp4")) as file:
        heard = list(file.decode(audio=0))
    assert len(heard) >= 14 and abs(heard[0].time) < 0.2  # the source begins at 1.4 s


def test_sound_that_fails_on_the_way_does_not_lose_the_pictures(
    tmp_path, make_clip, picture_frames, monkeypatch
):
    from nearfar.io.video import encoder as module

    source = make_clip("a.mp4", picture_frames(12), sound="aac")
    form = form_with_sound(source)

    class Refusing:
        format = type("Format", (), {"name": "mp4"})

        def __init__(self, target):
            self._target = target

        def add_stream_from_template(self, stream):
            return self._target.add_stream_from_template(stream)

        def mux(self, packet):
            raise PermissionError(1, "Operation not permitted")

    copy = module._SoundCopy
    monkeypatch.setattr(
        module, "_SoundCopy", lambda source, target, notes: copy(source, Refusing(target), notes)
    )
    with VideoEncoder(tmp_path / "b.mp4", form) as encoder:
        for number, picture in enumerate(picture_frames(12)):
            encoder.add(picture, Fraction(number, 12))
    assert len(encoder.notes) == 1 and "sound cannot be copied further" in encoder.notes[0]
    with av.open(str(tmp_path / "b.mp4")) as file:
        assert len(list(file.decode(video=0))) == 12
