"""Patches, the 2x2 expansion and its order, and the way back to pixels."""

import torch

from nearfar.layers.patch import PatchEmbed, expand_tokens, unpatchify


def test_tokens_are_row_major_and_contiguous():
    embed = PatchEmbed(1, 3, patch_size=4)
    torch.nn.init.constant_(embed.proj.weight, 1 / 16)
    torch.nn.init.zeros_(embed.proj.bias)
    image = torch.arange(6.0).view(2, 3).repeat_interleave(4, 0).repeat_interleave(4, 1)
    tokens = embed(image[None, None])
    assert tokens.is_contiguous()
    assert torch.equal(tokens[0, :, 0], torch.arange(6.0))


def test_expansion_reads_dy_dx_then_channel():
    h, w, width = 2, 3, 5
    tokens = torch.arange(h * w * 4 * width).view(1, h * w, 4 * width)
    fine = expand_tokens(tokens, grid_hw=(h, w))
    assert fine.shape == (1, 4 * h * w, width) and fine.is_contiguous()
    for r, q, dy, dx in [(0, 0, 0, 1), (1, 2, 1, 0), (1, 1, 1, 1)]:
        part = tokens[0, r * w + q].view(4, width)[dy * 2 + dx]
        assert torch.equal(fine[0, (2 * r + dy) * 2 * w + 2 * q + dx], part)


def test_unpatchify_inverts_the_patches():
    map_HW = torch.arange(4 * 6.0).view(4, 6)
    tokens = map_HW.view(2, 2, 3, 2).permute(0, 2, 1, 3).reshape(1, 6, 4)
    assert torch.equal(unpatchify(tokens, grid_hw=(2, 3), patch_size=2)[0, 0], map_HW)
