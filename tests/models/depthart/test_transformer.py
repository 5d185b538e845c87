"""VAR in both variants equals the golden logits; float32 islands; places of tokens."""

import copy

import pytest
import torch

from nearfar.models.depthart.sample import teacher_forced_logits


@pytest.mark.parametrize("name", ["var_l2norm", "var_shared"])
def test_teacher_forced_logits_equal_golden(networks, golden, name):
    network, io = networks[name], golden(name)
    nothing = torch.full_like(io["in.label"], network.transformer.unconditional)
    for label, key in ((io["in.label"], "tf_logits"), (nothing, "tf_logits_uncond")):
        logits = teacher_forced_logits(network, label, io["in.tf_input"])
        torch.testing.assert_close(logits, io[f"out.{key}"], atol=1e-4, rtol=0)


def test_variants_are_what_the_keys_say(networks):
    l2, shared = (networks[n].transformer for n in ("var_l2norm", "var_shared"))
    assert l2.layers[0].attn.scale_mul_1H11.shape == (1, 3, 1, 1)
    assert l2.shared_ada_lin is None and l2.layers[0].ada_lin is not None
    assert shared.layers[0].attn.scale_mul_1H11 is None and shared.layers[0].ada_lin is None
    assert shared.layers[0].ada_gss.shape == (1, 1, 6, 64) and shared.shared_ada_lin is not None


def test_logit_scale_is_capped(networks, golden):
    network, io = copy.deepcopy(networks["var_l2norm"]), golden("var_l2norm")
    outs = []
    for value in (4.6052, 9.0):
        for layer in network.transformer.layers:
            layer.attn.scale_mul_1H11.fill_(value)
        outs.append(teacher_forced_logits(network, io["in.label"], io["in.tf_input"]))
    torch.testing.assert_close(*outs, atol=1e-4, rtol=0)


def test_bfloat16_matrices_and_autocast_stay_close(networks, golden):
    io = golden("var_l2norm")
    args = io["in.label"], io["in.tf_input"]
    low = copy.deepcopy(networks["var_l2norm"]).cast(torch.bfloat16)
    assert low.transformer.head.weight.dtype == torch.float32
    assert low.transformer.layers[0].attn.scale_mul_1H11.dtype == torch.float32
    assert low.transformer.matrix_dtype == torch.bfloat16
    cast = teacher_forced_logits(low, *args)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        auto = teacher_forced_logits(networks["var_l2norm"], *args)
        assert networks["var_l2norm"].transformer.matrix_dtype == torch.bfloat16
    for out in (cast, auto):
        assert out.dtype == torch.float32
        error = (out - io["out.tf_logits"]).square().mean().sqrt()
        assert 0 < error < 0.03 * io["out.tf_logits"].std()


def test_places_are_level_and_position(networks):
    transformer = networks["depthart"].transformer
    vectors = torch.zeros(1, 9, 8)
    tokens = transformer.embed(vectors, first=5)
    expected = transformer.word_embed.bias + transformer.lvl_embed.weight[2]
    torch.testing.assert_close(tokens[0], expected + transformer.pos_1LC[0, 5:14])
