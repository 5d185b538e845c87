import fake_rerun
import pytest

from nearfar.errors import ConfigError
from nearfar.geometry.clouds import CloudOptions
from nearfar.pipeline.video.checkpoint import Checkpoint
from nearfar.pipeline.video.config import RangeChoice
from nearfar.pipeline.video.outputs import (
    Outputs,
    check_video_formats,
    depth_range,
    frame_stem,
    write_outputs,
)
from nearfar.pipeline.video.run import run_clip


def test_formats_are_checked_and_kept_once():
    assert check_video_formats(["vis", "exr", "vis"]) == ("vis", "exr")
    with pytest.raises(ConfigError, match="unknown format 'mp4'. Formats: vis, side, ffv1"):
        check_video_formats(["vis", "mp4"])
    with pytest.raises(ConfigError, match="names no format"):
        check_video_formats([])


def test_names_of_files(tmp_path):
    outputs = Outputs(folder=tmp_path, stem="a", formats=("vis", "ffv1", "exr"))
    assert [path.name for path in outputs.paths()] == ["a_vis.mp4", "a_depth.mkv", "a_exr"]
    assert outputs.parts_folder == tmp_path / "a_parts"
    assert frame_stem(12) == "frame_000012"


def test_a_given_range_is_that_of_depth_too():
    done = Checkpoint(belongs="")
    assert depth_range(done, RangeChoice(mode="fixed", fixed=(1.0, 2.0))) == (1, 2)
    assert depth_range(done, RangeChoice()) == (0, 1)


def test_an_error_while_writing_leaves_older_files(
    fake_video, make_job, memory_clip, picture_frames
):
    job = make_job("vis", "side")
    clip = memory_clip(picture_frames(8))
    run_clip(clip, fake_video(), job, on_frame=lambda count: None)
    before = job.outputs.video("vis").read_bytes()
    job = make_job("vis", "side", resume=True)
    broken = memory_clip(picture_frames(8), broken_at=7, fault=ConfigError("clip", "is gone"))
    with pytest.raises(ConfigError):
        run_clip(broken, fake_video(), job, on_frame=lambda count: None)
    assert job.outputs.video("vis").read_bytes() == before
    assert not list(job.outputs.folder.glob("*.tmp"))
    done = Checkpoint(belongs="")
    assert callable(write_outputs) and done.parts == 0


def test_a_recording_follows_the_clip(
    fake_video, make_job, memory_clip, picture_frames, monkeypatch
):
    """Metres, the photos, the times and the range of colors of the clip; clouds as asked for."""
    fake_rerun.install(monkeypatch)
    job = make_job("rrd", range="0.5,2", cloud=CloudOptions(outlier_filter=False))
    clip = memory_clip(picture_frames(8))
    outcome = run_clip(clip, fake_video(metres=True), job, on_frame=lambda count: None)
    assert [path.name for path in outcome.files] == ["clip.rrd"]
    events = fake_rerun.read_events(job.outputs.video("rrd"))
    depth = [event for event in events if event.entity == "/camera/depth"]
    assert [event.times["frame"] for event in depth] == list(range(8))
    assert [event.times["time"] * 12 for event in depth] == pytest.approx(list(range(8)))
    expected = list(fake_video(metres=True).stream(clip.frames(), job.config))
    for event, item in zip(depth, expected):
        metres = event.fields["image"] / event.fields["meter"]
        valid = item.result.valid
        assert abs(metres - item.result.depth)[valid].max() < 0.002
        assert (metres[~valid] == 0).all()
        assert event.fields["range"] == pytest.approx([v * event.fields["meter"] for v in (0.5, 2)])
    photos = [event for event in events if event.entity == "/camera/photo"]
    assert len({event.fields["contents"] for event in photos}) == 8
    points = [len(e.fields["positions"]) for e in events if e.entity == "/cloud"]
    job = make_job("rrd", range="0.5,2", folder=job.outputs.folder / "strict")
    run_clip(clip, fake_video(metres=True), job, on_frame=lambda count: None)
    events = fake_rerun.read_events(job.outputs.video("rrd"))
    fewer = [len(e.fields["positions"]) for e in events if e.entity == "/cloud"]
    assert len(points) == len(fewer) == 8 and sum(fewer) < sum(points)
