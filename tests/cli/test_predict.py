"""`nearfar predict`: every format, checks before work, and the exit codes."""

import dataclasses
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar import read
from nearfar.cli import Services, run
from nearfar.cli.options import PredictOptions
from nearfar.cli.predict import plan
from nearfar.errors import ConfigError
from nearfar.models.depthart.config import DepthARTConfig
from nearfar.models.depthart.network import new_network as new_depthart
from nearfar.models.var_depth.network import new_network as new_var_depth
from nearfar.models.var_depth.presets import MICRO
from nearfar.pipeline.predict import Model
from nearfar.result import DepthKind
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.keys import published_name
from nearfar.weights.load import LoadedModel
from nearfar.weights.registry import find

FORMATS = "png16,npz,exr,pfm,vis,side,ply,glb"


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_one_photo_in_every_format(nearfar, photos, tmp_path, make_model):
    out = tmp_path / "out"
    ran = nearfar(
        "predict", photos / "a.png", "-o", out, "--save", FORMATS, "--ensemble-size", 2, "--json"
    )
    assert ran.code == 0, ran.err
    assert files_in(out) == [
        "a.glb",
        "a.ply",
        "a_depth.exr",
        "a_depth.npz",
        "a_depth.pfm",
        "a_depth.png",
        "a_side.png",
        "a_vis.png",
        "manifest.jsonl",
    ]
    (line,) = [json.loads(text) for text in ran.out.splitlines()]
    assert line["input"] == str(photos / "a.png")
    assert sorted(line["outputs"]) == sorted(
        str(out / name) for name in files_in(out) if name != "manifest.jsonl"
    )
    assert (line["kind"], line["metric_reference"]) == ("metric", "fake")
    assert line["error"] is None
    back = read(out / "a_depth.npz")
    direct = make_model().predict(photos / "a.png", ensemble_size=2)
    assert np.array_equal(back.depth, direct.depth)
    assert np.array_equal(back.uncertainty, direct.uncertainty)
    assert "a.png" in ran.err
    assert "metric (fake)" in ran.err


def test_options_reach_the_model(nearfar, photos, tmp_path, make_model):
    model = make_model()
    ran = nearfar(
        *("predict", photos / "a.png", "-o", tmp_path / "out", "--save", "npz"),
        *("--steps", 7, "--seed", 9, "--resolution", 45, "--fov-x", 80, "--no-metric"),
        model=model,
    )
    assert ran.code == 0, ran.err
    back = read(tmp_path / "out" / "a_depth.npz")
    assert (back.steps, back.seed, back.fov_x_deg) == (7, 9, 80)
    assert back.kind is DepthKind.AFFINE_LOG_DEPTH
    assert model._predictor.calls == [{"steps": 7, "area": 30 * 45, "count": 1}]


def test_metres_of_another_model(photos, tmp_path, make_model):
    asked = []

    def load(name, **options):
        asked.append((name, options.get("metric_from")))
        return make_model()

    arguments = ["predict", str(photos / "a.png"), "-o", str(tmp_path / "out"), "--save", "npz"]
    services = Services(load=load)
    assert run([*arguments, "-m", "fake"], services=services) == 0
    metres = ["-m", "fake", "--metric-from", "other"]
    assert run([*arguments, *metres, "--overwrite"], services=services) == 0
    assert asked == [("fake", None), ("fake", "other")]
    done = [json.loads(s) for s in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [entry["settings"].get("metric_from") for entry in done] == [None, "other"]


class Guided:
    """A predictor of a family that knows every option."""

    options = frozenset({"guidance_scale", "stop_at", "ensemble_start"})

    default_steps, default_area = 1, 48 * 64

    def __init__(self, inner):
        self.inner, self.asked = inner, []

    def predict(self, image, config, **rest):
        self.asked.append((config.guidance_scale, config.stop_at, config.ensemble_start))
        return self.inner.predict(image, config, **rest)


def test_options_of_some_families_reach_them_and_identify_the_result(
    nearfar, photos, tmp_path, make_model
):
    inner = make_model()._predictor
    entry = dataclasses.replace(find("ppd-tiny"), name="guided", uncertainty={})

    def asked(*more):
        guided = Guided(inner)
        model = Model(LoadedModel(guided, entry, "0" * 64))
        arguments = ("predict", photos / "a.png", "-o", tmp_path / "out", "--save", "vis")
        ran = nearfar(*arguments, *more, model=model)
        return guided.asked if ran.code == 0 else ran.code

    assert asked() == [(None, None, None)]
    assert asked("--resume") == []  # done
    zero = ("--guidance-scale", 0)
    assert asked("--resume", *zero) == 1  # asked for: another result, and that one stays
    assert asked("--overwrite", *zero) == [(0.0, None, None)]
    assert asked("--resume", *zero) == []
    assert asked("--overwrite", "--ensemble-start", "first") == [(None, None, "first")]
    assert asked("--overwrite", *zero[:1], 2, "--stop-at", 3) == [(2.0, 3, None)]
    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    settings = [json.loads(line)["settings"] for line in lines]
    assert len(settings) == 5  # the refusal is a line, too
    assert "stop_at" not in settings[0] and "guidance_scale" not in settings[0]
    assert (settings[-1]["guidance_scale"], settings[-1]["stop_at"]) == (2.0, 3)


def test_a_relative_map_has_a_name_that_says_so(nearfar, photos, tmp_path):
    ran = nearfar("predict", photos / "a.png", "-o", tmp_path / "out", "--no-metric")
    assert ran.code == 0
    assert files_in(tmp_path / "out") == ["a_affine_log_depth.png", "a_vis.png", "manifest.jsonl"]


def test_metres_by_hand_allow_three_dimensions(nearfar, photos, tmp_path):
    ran = nearfar(
        *("predict", photos / "a.png", "-o", tmp_path / "out", "--save", "npz,ply"),
        *("--no-metric", "--scale", 2, "--shift", 0.5),
    )
    assert ran.code == 0, ran.err
    back = read(tmp_path / "out" / "a_depth.npz")
    assert back.metric_reference == "scale and shift"
    assert (back.depth[back.valid] > 0).all()


def test_filters_do_what_their_flags_say(nearfar, photos, tmp_path):
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 200, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(photos / "noisy.png")
    sizes = {}
    for name, flags in {
        "both": [],
        "no_edge": ["--no-edge-filter"],
        "none": ["--no-edge-filter", "--no-outlier-filter"],
    }.items():
        out = tmp_path / name
        assert (
            nearfar("predict", photos / "noisy.png", "-o", out, "--save", "ply", *flags).code == 0
        )
        header = (out / "noisy.ply").read_bytes()[:400].decode("latin1")
        sizes[name] = int(header.split("element vertex ")[1].split()[0])
    assert sizes["both"] < sizes["no_edge"] < sizes["none"] == 60 * 90


def test_exr_with_colors(nearfar, photos, tmp_path):
    import OpenEXR

    arguments = ("predict", photos / "a.png", "-o", tmp_path / "out", "--exr-rgb", "--save")
    assert nearfar(*arguments, "npz").code == 2
    ran = nearfar(*arguments, "exr,npz")
    assert ran.code == 0, ran.err
    with OpenEXR.File(str(tmp_path / "out/a_depth.exr"), separate_channels=True) as file:
        assert {"R", "G", "B", "Z"} <= set(file.channels())


def test_folder_is_mirrored(nearfar, photos, tmp_path):
    ran = nearfar("predict", photos, "-o", tmp_path / "out", "--save", "vis", "-q")
    assert ran == (0, "", "")
    assert files_in(tmp_path / "out") == [
        "a_vis.png",
        "manifest.jsonl",
        "sub/b_vis.png",
        "sub/deep/c_vis.png",
    ]


def test_output_inside_the_input_folder_is_not_read_again(nearfar, photos):
    for _ in range(2):
        ran = nearfar("predict", photos, "-o", photos / "out", "--save", "vis", "--overwrite")
        assert ran.code == 0
    assert len([name for name in files_in(photos / "out") if name.endswith("png")]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--save", "png61"], "png16"),
        (["--save", ","], "no format given"),
        (["--save", "ply", "--no-metric"], "needs metres"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--shift", "1"], "needs --scale"),
        (["--no-metric", "--scale", "1", "--shift", "nan"], "--shift: nan is not within"),
        (["--no-metric", "--scale", "1", "--shift", "inf"], "--shift: inf is not within"),
        (["--no-metric", "--scale", "1e30"], "--scale: 1e+30 is not above 0 and at most 1000"),
        (["--no-metric", "--scale", "nan"], "--scale: nan is not above 0"),
        (["--scale", "1"], "needs --no-metric"),
        (["--metric-from", "dar-tiny", "--no-metric"], "one asks for metres"),
        (["--scale", "-1", "--no-metric"], "not above 0"),
        (["--steps", "0"], "steps: 0"),
        (["--fov-x", "200"], "fov_x_deg"),
        (["--resolution", "5"], "resolution: 5"),
        (["--guidance-scale", "-1"], "guidance_scale: -1 is not within 0..50"),
        (["--guidance-scale", "2"], "guidance_scale: fake makes no guess without the photo"),
        (["--stop-at", "0"], "stop_at: 0"),
        (["--ensemble-start", "last"], "ensemble_start: unknown 'last'"),
        (["--stop-at", "2"], "stop_at: fake does not answer in steps that could be stopped"),
    ],
)
def test_wrong_usage_is_refused_before_work(
    nearfar, photos, tmp_path, make_model, arguments, words
):
    model = make_model()
    ran = nearfar("predict", photos, "-o", tmp_path / "out", *arguments, model=model)
    assert ran.code == 2
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
    assert model._predictor.calls == []
    assert not (tmp_path / "out").exists()


def test_existing_results_are_counted_and_kept(nearfar, photos, tmp_path):
    out = tmp_path / "out"
    assert nearfar("predict", photos / "sub", "-o", out, "--save", "vis").code == 0
    before = (out / "b_vis.png").stat().st_mtime_ns
    ran = nearfar("predict", photos / "sub", "-o", out, "--save", "vis", "--seed", 4)
    assert ran.code == 2
    assert "2 of 2 inputs" in ran.err
    assert "--resume" in ran.err
    assert (out / "b_vis.png").stat().st_mtime_ns == before
    assert nearfar("predict", photos / "sub", "-o", out, "--save", "vis", "--overwrite").code == 0
    assert (out / "b_vis.png").stat().st_mtime_ns > before


def test_shares_of_the_list_only_when_asked_for(photos, tmp_path, monkeypatch):
    def planned(share):
        options = PredictOptions(inputs=[str(photos)], output=tmp_path / "out", share=share)
        job, _ = plan(options)
        return job.rank, [item.path for item in job.items]

    everything = planned(None)
    shares = [planned("1/2"), planned("2/2")]
    assert [rank for rank, _ in shares] == [0, 1]
    assert [len(paths) for _, paths in shares] == [2, 1]
    assert sorted(shares[0][1] + shares[1][1]) == everything[1]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert planned("env") == shares[1]
    assert planned(None) == everything  # what another program left in the environment


def test_plan_needs_no_torch(photos, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from nearfar.cli.options import PredictOptions as O; "
        "from nearfar.cli.predict import plan; plan(O(inputs=[sys.argv[1]], save=['ply'])); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(photos)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout == "False\n", done.stderr


def test_skipped_sources_that_do_not_exist_are_listed(nearfar, photos, tmp_path):
    arguments = ["predict", photos / "a.png", tmp_path / "no.jpg", "-o", tmp_path / "out"]
    ran = nearfar(*arguments)
    assert ran.code == 1
    assert not (tmp_path / "out").exists()
    ran = nearfar(*arguments, "--skip-errors")
    assert ran.code == 1
    assert "no.jpg: no such file" in ran.err
    assert "1 of 2 inputs failed" in ran.err
    assert (tmp_path / "out" / "a_depth.png").exists()


def test_wrong_lines_of_a_list_are_named_and_the_rest_runs(nearfar, photos, tmp_path):
    (photos / "list.txt").write_text("nope.png\na.png\n")
    ran = nearfar("predict", photos / "list.txt", "-o", tmp_path / "out", "--save", "npz")
    assert ran.code == 1
    assert "list.txt:1: nope.png: no such file" in ran.err and "1 of 2 inputs failed" in ran.err
    assert files_in(tmp_path / "out") == ["a_depth.npz", "manifest.jsonl"]


def test_plan_refuses_in_python_too(photos):
    with pytest.raises(ConfigError):
        plan(PredictOptions(inputs=[str(photos)], save=["nope"]))


@pytest.fixture
def next_scale(tmp_path):
    """A small DepthART as released, what may be wrong with such files, and a VAR-Depth of ours."""
    from safetensors.torch import save_file

    vq = VQConfig(channels=32, multipliers=(1, 1), blocks=1, code_width=8, codebook=16)
    config = DepthARTConfig(width=64, depth=1, heads=1, classes=3, tokenizer=vq)
    network = new_depthart(config, generator=torch.Generator().manual_seed(0))
    whole = {}
    for name, tensor in network.state_dict().items():
        part, _, rest = name.partition(".")
        released = published_name(rest, phi_count=4) if part == "tokenizer" else rest
        if released is not None:
            whole["vae_proxy." * (part == "tokenizer") + released] = tensor
    files = {
        "whole": whole,
        "var": {n: t for n, t in whole.items() if not n.startswith("vae_proxy.")},
        "codes": whole | {n: whole[n][:9].clone() for n in ("head.weight", "head.bias")},
        "scales": whole
        | {n: whole[n][..., :9, :].clone() for n in ("pos_1LC", "lvl_embed.weight")},
    }
    for name, tensors in files.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    unguided = replace(MICRO, has_null=False)
    network = new_var_depth(unguided, generator=torch.Generator().manual_seed(0))
    about = {"nearfar_format": "1", "family": "var_depth", "preset": "custom", "licence": "none"}
    about["config"] = json.dumps(asdict(unguided))
    save_file(network.state_dict(), tmp_path / "unguided.safetensors", about)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "options", "words"),
    [
        ("var", [], "a VAR file, which makes images of classes: no tokenizer in it"),
        ("codes", [], "the tokenizer has 16 codes of width 8, the transformer 9 of width 8"),
        ("scales", [], "the file has 9 scales of 9 tokens in all"),
        ("whole", ["--steps", 4], "steps: 4, but this model has no sampling steps"),
        ("whole", ["--resolution", 320], "this model has one size: 32x32"),
        ("whole", ["--guidance-scale", 2], "guidance_scale: whole makes no guess without"),
        ("unguided", ["--steps", 4], "it always runs its 10 fixed stages"),
        ("unguided", ["--guidance-scale", 2], "no unconditional branch to be guided away from"),
    ],
)
def test_next_scale_misuse_is_one_line(next_scale, photos, tmp_path, capsys, file, options, words):
    """With the real loader: what a stranger meets who gives the wrong file or option."""
    out, path = tmp_path / "out", next_scale / f"{file}.safetensors"
    arguments = ["predict", photos / "a.png", "-o", out, "-m", path, "-q", *options]
    assert run([str(a) for a in arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not list(out.glob("*.png"))


def test_a_released_depthart_file_predicts_as_it_comes(next_scale, photos, tmp_path, capsys):
    out, path = tmp_path / "out", next_scale / "whole.safetensors"
    arguments = ["predict", photos / "a.png", "-o", out, "-m", path, "-q", "--save", "npz"]
    assert run([str(a) for a in [*arguments, "--ensemble-size", 3]]) == 0, capsys.readouterr().err
    (file,) = out.glob("*.npz")
    found = read(file)
    assert found.kind is DepthKind.SCALE_INVARIANT and found.uncertainty.max() > 0
