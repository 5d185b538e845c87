"""How a decoded frame becomes pixels: mirrored, interlaced, HDR, pixels of odd shapes."""

from fractions import Fraction

import av
import numpy as np
import pytest

from nearfar.io.video.clip import ReadReport
from nearfar.io.video.picture import usual_ratio
from nearfar.io.video.source import open_clip

PICTURE = np.zeros((48, 64, 3), np.uint8)
PICTURE[:24, :32] = (200, 40, 40)
PICTURE[:24, 32:] = (40, 200, 40)
PICTURE[24:, :32] = (40, 40, 200)
PICTURE[24:, 32:] = np.linspace(30, 220, 32, dtype=np.uint8)[None, :, None]


def first(path):
    return next(open_clip(path).frames()).rgb_HW3


MATRICES = {  # a, b, c, d of the display matrix -> the picture it shows
    (1, 0, 0, 1): PICTURE,
    (-1, 0, 0, 1): PICTURE[:, ::-1],
    (1, 0, 0, -1): PICTURE[::-1],
    (-1, 0, 0, -1): PICTURE[::-1, ::-1],
    (0, 1, 1, 0): PICTURE.swapaxes(0, 1),
    (0, 1, -1, 0): np.rot90(PICTURE, -1),
    (0, -1, 1, 0): np.rot90(PICTURE, 1),
    (0, -1, -1, 0): np.rot90(PICTURE.swapaxes(0, 1), 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_display_matrix(make_clip, matrix):
    path = make_clip(frames=[PICTURE] * 2)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # version 0: the matrix after 40 bytes
    a, b, c, d = (value << 16 for value in matrix)
    content[place : place + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(content)
    shown, expected = first(path), MATRICES[matrix]
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 6


def test_interlaced_frames_are_not_combed(make_clip, picture_frames):
    """Of each frame one field is kept; the lines between are those of the same moment."""
    pictures = picture_frames(40)[::4].mean(axis=3, keepdims=True).repeat(3, 3).astype(np.uint8)
    woven = [one.copy() for one in pictures[:-1]]
    for frame, later in zip(woven, pictures[1:]):
        frame[1::2] = later[1::2]
    options = {"crf": "4", "x264-params": "interlaced=1:tff=1"}
    path = make_clip("i.mkv", woven, options=options)
    frames = [frame.rgb_HW3 for frame in open_clip(path).frames()]
    assert len(frames) == len(woven)
    for seen, clean, combed in zip(frames, pictures, woven):
        assert combing(seen) < 1.5 * combing(clean) + 0.5 < 0.5 * combing(combed)


def combing(picture):
    """How much lines differ from what lies between their neighbors, levels."""
    rows = picture[..., 0].astype(float)
    return np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean()


def hdr_clip(path, light, transfer):
    """Two 10-bit frames of linear BT.709 light (1 = 203 nits) as PQ (16) or HLG (18)."""
    to_2020 = np.array(
        [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.088, 0.8956]]
    )
    wide = (light @ to_2020.T).clip(0, None)
    if transfer == 16:
        power = (wide * 203 / 10000) ** 0.1593017578
        code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        nits = wide * 203 / 1000
        luma = (nits @ [0.2627, 0.678, 0.0593])[..., None]
        scene = nits * np.maximum(luma, 1e-9) ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    luma = code @ [0.2627, 0.678, 0.0593]
    blue, red = (code[..., 2] - luma) / 1.8814, (code[..., 0] - luma) / 1.4746
    planes = np.stack([64 + 876 * luma, 512 + 896 * blue, 512 + 896 * red]).round()
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"crf": "2"})
        stream.height, stream.width, stream.pix_fmt = *luma.shape, "yuv444p10le"
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_primaries = 1, 9, 9
        context.color_trc = transfer
        for _ in range(2):
            frame = av.VideoFrame(luma.shape[1], luma.shape[0], "yuv444p10le")
            for plane, values in zip(frame.planes, planes):
                rows = np.zeros((luma.shape[0], plane.line_size // 2), np.uint16)
                rows[:, : luma.shape[1]] = values.clip(0, 1023)
                plane.update(rows.tobytes())
            frame.color_range, frame.colorspace = 1, 9
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_the_same_picture_in_sdr(tmp_path, transfer):
    shown = PICTURE / 255
    light = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    wrong = np.abs(first(hdr_clip(tmp_path / "a.mp4", light, transfer)).astype(int) - PICTURE)
    assert wrong.mean() < 3
    highlights = np.linspace(0, 4, 48 * 64).reshape(48, 64, 1).repeat(3, 2)
    rolled = first(hdr_clip(tmp_path / "b.mp4", highlights, transfer))[..., 1].astype(int)
    assert rolled.max() == 255 and (np.diff(rolled.ravel()) >= -3).all()


@pytest.mark.parametrize(("ratio", "usual"), [(None, 1), (Fraction(64, 45), Fraction(64, 45))])
def test_shapes_of_pixels(ratio, usual):
    assert usual_ratio(ratio) == usual
    assert usual_ratio(Fraction(30000)) == usual_ratio(Fraction(1, 30000)) == 1


def test_absurd_pixels_are_taken_as_square_with_a_note(make_clip):
    path = make_clip(pixel_ratio=Fraction(3, 2))
    content = bytearray(path.read_bytes())
    place = content.index(b"pasp") + 4
    content[place : place + 8] = np.array([100, 1], ">i4").tobytes()
    path.write_bytes(content)
    clip, report = open_clip(path), ReadReport()
    assert {frame.rgb_HW3.shape for frame in clip.frames(report=report)} == {(48, 64, 3)}
    assert report.notes == ["pixels of shape 100 taken as square"]
