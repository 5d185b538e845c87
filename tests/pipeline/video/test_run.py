import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

import nearfar
from nearfar.errors import ConfigError, InputError, MetricError, OutputError
from nearfar.io.images import write_picture
from nearfar.io.video.depth_clip import read_depth_clip
from nearfar.io.video.source import open_clip
from nearfar.pipeline.video.per_frame import PerFrame
from nearfar.pipeline.video.run import run_clip

KILLED = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("fakes", sys.argv[1])
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
from nearfar.io.video.source import open_clip
from nearfar.pipeline.video.run import run_clip

def tell(count):
    for _ in range(count):
        print("frame", flush=True)
    sys.stdin.readline()

job = fakes.job_of(Path(sys.argv[3]), "vis", "ffv1", "exr")
run_clip(open_clip(sys.argv[2]), fakes.windowed(), job, on_frame=tell)
"""


def run(clip, model, job):
    return run_clip(clip, model, job, on_frame=lambda count: None)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".jsonl" and path.name != "clip_video.json"  # seconds
    }


def test_depth_of_all_frames_with_the_times_of_the_clip(
    fake_video, make_clip, make_job, two_scenes, memory_clip
):
    times = [2 * i + (i > 9) for i in range(25)]
    clip = open_clip(make_clip(frames=two_scenes, times=times, sound="aac"))
    job = make_job("vis", "side", "ffv1", "npz")
    outcome = run(clip, fake_video(), job)
    assert (outcome.frames, outcome.skipped, outcome.cuts) == (25, 0, [17])
    assert outcome.stopped is None
    names = ["clip_vis.mp4", "clip_side.mp4", "clip_depth.mkv", "clip_npz"]
    assert [path.name for path in outcome.files] == names
    assert not job.outputs.parts_folder.exists()
    depths = list(read_depth_clip(job.outputs.video("ffv1")))
    expected = list(fake_video().stream(clip.frames(), job.config))
    assert len(depths) == 25
    span = np.ptp(np.stack([item.result.depth for item in expected]))
    for stored, item in zip(depths, expected):
        assert np.abs(stored.result.depth - item.result.depth).max() < 1.2 * span / 65533
        assert stored.result.kind == item.result.kind
        assert abs(stored.time - item.frame.time) <= 0.001  # Matroska counts milliseconds
        exact = nearfar.read(
            job.outputs.sequence_folder("npz") / f"frame_{item.frame.index:06d}_depth.npz"
        )
        assert np.array_equal(exact.depth, item.result.depth)
    for name in ("vis", "side"):
        seen = open_clip(job.outputs.video(name))
        assert seen.info.has_audio
        assert [f.time for f in seen.frames()] == [f.time for f in clip.frames()]
    assert seen.info.size_hw == (48, 64 + 8 + 64)


def test_one_range_of_colors_for_the_clip(fake_video, make_job, memory_clip, picture_frames):
    """A clip that gets brighter, so farther: with one range its colors change, as they must."""
    frames = np.stack([np.full((48, 64, 3), 60 + 6 * i, np.uint8) for i in range(8)])
    pictures = {}
    for choice in ("clip", "running", "0.1,0.9"):
        job = make_job("vis", range=choice, folder=None)
        run(memory_clip(frames), fake_video(), job)
        seen = [f.rgb_HW3.astype(int) for f in open_clip(job.outputs.video("vis")).frames()]
        pictures[choice] = seen
        for path in job.outputs.existing():
            path.unlink()
    changes = {name: np.abs(seen[7] - seen[0]).mean() for name, seen in pictures.items()}
    assert changes["clip"] > 1.3 * changes["running"]
    assert np.abs(pictures["clip"][0] - pictures["0.1,0.9"][0]).mean() > 2


def test_relative_png_sequences_share_one_range(fake_video, make_job, memory_clip, picture_frames):
    job = make_job("png16", "exr")
    run(memory_clip(picture_frames(7)), fake_video(), job)
    folder = job.outputs.sequence_folder("png16")
    files = sorted(folder.iterdir())
    assert [p.name for p in files] == [f"frame_{i:06d}_affine_log_depth.png" for i in range(7)]
    from PIL import Image

    texts = [Image.open(path).text for path in files]
    assert len({(text["near"], text["far"]) for text in texts}) == 1
    exr = nearfar.read(job.outputs.sequence_folder("exr") / "frame_000003_depth.exr")
    assert np.abs(nearfar.read(files[3]).depth - exr.depth).max() < 1e-4


def test_clouds_of_a_clip_with_metres(fake_video, make_job, memory_clip, picture_frames):
    job = make_job("ply", "png16")
    run(memory_clip(picture_frames(3)), fake_video(metres=True), job)
    names = sorted(path.name for path in job.outputs.sequence_folder("ply").iterdir())
    assert names == [f"frame_{i:06d}.ply" for i in range(3)]
    assert (job.outputs.sequence_folder("png16") / "frame_000000_depth.png").exists()
    with pytest.raises(MetricError, match="3-D needs metres"):
        run(memory_clip(picture_frames(3)), fake_video(), make_job("ply", overwrite=True))


def test_a_killed_run_leaves_playable_parts_and_goes_on_to_the_same_bytes(
    fake_video, make_clip, make_job, two_scenes, tmp_path
):
    path = make_clip(frames=two_scenes)
    whole = make_job("vis", "ffv1", "exr", folder=tmp_path / "whole")
    run(open_clip(path), fake_video(), whole)
    job = make_job("vis", "ffv1", "exr", folder=tmp_path / "killed", resume=True)
    fakes = Path(__file__).with_name("conftest.py")
    arguments = [sys.executable, "-c", KILLED, str(fakes), str(path), str(tmp_path / "killed")]
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    process.stdin.write("\n")
    for _ in range(12):  # one frame at a time, so that it is killed where the test says
        assert process.stdout.readline() == "frame\n"
        process.stdin.write("\n")
        process.stdin.flush()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not job.outputs.video("vis").exists()
    # the kill may hit the middle of a file, whose temporary one then stays
    staged = job.outputs.staged(job.outputs.sequence_folder("exr"))
    (staged / ".nearfar-0123456789ab.tmp").write_bytes(b"half")
    assert not job.outputs.sequence_folder("exr").exists()
    parts = sorted(job.outputs.parts_folder.glob("depth_*.mkv"))
    counts = []
    for part in parts:
        with av.open(str(part)) as file:
            counts.append(sum(1 for _ in file.decode(video=0)))
    assert counts[:2] == [6, 4]
    heard = []
    outcome = run_clip(open_clip(path), fake_video(), job, on_frame=heard.append)
    assert heard[0] == sum(counts)
    assert outcome.frames == 25
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("fault", "kept"), [(KeyboardInterrupt(), 10), (InputError("clip", "breaks off"), 12)]
)
def test_what_is_finished_is_written_when_the_clip_breaks_off(
    fake_video, make_job, memory_clip, two_scenes, fault, kept
):
    """Ctrl-C keeps whole windows; a fault of the clip loses no frame before it."""
    job = make_job(resume=True)
    outcome = run(memory_clip(two_scenes, broken_at=12, fault=fault), fake_video(), job)
    assert outcome.stopped is fault
    assert outcome.frames == kept
    assert len(list(open_clip(job.outputs.video("vis")).frames())) == kept
    assert len(list(read_depth_clip(job.outputs.video("ffv1")))) == kept
    rest = run(memory_clip(two_scenes), fake_video(), job)
    assert (rest.frames, rest.stopped) == (25, None)
    assert len(list(open_clip(job.outputs.video("vis")).frames())) == 25
    assert not job.outputs.parts_folder.exists()


def test_finish_writes_what_is_there_and_draws_nothing(
    fake_video, make_job, memory_clip, two_scenes, monkeypatch
):
    with pytest.raises(InputError, match="nothing is finished yet"):
        run(memory_clip(two_scenes), fake_video(), make_job(only_finish=True))
    fault = OutputError("x", "disk full")
    with pytest.raises(OutputError):  # nothing else can be written then
        run(memory_clip(two_scenes, broken_at=12, fault=fault), fake_video(), make_job())
    model = fake_video()
    outcome = run(memory_clip(two_scenes), model, make_job(only_finish=True))
    assert (outcome.frames, model._predictor.calls) == (10, [])
    assert outcome.files[0].exists()
    assert make_job().outputs.parts_folder.exists()


def test_resume_refuses_other_settings(fake_video, make_job, memory_clip, two_scenes):
    fault = InputError("clip", "breaks off")
    run(memory_clip(two_scenes, broken_at=12, fault=fault), fake_video(), make_job())
    for change in ({"predict": {"seed": 1}}, {"cuts": False}, {"settings": {"dtype": "bf16"}}):
        with pytest.raises(ConfigError, match="other settings"):
            run(memory_clip(two_scenes), fake_video(), make_job(resume=True, **change))
    other = make_job("vis", resume=True, range="running")  # the depth is the same
    with pytest.raises(OutputError, match="with other content or settings"):
        run(memory_clip(two_scenes), fake_video(), other)
    job = make_job("side", resume=True, range="running")
    job.outputs.folder.joinpath("clip_video.json").unlink()
    assert run(memory_clip(two_scenes), fake_video(), job).frames == 25


def test_an_error_before_the_first_frame_is_that_error(
    fake_video, make_job, memory_clip, two_scenes
):
    fault = InputError("clip", "breaks off")
    with pytest.raises(InputError, match="breaks off"):
        run(memory_clip(two_scenes, broken_at=0, fault=fault), fake_video(), make_job())
    outcome = run(memory_clip(two_scenes, broken_at=3, fault=fault), fake_video(), make_job())
    assert (outcome.frames, outcome.stopped) == (3, fault)


def test_frames_before_a_change_of_shape_are_kept(make_model, make_job, tmp_path, rgb):
    """Also where the model looks at one frame after the other, and in a folder of pictures."""
    (tmp_path / "shots").mkdir()
    for number, picture in enumerate([rgb, rgb, rgb[:40], rgb]):
        write_picture(picture, tmp_path / "shots" / f"{number}.png")
    outcome = run(open_clip(tmp_path / "shots"), PerFrame(make_model()), make_job("ffv1"))
    assert outcome.frames == 2 and "frame 2 (2.png) has another shape" in str(outcome.stopped)
    assert len(list(read_depth_clip(make_job().outputs.video("ffv1")))) == 2


def test_max_frames_counts_finished_ones(fake_video, make_job, memory_clip, two_scenes):
    assert run(memory_clip(two_scenes), fake_video(), make_job(max_frames=8)).frames == 8
    assert len(list(read_depth_clip(make_job().outputs.video("ffv1")))) == 8


def test_frames_without_metres_say_nothing_in_a_metric_clip(make_model, make_job, memory_clip, rgb):
    """Of two frames the model gives no metres; the clip stays metric."""
    model = make_model()
    draw, drawn = model._predictor.predict, []

    def some_without_metres(*arguments, **options):
        drawn.append(draw(*arguments, **options))
        return drawn[-1]._replace(reference=None) if len(drawn) in (1, 4) else drawn[-1]

    model._predictor.predict = some_without_metres
    clip = memory_clip(np.stack([rgb, rgb, rgb, rgb, rgb]))
    outcome = run(clip, PerFrame(model), make_job("ffv1", cuts=False))
    assert outcome.kind == "metric"
    assert "2 frames without metres are invalid" in outcome.notes
    shares = [d.result.valid.mean() for d in read_depth_clip(make_job().outputs.video("ffv1"))]
    assert [share > 0 for share in shares] == [False, True, True, False, True]


def test_frames_of_sky_are_told_once(make_model, make_job, memory_clip, rgb, caplog):
    sky = np.zeros((60, 90, 3), np.uint8)
    sky[..., 2] = 255
    outcome = run(memory_clip(np.stack([sky, rgb, sky])), PerFrame(make_model()), make_job("ffv1"))
    assert outcome.kind == "metric" and not outcome.notes
    assert caplog.messages == ["2 frames are taken for sky, nearly all of it: no depth"]
    shares = [d.result.valid.mean() for d in read_depth_clip(make_job().outputs.video("ffv1"))]
    assert [share > 0 for share in shares] == [False, True, False]


def test_checkpoints_stay_small(fake_video, make_job, memory_clip, picture_frames):
    fault = InputError("clip", "breaks off")
    sizes = []
    for count in (8, 38):
        clip = memory_clip(picture_frames(40), broken_at=count, fault=fault)
        run(clip, fake_video(), make_job())
        sizes.append((make_job().outputs.parts_folder / "state.npz").stat().st_size)
    assert sizes[1] <= sizes[0] + 1000
    facts = json.loads(str(np.load(make_job().outputs.parts_folder / "state.npz")["facts"]))
    assert facts["parts"] == 9
