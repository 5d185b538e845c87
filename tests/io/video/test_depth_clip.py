import dataclasses
import json
from fractions import Fraction

import av
import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.io.video.codes import DepthRange
from nearfar.io.video.depth_clip import DepthClipWriter, read_depth_clip, sidecar
from nearfar.result import DepthKind


def write(path, results, limits, **more):
    clip = DepthClipWriter(
        path,
        first=results[0],
        limits=limits,
        rate=Fraction(10),
        time_base=Fraction(1, 10),
        **more,
    )
    with clip:
        for number, result in enumerate(results):
            clip.add(result, Fraction(number, 10))


@pytest.mark.parametrize("kind", list(DepthKind))
def test_depth_kind_camera_and_origin_come_back(tmp_path, result_of, kind):
    results = [result_of(kind, seed=i) for i in range(3)]
    limits = DepthRange(0.5, 60.0)
    write(tmp_path / "a.mkv", results, limits)
    back = list(read_depth_clip(tmp_path / "a.mkv"))
    assert [frame.time for frame in back] == [0, Fraction(1, 10), Fraction(1, 5)]
    for frame, result in zip(back, results):
        assert frame.result.kind == kind
        assert np.array_equal(frame.result.valid, result.valid)
        assert np.array_equal(frame.result.sky, result.sky)
        wrong = np.abs(frame.result.depth - result.depth)[result.valid]
        assert wrong.max() <= 0.51 * 59.5 / 65533
        assert frame.result.fov_x_deg == results[0].fov_x_deg
        assert np.array_equal(frame.result.intrinsics, results[0].intrinsics)
        assert frame.result.model == "ppd-tiny"


def test_the_file_beside_it_says_what_the_codes_mean(tmp_path, result_of):
    write(tmp_path / "a.mkv", [result_of()], DepthRange(0.25, 80.0))
    facts = json.loads(sidecar(tmp_path / "a.mkv").read_text())
    assert (facts["near"], facts["far"], facts["kind"]) == (0.25, 80.0, "metric")
    assert (facts["unit"], facts["frames"]) == ("metre", 1)
    assert "near + (code - 1) / 65533 * (far - near)" in facts["codes"]


def test_without_its_header_the_file_beside_it_is_asked(tmp_path, result_of):
    result = dataclasses.replace(result_of(), sky=None)
    write(tmp_path / "a.mkv", [result], DepthRange(0.5, 60.0))
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "b.mkv"), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    with pytest.raises(InputError, match="does not say what its values mean"):
        next(read_depth_clip(tmp_path / "b.mkv"))
    sidecar(tmp_path / "b.mkv").write_bytes(sidecar(tmp_path / "a.mkv").read_bytes())
    back = next(read_depth_clip(tmp_path / "b.mkv")).result
    assert np.array_equal(back.valid, result.valid)
    assert back.sky is None


def test_damage_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        next(read_depth_clip(tmp_path / "gone.mkv"))
    (tmp_path / "a.mkv").write_bytes(b"nothing" * 99)
    with pytest.raises(InputError, match="is damaged or not a depth video"):
        next(read_depth_clip(tmp_path / "a.mkv"))
