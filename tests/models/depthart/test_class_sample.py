"""Class-conditional VAR: greedy with and without guidance, and a replayed draw, equal golden."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.depthart.class_sample import sample_classes
from nearfar.models.depthart.fold import fold_modulation

TOLERANCE = {"atol": 1e-4, "rtol": 0}


def images(network, f_hat):
    return (network.tokenizer.decode(f_hat) + 1) / 2


@pytest.mark.parametrize("name", ["var_l2norm", "var_shared"])
@pytest.mark.parametrize(("key", "guidance"), [("greedy_cfg", 1.5), ("greedy_nocfg", 0.0)])
def test_greedy_equals_golden(networks, golden, watch, name, key, guidance):
    network, io, seen = networks[name], golden(name), watch()
    f_hat = sample_classes(
        network, io["in.label"], guidance_scale=guidance, choose=seen, generators=[]
    )
    for scale in range(4):
        assert torch.equal(seen.indices[scale], io[f"out.{key}.idx.{scale}"])
        if guidance:
            expected = io[f"out.{key}.logits.{scale}"]
            torch.testing.assert_close(seen.logits[scale], expected, **TOLERANCE)
    if guidance:
        torch.testing.assert_close(images(network, f_hat), io[f"out.{key}.image01"], **TOLERANCE)


@pytest.mark.parametrize("name", ["var_l2norm", "var_shared"])
def test_replayed_sample_equals_golden(networks, golden, feed, name):
    network, io = networks[name], golden(name)
    seen = feed([io[f"out.sample.idx.{scale}"] for scale in range(4)])
    f_hat = sample_classes(network, io["in.label"], guidance_scale=3.0, choose=seen, generators=[])
    for scale in range(4):
        expected = io[f"out.sample.logits.{scale}"]
        torch.testing.assert_close(seen.logits[scale], expected, **TOLERANCE)
    torch.testing.assert_close(images(network, f_hat), io["out.sample.image01"], **TOLERANCE)


def test_folded_networks_know_no_classes(networks, golden, watch):
    folded = fold_modulation(networks["var_shared"])
    with pytest.raises(ConfigError, match="knows no classes"):
        sample_classes(folded, torch.tensor([3]), guidance_scale=0.0, choose=watch(), generators=[])
