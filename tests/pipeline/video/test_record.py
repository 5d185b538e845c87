from nearfar.pipeline.video.record import finished_record, record_path, write_record
from nearfar.pipeline.video.run import run_clip


def test_a_finished_clip_is_known_by_its_settings_and_files(
    fake_video, make_job, memory_clip, two_scenes
):
    clip, model, job = memory_clip(two_scenes), fake_video(), make_job("vis", "exr")
    assert finished_record(clip, model, job) is None
    outcome = run_clip(clip, model, job, on_frame=lambda count: None)
    record = write_record(clip, model, job, outcome)
    assert (record["frames"], record["cuts"], record["complete"]) == (25, [17], True)
    assert record["outputs"] == ["clip_vis.mp4", "clip_exr"]
    assert finished_record(clip, model, job) == record
    for other in (
        make_job("vis", "exr", range="running"),
        make_job("vis"),
        make_job("vis", "exr", max_frames=4),
        make_job("vis", "exr", predict={"seed": 1}),
    ):
        assert finished_record(clip, model, other) is None
    assert finished_record(memory_clip(two_scenes[:9]), model, job) is None
    job.outputs.video("vis").unlink()
    assert finished_record(clip, model, job) is None


def test_an_unfinished_clip_is_not(fake_video, make_job, memory_clip, two_scenes):
    clip = memory_clip(two_scenes, broken_at=12, fault=KeyboardInterrupt())
    job, model = make_job(), fake_video()
    outcome = run_clip(clip, model, job, on_frame=lambda count: None)
    assert write_record(clip, model, job, outcome)["complete"] is False
    assert finished_record(clip, model, job) is None
    record_path(job.outputs).write_text("{")
    assert finished_record(clip, model, job) is None
