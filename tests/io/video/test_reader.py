import re
from fractions import Fraction

import av
import numpy as np
import pytest

from nearfar.errors import InputError, ResourceError
from nearfar.io.video.clip import ReadReport
from nearfar.io.video.source import open_clip


def read(path, **options):
    report = ReadReport()
    return list(open_clip(path).frames(report=report, **options)), report


def test_frames_come_with_their_pixels_and_times(make_clip, picture_frames):
    path = make_clip(frames=picture_frames(5))
    info = open_clip(path).info
    assert (info.size_hw, info.rate, info.frames, info.has_audio) == ((48, 64), 12, 5, False)
    frames, report = read(path)
    assert [frame.time for frame in frames] == [Fraction(i, 12) for i in range(5)]
    assert [frame.index for frame in frames] == list(range(5))
    wrong = np.abs(np.stack([f.rgb_HW3 for f in frames]).astype(int) - picture_frames(5))
    assert wrong.mean() < 4
    assert (report.skipped, report.notes) == (0, [])


def test_a_later_start_gives_the_same_frames(make_clip):
    path = make_clip()
    whole, _ = read(path)
    rest, _ = read(path, start=7)
    assert [(f.index, f.time) for f in rest] == [(f.index, f.time) for f in whole[7:]]
    assert all(np.array_equal(a.rgb_HW3, b.rgb_HW3) for a, b in zip(rest, whole[7:]))


def test_variable_frame_rate_is_kept(make_clip, picture_frames):
    times = [0, 1, 2, 7, 8, 30]
    frames, _ = read(make_clip(frames=picture_frames(6), times=times))
    assert [frame.time for frame in frames] == [Fraction(t, 12) for t in times]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(make_clip, picture_frames, degrees):
    pictures = picture_frames(2)
    upright = open_clip(make_clip("a.mp4", pictures))
    turned = open_clip(make_clip("b.mp4", pictures, rotation=degrees))
    expected = np.rot90(next(upright.frames()).rgb_HW3, degrees // 90)
    assert turned.info.size_hw == expected.shape[:2]
    assert np.array_equal(next(turned.frames()).rgb_HW3, expected)


def test_pixels_become_square(make_clip):
    clip = open_clip(make_clip(pixel_ratio=Fraction(3, 2)))
    assert clip.info.size_hw == (48, 96)
    assert next(clip.frames()).rgb_HW3.shape == (48, 96, 3)


def test_ten_bits_odd_sizes_and_other_containers(make_clip, picture_frames):
    frames = picture_frames(3, size_hw=(47, 63))
    ten = make_clip("ten.mkv", frames, codec="ffv1", pixels="gbrp10le", options={})
    for frame, picture in zip(read(ten)[0], frames):
        assert frame.rgb_HW3.shape == (47, 63, 3)
        assert np.abs(frame.rgb_HW3.astype(int) - picture).max() <= 2


def test_transparent_pixels_show_mid_grey(make_clip):
    picture = np.full((48, 64, 4), (200, 40, 0, 255), np.uint8)
    picture[:, 32:, 3] = 0
    path = make_clip("a.mkv", [picture] * 2, codec="ffv1", pixels="bgra", source="rgba", options={})
    seen = read(path)[0][1].rgb_HW3
    assert np.array_equal(seen[5, 5], [200, 40, 0])
    assert np.array_equal(seen[5, 60], [128, 128, 128])


def test_sound_without_pictures_is_refused(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", layout="mono")
        tone.sample_rate = 16000
        file.mux(stream.encode(tone))
        file.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"song\.mp4: has no pictures, only sound"):
        open_clip(path)


def test_empty_and_foreign_and_headless_files_are_refused(tmp_path, make_clip):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match="is empty"):
        open_clip(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("no video at all\n" * 400)
    with pytest.raises(InputError, match="is damaged or not a video"):
        open_clip(tmp_path / "text.mp4")
    whole = make_clip().read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # its index was at the end
    with pytest.raises(InputError, match="is damaged or not a video"):
        open_clip(tmp_path / "cut.mp4")


@pytest.mark.parametrize(
    "name, finding",
    [("none.mp4", "has no pictures. Give a video"), ("none.mkv", "is damaged or not a video")],
)
def test_a_stream_without_frames_is_refused(tmp_path, name, finding):
    path = tmp_path / name
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.start_encoding()
    with pytest.raises(InputError, match=f"{name}: {finding}"):
        open_clip(path)


def test_a_file_of_which_no_frame_decodes_is_refused(make_clip):
    path = make_clip("a.avi", codec="mjpeg", pixels="yuvj420p", options={})
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    for packet in packets:
        place = content.index(packet)
        content[place : place + len(packet)] = bytes(len(packet))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"has no frame that can be decoded \(12 damaged\)"):
        open_clip(path)


def test_a_truncated_file_gives_what_it_has_and_says_so(tmp_path, make_clip, picture_frames):
    whole = make_clip("a.ts", picture_frames(40), container="mpegts").read_bytes()
    (tmp_path / "cut.ts").write_bytes(whole[: len(whole) * 2 // 3])
    frames, _ = read(tmp_path / "cut.ts")
    assert 15 < len(frames) < 40
    fast = make_clip("b.mp4", picture_frames(40)).read_bytes()
    path = tmp_path / "holes.mp4"
    begin = fast.index(b"mdat")
    # the index stands behind the pictures: blank the last half of them
    middle, end = begin + (fast.index(b"moov") - begin) // 2, fast.index(b"moov") - 4
    path.write_bytes(fast[:middle] + bytes(end - middle) + fast[end:])
    frames, report = read(path)
    assert 0 < len(frames) < 40
    assert report.skipped or report.notes


@pytest.mark.parametrize("sound", [None, "aac"])
def test_a_cut_off_matroska_says_how_much_it_has(tmp_path, make_clip, picture_frames, sound):
    """It states a length, but no number of frames."""
    path = make_clip("a.mkv", picture_frames(60), sound=sound)
    frames, report = read(path)
    assert (len(frames), report.notes) == (60, [])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    frames, report = read(path)
    assert 20 < len(frames) < 56
    (note,) = report.notes
    stated = re.fullmatch(r"ends after (\d\.\d) of 5\.0 s", note)
    assert float(stated[1]) == pytest.approx(len(frames) / 12, abs=0.11)


def test_sound_that_goes_on_is_no_lack_of_pictures(make_clip, picture_frames):
    times = [*range(11), 40]
    for name in ("a.mkv", "a.ts", "a.mp4"):
        for sound in (None, "aac"):
            path = make_clip(name, picture_frames(12), times=times, sound=sound)
            assert read(path)[1].notes == []


def test_damaged_frames_are_left_out_and_counted(tmp_path, make_clip, picture_frames):
    path = make_clip("a.mkv", picture_frames(9), options={"bf": "0", "crf": "8"})
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packet = [p for p in file.demux(video=0) if p.size][4]
        place, size = content.index(bytes(packet)), packet.size
        content[place + size // 4 : place + size * 3 // 4] = bytes(size * 3 // 4 - size // 4)
    path.write_bytes(content)
    frames, report = read(path)
    assert report.skipped == 1
    assert [frame.time * 12 for frame in frames] == pytest.approx([0, 1, 2, 3, 5, 6, 7, 8], abs=0.1)
    assert [frame.index for frame in frames] == list(range(8))


def test_an_unknown_codec_is_one_line(tmp_path, make_clip):
    content = make_clip("a.mkv", codec="ffv1", options={}).read_bytes()
    (tmp_path / "odd.mkv").write_bytes(content.replace(b"V_FFV1", b"V_XXXX"))
    with pytest.raises(InputError, match="its codec cannot be decoded here"):
        open_clip(tmp_path / "odd.mkv")


def test_a_new_size_is_scaled_and_a_new_shape_ends_the_clip(tmp_path, make_clip, picture_frames):
    first = make_clip("a.ts", picture_frames(6), container="mpegts", options={"bf": "0"})
    small = make_clip(
        "b.ts", picture_frames(6, size_hw=(24, 32)), container="mpegts", options={"bf": "0"}
    )
    tall = make_clip(
        "c.ts", picture_frames(6, size_hw=(64, 48)), container="mpegts", options={"bf": "0"}
    )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + small.read_bytes())
    frames, report = read(joined)
    assert len(frames) == 12
    assert {frame.rgb_HW3.shape for frame in frames} == {(48, 64, 3)}
    assert any("changes size, 32x24 after 64x48" in note for note in report.notes)
    times = [frame.time for frame in frames]
    assert times == sorted(set(times))
    joined.write_bytes(first.read_bytes() + tall.read_bytes())
    seen = []
    with pytest.raises(InputError, match="frame 6 has another shape: 48x64 after 64x48"):
        seen.extend(frame.index for frame in open_clip(joined).frames())


def test_large_frames_are_refused_before_they_are_decoded(make_clip):
    with pytest.raises(ResourceError, match="64 x 48, the limit is 3000"):
        open_clip(make_clip(), max_pixels=3000)


def test_an_edit_list_hides_frames_without_a_note(make_clip, picture_frames):
    path = make_clip(frames=picture_frames(24), options={"crf": "4", "bf": "0", "g": "24"})
    content = bytearray(path.read_bytes())
    place, clock = content.index(b"elst") + 12, content.index(b"mdhd") + 16
    ticks = int.from_bytes(content[clock : clock + 4], "big")
    length = int.from_bytes(content[place : place + 4], "big")
    trimmed = np.array([length * 16 // 24, 8 * ticks // 12], ">i4").tobytes()
    content[place : place + 8] = trimmed
    path.write_bytes(content)
    frames, report = read(path)
    assert len(frames) == 16 and report.notes == []
    wrong = np.abs(frames[0].rgb_HW3.astype(int) - picture_frames(24)[8])
    assert wrong.mean() < 4


def test_times_count_from_the_beginning_of_the_file(make_clip):
    path = make_clip("late.mkv", times=[12 * 500 + i for i in range(12)])
    frames, _ = read(path)
    assert [round(float(frame.time) * 12) for frame in frames] == list(range(12))
