from pathlib import Path

import pytest
import torch
from micro_run import MicroNetwork, MicroObjective, micro_recipe
from safetensors.torch import load_file, save_file
from torch import nn

from nearfar.encoders.tiny import PRESETS, TinyEncoder
from nearfar.errors import ConfigError, WeightsError
from nearfar.tokenizers.presets import PRESETS as TOKENIZERS
from nearfar.tokenizers.vqvae import VQVAE, draw_codebook
from nearfar.train.config import ModelConfig, Recipe
from nearfar.train.frozen_parts import packaged_backbone
from nearfar.train.recipe import load_recipe, recipe_table
from nearfar.train.sources import stream
from nearfar.train.targets import (
    TrainedObjective,
    build_target,
    draw_weights,
    load_initial,
    read_initial,
)
from nearfar.weights.published import read_weights
from nearfar.weights.registry import find
from nearfar.weights.safe import sha256_of

CPU = torch.device("cpu")
RECIPES = Path(__file__).parents[2] / "recipes"


def recipe_of(tmp_path, model: ModelConfig, objective: dict | None = None) -> Recipe:
    recipe = micro_recipe(tmp_path, train={"objective": objective or {}})
    return Recipe(model=model, data=recipe.data, train=recipe.train, log=recipe.log)


def test_tiny_encoder_is_seeded_and_leaves_the_global_state(tmp_path):
    recipe = recipe_of(tmp_path, ModelConfig(kind="tiny_encoder", preset="micro"))
    before = torch.get_rng_state()
    one, two = build_target(recipe, CPU), build_target(recipe, CPU)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.network.stem[0].weight, two.network.stem[0].weight)
    image = torch.full((2, 3, 32, 48), 0.5)
    depth = one.preview(image, torch.Generator(), 4)
    assert depth.shape == (2, 32, 48) and (one.family, one.encoder) == ("tiny_encoder", "tiny")


def test_photo_encoder_starts_from_the_packaged_backbone_and_freezes_it(tmp_path):
    model = ModelConfig(kind="photo_encoder", preset="photo", backbone="efficientnet-lite2")
    recipe = micro_recipe(tmp_path, train={"frozen": ("backbone.",)})
    recipe = Recipe(model=model, data=recipe.data, train=recipe.train, log=recipe.log)
    target = build_target(recipe, CPU)
    stem = target.network.backbone.stem
    assert torch.equal(
        stem.weight.detach(), packaged_backbone("efficientnet-lite2").tensors["_conv_stem.weight"]
    )
    assert not stem.weight.requires_grad and target.network.decoder.maps.weight.requires_grad
    depth = target.preview(torch.full((1, 3, 64, 96), 0.5), torch.Generator(), 4)
    assert depth.shape == (1, 64, 96) and (target.family, target.encoder) == (
        "photo_encoder",
        "photo",
    )


@pytest.mark.parametrize(
    ("model", "objective", "words"),
    [
        (ModelConfig(kind="pdp"), {}, "model.kind: unknown kind 'pdp'"),
        (ModelConfig(kind="tiny_encoder", preset="big"), {}, "model.preset: unknown 'big'"),
        (ModelConfig(kind="ppd"), {}, "model.encoder: empty"),
        (ModelConfig(kind="tiny_encoder", preset="micro"), {"x": 1}, "train.objective.x"),
    ],
)
def test_impossible_targets(tmp_path, model, objective, words):
    with pytest.raises(ConfigError, match=words):
        build_target(recipe_of(tmp_path, model, objective), CPU)


def test_objective_holds_but_does_not_register_other_modules():
    network = MicroNetwork()
    objective = MicroObjective(network)
    objective.encoder = nn.Linear(2, 2)
    module = TrainedObjective(network, objective, dtype="fp32")
    assert {n.split(".")[0] for n, _ in module.named_parameters()} == {"network"}
    assert sum(p.numel() for p in module.parameters()) == sum(
        p.numel() for p in network.parameters()
    )


def test_initial_weights_strict_and_lenient():
    network, other = MicroNetwork(), MicroNetwork()
    state = dict(other.state_dict())
    assert load_initial(network, state, strict=True) == []
    assert torch.equal(network.conv1.weight, other.conv1.weight)
    state["conv1.weight"] = torch.zeros(8, 3, 5, 5)
    state["extra"] = torch.zeros(1)
    del state["conv2.bias"]
    with pytest.raises(WeightsError, match="3 tensors do not fit"):
        load_initial(network, state, strict=True)
    faults = load_initial(network, state, strict=False)
    assert sorted(faults) == [
        "conv1.weight: shape [8, 3, 5, 5], here [8, 3, 3, 3]",
        "conv2.bias: missing",
        "extra: not in this network",
    ]
    with pytest.raises(WeightsError, match="no tensor"):
        load_initial(network, {"extra": torch.zeros(1)}, strict=False)


def encoder_file(folder, preset: str):
    path = folder / f"{preset}.safetensors"
    metadata = {"family": "tiny_encoder", "preset": preset, "nearfar_format": "1"}
    save_file(TinyEncoder(PRESETS[preset]).state_dict(), path, metadata=metadata)
    return str(path)


def test_ppd_stands_on_the_encoder_file_of_a_run(tmp_path):
    model = ModelConfig(kind="ppd", preset="tiny", encoder=encoder_file(tmp_path, "tiny"))
    target = build_target(recipe_of(tmp_path, model, {"gradient_weight": 0.2}), CPU)
    assert target.encoder_sha256 == sha256_of(Path(model.encoder))
    assert target.encoder == "tiny" and target.objective.gradient_weight == 0.2
    frozen = target.objective.encoder
    assert not frozen.training and not any(p.requires_grad for p in frozen.parameters())
    depth = target.preview(torch.rand(1, 3, 32, 48, generator=torch.Generator()), stream(CPU, 1), 2)
    assert depth.shape == (1, 32, 48) and torch.isfinite(depth).all()


def test_ppd_refuses_an_encoder_of_other_width(tmp_path):
    model = ModelConfig(kind="ppd", preset="tiny", encoder=encoder_file(tmp_path, "micro"))
    with pytest.raises(ConfigError, match="gives semantics 48 wide, preset tiny takes 208"):
        build_target(recipe_of(tmp_path, model), CPU)


@pytest.fixture
def tokenizer(tmp_path):
    """A micro tokenizer's file."""
    network = VQVAE(TOKENIZERS["micro"])
    generator = torch.Generator().manual_seed(3)
    draw_weights(network, generator=generator)
    draw_codebook(network, generator=generator)
    metadata = {"family": "depth_tokenizer", "preset": "micro", "nearfar_format": "1"}
    path = tmp_path / "vq" / "weights.safetensors"
    path.parent.mkdir()
    save_file(network.state_dict(), path, metadata=metadata)
    return path


def test_depthart_takes_over_a_tokenizer_and_trains_the_rest(tmp_path, tokenizer):
    model = ModelConfig(kind="depthart", preset="micro", tokenizer=str(tokenizer))
    target = build_target(recipe_of(tmp_path, model, {"reconstruction_weight": 1.0}), CPU)
    network = target.network
    assert (target.family, target.encoder, target.encoder_sha256) == ("depthart", "", "")
    assert target.objective.reconstruction_weight == 1.0
    for name, tensor in load_file(tokenizer).items():
        assert torch.equal(network.tokenizer.state_dict()[name], tensor)
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"transformer"}
    image = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    depth = target.preview(image, stream(CPU, 1), 4)
    assert depth.shape == (2, 20, 24) and torch.isfinite(depth).all()

    metadata = {"family": target.family, "preset": target.preset, "nearfar_format": "1"}
    saved = tmp_path / "saved.safetensors"
    halves = {n: t.half() if t.is_floating_point() else t for n, t in network.state_dict().items()}
    save_file(halves, saved, metadata=metadata)
    assert read_weights(saved).config == network.config
    again = ModelConfig(kind="depth_var", preset="micro", tokenizer=str(saved))
    teacher = build_target(recipe_of(tmp_path, again), CPU)
    assert type(teacher.objective).__name__ == "TeacherForcing"
    codes = teacher.network.tokenizer.quantize.embedding.weight
    torch.testing.assert_close(
        codes, network.tokenizer.quantize.embedding.weight, atol=2e-3, rtol=0
    )


def test_depthart_names_what_is_wrong_with_its_tokenizer(tmp_path, tokenizer):
    def build(preset, path):
        model = ModelConfig(
            kind="depthart", preset=preset, encoder="tiny-encoder", tokenizer=str(path)
        )
        return build_target(recipe_of(tmp_path, model), CPU)

    with pytest.raises(ConfigError, match=r"model.tokenizer: empty.*depth_tokenizer.toml"):
        build("micro", "")
    with pytest.raises(WeightsError, match="no such file"):
        build("micro", tmp_path / "gone.safetensors")
    with pytest.raises(WeightsError, match="not the tokenizer of this preset"):
        build("tiny", tokenizer)


def test_a_recipe_without_a_tokenizer_keeps_its_hash(tmp_path):
    recipe = recipe_of(tmp_path, ModelConfig(kind="tiny_encoder", preset="micro"))
    assert "tokenizer" not in recipe_table(recipe)["model"]
    other = recipe_of(tmp_path, ModelConfig(kind="depthart", preset="micro", tokenizer="x"))
    assert recipe_table(other)["model"]["tokenizer"] == "x"


def test_initial_weights_may_be_a_published_var(tmp_path):
    golden = load_file(Path(__file__).parents[1] / "golden/depthart/var_l2norm.safetensors")
    var = {n.removeprefix("sd."): t for n, t in golden.items() if n.startswith("sd.")}
    var["pos_1LC"] = torch.zeros(1, 680, 96)  # the published scales; the golden ones are fewer
    var["lvl_embed.weight"] = torch.zeros(10, 96)
    torch.save({"trainer": {"var_wo_ddp": var}}, tmp_path / "ar-ckpt.pth")
    state = read_initial(tmp_path / "ar-ckpt.pth")
    assert torch.equal(state["transformer.head.weight"], var["head.weight"])
    assert not any(name.startswith("tokenizer.") for name in state)
    save_file({"a": torch.ones(1)}, tmp_path / "own.safetensors")
    assert list(read_initial(tmp_path / "own.safetensors")) == ["a"]


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("depthart", ("semantic_prefix.embed.weight",)),
        ("var_depth", ("condition.", "ladder.skip.weight")),
    ],
)
def test_photo_recipes_start_from_the_embedded_model_on_another_encoder(name, new):
    recipe = load_recipe(RECIPES / f"{name}_photo.toml")
    target = build_target(recipe, CPU)
    state = read_initial(Path(recipe.train.init_from))
    faults = load_initial(target.network, state, strict=False)
    assert target.encoder == "photo"
    assert all(fault.startswith(new) and "shape" in fault for fault in faults)
    tokenizer = target.network.tokenizer.state_dict()
    assert all(torch.equal(t, state[f"tokenizer.{n}"].to(t)) for n, t in tokenizer.items())


def test_the_photo_recipe_of_dar_freezes_the_embedded_encoder():
    target = build_target(load_recipe(RECIPES / "dar_photo.toml"), CPU)
    assert target.encoder_sha256 == find("photo-encoder").sha256
    trained = {name for name, p in target.network.named_parameters() if p.requires_grad}
    assert trained and not any(name.startswith("encoder.backbone.") for name in trained)


def test_dar_starts_from_the_encoder_file_and_freezes_it_on_demand(tmp_path):
    model = ModelConfig(kind="dar", preset="tiny", encoder=encoder_file(tmp_path, "tiny"))
    target = build_target(recipe_of(tmp_path, model, {"freeze_encoder": True}), CPU)
    given = load_file(model.encoder)
    backbone = target.network.encoder.backbone
    assert all(torch.equal(t, given[n]) for n, t in backbone.state_dict().items())
    assert not any(p.requires_grad for p in backbone.parameters())
    assert (target.family, target.encoder) == ("dar", "")
    assert target.encoder_sha256 == sha256_of(Path(model.encoder))
    depth = target.preview(torch.rand(1, 3, 40, 48, generator=stream(CPU, 0)), stream(CPU, 1), 4)
    assert depth.shape == (1, 40, 48) and (depth > 0).all()


def test_dar_warns_of_a_random_encoder_and_refuses_another(tmp_path, caplog):
    target = build_target(recipe_of(tmp_path, ModelConfig(kind="dar", preset="tiny")), CPU)
    assert "random weights" in caplog.text and target.encoder_sha256 == ""
    model = ModelConfig(kind="dar", preset="tiny", encoder=encoder_file(tmp_path, "micro"))
    with pytest.raises(ConfigError, match="Preset tiny takes TinyEncoderConfig"):
        build_target(recipe_of(tmp_path, model), CPU)
