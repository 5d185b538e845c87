"""Folding changes no result, shares the other tensors and drops a third of a block."""

import pytest
import torch

from nearfar.models.depthart.fold import fold_modulation


@pytest.mark.parametrize("name", ["depthart", "var_l2norm", "var_shared"])
def test_folded_equals_whole(networks, golden, name):
    whole = networks[name]
    folded = fold_modulation(whole)
    image = golden("depthart")["in.image01"]
    photo = whole.photo_vectors(image, None)
    inputs = torch.linspace(-1, 1, 2 * 29 * 8).view(2, 29, 8)
    expected = whole.masked_logits(photo, inputs, detach_inputs=False)
    found = folded.masked_logits(photo, inputs, detach_inputs=False)
    assert torch.equal(found, expected)
    assert folded.config.modulation == "constant" and folded.config.classes == 0
    assert not any("ada_lin" in key for key in folded.state_dict())
    mine, theirs = folded.transformer.layers[0], whole.transformer.layers[0]
    assert mine.ffn.fc1.weight.data_ptr() == theirs.ffn.fc1.weight.data_ptr()
    assert fold_modulation(folded) is folded


def test_a_third_of_a_block_is_gone(networks):
    def size(network):
        return sum(p.numel() for p in network.transformer.layers[0].parameters())

    whole = networks["depthart"]
    assert abs(size(fold_modulation(whole)) / size(whole) - 2 / 3) < 0.01
