"""benchmarks/claims/video.py on an invented clip: what is steady, what an arm is, budgets kept."""

import argparse
import sys

import numpy as np
import pytest
import torch
from source_tree import ROOT

from nearfar.data.sample import DepthBatch
from nearfar.encoders.base import FrameByFrame
from nearfar.encoders.tiny_video import TinyVideoConfig, TinyVideoEncoder, start_from_stem
from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.train.targets import draw_weights
from nearfar.weights.load import load_encoder

FRAMES, SIZE = 4, (32, 48)
OPTIONS = argparse.Namespace(seconds=0.2, steps=1, dtype="fp32")


@pytest.fixture(scope="module")
def claims():
    """The claims and their parts, imported as the command imports them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from claims import training, video, video_clips
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return video, video_clips, training


@pytest.fixture(scope="module")
def encoders(claims):
    """The tiny encoder frame by frame, and one of clips that starts from it."""
    stem = load_encoder("tiny-encoder")
    with torch.random.fork_rng(devices=[]):
        video = TinyVideoEncoder(TinyVideoConfig())
    draw_weights(video, generator=seeded(1))
    start_from_stem(video, stem.state_dict(), generator=seeded(2))
    with torch.no_grad():
        video.scale.weight.normal_(std=0.1, generator=seeded(3))  # it says something of its own
    return claims[1].Encoders(FrameByFrame(stem), video.eval().requires_grad_(False))


@pytest.fixture(scope="module")
def drawn(claims):
    """Two clips of a camera that walks towards a wall with a nearer half: exact depth and poses."""
    depth = torch.full((2, FRAMES, *SIZE), 6.0)
    depth[:, :, :, : SIZE[1] // 2] = 4.0
    depth -= 0.2 * torch.arange(FRAMES)[None, :, None, None]
    depth[1] *= 2
    valid = torch.ones(depth.shape, dtype=torch.bool)
    image = torch.rand(2, FRAMES, 3, *SIZE, generator=seeded(0))
    poses = np.tile(np.eye(4), (2, FRAMES, 1, 1))
    poses[0, :, 2, 3] = 0.2 * np.arange(FRAMES)
    poses[1, :, 2, 3] = 0.4 * np.arange(FRAMES)
    intrinsics = np.stack([intrinsics_from_fov(60.0, SIZE)] * 2)
    batch = DepthBatch(image, depth, valid, ~valid, torch.full((2,), 60.0))
    return batch, claims[1].Cameras(intrinsics, poses)


@pytest.fixture(scope="module")
def clips(claims, encoders, drawn):
    batch, cameras = drawn
    return claims[1].seen(batch, encoders, size_hw=SIZE, cameras=cameras)


def seeded(number):
    return torch.Generator().manual_seed(number)


def test_truth_is_perfect_and_what_flickers_is_told(claims, clips):
    data = claims[1]
    assert clips.count == 2 and clips.frames == FRAMES
    log_depth = torch.log1p(clips.depth_NTHW)
    exact = data.scores(log_depth, clips)
    assert exact["abs_rel"] < 1e-6 and exact["change"] < 1e-4 and exact["scale_spread"] < 1e-6
    steady = log_depth + 0.05 * torch.rand(1, 1, *SIZE, generator=seeded(3))
    flickering = log_depth + 0.05 * torch.rand(log_depth.shape, generator=seeded(3))
    calm, wild = (data.scores(depth, clips) for depth in (steady, flickering))
    assert wild["abs_rel"] == pytest.approx(calm["abs_rel"], rel=0.15)
    assert wild["change"] > 1.3 * calm["change"] > 0
    jumping = log_depth * torch.tensor([1, 1.2, 1, 1.2])[:, None, None]
    jumps = data.scores(jumping, clips)
    assert jumps["scale_spread"] > 0.05 and jumps["change"] > 5


def test_only_the_same_place_of_the_scene_is_compared(claims, drawn):
    data, (batch, cameras) = claims[1], drawn
    truth = batch.depth_BHW[0].double().numpy()
    valid = np.ones(truth.shape, bool)
    args = (cameras.intrinsics_N33[0], cameras.poses_NT44[0])
    moved = truth.copy()
    moved[1:, 10:20, 30:40] = 2.0  # a thing comes in and goes with the camera
    factor = np.array([1, 1.1, 1, 1.1])[:, None, None]
    wrong = np.where(moved == 2.0, 2.0 * factor, moved)
    assert data.change_along_motion(wrong, moved, valid, *args) == 0
    stands = moved.copy()
    stands[:, 10:20, 30:40] = 2.0 - 0.2 * np.arange(FRAMES)[:, None, None]
    wrong = np.where(stands < 2.5, stands * factor, stands)
    assert data.change_along_motion(wrong, stands, valid, *args) > 0.001
    assert data.change_along_motion(truth * factor, truth, valid, *args) == pytest.approx(
        np.log(1.1)
    )
    assert np.isnan(data.change_along_motion(truth, truth, ~valid, *args))


def test_ranges_and_semantics_of_single_frames_and_of_clips(clips):
    each, whole = clips.frame_range.clean_B1HW, clips.clip_range.clean_B1HW
    assert each.shape == whole.shape == (2, FRAMES, 1, *SIZE)
    assert each[0, 0].max() == pytest.approx(0.5) and each[0, -1].max() == pytest.approx(0.5)
    assert whole[0, 0].max() > whole[0, -1].max() + 0.1  # the wall comes nearer
    assert clips.photo_NTLD.shape == clips.clip_NTLD.shape == (2, FRAMES, 24, 208)
    assert (clips.photo_NTLD - clips.clip_NTLD).abs().max() > 0.01


def test_every_arm_starts_from_one_image_network_and_adds_one_part(claims):
    module = claims[0]
    names = list(module.ARMS)
    assert names == ["per frame", "one range", "temporal", "references", "semantics", "one noise"]
    assert len(set(module.ARMS.values())) == len(names)
    bare = module.started(module.ALONE, generator=seeded(0)).eval()
    blocks = module.started(module.TEMPORAL_ONLY, generator=seeded(0)).eval()
    inputs = torch.randn(2, 1, *SIZE), torch.rand(2, 3, *SIZE), torch.randn(2, 24, 208)
    with torch.no_grad():
        expected = bare(*inputs, timestep=1000)
        torch.testing.assert_close(blocks(*inputs, timestep=1000), expected)
    assert expected.abs().mean() > 0.1 and len(blocks.temporal_blocks) == 2


def test_fresh_parts_keep_the_whole_rate(claims):
    module, training = claims[0], claims[2]
    network = module.started(module.TEMPORAL_ONLY, generator=seeded(0))
    optimizer = training.make_optimizer(network, adamw=module.ADAMW, share=0.1, fresh=module.FRESH)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(network.named_parameters())
    assert len(rates) == len(named)
    whole, share = training.MUON_RATE, 0.1 * training.MUON_RATE
    assert rates[id(named["temporal_blocks.0.attn.qkv.weight"])] == whole
    assert rates[id(named["blocks.0.attn.qkv.weight"])] == pytest.approx(share)
    modulation = rates[id(named["temporal_blocks.0.adaLN_modulation.1.weight"])]
    assert modulation == training.RATE


def test_every_claim_is_answered_by_arms_that_kept_their_budget(claims, encoders, clips):
    module = claims[0]
    rows = {}
    for name in module.ARMS:
        rows |= module.one_arm(name, clips, clips, OPTIONS, 0)
    trained = [rows[name] for name in module.ARMS]
    assert all(row["train_s"] < 6 and row["train_steps"] >= 1 for row in trained)
    assert all(row["peak_mb"] > 0.1 and row["predict_s"] > 0 for row in trained)
    rows |= module.floors(encoders, clips, OPTIONS, 0)
    assert rows.keys() >= {name for pair in module.CLAIMS.values() for name in pair}
    assert rows["truth"]["abs_rel"] < 1e-6 and rows["truth"]["change"] < 1e-3
    assert rows["encoder"]["abs_rel"] != rows["clip encoder"]["abs_rel"]
    own, shared = rows["per frame"], rows["per frame, one noise"]
    assert shared["change"] != own["change"] and own["peak_mb"] < rows["semantics"]["peak_mb"]


def test_one_noise_is_one_noise(claims, clips):
    module = claims[0]
    network = module.started(module.ALONE, generator=seeded(0)).eval()
    still = clips._replace(
        image_NT3HW=clips.image_NT3HW[:, :1].expand(-1, FRAMES, -1, -1, -1),
        photo_NTLD=clips.photo_NTLD[:, :1].expand(-1, FRAMES, -1, -1),
    )
    arm = module.ARMS["per frame"]
    own = module.drawn(network, arm, still, 0, 1, 0)
    same = module.drawn(
        network, arm._replace(config=module.replace(arm.config, shared_noise=True)), still, 0, 1, 0
    )
    torch.testing.assert_close(same[0], same[1])
    assert (own[0] - own[1]).abs().max() > 1e-3
