import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import fake_rerun
import numpy as np
import pytest
from PIL import Image

from nearfar.errors import MissingExtraError, OutputError
from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.io.video.codes import DepthRange
from nearfar.io.video.recording import RecordingForm, RecordingWriter, load_rerun, thinning
from nearfar.result import DepthKind, DepthResult

LIMITS = DepthRange(1.0, 4.0)

FULL_DISK = """
import resource, signal, sys
sys.path[:0] = sys.argv[2:]
import fake_rerun
sys.modules.update(fake_rerun.modules())
from test_recording import record, room

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    record(sys.argv[1], [room()] * 40)
except Exception as error:
    print(type(error).__name__, error)
"""


def room(kind="metric", *, size_hw=(48, 64), fov_x_deg=60.0, far=3.0):
    """A floor that rises from 1 m below to `far` above; invalid at the left, a photo of columns."""
    depth = np.linspace(far, 1.0, size_hw[0], dtype=np.float32)[:, None].repeat(size_hw[1], axis=1)
    valid = np.ones(size_hw, bool)
    valid[:, :4] = False
    photo = np.zeros((*size_hw, 3), np.uint8)
    photo[..., 0] = np.linspace(0, 255, size_hw[1])
    return DepthResult(
        depth=depth,
        kind=DepthKind(kind),
        valid=valid,
        intrinsics=intrinsics_from_fov(fov_x_deg, size_hw),
        fov_x_deg=fov_x_deg,
        image=photo,
    )


def record(path, results, *, farthest=3.0, rate=12):
    with RecordingWriter(path, RecordingForm(name="clip", farthest=farthest)) as writer:
        for i, result in enumerate(results):
            writer.add(result, Fraction(i, rate), number=i, limits=LIMITS)
    return writer


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """Record results; the events of the file by entity, and the writer's notes."""
    fake_rerun.install(monkeypatch)

    def call(results, **options):
        writer = record(tmp_path / "clip.rrd", results, **options)
        events = {}
        for event in fake_rerun.read_events(tmp_path / "clip.rrd"):
            events.setdefault(event.entity, []).append(event)
        return events, writer.notes

    return call


def test_every_frame_has_photo_depth_and_cloud_at_its_number_and_time(recorded):
    events, notes = recorded([room(), room(), room()])
    assert notes == []
    for entity in ("/camera/photo", "/camera/depth", "/cloud"):
        assert [e.times["frame"] for e in events[entity]] == [0, 1, 2]
        assert [e.times["time"] for e in events[entity]] == pytest.approx([0, 1 / 12, 2 / 12])
    assert events["/"][0].times == {}  # x right, y down, z forward, for good
    photo = Image.open(io.BytesIO(events["/camera/photo"][1].fields["contents"]))
    assert events["/camera/photo"][1].fields["media_type"] == "image/jpeg"
    assert np.abs(np.asarray(photo, int) - room().image).mean() < 4


def test_depth_is_metres_and_nothing_where_invalid(recorded):
    events, _ = recorded([room()])
    fields = events["/camera/depth"][0].fields
    codes, meter = fields["image"], fields["meter"]
    assert (codes.dtype, meter) == (np.uint16, 1000)
    np.testing.assert_allclose(codes[:, 4:] / meter, room().depth[:, 4:], atol=0.0005)
    assert (codes[:, :4] == 0).all()
    assert fields["range"] == [1000, 4000]


def test_far_clips_take_coarser_steps(recorded):
    events, _ = recorded([room(far=200.0)], farthest=200.0)
    fields = events["/camera/depth"][0].fields
    assert fields["image"].max() == 65535
    np.testing.assert_allclose(fields["image"][0, 10] / fields["meter"], 200, atol=0.004)


def test_the_cloud_lies_where_the_camera_sees_it_in_the_colors_of_the_photo(recorded):
    events, _ = recorded([room()])
    cloud, camera = events["/cloud"][0].fields, events["/camera"][0].fields
    points, matrix = cloud["positions"], camera["matrix"]
    assert camera["resolution"] == [64, 48]
    pixels = points @ matrix.T
    columns, rows = (pixels[:, :2] / pixels[:, 2:]).T
    assert columns.min() > 4 and columns.max() < 64 and rows.max() < 48
    expected = room().image[rows.astype(int), columns.astype(int)]
    assert np.array_equal(cloud["colors"], expected)
    np.testing.assert_allclose(points[:, 2], room().depth[rows.astype(int), 10], rtol=1e-6)


def test_the_camera_is_told_once_and_again_where_it_changes(recorded):
    events, _ = recorded([room(), room(), room(fov_x_deg=40.0), room(fov_x_deg=40.0)])
    assert [event.times["frame"] for event in events["/camera"]] == [0, 2]
    focal = [event.fields["matrix"][0, 0] for event in events["/camera"]]
    assert focal[1] > 1.5 * focal[0]


def test_relative_depth_stays_out_of_space_and_a_line_says_so(recorded):
    events, notes = recorded([room("affine_log_depth")] * 2)
    assert "/cloud" not in events and "/camera/depth" not in events
    fields = events["/depth"][0].fields
    assert fields["meter"] is None and fields["range"] == [1, 4]
    assert np.isnan(fields["image"][:, :4]).all()
    np.testing.assert_array_equal(fields["image"][:, 4:], room().depth[:, 4:])
    assert notes == ["rrd has no cloud: the depth of this clip is not in metres"]


def test_large_frames_are_thinned_with_their_camera(recorded):
    step = thinning((720, 1280))
    assert (len(step.rows), len(step.columns)) == (360, 640)
    assert (step.rows[0], step.columns[-1]) == (1, 1279)
    assert [len(part) for part in (thinning((48, 64)).rows, thinning((1, 1)).columns)] == [48, 1]
    result = room(size_hw=(720, 1280))
    events, _ = recorded([result])
    fields = events["/camera"][0].fields
    assert fields["resolution"] == [640, 360]
    np.testing.assert_allclose(fields["matrix"][:2], result.intrinsics[:2] / 2)
    assert events["/camera/depth"][0].fields["image"].shape == (360, 640)
    assert 10_000 < len(events["/cloud"][0].fields["positions"]) <= 50_000


def test_an_error_leaves_the_older_file_and_nothing_else(monkeypatch, tmp_path):
    fake_rerun.install(monkeypatch)
    (tmp_path / "a.rrd").write_text("older")
    form = RecordingForm(name="clip", farthest=3.0)
    with pytest.raises(KeyboardInterrupt), RecordingWriter(tmp_path / "a.rrd", form) as writer:
        writer.add(room(), Fraction(0), number=0, limits=LIMITS)
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.rrd"]
    assert (tmp_path / "a.rrd").read_text() == "older"


def test_a_full_disk_is_one_line_leaves_nothing_and_does_not_wait(tmp_path):
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.rrd"), here, here.parents[1]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "OutputError" in done.stdout, done.stderr[-2000:]
    assert "a.rrd: cannot be written (File too large). Free space" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingExtraError, match=r"rerun: .*pip install .rerun-sdk"):
        load_rerun()
    with pytest.raises(MissingExtraError):
        record(tmp_path / "a.rrd", [room()])
    assert list(tmp_path.iterdir()) == []


def test_systems_without_named_pipes_say_so(monkeypatch, tmp_path):
    fake_rerun.install(monkeypatch)
    monkeypatch.delattr("os.mkfifo")
    with pytest.raises(OutputError, match="has no named pipes"):
        record(tmp_path / "a.rrd", [room()])
    assert list(tmp_path.iterdir()) == []
