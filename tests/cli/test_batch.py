"""Runs over many photos: bad input of every sort, resume, Ctrl-C, full disks. One line each."""

import contextlib
import json
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nearfar import read
from nearfar.errors import ConfigError, OutputError
from nearfar.io.manifest import read_manifest

BLUE_FREE = np.random.default_rng(0).integers(0, 200, (24, 32, 3), dtype=np.uint8)


def outputs(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != "manifest.jsonl")


def no_leftovers(folder):
    return not [p for p in folder.rglob("*") if p.name.startswith(".nearfar") or ".tmp" in p.name]


# --- photos that cannot be read -------------------------------------------------------------


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def png_promising(path, width, height):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def broken(name, path):
    """Write the broken photo of that name; returns its path."""
    big = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8))
    if name == "empty":
        path.write_bytes(b"")
    elif name == "text":
        path.write_text("this is not a photo\n" * 20)
    elif name == "truncated jpeg":
        big.save(path, format="JPEG")
        cut(path, 0.5)
    elif name == "truncated png":
        path = path.with_suffix(".png")
        big.save(path)
        cut(path, 0.6)
    elif name == "20000x20000":
        path = path.with_suffix(".png")
        png_promising(path, 20000, 20000)
    elif name == "folder":
        path.mkdir()
    elif name == "dangling link":
        path.symlink_to("nowhere")
    return path


BROKEN = {
    "missing": "no such file",
    "empty": "is empty",
    "text": "not an image",
    "truncated jpeg": "damaged or cut short",
    "truncated png": "damaged or cut short",
    "20000x20000": "20000",
    "folder": "no images found",
    "dangling link": "no such file",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_photo_is_one_line_and_nothing_written(nearfar, tmp_path, name):
    path = broken(name, tmp_path / "photo.jpg")
    ran = nearfar("predict", path, "-o", tmp_path / "out", "--save", "vis,npz")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith(f"nearfar: error: {path}: ")
    assert BROKEN[name] in ran.err
    assert outputs(tmp_path) in ([], [path.name])
    assert no_leftovers(tmp_path)


def test_a_huge_photo_is_refused_in_little_memory(tmp_path):
    """The limit holds before pixels are decoded: they would take 1.2 GB."""
    path = broken("20000x20000", tmp_path / "huge.png")
    script = """
import sys
from nearfar.errors import ResourceError
from nearfar.io.images import read_image
def peak_kb():  # of this program alone; ru_maxrss would count the parent's before exec
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before = peak_kb()
try:
    read_image(sys.argv[1])
except ResourceError as error:
    assert peak_kb() - before < 100_000
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert "20000" in done.stdout, done.stderr


# --- unusual photos that must work ----------------------------------------------------------


def unusual(name, folder):
    picture, path = Image.fromarray(BLUE_FREE), folder / "photo.png"
    if name == "1x1":
        picture = picture.crop((0, 0, 1, 1))
    elif name == "grey":
        picture = picture.convert("L")
    elif name == "16-bit":
        picture = Image.fromarray((BLUE_FREE[..., 0].astype(np.uint16)) * 257)
    elif name == "palette":
        picture = picture.convert("P")
    elif name == "alpha":
        picture.putalpha(128)
    elif name == "1-bit":
        picture = picture.convert("1")
    elif name == "cmyk":
        picture, path = picture.convert("CMYK"), folder / "photo.jpg"
    elif name == "animated":
        path = folder / "photo.gif"
        frames = [Image.fromarray(BLUE_FREE // (i + 1)) for i in range(3)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
        return path
    elif name == "rotated":
        path = folder / "photo.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(path, exif=exif)
        return path
    elif name in ODD_NAMES:
        path = folder / ODD_NAMES[name]
    picture.save(path)
    return path


ODD_NAMES = {
    "spaces": "my  photo .png",
    "non-ascii": "фото-日本-ü.png",
    "newline": "two\nlines.png",
    "brackets": "a[1]*.png",
    "dash": "-photo.png",
    "dots": "a.b.c.png",
}
USUAL = ["1x1", "grey", "16-bit", "palette", "alpha", "1-bit", "cmyk", "animated", "rotated"]


@pytest.mark.parametrize("name", [*USUAL, *ODD_NAMES])
def test_unusual_photos_work(nearfar, tmp_path, name):
    path = unusual(name, tmp_path)
    ran = nearfar(
        "predict", "-o", tmp_path / "out", "--save", "npz,png16,vis,ply", "--json", "--", path
    )
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    assert len(ran.out.splitlines()) == 1
    line = json.loads(ran.out)
    assert line["input"] == str(path)
    back = read(next(p for p in line["outputs"] if p.endswith(".npz")))
    expected = {"1x1": (1, 1), "rotated": (32, 24)}.get(name, (24, 32))
    assert back.size_hw == expected
    assert len(outputs(tmp_path / "out")) == 4
    assert [record.input for record in read_manifest(tmp_path / "out" / "manifest.jsonl")] == [
        str(path)
    ]
    shown = ran.err.splitlines()[1:] if name == "animated" else ran.err.splitlines()
    assert len(shown) == 1


# --- going on after errors ------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path):
    """a good, b broken, c good."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("a", "c"):
        Image.fromarray(BLUE_FREE).save(folder / f"{name}.png")
    (folder / "b.png").write_bytes(b"nothing")
    return folder


def test_without_skip_errors_the_run_stops_and_says_what_is_left(nearfar, mixed, tmp_path):
    ran = nearfar("predict", mixed, "-o", tmp_path / "out", "--save", "vis", "-q")
    assert ran.code == 1
    assert outputs(tmp_path / "out") == ["a_vis.png"]
    first, last = ran.err.splitlines()
    assert "b.png" in first
    assert "1 of 3 inputs failed, 1 not tried" in last


def test_skip_errors_goes_on_and_lists(nearfar, mixed, tmp_path):
    ran = nearfar(
        "predict", mixed, "-o", tmp_path / "out", "--save", "vis", "--skip-errors", "--json"
    )
    assert ran.code == 1
    assert outputs(tmp_path / "out") == ["a_vis.png", "c_vis.png"]
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["error"] is None for line in lines] == [True, False, True]
    assert "1 of 3 inputs failed" in ran.err
    records = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert [(record.error is None, len(record.outputs)) for record in records] == [
        (True, 1),
        (False, 0),
        (True, 1),
    ]
    assert all(record.seconds >= 0 and record.peak_memory_mb > 1 for record in records)


# --- resume ---------------------------------------------------------------------------------


def test_resume_skips_what_is_finished_with_equal_settings(nearfar, photos, tmp_path, make_model):
    arguments = ["predict", photos, "-o", tmp_path / "out", "--save", "vis", "--json"]
    assert nearfar(*arguments).code == 0

    def again(*more):
        model = make_model()
        ran = nearfar(*arguments, *more, model=model)
        assert ran.code == 0, ran.err
        assert len(ran.out.splitlines()) == 3
        return len(model._predictor.calls)

    assert again("--resume") == 0
    assert again("--seed", 3, "--overwrite") == 3  # other settings
    (tmp_path / "out" / "sub" / "b_vis.png").unlink()
    assert again("--seed", 3, "--resume") == 1  # a result is gone
    assert again("--seed", 3, "--resume") == 0
    assert again("--seed", 3, "--resume", "--save", "npz") == 3  # a format more
    assert again("--seed", 3, "--resume", "--save", "npz") == 0


def content_of(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".jsonl"}


@pytest.mark.parametrize(
    ("whose", "words"),
    [
        ("a sensor's", "is no result listed"),
        ("another photo's", "with other content or settings"),
        ("an older photo's", "with other content or settings"),
        ("other settings'", "with other content or settings"),
        ("edited", "was changed after it was made"),
        ("a folder", "is no result listed"),
        ("a link", "is no result listed"),
    ],
)
def test_resume_never_takes_a_file_that_is_not_its_own(
    nearfar, photos, tmp_path, make_model, whose, words
):
    out, place, more = tmp_path / "out", tmp_path / "out" / "a_depth.png", ()
    arguments = ["predict", photos / "a.png", "-o", out, "--save", "png16"]
    out.mkdir()
    if whose in ("a sensor's", "a link", "a folder"):
        own = {"a link": tmp_path / "far.png", "a folder": place / "x.png"}.get(whose, place)
        own.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((9, 9), 1234, np.uint16)).save(own)
        if whose == "a link":
            place.symlink_to(own)
    elif whose == "another photo's":
        (tmp_path / "other").mkdir()
        other = tmp_path / "other" / "a.png"
        other.write_bytes((photos / "a.png").read_bytes())  # equal, but from elsewhere
        assert nearfar("predict", other, *arguments[2:]).code == 0
    else:
        assert nearfar(*arguments).code == 0
        if whose == "an older photo's":
            Image.fromarray(BLUE_FREE).save(photos / "a.png")
        if whose == "edited":
            Image.fromarray(BLUE_FREE).save(place)
        more = ("--seed", 3) if whose == "other settings'" else ()
    before = content_of(tmp_path)
    model = make_model()
    ran = nearfar(*arguments, "--resume", "--json", *more, model=model)
    assert ran.code == 1
    assert content_of(tmp_path) == before
    assert (str(place) in ran.err, words in ran.err, "--overwrite" in ran.err) == (True,) * 3
    assert len(ran.err.splitlines()) == 1
    assert words in json.loads(ran.out)["error"]
    assert not model._predictor.calls  # told before the work
    if whose != "a folder":
        assert nearfar(*arguments, "--overwrite", *more).code == 0
        assert nearfar(*arguments, "--resume", *more).code == 0


def test_a_foreign_file_leaves_the_other_photos_as_they_would_be(nearfar, photos, tmp_path):
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "sub" / "b_vis.png").write_bytes(b"mine")
    ran = nearfar("predict", photos, "-o", out, "--save", "vis", "--resume", "-q")
    assert ran.code == 1
    assert outputs(out) == ["a_vis.png", "b_vis.png", "c_vis.png"]
    assert (out / "sub" / "b_vis.png").read_bytes() == b"mine"
    assert "1 of 3 inputs failed" in ran.err and "not tried" not in ran.err
    assert "b_vis.png" in ran.err.splitlines()[-1]


def test_overwrite_replaces_results_never_photos(nearfar, tmp_path, rgb):
    """A camera's a_depth.png is an input as well: its place cannot be a result's."""
    folder = tmp_path / "rgbd"
    folder.mkdir()
    Image.fromarray(rgb).save(folder / "a.png")
    Image.fromarray(rgb[..., 0].astype(np.uint16)).save(folder / "a_depth.png")
    before = content_of(folder)
    for more in ([], ["--overwrite"], ["--resume"]):
        ran = nearfar("predict", folder, "-o", folder, "--save", "png16", *more)
        assert (ran.code, "is an input, and the place" in ran.err) == (2, True)
        assert content_of(folder) == before


def test_a_manifest_of_another_program_stays(nearfar, photos, tmp_path):
    (tmp_path / "out").mkdir()
    own = tmp_path / "out" / "manifest.jsonl"
    own.write_text('{"audio": "a.wav"}\n')
    ran = nearfar("predict", photos, "-o", tmp_path / "out", "--save", "vis")
    assert (ran.code, "no manifest of nearfar" in ran.err) == (1, True)
    assert own.read_text() == '{"audio": "a.wav"}\n'


def test_results_are_never_inputs(nearfar, tmp_path, rgb):
    folder = tmp_path / "w"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(rgb).save(folder / name)
    save = ("--save", "png16,vis")
    assert nearfar("predict", folder, "-o", folder, *save).code == 0
    first = outputs(folder)
    for source in ([folder], [folder / "*.png"], sorted(folder.glob("*.png"))):
        for mode in ("--resume", "--overwrite"):
            ran = nearfar("predict", *source, "-o", folder, *save, mode)
            assert (ran.code, outputs(folder)) == (0, first), ran.err
    assert nearfar("predict", folder, "-o", folder / "deep", *save).code == 0
    assert len(outputs(folder / "deep")) == 4
    ran = nearfar("predict", folder / "a_vis.png", "-o", tmp_path / "out")
    assert (ran.code, "only results of earlier runs" in ran.err) == (1, True)


def test_a_photo_with_the_name_of_a_result_is_a_photo(nearfar, tmp_path, rgb):
    """It is predicted when named, and --overwrite does not replace it."""
    folder = tmp_path / "w"
    folder.mkdir()
    Image.fromarray(rgb).save(folder / "a.png")
    assert nearfar("predict", folder, "-o", folder, "--save", "vis").code == 0
    Image.fromarray(rgb[::-1].copy()).save(folder / "a_vis.png")
    content = (folder / "a_vis.png").read_bytes()
    for source in ([folder], [folder / "a.png", folder / "a_vis.png"]):
        ran = nearfar("predict", *source, "-o", folder, "--save", "vis", "--overwrite")
        assert (ran.code, "is an input" in ran.err) == (2, True), ran.err
        assert (folder / "a_vis.png").read_bytes() == content
    assert nearfar("predict", folder / "a_vis.png", "-o", tmp_path / "o", "--save", "vis").code == 0


def test_a_format_that_a_map_cannot_have_leaves_the_others(nearfar, photos, tmp_path, make_model):
    """Without metres no cloud: the color map is written, the run goes on, and all of it is told."""
    out = tmp_path / "out"
    model = make_model(reference_name=None)
    ran = nearfar("predict", photos, "-o", out, "--save", "vis,ply", "--json", model=model)
    assert ran.code == 1
    assert outputs(out) == ["a_vis.png", "b_vis.png", "c_vis.png"]
    assert "3 of 3 inputs failed" in ran.err and ".nearfar" not in ran.err
    assert len([line for line in ran.err.splitlines() if "ply" in line]) == 6  # at once, at the end
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert all("ply" in line["error"] and len(line["outputs"]) == 1 for line in lines)
    (left,) = [line for line in ran.err.splitlines() if "c.png: ply" in line][-1:]
    assert left.startswith("nearfar: error: ")


def test_uncertainty_is_written_by_default_where_there_is_one(nearfar, photos, tmp_path):
    """Without one nothing is missed, resuming included; asked for by name, it is told."""
    photo, out = photos / "a.png", tmp_path / "out"
    command = ("predict", photo, "-o", out)
    assert nearfar(*command).code == 0
    assert outputs(out) == ["a_depth.png", "a_vis.png"]
    assert "1 skipped" in nearfar(*command, photos / "sub" / "b.jpg", "--resume").err
    assert nearfar(*command, "--ensemble-size", 3, "--overwrite").code == 0
    assert "a_uncertainty.png" in outputs(out)
    ran = nearfar("predict", photo, "-o", tmp_path / "asked", "--save", "uncertainty")
    assert (ran.code, "gives none from one hypothesis" in ran.err) == (1, True)


def test_a_notice_names_its_photo(nearfar, photos, tmp_path):
    Image.fromarray(np.full((30, 40, 3), (0, 0, 255), np.uint8)).save(photos / "blue.png")
    ran = nearfar("predict", photos, "-o", tmp_path / "out", "--save", "vis")
    assert ran.code == 0
    notices = [line for line in ran.err.splitlines() if "sky" in line]
    assert notices and all(str(photos / "blue.png") in line for line in notices)


def test_an_option_no_photo_can_have_is_misuse(nearfar, photos, tmp_path, make_model):
    model = make_model(fails=ConfigError("stop_at", "99 is not within 1..5"))
    ran = nearfar("predict", photos, "-o", tmp_path / "out", "--skip-errors", model=model)
    assert (ran.code, ran.err) == (2, "nearfar: error: stop_at: 99 is not within 1..5.\n")


def test_two_runs_share_the_photos(nearfar, photos, tmp_path, make_model):
    """While this run is in its first photo, another one comes and does the rest."""
    inside, model = make_model(), make_model()
    arguments = ["predict", photos, "-o", tmp_path / "out", "--save", "vis", "--resume", "-q"]
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from conftest import FakePredictor
from nearfar.cli import Services, run
from nearfar.pipeline.predict import Model
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import find
import dataclasses

class Tells(FakePredictor):
    def predict(self, *args, **options):
        print("photo", flush=True)
        return super().predict(*args, **options)

entry = dataclasses.replace(find("ppd-tiny"), name="fake", licence="none", uncertainty={})
model = Model(LoadedModel(Tells(), entry, "0" * 64))
sys.exit(run(sys.argv[2:], services=Services(load=lambda *a, **k: model)))
"""
    words = [sys.executable, "-c", script, Path(__file__).parents[1], *arguments]
    other = []

    class Waits:
        default_steps, default_area = inside._predictor.default_steps, 48 * 64

        def predict(self, *args, **options):
            if not other:
                pipes = {"stdout": subprocess.PIPE, "text": True}
                other.append(subprocess.Popen([str(word) for word in words], **pipes))
                assert [other[0].stdout.readline() for _ in range(2)] == ["photo\n"] * 2
            return inside._predictor.predict(*args, **options)

    model._predictor = Waits()
    ran = nearfar(*arguments, model=model)
    rest = other[0].communicate(timeout=60)[0]
    assert (ran.code, other[0].returncode, rest) == (0, 0, "")
    assert len(inside._predictor.calls) == 1
    assert outputs(tmp_path / "out") == ["a_vis.png", "b_vis.png", "c_vis.png"]


class StopsAt:
    """A predictor that is interrupted (or fails) at its n-th photo."""

    def __init__(self, predictor, number, error):
        self.inner, self.number, self.error, self.calls = predictor, number, error, 0
        self.default_steps, self.default_area = predictor.default_steps, predictor.default_area

    def predict(self, image_3HW, config, **options):
        self.calls += 1
        if self.calls == self.number:
            raise self.error
        return self.inner.predict(image_3HW, config, **options)


def test_ctrl_c_keeps_finished_photos_and_a_true_manifest(nearfar, photos, tmp_path, make_model):
    out = tmp_path / "out"
    model = make_model()
    model._predictor = StopsAt(model._predictor, 2, KeyboardInterrupt())
    ran = nearfar("predict", photos, "-o", out, "--save", "npz,vis", "-q", model=model)
    assert ran.code == 130
    assert ran.err == "nearfar: error: interrupted, 1 of 3 done; continue with --resume\n"
    assert outputs(out) == ["a_depth.npz", "a_vis.png"]
    assert [r.outputs for r in read_manifest(out / "manifest.jsonl")] == [
        ("a_depth.npz", "a_vis.png")
    ]
    assert no_leftovers(out)
    rest = make_model()
    assert (
        nearfar("predict", photos, "-o", out, "--save", "npz,vis", "--resume", model=rest).code == 0
    )
    assert len(rest._predictor.calls) == 2
    assert len(outputs(out)) == 6


def test_ctrl_c_while_writing_leaves_nothing_of_that_photo(nearfar, photos, tmp_path, monkeypatch):
    from nearfar.io import writers

    def interrupted(result, path, cloud):
        raise KeyboardInterrupt

    table = {**writers.WRITERS, "exr": writers.Writer(suffix="_depth.exr", write=interrupted)}
    monkeypatch.setattr(writers, "WRITERS", table)
    ran = nearfar("predict", photos / "a.png", "-o", tmp_path / "out", "--save", "npz,exr")
    assert ran.code == 130
    assert outputs(tmp_path / "out") == []
    assert no_leftovers(tmp_path)


def test_killed_at_any_moment_resume_gives_the_same_files_and_leaves_nothing(killed_often):
    """Few moments here; docs/reliability.md has the command for many."""
    assert killed_often("predict", stride=23) >= 3


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_real_signal_in_a_folder_run(photos, tmp_path, name):
    """No traceback, a word about it, exit 130, and what is finished stays."""
    script = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's shell ignores it
sys.path.insert(0, sys.argv[1])
from conftest import FakePredictor
from nearfar.cli import Services, run
from nearfar.pipeline.predict import Model
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import find

class Signals(FakePredictor):
    def predict(self, *args, **options):
        if len(self.calls) == 1:
            os.kill(os.getpid(), getattr(signal, sys.argv.pop()))
        return super().predict(*args, **options)

model = Model(LoadedModel(Signals(), find("ppd-tiny"), "0"))
sys.exit(run(sys.argv[2:-1], services=Services(load=lambda *a, **k: model)))
"""
    tests = Path(__file__).parents[1]
    arguments = [sys.executable, "-c", script, tests, "predict", photos, "-o", tmp_path / "out"]
    done = subprocess.run(
        [*map(str, arguments), "--save", "vis", name], capture_output=True, text=True
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted, 1 of 3 done; continue with --resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert outputs(tmp_path / "out") == ["a_vis.png"]


# --- output that cannot be written ----------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nearfar-out"])
def test_output_that_cannot_be_a_folder(nearfar, photos, tmp_path, place):
    (tmp_path / "file").write_text("x")
    ran = nearfar("predict", photos, "-o", tmp_path / place, "--skip-errors")
    assert ran.code == 1
    first = ran.err.splitlines()[0]
    assert first.startswith("nearfar: error: ")
    assert place in first
    assert "Traceback" not in ran.err


@contextlib.contextmanager
def largest_file(size):
    """Files of this process cannot grow beyond `size` bytes: what a full disk looks like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("format_name", ["png16", "npz", "exr", "pfm", "vis", "side", "ply", "glb"])
def test_a_full_disk_leaves_nothing_half_written(nearfar, photos, tmp_path, format_name):
    """pfm comes first and fits, the format under test does not: neither stays."""
    out, formats = tmp_path / "out", "pfm," + format_name
    small = 200 if format_name == "pfm" else None
    assert nearfar("predict", photos / "a.png", "-o", tmp_path / "try", "--save", formats).code == 0
    sizes = [p.stat().st_size for p in (tmp_path / "try").glob("a*")]
    with largest_file(small or min(sizes) - 1):
        ran = nearfar("predict", photos / "a.png", "-o", out, "--save", formats)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert "annot be written" in ran.err
    assert outputs(tmp_path / "out") == []
    assert no_leftovers(tmp_path)


def test_a_full_disk_ends_the_run_even_with_skip_errors(nearfar, photos, tmp_path, make_model):
    model = make_model()
    model._predictor = StopsAt(model._predictor, 2, OutputError("disk", "cannot be written"))
    ran = nearfar("predict", photos, "-o", tmp_path / "out", "--skip-errors", model=model)
    assert ran.code == 1
    assert "1 not tried" in ran.err
    assert model._predictor.calls == 2


# --- weights --------------------------------------------------------------------------------


def test_a_network_that_gives_nan_writes_nothing(nearfar, photos, tmp_path, make_model):
    model = make_model(fill=float("nan"))
    ran = nearfar("predict", photos / "a.png", "-o", tmp_path / "out", model=model)
    assert ran.code == 1
    assert ran.err.startswith(f"nearfar: error: {photos / 'a.png'}: fake: the network gave NaN")
    assert outputs(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-m", "ppd-tinny"], 2, "ppd-tiny"),
        (["--device", "tpu"], 2, "unknown device 'tpu'"),
        (["--dtype", "int4"], 2, "unknown dtype 'int4'"),
        (["-m", "{tmp}/text.safetensors"], 1, "text.safetensors"),
        (["-m", "{tmp}/cut.safetensors"], 1, "cut.safetensors"),
        (["-m", "{tmp}/evil.pth"], 1, "evil.pth"),
        (["-m", "{tmp}/zero.safetensors"], 1, "zero.safetensors"),
        (["-m", "{tmp}/nan.safetensors"], 1, "nan.safetensors"),
        (["-m", "{tmp}/absent.safetensors"], 1, "no such file"),
    ],
)
def test_unusable_models_are_one_line(photos, tmp_path, capsys, arguments, code, words):
    """Through the real loader: names, devices, and damaged or hostile files of weights."""
    from nearfar.cli import run

    write_bad_weights(tmp_path)
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    out = tmp_path / "out"
    assert run(["predict", str(photos / "a.png"), "-o", str(out), *arguments]) == code
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1, err
    assert words in err
    assert not out.exists()
    assert not (tmp_path / "hacked").exists()


def write_bad_weights(folder):
    import pickle

    import torch
    from safetensors.torch import save_file

    from nearfar.models.ppd.network import PPDNetwork
    from nearfar.models.ppd.presets import PRESETS

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch '{folder}/hacked'",)

    (folder / "text.safetensors").write_text("no weights")
    (folder / "evil.pth").write_bytes(pickle.dumps(Evil()))
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in PPDNetwork(PRESETS["tiny"]).state_dict().items()}
    about = {"nearfar_format": "1", "family": "ppd", "preset": "tiny", "encoder": "tiny"}
    for name, value in {"zero": 0.0, "nan": float("nan")}.items():
        tensors = {
            key: torch.full(shape, value, dtype=torch.float16) for key, shape in shapes.items()
        }
        save_file(tensors, folder / f"{name}.safetensors", metadata=about)
    content = (folder / "zero.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(content[: len(content) // 2])
