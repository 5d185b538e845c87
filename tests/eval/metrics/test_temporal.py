from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar.errors import DataError
from nearfar.eval.metrics.temporal import (
    flicker,
    opw,
    pair_error,
    scale_drift,
    tae,
    tae_v2,
    track_back,
)
from nearfar.geometry.resize import resize

FOLDER = Path(__file__).parents[2] / "golden" / "eval"
GOLDEN = dict(np.load(FOLDER / "tae.npz"))
FLOW = {
    name: value for name, value in np.load(FOLDER / "own_boundary.npz").items() if "opw" in name
}
POSES = GOLDEN["tae.poses"]
CAMERA = GOLDEN["tae.K"][:3, :3] + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # centers at .5
TOP, BOTTOM, LEFT, RIGHT = GOLDEN["crop"].tolist()
CROP = (slice(None), slice(TOP, BOTTOM), slice(LEFT, RIGHT))


def clip_depth(disparity, scale_shift):
    """Metres as the video protocol makes them: floors of 1e-3, then at most 10 m."""
    scale, shift = scale_shift
    aligned = np.maximum(scale * np.maximum(disparity.astype(float), 1e-3) + shift, 1e-3)
    return np.clip(1 / aligned, 1e-3, GOLDEN["max_depth"].item())


def rng(seed=0):
    return np.random.default_rng(seed)


def wall(frames=4, step=0.05, size=(24, 32)):
    """A wall at 3 m, 0.2 m nearer on the right, before a camera that moves to the right."""
    depth = np.full((frames, *size), 3.0)
    poses = np.repeat(np.eye(4)[None], frames, axis=0)
    poses[:, 0, 3] = step * np.arange(frames)
    return depth, np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]), poses


def test_golden_tae_of_a_resized_prediction():
    frames = torch.from_numpy(GOLDEN["tae.pred_disparity"])[None]
    cropped = GOLDEN["tae.gt_mm"][CROP].shape[1:]
    disparity = resize(frames, cropped, method="bilinear")[0].numpy()
    found = tae(clip_depth(disparity, GOLDEN["tae.scale_shift"]), CAMERA, POSES)
    assert found.percent == pytest.approx(GOLDEN["tae.value"].item(), rel=1e-6)
    assert (found.pairs, found.empty, found.variant) == (8, 0, "parity")


def test_golden_tae_of_a_cropped_prediction():
    depth = clip_depth(GOLDEN["tae.pred_disparity"][CROP], GOLDEN["tae_hardcrop.scale_shift"])
    found = tae(depth, CAMERA, POSES)
    assert found.percent == pytest.approx(GOLDEN["tae_hardcrop.value"].item(), rel=1e-6)


def test_golden_tae_of_the_truth_is_not_zero():
    depth = GOLDEN["tae_perfect.gt_mm"] / 1000
    for key, frames in (("nocrop", depth), ("crop", depth[CROP])):
        expected = GOLDEN[f"tae_perfect_{key}.value"].item()
        assert tae(frames, CAMERA, POSES).percent == pytest.approx(expected, rel=1e-6)


def test_golden_pair():
    pair = GOLDEN["pair.d1"], GOLDEN["pair.d2"], CAMERA, GOLDEN["pair.T21"]
    found = pair_error(*pair, static_HW=GOLDEN["pair.mask"])
    assert found.error == pytest.approx(GOLDEN["pair.err"].item(), rel=1e-9)
    np.testing.assert_allclose(found.projected_HW, GOLDEN["pair.proj_lastwins"], rtol=1e-12)
    everywhere = pair_error(*pair)
    assert everywhere.error == pytest.approx(GOLDEN["pair.err_allmask"].item(), rel=1e-9)
    far_away = GOLDEN["pair.T21"].copy()
    far_away[0, 3] = 1e4
    outside = pair_error(*pair[:3], far_away)
    assert (outside.error, outside.pixels) == (0, 0)


def test_the_nearest_wins_only_in_v2():
    source = np.full((1, 40), 4.0)
    source[0, 10] = 1.0  # moving the camera carries it over a pixel that is written later
    camera = np.array([[8.0, 0, 0.5], [0, 8, 0.5], [0, 0, 1]])
    moved = np.eye(4)
    moved[0, 3] = 1.0  # 8 px at 1 m, 2 px at 4 m
    last = pair_error(source, source, camera, moved).projected_HW
    nearest = pair_error(source, source, camera, moved, nearest_within=np.inf).projected_HW
    assert (last[0, 18], nearest[0, 18]) == (4, 1)
    assert np.count_nonzero(last != nearest) == 1


def test_what_lies_behind_the_camera_covers_nothing_in_v2():
    source = np.array([[1.0, 4, 4, 4, 4]])
    camera = np.array([[2.0, 0, 2.5], [0, 2, 0.5], [0, 0, 1]])
    forward = np.eye(4)
    forward[2, 3] = -2.0  # the first pixel is now 1 m behind, mirrored onto the last
    found = pair_error(source, source, camera, forward, nearest_within=np.inf)
    assert found.projected_HW.tolist() == [[2, 0, 2, 0, 2]]


def test_a_target_without_depth_is_not_compared():
    source = np.full((4, 5), 2.0)
    target = source.copy()
    target[0] = 0
    found = pair_error(source, target, CAMERA, np.eye(4))
    assert (found.error, found.pixels) == (0, 15)


def test_v2_mends_what_the_released_error_calls_wrong():
    depth = GOLDEN["tae_perfect.gt_mm"] / 1000
    old, new = tae(depth, CAMERA, POSES), tae_v2(depth, CAMERA, POSES)
    assert new.percent < old.percent / 2
    assert 0 < new.occluded < 0.05 and (new.variant, new.occlusion) == ("v2", 0.1)
    kept = tae_v2(depth, CAMERA, POSES, occlusion=None)
    assert kept.occluded == 0 and kept.percent > new.percent
    cropped = tae_v2(depth[CROP], CAMERA, POSES, crop_yx=(TOP, LEFT))
    assert cropped.percent == pytest.approx(new.percent, rel=0.05)
    assert cropped.percent < tae_v2(depth[CROP], CAMERA, POSES).percent
    assert cropped.crop_yx == (TOP, LEFT)


def test_a_wall_is_perfect_and_an_unsteady_one_is_not():
    depth, camera, poses = wall()
    assert tae(depth, camera, poses).percent == pytest.approx(0, abs=1e-9)
    unsteady = depth * np.array([1, 1.1, 1, 1.1])[:, None, None]
    assert tae(unsteady, camera, poses).percent == pytest.approx(100 * (0.1 / 1.1 + 0.1) / 2)
    away = poses.copy()
    away[:, 2, 3] = 0.1 * np.arange(4)  # the camera says that it moves on; the depth does not
    assert tae(depth, camera, away).percent == pytest.approx(100 * 0.1 / 3)


def test_static_masks_and_empty_pairs():
    depth, camera, poses = wall()
    depth[1, :, :16] *= 2
    right = np.zeros(depth.shape, bool)
    right[:, :, 18:] = True
    assert tae(depth, camera, poses).percent > 5
    assert tae(depth, camera, poses, static_THW=right).percent == pytest.approx(0, abs=1e-9)
    poses[3, 0, 3] = 100  # the last frame sees something else
    old, new = tae(depth, camera, poses), tae_v2(depth, camera, poses, occlusion=None)
    assert old.empty == new.empty == 2 and old.pairs == new.pairs == 6
    assert new.percent == pytest.approx(old.percent * 6 / 4)
    poses[:, 0, 3] = [0, 100, 200, 300]
    assert tae(depth, camera, poses).percent == 0
    assert np.isnan(tae_v2(depth, camera, poses).percent)


def test_tae_refuses_what_it_cannot_use():
    depth, camera, poses = wall()
    with pytest.raises(DataError, match="4 frames and 3 poses"):
        tae(depth, camera, poses[:3])
    with pytest.raises(DataError, match="Clip it"):
        tae(depth * 0, camera, poses)
    with pytest.raises(DataError, match="pose is not finite"):
        tae(depth, camera, np.full_like(poses, np.inf))
    with pytest.raises(DataError, match="static mask"):
        tae_v2(depth, camera, poses, static_THW=np.ones((4, 3, 3), bool))


@pytest.mark.parametrize(("rgb_range", "key"), [(255.0, "rgb255"), (1.0, "rgb01")])
def test_golden_opw(rgb_range, key):
    found = opw(
        np.stack([FLOW["opw.depth_prev"], FLOW["opw.depth_cur"]]),
        np.stack([FLOW["opw.rgb_prev"], FLOW["opw.rgb_cur"]]),
        FLOW["opw.flow_cur2prev"][None],
        rgb_range=rgb_range,
    )
    # the golden one is float32, and exp(-50 x^2) of 0..255 magnifies its rounding
    assert found.pair_errors[0] == pytest.approx(FLOW[f"opw.pair_{key}"].item(), rel=1e-4)
    assert found.error == pytest.approx(found.pair_errors[0] / 2)  # by frames, not by pairs
    assert found.rgb_range == rgb_range


def test_opw_follows_the_flow():
    depth, photo = rng(1).uniform(1, 5, (20, 30)), rng(2).uniform(0, 255, (3, 20, 30))
    still = np.stack([depth, depth]), np.stack([photo, photo])
    no_flow, flow = np.zeros((1, 2, 20, 30)), np.zeros((1, 2, 20, 30))
    assert opw(*still, no_flow).error == 0
    flow[:, 0] = 1  # what is seen now was one pixel further right
    moved = np.stack([depth, np.roll(depth, -1, axis=1)]), np.full((2, 3, 20, 30), 90.0)
    right, none, wrong = (opw(*moved, way * flow).error for way in (1, 0, -1))
    assert right < 0.5 * min(none, wrong)
    noisy = np.stack([depth, depth + rng(3).normal(0, 0.3, depth.shape)]), still[1]
    assert opw(*noisy, no_flow).error > 1
    with pytest.raises(DataError, match="2 flows"):
        opw(*still, np.zeros((2, 2, 20, 30)))
    with pytest.raises(DataError, match="not finite"):
        opw(still[0] * np.nan, still[1], no_flow)


def test_flicker_is_the_mean_log_change():
    depth = rng(4).uniform(1, 5, (1, 8, 9)).repeat(4, axis=0)
    valid = np.ones(depth.shape, bool)
    assert flicker(depth, valid).flicker == 0
    beating = depth * np.array([1, 1.1, 1, 1.1])[:, None, None]
    assert flicker(beating, valid).flicker == pytest.approx(np.log(1.1))
    beating[1, 0] = np.nan
    valid[1, 0] = False
    found = flicker(beating, valid)
    assert found.flicker == pytest.approx(np.log(1.1)) and found.pixels == 3 * 72 - 2 * 9
    static = np.zeros(depth.shape, bool)
    static[2, 3] = True
    assert flicker(beating, valid, static_THW=static).pixels == 9
    assert np.isnan(flicker(beating, valid & False).flicker)
    with pytest.raises(DataError, match="not positive"):
        flicker(-depth, valid)


def test_scale_drift_is_the_slope_in_a_hundred_frames():
    truth = rng(5).uniform(1, 5, (6, 8, 9))
    valid = np.ones(truth.shape, bool)
    drifting = truth * np.exp(-0.002 * np.arange(6))[:, None, None]
    valid[3] = False
    found = scale_drift(drifting, truth, valid)
    assert found.slope == pytest.approx(0.2) and found.frames == 5
    assert found.spread == pytest.approx(np.std(0.002 * np.array([0, 1, 2, 4, 5])))
    steady = scale_drift(3 * truth, truth, valid)
    assert abs(steady.slope) < 1e-9 and steady.spread < 1e-9
    assert np.isnan(scale_drift(truth[:1], truth[:1], valid[:1]).slope)


SIZE = (24, 32)
CAMERA_TRACKS = np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]])


def moved(x=0.0, z=0.0, turn_deg=0.0):
    """The pose of the camera now, in the frame of the camera before: back = before from now."""
    angle = np.radians(turn_deg)
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    pose[:3, 3] = x, 0, z
    return pose


def tracks_wall(depth=3.0):
    return np.full(SIZE, depth)


def test_a_camera_at_rest_leaves_every_pixel_where_it_is():
    track = track_back(tracks_wall(), tracks_wall(), CAMERA_TRACKS, np.eye(4))
    assert np.abs(track.flow_2HW).max() < 1e-9
    assert np.array_equal(track.row_HW[:, 0], np.arange(24))
    assert np.array_equal(track.column_HW[0], np.arange(32))
    assert track.same_HW.all()


def test_a_camera_that_moved_right_saw_the_wall_further_right():
    """0.2 m at 3 m and 30 px of focal length: 2 px; what was beyond the right border is new."""
    track = track_back(tracks_wall(), tracks_wall(), CAMERA_TRACKS, moved(x=0.2))
    np.testing.assert_allclose(track.flow_2HW[0], 2.0)
    np.testing.assert_allclose(track.flow_2HW[1], 0.0, atol=1e-9)
    assert track.same_HW[:, :30].all() and not track.same_HW[:, 30:].any()
    assert np.array_equal(track.column_HW[3, :30], np.arange(2, 32))


def test_a_camera_that_came_nearer_saw_the_wall_smaller():
    track = track_back(tracks_wall(2.0), tracks_wall(3.0), CAMERA_TRACKS, moved(z=1.0))
    assert track.same_HW.all()  # it was 3 m away then
    assert track.flow_2HW[0, 0, 0] > 0 > track.flow_2HW[0, 0, -1]
    np.testing.assert_allclose(track.flow_2HW[0, 5, 31], (31.5 - 16) * (2 / 3 - 1))


def test_things_that_moved_and_what_they_hid_are_not_the_same():
    before, now = tracks_wall(), tracks_wall()
    before[8:16, 4:10] = 1.5
    now[8:16, 12:18] = 1.5
    track = track_back(now, before, CAMERA_TRACKS, np.eye(4))
    changed = np.zeros(SIZE, bool)
    changed[8:16, 4:10] = changed[8:16, 12:18] = True
    assert np.array_equal(track.same_HW, ~changed)


def test_unknown_depth_follows_the_rotation_and_is_not_the_same():
    sky = tracks_wall()
    sky[:6] = 0
    track = track_back(sky, sky, CAMERA_TRACKS, moved(x=0.5, turn_deg=2.0))
    assert not track.same_HW[:6].any()
    middle = track.flow_2HW[0, 5, 15:17].mean()
    assert middle == pytest.approx(30 * np.tan(np.radians(2.0)), rel=0.01)


def test_points_behind_the_earlier_camera_are_not_the_same():
    track = track_back(tracks_wall(1.0), tracks_wall(1.0), CAMERA_TRACKS, moved(z=-2.0))
    assert not track.same_HW.any()
    assert np.isfinite(track.flow_2HW).all()
