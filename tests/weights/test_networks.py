"""Configs from metadata, networks without memory, and tensors that must fit by name and shape."""

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest
import torch
from micro_weights import MOGE, own_metadata, ppd_config

from nearfar.encoders.moge2_config import PRESETS as MOGE2_PRESETS
from nearfar.errors import WeightsError
from nearfar.models.ppd.presets import PRESETS as PPD_PRESETS
from nearfar.weights.families import NETWORKS
from nearfar.weights.networks import (
    build,
    config_from_metadata,
    fill,
    fitting,
    preset_of,
    require_fit,
)


@pytest.mark.parametrize("family", NETWORKS)
def test_every_preset_survives_its_metadata(family):
    for name, config in NETWORKS[family].presets.items():
        text = json.dumps(asdict(config))
        found = config_from_metadata({"family": family, "config": text}, "x")
        assert found == config
        assert config_from_metadata({"family": family, "preset": name}, "x") == config
        assert preset_of(family, config) == name


def test_nested_and_absent_parts():
    assert MOGE2_PRESETS["vitl"].neck is not None
    text = json.dumps(asdict(MOGE))
    assert config_from_metadata({"family": "moge2", "config": text}, "x") == MOGE
    assert preset_of("moge2", MOGE) == "custom"


def test_full_size_ppd_has_the_spec_count():
    network = build("ppd", PPD_PRESETS["large"])
    assert sum(p.numel() for p in network.parameters()) == 499_842_112
    assert len(network.state_dict()) == 352
    assert all(p.is_meta for p in network.parameters())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"family": "pixel"}, "unknown family 'pixel'"),
        ({"family": "ppd", "preset": "huge"}, "unknown preset 'huge'. Known: large, tiny"),
        ({"family": "ppd", "config": "{"}, "does not fit this version"),
        ({"family": "ppd", "config": '{"width": 0}'}, "does not fit this version"),
        ({"family": "ppd", "config": '{"color": 1}'}, "config: color: unknown key"),
        ({"family": "ppd", "config": '{"depth": 1000000000}'}, "beyond any size of a network"),
        ({"family": "ppd", "config": '{"width": "wide"}'}, "'wide' is text. It must be a whole"),
        ({"family": "ppd", "config": '{"heads": 0}'}, "does not fit this version"),
        ({"family": "ppd", "config": '{"mlp_ratio": Infinity}'}, "does not fit this version"),
        ({"family": "ppd", "config": '{"mlp_ratio": 1e999}'}, "does not fit this version"),
        ({"family": "ppd", "config": "3"}, "not a table"),
        ({"family": "ppd", "config": '{"width": ' + "[" * 9000}, "does not fit this version"),
        ({"family": "ppd", "config": '{"width": {"a": 1}}'}, "does not fit this version"),
        ({"family": "moge2", "config": '{"trunk": 3}'}, "does not fit this version"),
    ],
)
def test_impossible_metadata_are_named(metadata, message):
    with pytest.raises(WeightsError, match=message) as caught:
        config_from_metadata(metadata, "file.safetensors")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("family", NETWORKS)
def test_no_value_of_a_config_can_do_harm(family):
    """Each number, text and list of each kind's config made absurd: refused, or built, at once."""
    preset = next(iter(NETWORKS[family].presets.values()))
    table = json.loads(json.dumps(asdict(preset)))
    for key in table:
        for absurd in (None, -1, 0, 10**6, "x", [0], {"depth": 9}):
            text = json.dumps(table | {key: absurd})
            with contextlib.suppress(WeightsError):
                config = config_from_metadata({"family": family, "config": text}, "x")
                fitting(family, config, {"w": torch.zeros(1)}, "x")


def test_a_network_larger_than_its_file_is_given_up_at_once(ppd):
    config = replace(ppd_config(), depth=900_000)
    start = time.process_time()
    with pytest.raises(WeightsError, match="network with far more"):
        fitting("ppd", config, dict(ppd.state_dict()), "x")
    assert time.process_time() - start < 10


def test_networks_without_memory_import_no_compiler():
    program = (
        "import sys\nfrom nearfar.weights.families import NETWORKS\n"
        "from nearfar.weights.networks import build\n"
        "for name in ('depthart', 'var_depth', 'dar', 'ppd'):\n"
        "    build(name, NETWORKS[name].presets['tiny'])\n"
        "print('torch._dynamo' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_misfits_are_named_and_counted(ppd):
    state = dict(ppd.state_dict())
    network = build("ppd", ppd_config())
    require_fit(network, state, "x")
    del state["blocks.1.attn.qkv.bias"], state["t_embedder.mlp.0.bias"]
    state["color"] = torch.zeros(2)
    state["final_layer.linear.bias"] = torch.zeros(3)
    with pytest.raises(WeightsError) as caught:
        require_fit(network, state, "x.pth", remedy="Do this")
    message = str(caught.value)
    assert f"{len(ppd.state_dict())} tensors expected" in message
    assert "2 missing (t_embedder.mlp.0.bias, blocks.1.attn.qkv.bias)" in message
    assert "1 unexpected (color)" in message
    assert "1 of other shape (final_layer.linear.bias [3] for [16])" in message
    assert message.startswith("x.pth: ") and message.endswith("Do this")


def test_filled_networks_own_the_tensors_and_are_frozen(ppd, tiny):
    state = ppd.state_dict()
    network = fill(build("ppd", ppd_config()), state)
    own = network.x_embedder.proj.weight
    assert own.data_ptr() == state["x_embedder.proj.weight"].data_ptr()  # no copy
    assert not own.requires_grad and not network.training
    again = fill(build("tiny_encoder", tiny.config), tiny.state_dict())
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.semantics(image), tiny.semantics(image))
    assert config_from_metadata(own_metadata("tiny_encoder", "tiny"), "x") == tiny.config
