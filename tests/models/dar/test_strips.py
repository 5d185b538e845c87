"""CutDepth shows depth in a strip, in grey, without overflow; cut flip rolls photo and depth."""

import torch

from nearfar.models.dar.strips import cut_depth, cut_flip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_strips_hold_depth_over_far():
    image = torch.rand(64, 3, 8, 40, generator=generator(1)) * 0.1 + 0.8
    depth = torch.rand(64, 8, 40, generator=generator(2)) * 6
    out = cut_depth(image, depth, far=10.0, chance=1.0, generator=generator())
    changed = (out != image).any(dim=1).any(dim=1)  # [B,W]
    expected = (depth / 10)[:, None].expand_as(image)
    kept = changed[:, None, None].expand_as(image)
    assert torch.allclose(out[kept], expected[kept])
    assert torch.equal(out[~kept], image[~kept])
    width = changed.sum(dim=1)
    assert (width >= 1).all() and width.float().mean() < 0.5 * 40 and width.unique().numel() > 8
    edges = changed.float().diff(dim=1, prepend=torch.zeros(64, 1)).abs().sum(dim=1)
    assert (edges <= 2).all()  # one strip, full height


def test_metres_beyond_far_are_white_and_unknown_is_black():
    image, depth = torch.full((1, 3, 4, 9), 0.5), torch.full((1, 4, 9), 70.0)
    depth[:, 2] = 0
    out = cut_depth(image, depth, far=10.0, chance=1.0, generator=generator(3))
    values = {v for v in out.unique().tolist()}
    assert values == {0.0, 0.5, 1.0}


def test_chance_and_generator():
    image, depth = torch.full((200, 3, 2, 8), 0.9), torch.ones(200, 2, 8)
    out = cut_depth(image, depth, far=10.0, chance=0.25, generator=generator())
    share = (out != image).flatten(1).any(dim=1).float().mean()
    assert 0.15 < share < 0.35
    again = cut_depth(image, depth, far=10.0, chance=0.25, generator=generator())
    assert torch.equal(out, again)
    assert torch.equal(image, cut_depth(image, depth, far=10.0, chance=0.0, generator=generator()))


def test_flipped_rows_keep_photo_and_depth_together():
    rows = torch.arange(20.0)
    image = rows[None, None, :, None].expand(50, 3, 20, 4)
    depth = rows[None, :, None].expand(50, 20, 4)
    out = cut_flip(image, depth, depth > 4, chance=0.5, generator=generator())
    assert torch.equal(out.image_B3HW[:, 0], out.depth_BHW)
    assert torch.equal(out.valid_BHW, out.depth_BHW > 4)
    start = out.depth_BHW[:, 0, 0]
    moved = start > 0
    assert 10 < moved.sum() < 40 and (start[moved] >= 4).all() and (start[moved] < 16).all()
    assert torch.equal(out.depth_BHW.sort(dim=1).values, depth)
