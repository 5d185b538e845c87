"""The PPVD transformer equals the golden vectors; what sees across frames, and what does not."""

import copy
from dataclasses import replace

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.ppd.network import new_network
from nearfar.models.ppd.presets import TINY, VIDEO, VIDEO_TINY
from nearfar.models.ppd.video_network import PPDVideoNetwork, new_video_network, sine_table

SMALL = replace(
    VIDEO_TINY, width=32, depth=4, heads=2, semantics_width=8, temporal_before=(3,),
    reference_from=3, grid_hw=(4, 6),
)  # fmt: skip


def close(actual, expected, tolerance=2e-5):  # the sinusoid's last bit, see test_network.py
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def run(network, io, frames=16, **options):
    x, semantics = io["x"][:frames], io["semantics"][:frames]
    with torch.no_grad():
        return network(x[:, :1], x[:, 1:] + 0.5, semantics, timestep=io["timestep"], **options)


def drawn(config, seed=0):
    """A network whose every weight is random, so that no branch is the identity."""
    generator = torch.Generator().manual_seed(seed)
    network = new_video_network(config, generator=generator)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name != "pos_embed":
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.05)
    return network.eval().requires_grad_(False)


def inputs(frames, size_hw=(32, 48), width=8):
    generator = torch.Generator().manual_seed(1)
    tokens = size_hw[0] * size_hw[1] // 64
    return (
        torch.randn(frames, 1, *size_hw, generator=generator),
        torch.rand(frames, 3, *size_hw, generator=generator),
        torch.randn(frames, tokens, width, generator=generator),
    )


def test_output_and_intermediates_equal_golden(golden_video_network, golden):
    io, seen = golden("dit_video_tiny_io"), {}
    network = copy.deepcopy(golden_video_network)
    for index in (11, 12, 17, 18, 20, 21, 23):
        network.blocks[index].register_forward_hook(
            lambda _m, a, out, i=index: seen.update(
                {f"frame5.block{i}_in": a[0][5], f"frame5.block{i}_out": out[5]}
            )
        )
    for index, block in enumerate(network.temporal_blocks):
        block.register_forward_hook(
            lambda _m, _a, out, i=index: seen.update({f"token7.temporal{i}_out": out[7]})
        )
    close(run(network, io), io["out"])
    stages = [key for key in io if key.startswith(("frame5", "token7"))]
    assert len(stages) == 12
    for key in stages:
        close(seen[key], io[key])


def test_paper_scale_has_the_published_sizes():
    with torch.device("meta"):
        network = PPDVideoNetwork(VIDEO)
    state = network.state_dict()
    assert len(state) == 395
    assert sum(tensor.numel() for tensor in state.values()) == 561_754_944
    assert state["pos_embed"].shape == (1, 1024, 1024)
    assert state["proj_fusion.0.weight"].shape == (4096, 3072)
    assert not network.pos_embed.requires_grad


def test_fresh_table_is_the_stored_one(golden_video_network):
    fresh = new_video_network(golden_video_network.config, generator=torch.Generator())
    close(fresh.pos_embed, golden_video_network.pos_embed, 1e-6)


def test_table_between_is_the_table_at_the_trained_size():
    same = sine_table((4, 6), width=32, trained_hw=(4, 6))
    assert torch.equal(same, sine_table((4, 6), width=32))
    double = sine_table((8, 6), width=32, trained_hw=(4, 6)).unflatten(1, (8, 6))
    single = same.unflatten(1, (4, 6))
    assert torch.equal(double[..., :16], single[:, :1, :, :16].expand(-1, 8, -1, -1))  # columns
    # rows of the doubled grid lie a quarter before and behind those of the trained one
    assert torch.allclose(double[0, 1, 0, 16], torch.tensor(0.25).sin())


def test_other_frame_shapes_run_and_the_trained_one_is_untouched(golden_video_network, golden):
    io = golden("dit_video_tiny_io")
    narrow = {"x": io["x"][..., :80], "semantics": io["semantics"][:, :20]}
    out = run(golden_video_network, narrow | {"timestep": io["timestep"]}, frames=3)
    assert out.shape == (3, 1, 64, 80) and torch.isfinite(out).all()
    table = golden_video_network.position_table((4, 6))
    assert table.data_ptr() == golden_video_network.pos_embed.data_ptr()


def test_several_windows_in_a_batch_equal_each_alone():
    network, (latent, image, semantics) = drawn(SMALL), inputs(8)
    timestep = torch.tensor([300] * 4 + [800] * 4)
    both = network(latent, image, semantics, timestep=timestep, frames=4)
    for part, time in ((slice(0, 4), 300), (slice(4, 8), 800)):
        alone = network(latent[part], image[part], semantics[part], timestep=time)
        close(both[part], alone)
    with pytest.raises(ConfigError, match="8 frames are no windows of 3"):
        network(latent, image, semantics, timestep=300, frames=3)


def test_frames_reach_each_other_by_temporal_blocks_and_by_references():
    (latent, image, semantics), changed = inputs(6), 5
    other = image.clone()
    other[changed] = 1 - other[changed]
    bare = replace(SMALL, temporal_before=(), reference_from=4)
    for config, reached in (
        (bare, {changed}),
        (replace(bare, temporal_before=(3,)), set(range(6))),
        (replace(bare, reference_from=3), {changed}),  # frame 5 is no reference
    ):
        network = drawn(config)
        before = network(latent, image, semantics, timestep=500)
        after = network(latent, other, semantics, timestep=500)
        moved = {i for i in range(6) if not torch.allclose(before[i], after[i], atol=1e-6)}
        assert moved == reached
    first = image.clone()
    first[1] = 1 - first[1]
    network = drawn(replace(bare, reference_from=3))
    before = network(latent, image, semantics, timestep=500)
    after = network(latent, first, semantics, timestep=500)
    assert all(not torch.allclose(before[i], after[i], atol=1e-6) for i in range(6))


def test_tiny_starts_as_the_image_network():
    generator = torch.Generator().manual_seed(3)
    image_network = new_network(TINY, generator=generator)
    with torch.no_grad():
        for weight in image_network.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.02)
    bare = replace(VIDEO_TINY, reference_from=VIDEO_TINY.depth)
    network = new_video_network(bare, generator=generator)
    left = network.load_state_dict(image_network.state_dict(), strict=False)
    assert all(name.startswith("temporal_blocks.") for name in left.missing_keys)
    assert not left.unexpected_keys
    latent, image, semantics = inputs(3, (32, 48), width=208)
    with torch.no_grad():
        close(
            network(latent, image, semantics, timestep=500),
            image_network(latent, image, semantics, timestep=500),
        )
        fresh = new_video_network(VIDEO_TINY, generator=generator)
        assert not fresh(latent, image, semantics, timestep=500).any()
