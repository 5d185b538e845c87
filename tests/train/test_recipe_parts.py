"""The second stage's target: only the upsampler is trained, the first stage's maps reach it."""

import pytest
import torch
from micro_run import micro_recipe
from safetensors.torch import save_file
from torch import nn

from nearfar.batch import DepthBatch
from nearfar.encoders.tiny import PRESETS as ENCODERS
from nearfar.encoders.tiny import TinyEncoder
from nearfar.errors import ConfigError
from nearfar.tokenizers.presets import PRESETS as TOKENIZERS
from nearfar.tokenizers.vqvae import VQVAE
from nearfar.train.config import ModelConfig, Recipe
from nearfar.train.plan import plan_run
from nearfar.train.sources import stream
from nearfar.train.targets import build_target

CPU = torch.device("cpu")


def saved(network: nn.Module, path, family: str, preset: str) -> str:
    metadata = {"family": family, "preset": preset, "nearfar_format": "1"}
    save_file(network.state_dict(), path, metadata=metadata)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    with torch.random.fork_rng():
        encoder, tokenizer = TinyEncoder(ENCODERS["tiny"]), VQVAE(TOKENIZERS["tiny_depth10"])
    return {
        "encoder": saved(encoder, folder / "encoder.safetensors", "tiny_encoder", "tiny"),
        "tokenizer": saved(
            tokenizer, folder / "tokenizer.safetensors", "depth_tokenizer", "tiny_depth10"
        ),
    }


def recipe_of(folder, preset, files, **objective):
    model = ModelConfig(kind="var_depth_upsampler", preset=preset, **files)
    recipe = micro_recipe(folder, train={"objective": objective})
    return Recipe(model=model, data=recipe.data, train=recipe.train, log=recipe.log)


def test_only_the_upsampler_learns_from_maps_of_the_first_stage(tmp_path, files, caplog):
    target = build_target(recipe_of(tmp_path, "tiny_fine", files, own_share=1.0), CPU)
    assert "untrained first" in caplog.text
    trained = {
        name.split(".")[0] for name, p in target.network.named_parameters() if p.requires_grad
    }
    assert trained == {"upsampler"} and target.family == "var_depth"
    image = torch.rand(1, 3, 24, 32, generator=stream(CPU, 1))
    valid = torch.ones(1, 24, 32, dtype=torch.bool)
    losses = target.objective(
        DepthBatch(
            image,
            1 + image[:, 0],
            valid_BHW=valid,
            sky_BHW=~valid,
            fov_x_deg_B=torch.full((1,), 60.0),
        ),
        generator=stream(CPU, 2),
    )
    losses.total.backward()
    assert target.network.upsampler.unet.conv_out.weight.grad.abs().sum() > 0
    with torch.no_grad():
        before = target.preview(image, stream(CPU, 3), 1)
        target.network.upsampler.unet.conv_out.bias += 0.5
        after = target.preview(image, stream(CPU, 3), 1)
    assert before.shape == (1, 24, 32) and (after - before).mean() > 0.05


def test_a_preset_of_one_stage_is_refused(tmp_path, files):
    with pytest.raises(ConfigError, match="no second stage"):
        build_target(recipe_of(tmp_path, "tiny", files), CPU)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"freeze_encodr": True}, "freeze_encodr: unknown key. Did you mean freeze_encoder"),
        ({"freeze_encoder": "no"}, "freeze_encoder: 'no' is text. It must be true or false"),
        ({"network": 1}, "network: unknown key"),
    ],
)
def test_options_of_an_objective_are_checked_for_runs_and_plans(tmp_path, objective, message):
    model = ModelConfig(kind="dar", preset="micro")
    recipe = micro_recipe(tmp_path, train={"objective": objective})
    recipe = Recipe(model=model, data=recipe.data, train=recipe.train, log=recipe.log)
    for use in (plan_run, lambda recipe: build_target(recipe, CPU)):
        with pytest.raises(ConfigError, match=message):
            use(recipe)
