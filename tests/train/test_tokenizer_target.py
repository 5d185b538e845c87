"""A tokenizer in training: seeded, learns from depth of any shape, is shown what it says back."""

import numpy as np
import pytest
import torch
from micro_run import FakeSource, fake_source, micro_recipe

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError
from nearfar.tokenizers.quantizer import QuantizedScales
from nearfar.train.config import ModelConfig, Recipe
from nearfar.train.logging import read_log
from nearfar.train.loop import train
from nearfar.train.sources import Views, stream
from nearfar.train.targets import build_target
from nearfar.train.validation import validate

CPU = torch.device("cpu")
AS_IS = Views(lambda batch, generator: batch, lambda batch: batch)


def recipe_of(folder, model: ModelConfig, objective: dict | None = None, **more) -> Recipe:
    recipe = micro_recipe(
        folder, train={"objective": objective or {}} | more.pop("train", {}), **more
    )
    return Recipe(model=model, data=recipe.data, train=recipe.train, log=recipe.log)


def test_tokenizer_target_is_seeded_and_learns_from_depth_of_any_shape(tmp_path):
    model = ModelConfig(kind="depth_tokenizer", preset="micro")
    recipe = recipe_of(tmp_path, model, {"curve": "sqrt_disparity", "photo_share": 0.5})
    one, two = build_target(recipe, CPU), build_target(recipe, CPU)
    assert all(
        map(torch.equal, one.network.state_dict().values(), two.network.state_dict().values())
    )
    image = torch.rand(2, 3, 24, 32, generator=stream(CPU, 1))
    valid = torch.ones(2, 24, 32, dtype=torch.bool)
    losses = one.objective(
        DepthBatch(
            image,
            1 + image[:, 0],
            valid_BHW=valid,
            sky_BHW=~valid,
            fov_x_deg_B=torch.full((2,), 60.0),
        ),
        generator=stream(CPU, 2),
    )
    losses.total.backward()
    grads = [p.grad for p in one.network.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)
    assert (one.family, one.preview, int(one.network.quantize.hits_V.sum())) == (
        "depth_tokenizer",
        None,
        2 * one.network.config.token_count,
    )
    with pytest.raises(ConfigError, match="unknown 'cubic'. Use one of linear_q98"):
        build_target(recipe_of(tmp_path, model, {"curve": "cubic"}), CPU)


@pytest.mark.parametrize("curve", ["log", "linear_q98", "linear", "sqrt_disparity"])
def test_what_it_says_back_is_the_depth_it_was_told(tmp_path, monkeypatch, curve):
    """With a tokenizer that loses nothing, what is left are the curve's clipped two per cent."""
    model = ModelConfig(kind="depth_tokenizer", preset="micro")
    recipe = recipe_of(tmp_path, model, {"curve": curve})
    target = build_target(recipe, CPU)
    told = []

    def lossless(image_BCHW):
        told.append(image_BCHW)
        return QuantizedScales([], [image_BCHW])

    depth_BHW = 1 + 4 * torch.rand(2, 16, 16, generator=stream(CPU, 0))
    valid_BHW = torch.ones_like(depth_BHW, dtype=torch.bool)
    with torch.no_grad():
        real = target.echo(depth_BHW, valid_BHW)
        monkeypatch.setattr(target.network, "encode", lossless)
        monkeypatch.setattr(target.network, "decode", lambda f_hat_BCHW: f_hat_BCHW)
        said = target.echo(depth_BHW, valid_BHW)
    assert told[0].shape == (2, 3, 16, 16) and real.shape == (2, 16, 16)
    exact = (said - torch.log1p(depth_BHW)).abs() < 1e-4
    assert 0.9 < exact.float().mean() < 1
    assert (real - said).abs().mean() > 0.1


def test_its_log_tells_the_use_of_the_codebook_and_its_ceiling(tmp_path):
    model = ModelConfig(kind="depth_tokenizer", preset="micro")
    options = {"hits_per_sweep": 8.0}
    recipe = recipe_of(tmp_path, model, options, log={"validate_every": 3, "pictures": 2})
    train(recipe, make_source=fake_source, views=AS_IS)
    records = read_log(tmp_path)
    learnt = [r for r in records if r["group"] == "train"]
    assert all(0 < r["used"] <= 1 and 1 <= r["perplexity"] <= 16 for r in learnt)
    assert sum(r["revived"] for r in learnt) > 0
    seen = [r for r in records if r["group"] == "val"]
    assert [r["step"] for r in seen] == [3, 6]
    assert all(r["abs_rel"] > 0 and 0 <= r["delta1"] <= 1 and r["used"] > 0 for r in seen)


def test_it_has_pictures_to_look_at(tmp_path):
    recipe = recipe_of(tmp_path, ModelConfig(kind="depth_tokenizer", preset="micro"))
    found = validate(recipe, build_target(recipe, CPU), FakeSource(), AS_IS, device=CPU)
    assert len(found.pictures) == 4
    assert all(np.isfinite(picture.aligned_HW).all() for picture in found.pictures)
