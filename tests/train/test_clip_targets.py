"""Targets on clips: what they start from, previews, and whole runs on rendered clips."""

import json
from dataclasses import replace

import pytest
import torch
from micro_run import micro_recipe
from safetensors.torch import save_file

from nearfar.encoders.tiny_video import PRESETS, TinyVideoConfig
from nearfar.errors import ConfigError
from nearfar.models.ppd.network import new_network
from nearfar.models.ppd.presets import PRESETS as IMAGE_PRESETS
from nearfar.models.ppd.presets import VIDEO_PRESETS, VIDEO_TINY
from nearfar.train.config import DataConfig, ModelConfig
from nearfar.train.loop import train
from nearfar.train.targets import build_target, load_initial, read_initial
from nearfar.weights.load import load_encoder

CPU = torch.device("cpu")
DATA = DataConfig(
    source="clips", size=(16, 24), crop=(16, 24), count=2, shard=2, validation_count=1,
    options={"frames": 4}, augment={"window": 3},
)  # fmt: skip


def recipe_of(folder, kind, preset, *, encoder="tiny-encoder", **changes):
    recipe = micro_recipe(folder, **changes)
    return replace(recipe, model=ModelConfig(kind=kind, preset=preset, encoder=encoder), data=DATA)


def clips(frames=2, size=(48, 64)):
    return torch.rand(1, frames, 3, *size, generator=torch.Generator().manual_seed(0))


def test_video_encoder_starts_as_the_tiny_encoder(tmp_path):
    before = torch.get_rng_state()
    recipe = recipe_of(tmp_path, "tiny_video_encoder", "tiny")
    target, again = build_target(recipe, CPU), build_target(recipe, CPU)
    assert torch.equal(before, torch.get_rng_state())
    assert target.encoder == "tiny_video" and target.family == "tiny_video_encoder"
    state = target.network.state_dict()
    assert all(torch.equal(t, again.network.state_dict()[n]) for n, t in state.items())
    stem = load_encoder("tiny-encoder")
    target.network.eval()
    depth = target.preview(clips(1), torch.Generator(), 1)
    expected = torch.log1p(stem.metric(clips(1)[0]).depth_BHW)
    torch.testing.assert_close(depth[0], expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(ConfigError, match="is not the stem of preset micro"):
        build_target(recipe_of(tmp_path, "tiny_video_encoder", "micro"), CPU)


def test_video_network_starts_from_the_image_network(tmp_path):
    recipe = recipe_of(tmp_path, "ppd_video", "video_tiny")
    target = build_target(recipe, CPU)
    assert (target.family, target.preset, target.encoder) == ("ppd_video", "video_tiny", "tiny")
    image = new_network(IMAGE_PRESETS["tiny"], generator=torch.Generator().manual_seed(0))
    save_file(image.state_dict(), tmp_path / "image.safetensors")
    state = read_initial(tmp_path / "image.safetensors")
    faults = load_initial(target.network, state, strict=False)
    assert faults and all("temporal_blocks" in fault for fault in faults)
    depth = target.preview(clips(), torch.Generator().manual_seed(0), 1)
    assert depth.shape == (1, 2, 48, 64) and 0.05 < depth.std() < 2
    assert target.objective.shared_noise  # as the preset predicts
    still = clips(1).expand(-1, 2, -1, -1, -1)
    frames = target.preview(still, torch.Generator().manual_seed(0), 1)[0]
    torch.testing.assert_close(frames[0], frames[1])
    other = recipe_of(
        tmp_path, "ppd_video", "video_tiny", train={"objective": {"shared_noise": False}}
    )
    with pytest.raises(ConfigError, match="shared_noise"):
        build_target(other, CPU)


def test_runs_on_rendered_clips(tmp_path, monkeypatch):
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path))
    small = replace(VIDEO_TINY, width=48, depth=4, temporal_before=(3,), reference_from=3)
    monkeypatch.setitem(VIDEO_PRESETS, "small", small)
    monkeypatch.setitem(PRESETS, "small", TinyVideoConfig(pairs=1))
    steps = {"steps": 2, "batch_size": 1, "objective": {"temporal_weight": 0.1}}
    for kind, options in (("ppd_video", steps), ("tiny_video_encoder", steps | {"objective": {}})):
        recipe = recipe_of(tmp_path / kind, kind, "small", train=options, log={"export": True})
        end = train(recipe)
        assert end.is_complete and 0 < end.metrics["abs_rel"] < 2
        card = json.loads((tmp_path / kind / "card.json").read_text())
        assert card["family"] == kind and card["training_data"] == "clips"
    file = tmp_path / "tiny_video_encoder" / "weights.safetensors"
    assert file.stat().st_size < 2e6  # the stem, 10 MB, is left to tiny-encoder
    assert "temporal" in (tmp_path / "ppd_video" / "log.jsonl").read_text()
