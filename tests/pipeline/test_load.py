"""`load` refuses what it cannot give, and hands the file's identity on."""

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nearfar.encoders.tiny import PRESETS as ENCODER_PRESETS
from nearfar.encoders.tiny import TinyEncoder
from nearfar.errors import ConfigError, WeightsError
from nearfar.io.readers import read_result
from nearfar.models.dar.network import new_network as new_dar
from nearfar.models.dar.presets import MICRO as DAR_MICRO
from nearfar.models.depthart.network import new_network as new_depthart
from nearfar.models.depthart.presets import MICRO as DEPTHART_MICRO
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.presets import PRESETS
from nearfar.models.var_depth.network import new_network as new_var_depth
from nearfar.models.var_depth.presets import MICRO as VAR_DEPTH_MICRO
from nearfar.pipeline.load import load
from nearfar.result import DepthKind


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"name": "ppd-tinny"}, ConfigError, "ppd-tiny"),
        ({"name": "ppd-tiny", "device": "tpu"}, ConfigError, "unknown device 'tpu'"),
        ({"name": "ppd-tiny", "dtype": "int4"}, ConfigError, "unknown dtype 'int4'"),
        ({"name": "no/such/file.safetensors"}, WeightsError, "no such file"),
        ({"name": "ppvd-tiny"}, ConfigError, "nearfar video"),
        ({"name": "ppd-tiny", "metric_from": "ppvd-tiny"}, ConfigError, "nearfar video"),
    ],
    ids=["name", "device", "dtype", "file", "clips", "metres"],
)
def test_refusals(arguments, error, word):
    with pytest.raises(error, match=word):
        load(**arguments)


def test_a_folder_of_weights_becomes_a_model_that_predicts(tmp_path, rgb):
    """The whole way with random weights: file, encoder beside it, network, metres, camera."""
    tensors = {}
    for name, network in {
        "weights": PPDNetwork(PRESETS["tiny"]),
        "encoder": TinyEncoder(ENCODER_PRESETS["tiny"]),
    }.items():
        generator = torch.Generator().manual_seed(1)
        tensors[name] = {
            key: (torch.rand(value.shape, generator=generator) * 0.1).half()
            if value.is_floating_point()
            else value
            for key, value in network.state_dict().items()
        }
    about = {"nearfar_format": "1", "preset": "tiny", "encoder": "tiny", "licence": "none"}
    folder = tmp_path / "mine"
    folder.mkdir()
    save_file(tensors["weights"], folder / "weights.safetensors", {**about, "family": "ppd"})
    save_file(
        tensors["encoder"], folder / "encoder.safetensors", {**about, "family": "tiny_encoder"}
    )
    model = load(folder, device="cpu", dtype="fp32")
    result = model.predict(rgb, steps=1, resolution=48)
    assert (model.name, model.licence) == ("mine", "none")
    content = (folder / "weights.safetensors").read_bytes()
    assert result.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert result.size_hw == (60, 90)
    again = model.predict(rgb, steps=1, resolution=48)
    assert np.array_equal(again.depth, result.depth, equal_nan=True)


@pytest.fixture
def trained(tmp_path):
    """Folders as training leaves them, of small networks with fresh weights."""

    def save(family, preset, network, config=None):
        state = {
            k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()
        }
        about = {"nearfar_format": "1", "family": family, "preset": preset, "licence": "none"}
        if config is not None:
            about["config"] = json.dumps(asdict(config))
        folder = tmp_path / family
        folder.mkdir()
        save_file(state, folder / "weights.safetensors", about)
        return folder

    return save


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def test_dar_gives_metres_and_a_spread_of_a_single_map(trained, rgb, tmp_path):
    network = new_dar(DAR_MICRO, generator=drawn())
    network.encoder.backbone.maps.weight.data[1] = 0  # a fresh sky head says anything
    network.encoder.backbone.maps.bias.data[1] = -5
    model = load(trained("dar", "custom", network, DAR_MICRO), device="cpu", dtype="fp32")
    result = model.predict(rgb)
    assert result.kind is DepthKind.METRIC and result.metric_reference == "dar"
    assert (result.uncertainty[result.valid] > 0).all()
    result.save(tmp_path / "out", ["npz"], stem="a")
    back = read_result(tmp_path / "out" / "a_depth.npz")
    assert np.array_equal(back.uncertainty, result.uncertainty, equal_nan=True)
    coarse = model.predict(rgb, stop_at=1)
    assert not np.array_equal(coarse.depth, result.depth)
    with pytest.raises(ConfigError, match=r"stop_at: 6 is not within 1\.\.5"):
        model.predict(rgb, stop_at=6)
    with pytest.raises(ConfigError, match="steps: 4, but DAR runs its K steps once"):
        model.predict(rgb, steps=4)
    with pytest.raises(ConfigError, match="guidance_scale: dar makes no guess without"):
        model.predict(rgb, guidance_scale=1.0)


def test_depthart_draws_and_has_neither_steps_nor_sizes(trained, rgb):
    network = new_depthart(DEPTHART_MICRO, generator=drawn())
    model = load(trained("depthart", "micro", network), device="cpu", dtype="fp32")
    one, two, again = (model.predict(rgb, seed=s, ensemble_size=2) for s in (1, 2, 1))
    assert one.kind is DepthKind.AFFINE_LOG_DEPTH and one.size_hw == (60, 90)
    assert np.array_equal(one.depth, again.depth) and not np.array_equal(one.depth, two.depth)
    assert one.uncertainty.max() > 0 and model.predict(rgb).uncertainty is None
    for name, value in {"steps": 4, "resolution": 320, "guidance_scale": 2.0, "stop_at": 2}.items():
        with pytest.raises(ConfigError, match=f"^{name}: "):
            model.predict(rgb, **{name: value})


def test_var_depth_is_guided_where_it_was_trained_without_photos(trained, rgb):
    network = new_var_depth(VAR_DEPTH_MICRO, generator=drawn())
    for name, value in network.named_parameters():
        if name.endswith("ladder.into"):
            value.data.normal_(std=0.3, generator=drawn(1))
        elif name == "transformer.head.weight":
            value.data *= 50  # so that codes differ
    model = load(trained("var_depth", "micro", network), device="cpu", dtype="fp32")
    plain, none, strong = (model.predict(rgb, guidance_scale=g) for g in (None, 0.0, 20.0))
    assert np.array_equal(plain.depth, none.depth)
    assert not np.array_equal(plain.depth, strong.depth)
    with pytest.raises(ConfigError, match="steps: 2, but VAR-Depth has no sampling steps"):
        model.predict(rgb, steps=2)


def test_guidance_without_an_unconditional_branch(trained, rgb):
    config = replace(VAR_DEPTH_MICRO, has_null=False)
    network = new_var_depth(config, generator=drawn())
    model = load(trained("var_depth", "custom", network, config), device="cpu", dtype="fp32")
    with pytest.raises(ConfigError, match="guidance_scale: .*no unconditional branch"):
        model.predict(rgb, guidance_scale=2.0)


def test_relative_maps_take_the_metres_of_dar(rgb):
    plain, dar = load("ppd-tiny", dtype="fp32"), load("dar-tiny", dtype="fp32")
    model = load("ppd-tiny", dtype="fp32", metric_from="dar-tiny")
    settings = {"steps": 1, "resolution": 64}
    result, metres = model.predict(rgb, **settings), dar.predict(rgb)
    assert (result.kind, result.metric_reference) == (DepthKind.METRIC, "dar-tiny")
    assert result.model == "ppd-tiny" and result.fov_x_deg == metres.fov_x_deg
    both = result.valid & metres.valid
    ratio = np.median(result.depth[both] / metres.depth[both])
    assert 0.5 < ratio < 2.0
    own = plain.predict(rgb, **settings)
    assert own.metric_reference == "photo" and not np.array_equal(own.depth, result.depth)
    assert model.predict(rgb, metric=False, **settings).kind is DepthKind.AFFINE_LOG_DEPTH
    with pytest.raises(ConfigError, match="metric_from: dar-tiny gives metres itself"):
        dar.with_metres_of(plain).predict(rgb)
