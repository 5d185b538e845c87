import dataclasses
import json
import os
import signal
import subprocess
import sys

import fake_rerun
import numpy as np
import pytest

from nearfar.cli.video import stem_of
from nearfar.io.video.depth_clip import read_depth_clip
from nearfar.io.video.source import open_clip
from nearfar.pipeline.video.per_frame import PerFrame

TERMINATED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's shell ignores it
sys.path.insert(0, sys.argv[1])
from conftest import FakePredictor
import dataclasses
from nearfar.cli import Services, run
from nearfar.pipeline.predict import Model
from nearfar.pipeline.video.per_frame import PerFrame
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import find

class Slow(FakePredictor):
    def predict(self, *args, **options):
        print("frame", flush=True)
        sys.stdin.readline()
        return super().predict(*args, **options)

entry = dataclasses.replace(find("ppd-tiny"), name="fake", licence="none", uncertainty={})
model = PerFrame(Model(LoadedModel(Slow(), entry, "0" * 64)))
sys.exit(run(["video", *sys.argv[2:]], services=Services(load=lambda *a, **k: model)))
"""


FULL_DISK = """
import dataclasses, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import FakePredictor
from nearfar.cli import Services, run
from nearfar.pipeline.predict import Model
from nearfar.pipeline.video.per_frame import PerFrame
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import find

entry = dataclasses.replace(find("ppd-tiny"), name="fake", licence="none", uncertainty={})
model = PerFrame(Model(LoadedModel(FakePredictor(), entry, "0" * 64)))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
sys.exit(run(["video", *sys.argv[3:]], services=Services(load=lambda *a, **k: model)))
"""


@pytest.fixture
def video(nearfar, make_model):
    """Run `nearfar video ARGUMENTS` with a fake image model on every frame."""

    def call(*arguments, **options):
        model = PerFrame(make_model(**options))
        return nearfar("video", *arguments, model=model)

    return call


def test_a_clip_becomes_the_files_asked_for(video, make_clip, tmp_path):
    out = tmp_path / "out"
    ran = video(make_clip(), "-o", out, "--save", "vis,side,ffv1,exr,npz,png16,ply", "--json")
    assert ran.code == 0, ran.err
    names = sorted(path.name for path in out.iterdir())
    folders = ["clip_exr", "clip_npz", "clip_ply", "clip_png16"]
    files = [
        "clip_depth.json",
        "clip_depth.mkv",
        "clip_side.mp4",
        "clip_video.json",
        "clip_vis.mp4",
        "manifest.jsonl",
    ]
    assert names == sorted(files + folders)
    assert all(len(list((out / name).iterdir())) == 12 for name in folders)
    record = json.loads(ran.out)
    assert (record["frames"], record["kind"], record["complete"]) == (12, "metric", True)
    assert "no video model is here yet" not in ran.err
    assert "12 frames, " in ran.err and "frames/s, metric -> clip_vis.mp4" in ran.err
    depth = next(read_depth_clip(out / "clip_depth.mkv")).result
    assert (depth.kind, depth.metric_reference) == ("metric", "fake")


def test_a_recording_and_its_missing_package(video, make_clip, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "rerun", None)
    ran = video(make_clip(), "-o", out, "--save", "vis,rrd")
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "pip install 'rerun-sdk>=0.23'" in ran.err
    assert not out.exists()  # told before any work
    fake_rerun.install(monkeypatch)
    ran = video(make_clip(), "-o", out, "--save", "vis,rrd")
    assert ran.code == 0, ran.err
    assert "-> clip_vis.mp4, clip.rrd" in ran.err
    kinds = {event.entity for event in fake_rerun.read_events(out / "clip.rrd")}
    assert {"/camera", "/camera/photo", "/camera/depth", "/cloud"} <= kinds


def test_a_folder_of_frames(video, tmp_path, picture_frames):
    from PIL import Image

    folder = tmp_path / "shots" / "take 2"
    folder.mkdir(parents=True)
    for i, picture in enumerate(picture_frames(4)):
        Image.fromarray(picture).save(folder / f"{i}.png")
    ran = video(folder, "-o", tmp_path / "out", "--fps", "10", "--save", "vis")
    assert ran.code == 0, ran.err
    frames = list(open_clip(tmp_path / "out" / "take 2_vis.mp4").frames())
    assert [frame.time * 10 for frame in frames] == [0, 1, 2, 3]


def test_existing_results_are_kept_resumed_or_replaced(video, make_clip, tmp_path):
    clip, out = make_clip(), tmp_path / "out"
    assert video(clip, "-o", out).code == 0
    before = (out / "clip_vis.mp4").stat().st_mtime_ns
    ran = video(clip, "-o", out)
    assert (ran.code, "clip_vis.mp4: already exists" in ran.err) == (2, True)
    ran = video(clip, "-o", out, "--resume")
    assert (ran.code, "is already done" in ran.err) == (0, True)
    assert (out / "clip_vis.mp4").stat().st_mtime_ns == before
    assert video(clip, "-o", out, "--overwrite", "--seed", "1").code == 0
    assert (out / "clip_vis.mp4").stat().st_mtime_ns > before
    kept = (out / "clip_vis.mp4").read_bytes()
    ran = video(clip, "-o", out, "--resume")  # other settings than those of the files
    assert (ran.code, "with other content or settings" in ran.err) == (1, True)
    assert (out / "clip_vis.mp4").read_bytes() == kept
    assert not (out / "clip_parts").exists()


@pytest.mark.parametrize("name", ["clip_vis.mp4", "clip_exr/frame_000003_depth.exr", "clip_exr"])
def test_a_file_of_somebody_else_stays(video, make_clip, tmp_path, name):
    clip, out = make_clip(), tmp_path / "out"
    own = out / name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    for mode, code in (([], 2), (["--resume"], 1)):
        ran = video(clip, "-o", out, "--save", "vis,exr", *mode)
        assert (ran.code, str(own) in ran.err, len(ran.err.splitlines())) == (code, True, 1)
        assert [p for p in out.rglob("*") if p.is_file()] == [own]
        assert own.read_bytes() == b"mine"


def test_a_result_is_replaced_as_a_whole(video, tmp_path, picture_frames):
    """Of the longer clip nothing stays; what is no frame of ours in its folders does."""
    from PIL import Image

    clip, out = tmp_path / "in" / "clip", tmp_path / "out"
    clip.mkdir(parents=True)
    for i, picture in enumerate(picture_frames(6)):
        Image.fromarray(picture).save(clip / f"{i}.png")
    save = ("--save", "exr,png16,ffv1")
    assert video(clip, "-o", out, *save).code == 0
    (out / "clip_exr" / "notes.txt").write_text("mine")
    (out / "clip_parts").mkdir()
    (out / "clip_parts" / "mine.mp4").write_text("mine")
    for i in range(2, 6):
        (clip / f"{i}.png").unlink()
    ran = video(clip, "-o", out, *save, "--overwrite")
    assert ran.code == 0, ran.err
    for kind in ("exr", "png16"):
        frames = [p for p in (out / f"clip_{kind}").iterdir() if p.name.startswith("frame_")]
        assert len(frames) == 2
    assert len(list(read_depth_clip(out / "clip_depth.mkv"))) == 2
    assert (out / "clip_exr" / "notes.txt").read_text() == "mine"
    assert [p.name for p in (out / "clip_parts").iterdir()] == ["mine.mp4"]
    ran = video(clip, "-o", out, *save, "--resume")
    assert (ran.code, "is already done" in ran.err) == (0, True)
    assert video(out / "clip_exr", out / "clip_png16", "-o", tmp_path / "more").code == 1


def test_results_beside_frames_are_no_frames(video, nearfar, tmp_path, picture_frames):
    from PIL import Image

    clip = tmp_path / "clip"
    clip.mkdir()
    for i, picture in enumerate(picture_frames(3)):
        Image.fromarray(picture).save(clip / f"{i}.png")
    assert nearfar("predict", clip, "-o", clip, "--save", "vis").code == 0
    ran = video(clip, "-o", tmp_path / "out", "--json")
    assert (ran.code, json.loads(ran.out)["frames"]) == (0, 3)


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--save", "mp5"], "unknown format 'mp5'"),
        (["--range", "far"], "'far' is no range"),
        (["--colormap", "jet"], "no map 'jet'"),
        (["--overwrite", "--resume"], "does not go with"),
        (["--save", "ply", "--no-metric"], "ply, glb need metres"),
        (["--fps", "0"], "--fps"),
        (["--steps", "0"], "steps"),
        (["--max-frames", "0"], "max_frames"),
    ],
)
def test_misuse_is_one_line_and_exit_2(video, make_clip, tmp_path, arguments, line):
    ran = video(make_clip(), "-o", tmp_path / "out", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert line in ran.err and len(ran.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bad_clips_are_one_line_and_the_others_are_done(video, make_clip, tmp_path):
    good = make_clip()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    ran = video(bad, good, "-o", tmp_path / "out", "-q")
    assert ran.code == 1
    line = f"nearfar: error: {bad}: is empty (0 bytes). Check the copy or download"
    assert ran.err.splitlines()[0] == line and "1 of 2 clips failed, 1 not tried" in ran.err
    assert not (tmp_path / "out" / "clip_vis.mp4").exists()
    ran = video(bad, good, "-o", tmp_path / "out", "-q", "--skip-errors", "--json")
    assert ran.code == 1
    assert (tmp_path / "out" / "clip_vis.mp4").exists()
    assert ran.err.splitlines()[-1] == line  # again at the end
    told = [json.loads(text) for text in ran.out.splitlines()]
    assert [one["error"] is None for one in told] == [False, True]
    assert told[0]["input"] == str(bad) and "is empty" in told[0]["error"]


def sound_only(path, make_clip):
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", layout="mono")
        tone.sample_rate = 16000
        file.mux(stream.encode(tone))
        file.mux(stream.encode(None))


def stream_of_no_length(path, make_clip):
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.start_encoding()


def without_its_end(path, make_clip):
    whole = make_clip("whole.mp4").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def of_an_unknown_codec(path, make_clip):
    content = make_clip("a.mkv", codec="ffv1", options={}).read_bytes()
    path.write_bytes(content.replace(b"V_FFV1", b"V_XXXX"))


def nothing_but_holes(path, make_clip):
    import av

    source = make_clip("a.avi", codec="mjpeg", pixels="yuvj420p", options={})
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as file:
        for packet in [bytes(p) for p in file.demux(video=0) if p.size]:
            place = content.index(packet)
            content[place : place + len(packet)] = bytes(len(packet))
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil, line",
    [
        (lambda path, _: path.write_bytes(b""), "is empty (0 bytes). Check the copy or download"),
        (sound_only, "has no pictures, only sound. Give a video"),
        (stream_of_no_length, "has no pictures. Give a video"),
        (without_its_end, "is damaged or not a video ("),
        (of_an_unknown_codec, "its codec cannot be decoded here. Convert it"),
        (nothing_but_holes, "has no frame that can be decoded (12 damaged). Get a complete copy"),
        (lambda path, _: path.mkdir(), "holds no pictures. Known suffixes: "),
        (lambda path, _: None, "no such file or folder. Check the path"),
    ],
)
def test_each_bad_clip_is_one_line(video, make_clip, tmp_path, spoil, line):
    path = tmp_path / "bad.mp4"
    spoil(path, make_clip)
    ran = video(path, "-o", tmp_path / "out", "--model", "ppd-tiny", "--per-frame")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"nearfar: error: {path}: {line}")
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_cut_off_clip_gives_what_it_has_and_says_so(video, make_clip, tmp_path, picture_frames):
    path = make_clip("a.mkv", picture_frames(60))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    ran = video(path, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "of 5.0 s" in ran.err.splitlines()[-1]
    record = json.loads((tmp_path / "out" / "a_video.json").read_text())
    assert 20 < record["frames"] < 56 and len(record["notes"]) == 1


def test_a_missing_encoder_is_one_line_and_the_depth_stays(video, make_clip, tmp_path, monkeypatch):
    from nearfar.io.video import encoder

    h264 = dataclasses.replace(encoder._FORMS["h264"], encoder="libnone")
    monkeypatch.setitem(encoder._FORMS, "h264", h264)
    out, clip = tmp_path / "out", make_clip()
    ran = video(clip, "-o", out, "-q")
    assert ran.code == 1 and len(ran.err.splitlines()) == 1
    assert "clip_vis.mp4: this FFmpeg has no encoder libnone. pip install av" in ran.err
    assert [path.name for path in out.iterdir()] == ["clip_parts"]
    ran = video(clip, "-o", out, "--finish", "--save", "ffv1", "-q")
    assert (ran.code, ran.err) == (0, "")
    assert len(list(read_depth_clip(out / "clip_depth.mkv"))) == 12


@pytest.mark.parametrize("room, kept", [(150_000, 12), (1_500_000, 36)])
def test_a_full_disk_is_one_line_and_what_is_finished_stays(video, make_clip, tmp_path, room, kept):
    """Files may grow to `room` bytes: the second part, or the finished video, does not fit."""
    rng = np.random.default_rng(0)
    size_hw = (240, 320)
    quiet = np.full((12, *size_hw, 3), 90, np.uint8)
    loud = rng.integers(0, 256, (24, *size_hw, 3), dtype=np.uint8)
    clip = make_clip(frames=np.concatenate([quiet, loud]))
    out = tmp_path / "out"
    tests = os.path.dirname(os.path.dirname(__file__))
    arguments = [tests, str(room), str(clip), "-o", str(out), "-q", "--no-cuts"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be written (File too large). Free space or choose another" in done.stderr
    assert [path.name for path in out.iterdir()] == ["clip_parts"]
    ran = video(clip, "-o", out, "--finish", "-q", "--no-cuts")
    assert (ran.code, ran.err) == (0, "")
    assert len(list(read_depth_clip(out / "clip_depth.mkv"))) == kept


def test_a_clip_that_changes_shape_keeps_what_came_before(
    video, make_clip, tmp_path, picture_frames
):
    options = {"container": "mpegts", "options": {"bf": "0"}}
    first = make_clip("a.ts", picture_frames(14), **options)
    tall = make_clip("b.ts", picture_frames(3, size_hw=(64, 48)), **options)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + tall.read_bytes())
    ran = video(joined, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "frame 14 has another shape: 48x64 after 64x48" in ran.err
    assert len(list(open_clip(tmp_path / "out" / "joined_vis.mp4").frames())) == 14
    assert not json.loads((tmp_path / "out" / "joined_video.json").read_text())["complete"]


def test_damaged_frames_are_told(video, make_clip, tmp_path, picture_frames):
    import av

    path = make_clip("a.avi", codec="mjpeg", pixels="yuvj420p", options={})
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packet = bytes([p for p in file.demux(video=0) if p.size][4])
    place = content.index(packet)
    content[place : place + len(packet)] = bytes(len(packet))
    path.write_bytes(content)
    ran = video(path, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "11 frames" in ran.err and "1 damaged frames left out" in ran.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_runs_write_what_is_finished_and_go_on(how, make_clip, tmp_path, video):
    clip = make_clip(
        frames=np.tile(np.arange(20, dtype=np.uint8)[:, None, None, None], (1, 48, 64, 3))
    )
    tests = os.path.dirname(os.path.dirname(__file__))
    arguments = [sys.executable, "-c", TERMINATED, tests, str(clip), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(16):
        assert process.stdout.readline() == "frame\n"
        process.stdin.write("\n")
        process.stdin.flush()
    process.stdout.readline()  # it waits in frame 17
    process.send_signal(how)
    _, error = process.communicate("\n" * 9, timeout=60)
    assert process.returncode == 130, error
    assert "interrupted; what is finished is written, continue with --resume" in error
    assert "Traceback" not in error
    out = tmp_path / "out"
    assert len(list(open_clip(out / "clip_vis.mp4").frames())) == 12
    ran = video(clip, "-o", out, "--resume")
    assert ran.code == 0, ran.err
    assert len(list(open_clip(out / "clip_vis.mp4").frames())) == 20


def test_killed_at_any_moment_resume_gives_the_same_files_and_leaves_nothing(killed_often):
    """Few moments here; docs/reliability.md has the command for many."""
    assert killed_often("video", stride=83) >= 3


def test_stems(tmp_path, monkeypatch):
    folder = tmp_path / "a.b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert [stem_of(s) for s in ("x/shot.%04d.png", "x/a_*.png", "x/*.png")] == ["shot", "a", "x"]
    assert [stem_of(s) for s in ("x/clip.mp4", str(folder), ".")] == ["clip", "a.b", "a.b"]


def test_equal_names_are_refused(video, make_clip, tmp_path):
    ran = video(make_clip(), make_clip("clip.mkv"), "-o", tmp_path / "out")
    assert (ran.code, "has the same name as" in ran.err) == (2, True)
