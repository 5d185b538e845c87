from nearfar.io.manifest import read_manifest
from nearfar.pipeline.video.record import finished_record, read_record, record_path
from nearfar.pipeline.video.run import run_clip


def run(clip, model, job):
    return run_clip(clip, model, job, on_frame=lambda count: None)


def test_a_finished_clip_is_known_by_its_settings_and_files(
    fake_video, make_job, memory_clip, two_scenes
):
    clip, model, job = memory_clip(two_scenes), fake_video(), make_job("vis", "exr")
    assert finished_record(clip, model, job) is None
    run(clip, model, job)
    record = read_record(job.outputs)
    assert (record["frames"], record["cuts"], record["complete"]) == (25, [17], True)
    assert record["outputs"] == ["clip_vis.mp4", "clip_exr"]
    assert finished_record(clip, model, job) == record
    (listed,) = read_manifest(job.outputs.folder / "manifest.jsonl")
    assert len(listed.outputs) == len(listed.outputs_sha256) == 25 + 2
    for other in (
        make_job("vis", "exr", range="running"),
        make_job("vis"),
        make_job("vis", "exr", max_frames=4),
        make_job("vis", "exr", predict={"seed": 1}),
    ):
        assert finished_record(clip, model, other) is None
    assert finished_record(memory_clip(two_scenes[:9]), model, job) is None
    frame = job.outputs.sequence_folder("exr") / "frame_000003_depth.exr"
    before = frame.read_bytes()
    frame.write_bytes(before[:-1])
    assert finished_record(clip, model, job) is None
    frame.write_bytes(before)
    assert finished_record(clip, model, job) == record
    job.outputs.video("vis").unlink()
    assert finished_record(clip, model, job) is None


def test_an_unfinished_clip_is_not(fake_video, make_job, memory_clip, two_scenes):
    clip = memory_clip(two_scenes, broken_at=12, fault=KeyboardInterrupt())
    job, model = make_job("vis", "exr"), fake_video()
    run(clip, model, job)
    assert read_record(job.outputs)["complete"] is False
    assert len(list(job.outputs.sequence_folder("exr").iterdir())) == 10  # as many as the video
    assert finished_record(clip, model, job) is None
    record_path(job.outputs).write_text("{")
    assert finished_record(clip, model, job) is None
