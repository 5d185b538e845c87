"""The video encoder: starts as the tiny one, sees across frames, keeps the scale between frames."""

import pytest
import torch

from nearfar.encoders.base import JointClipEncoder
from nearfar.encoders.tiny import TinyEncoder
from nearfar.encoders.tiny_video import PRESETS, TinyVideoConfig, TinyVideoEncoder, leveled
from nearfar.errors import ConfigError


@pytest.fixture
def learned(started):
    """A network whose blocks and heads do something."""
    network = started
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if not name.startswith("stem."):
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.2)
    return network.eval().requires_grad_(False)


def test_untrained_it_is_the_tiny_encoder_on_one_level(started, stem, clip):
    network, photo = started.eval().requires_grad_(False), stem
    found, guess = network.clip_both(clip)
    expected = photo.metric(clip.flatten(0, 1))
    factor = guess.depth_BHW / expected.depth_BHW
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
    assert factor[0, 0, 0] != 1 and (factor[:3, 0, 0].log().sum().abs()) < 1e-5
    out, level = leveled(photo(clip.flatten(0, 1)), frames=3)
    means = out.coarse_B1HW.mean(dim=(1, 2, 3))
    torch.testing.assert_close(means, means[[0, 0, 0, 3, 3, 3]])
    torch.testing.assert_close(level.exp(), 1 / factor[:, 0, 0])
    assert torch.equal(guess.fov_x_deg_B, expected.fov_x_deg_B)
    one = network.clip_both(clip[:, :1]).guess.depth_BHW
    torch.testing.assert_close(one, expected.depth_BHW[[0, 3]])
    alone = network.clip_semantics(clip[:, :1])[:, 0]
    torch.testing.assert_close(alone, photo.semantics(clip[:, 0]))
    assert found.shape == (2, 3, 4 * 6, photo.width) and network.width == photo.width
    assert isinstance(network, JointClipEncoder)


def test_frames_see_each_other_but_clips_do_not(learned, clip):
    network = learned
    whole = network.clip_semantics(clip)
    torch.testing.assert_close(network.clip_semantics(clip[1:]), whole[1:], atol=1e-4, rtol=1e-4)
    changed = clip.clone()
    changed[0, 2] = 1 - changed[0, 2]
    other = network.clip_semantics(changed)
    assert (other[0, 0] - whole[0, 0])[:, -16:].abs().max() > 1e-3
    assert torch.equal(other[0, 0, :, :-16], whole[0, 0, :, :-16])  # tokens are the stem's
    torch.testing.assert_close(other[1], whole[1], atol=1e-4, rtol=1e-4)


def test_depth_in_semantics_keeps_the_scale_between_frames(stem, clip):
    out = stem(clip[0])
    nearer = out._replace(
        coarse_B1HW=out.coarse_B1HW - torch.tensor([2.0, 0, 0])[:, None, None, None]
    )
    cells = slice(-16, None)
    single = TinyEncoder.meaning(nearer, size_hw=(32, 48))
    together = TinyEncoder.meaning(nearer, size_hw=(32, 48), frames=3)
    assert single[0, :, cells].mean().abs() < 0.3
    assert together[0, :, cells].mean() < together[1, :, cells].mean() - 1


def test_stem_is_frozen_and_stays_in_eval_mode(started, clip):
    network = started.train()
    assert network.training and not network.stem.training
    assert not any(weight.requires_grad for weight in network.stem.parameters())
    before = {n: t.clone() for n, t in network.stem.state_dict().items()}
    network(clip).log_depth_BHW.sum().backward()
    assert all(torch.equal(t, before[n]) for n, t in network.stem.state_dict().items())
    assert network.scale.weight.grad.abs().sum() > 0


def test_tiny_is_small_enough_to_be_embedded():
    with torch.device("meta"):
        network = TinyVideoEncoder(PRESETS["tiny"])
    new = sum(w.numel() for n, w in network.named_parameters() if not n.startswith("stem."))
    assert 1e6 < new < 1.3e6
    assert sum(t.numel() for t in network.state_dict().values()) < 6.2e6
    with pytest.raises(ConfigError, match="positive"):
        TinyVideoConfig(pairs=0)
