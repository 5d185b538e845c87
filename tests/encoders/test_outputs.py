import math

import pytest
import torch

from nearfar.encoders.outputs import EncoderOutput, metric_guess, resized, semantic_vectors


def output(count=2, size=(8, 12)):
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand(count, *size, generator=generator)
    tokens = torch.rand(count, 6, 5, generator=generator)
    return EncoderOutput(
        depth, torch.full_like(depth, -1.0), torch.zeros(count), tokens, depth[:, None], (2, 3)
    )


def test_metres_sky_and_camera_come_from_their_maps():
    out = output()
    out.sky_logit_BHW[:, :4] = 5.0
    guess = metric_guess(out, size_hw=(8, 12))
    torch.testing.assert_close(guess.depth_BHW, out.log_depth_BHW.exp())
    assert not guess.valid_BHW[:, :4].any() and guess.valid_BHW[:, 4:].all()
    assert guess.fov_x_deg_B.tolist() == pytest.approx([90.0, 90.0])


def test_semantics_hold_tokens_and_standardized_depth():
    found = semantic_vectors(output(), size_hw=(16, 24), stride=8)
    assert found.shape == (2, 6, 5 + 16)
    torch.testing.assert_close(found[..., :5], output().tokens_BLD)
    depth = found[..., 5:] / 2
    assert depth.mean().item() == pytest.approx(0, abs=1e-5)
    assert depth[0].std().item() == pytest.approx(1, abs=1e-4)


def test_frames_of_a_clip_keep_their_common_level():
    out = output()
    nearer = out._replace(
        coarse_B1HW=out.coarse_B1HW + torch.tensor([0.0, math.log(4)])[:, None, None, None]
    )
    apart = semantic_vectors(nearer, size_hw=(16, 24), stride=8)
    together = semantic_vectors(nearer, size_hw=(16, 24), stride=8, frames=2)
    torch.testing.assert_close(apart, semantic_vectors(out, size_hw=(16, 24), stride=8))
    assert (together[1, :, 5:].mean() - together[0, :, 5:].mean()) > 1


def test_a_map_of_the_wanted_size_is_not_touched():
    x = torch.rand(1, 1, 4, 4)
    assert resized(x, (4, 4)) is x and resized(x, (8, 8)).shape == (1, 1, 8, 8)
