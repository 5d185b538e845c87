import pytest

from sonde.errors import ConfigError
from sonde.pipeline.video.checkpoint import Checkpoint
from sonde.pipeline.video.config import RangeChoice
from sonde.pipeline.video.outputs import (
    Outputs,
    check_video_formats,
    depth_range,
    frame_stem,
    write_outputs,
)
from sonde.pipeline.video.run import run_clip


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
