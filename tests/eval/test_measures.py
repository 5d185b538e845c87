"""A slanted wall before a camera that walks: exact depth, poses and photos in closed form."""

import math
from dataclasses import replace

import numpy as np
import pytest
from mini_data import MiniData, mini_protocol

from nearfar.data.record import DepthRecord, Pair, Plane
from nearfar.errors import ConfigError, DataError
from nearfar.eval.measures import (
    CLIP_METRICS,
    UNCERTAINTY,
    ScoredClip,
    ScoredFrame,
    clip_metrics,
    counters,
    measure,
    measure_clip,
    require_flow,
    require_known,
)
from nearfar.eval.metrics.temporal import flicker, opw, scale_drift, tae, tae_v2
from nearfar.eval.prepare import PreparedSample, prepare


def scored(record=None, factor=1.0, **more):
    sample = prepare(record or MiniData().record(1), mini_protocol("real-folder"))
    depth = sample.truth_HW.astype(np.float64) * factor + 6.0 * (sample.truth_HW == 0)
    given = {"raw_HW": depth, "value_space": "metric", "sigma_HW": None, "fov_x_deg": 53.130102}
    return ScoredFrame(sample=sample, depth_HW=depth, options={}, **(given | more))


def test_order_is_that_of_the_protocol():
    names = ["delta1", "boundary_f1_masked", "abs_rel", "flying_rate"]
    found = measure(scored(), names)
    assert list(found.values) == names
    assert found.values["delta1"] == found.values["boundary_f1_masked"] == 1


def test_unmasked_edges_count_the_holes_of_the_truth():
    values = measure(scored(), ["boundary_f1", "boundary_f1_masked"]).values
    assert values["boundary_f1"] < values["boundary_f1_masked"]


def test_windowed_edges_at_every_radius():
    names = [f"windowed_boundary_f1_r{r}" for r in (1, 2, 3)]
    assert measure(scored(factor=2.0), names).values == pytest.approx(dict.fromkeys(names, 1.0))


def test_windowed_edges_take_the_boundary_depth_of_the_alignment():
    perfect = scored().depth_HW
    frame = scored()._replace(depth_HW=np.ones_like(perfect), boundary_depth_HW=perfect)
    assert measure(frame, ["windowed_boundary_f1_r1"]).values["windowed_boundary_f1_r1"] == 1


def test_edges_in_space_need_a_camera():
    record = replace(MiniData().record(1), intrinsics_33=None)
    assert "flying_rate" in measure(scored(record), ["flying_rate"]).values
    with pytest.raises(DataError, match="no camera"):
        measure(scored(record), ["edge_chamfer_m"])
    far = measure(scored(factor=1.1), ["edge_chamfer_m", "edge_fly3d", "flying_rate"]).values
    assert far["edge_chamfer_m"] > 0.1


def test_pairs_ties_and_disparities():
    pairs = (Pair(closer=(9, 8), farther=(2, 20)), Pair(closer=(2, 20), farther=(9, 8)))
    record = replace(MiniData().record(1), pairs=pairs)
    found = measure(scored(record), ["pair_accuracy"])
    assert found.values == {"pair_accuracy": 0.5} and found.notes == {"pairs": 2}
    one = replace(record, pairs=pairs[:1])
    assert measure(scored(one), ["pair_accuracy"]).values["pair_accuracy"] == 1
    inverse = scored(one)
    inverse = inverse._replace(raw_HW=1 / inverse.raw_HW, value_space="affine_disparity")
    assert measure(inverse, ["pair_accuracy"]).values["pair_accuracy"] == 1
    tie = scored(one)._replace(raw_HW=np.ones((24, 32)))
    assert measure(tie, ["pair_accuracy"]).values["pair_accuracy"] == 0
    assert math.isnan(measure(scored(), ["pair_accuracy"]).values["pair_accuracy"])
    assert counters(["pair_accuracy", "abs_rel"]) == ["pairs"]


def test_planes_and_edges_of_ibims():
    data = MiniData(size_hw=(160, 200))
    record = data.record(1)
    mask = np.zeros(record.valid_HW.shape, bool)
    mask[10:150, 10:190] = True
    plane = Plane(name="wall", mask_HW=mask, normal_3=np.array([0, 0, 1.0]), offset=3.0)
    edges = np.zeros_like(mask)
    edges[53, 66:100] = True
    names = ["dbe_acc", "dbe_com", "dde_equal", "pe_fla_cm", "pe_ori_deg"]
    with pytest.raises(DataError, match="as iBims-1 has"):
        measure(scored(record), names)
    found = measure(scored(replace(record, edges_HW=edges, planes=(plane,))), names)
    assert found.notes == {"planes": 1} and found.values["dde_equal"] == 1
    assert found.values["pe_fla_cm"] > 0 and found.values["dbe_acc"] < 10
    none = measure(scored(replace(record, edges_HW=edges)), names)
    assert none.notes == {"planes": 0} and math.isnan(none.values["pe_fla_cm"])


def test_points_with_the_models_own_camera():
    options = {"points_mode": "scale"}
    record = MiniData().record(1)
    names = ["rel_points", "delta1_points", "fov_error_deg"]
    good = measure(scored(record, factor=0.5)._replace(options=options), names).values
    assert good["rel_points"] < 1e-5 and good["delta1_points"] == 1
    assert good["fov_error_deg"] == pytest.approx(0, abs=1e-4)
    wide = measure(scored(record, fov_x_deg=90.0)._replace(options=options), names).values
    assert wide["fov_error_deg"] > 30 and wide["rel_points"] > 0.02
    with pytest.raises(DataError, match="prediction has no camera"):
        measure(scored(record, fov_x_deg=None)._replace(options=options), names)


def test_mattes_need_a_mask_named_alpha():
    record = MiniData().record(1)
    with pytest.raises(DataError, match="alpha"):
        measure(scored(record), ["boundary_recall_matting"])
    alpha = record.depth_HW < 2
    found = measure(scored(replace(record, masks={"alpha": alpha})), ["boundary_recall_matting"])
    assert 0 < found.values["boundary_recall_matting"] <= 1


def test_unknown_metrics_are_refused():
    with pytest.raises(ConfigError, match="is no metric"):
        require_known(["absrel"], where="p")
    with pytest.raises(ConfigError, match="tae is of whole clips; alignment.scope must be clip"):
        require_known(["tae"], where="p")
    require_known(["tae", "flicker", "abs_rel"], where="p", scope="clip")


def test_uncertainty_that_is_missing_is_not_a_number():
    """A model that gives it elsewhere, but not for this image: never 0, which would be perfect."""
    found = measure(scored(), UNCERTAINTY)
    assert list(found.values) == list(UNCERTAINTY)
    assert all(math.isnan(value) for value in found.values.values()) and found.notes == {}
    nowhere = np.full((24, 32), math.nan)
    found = measure(scored(sigma_HW=nowhere), UNCERTAINTY)
    assert all(math.isnan(value) for value in found.values.values())
    assert found.notes == {"no_sigma_share": 1}


H, W = 24, 32
CAMERA = np.array([[30.0, 0, W / 2], [0, 30, H / 2], [0, 0, 1]])
TRUTH = {"flow": "truth", "rgb_range": 1.0}


def frame(position):
    """Photo and depth of the plane z = 4 + 0.3 x, painted by its x and y, from (x, y, z)."""
    row, column = np.mgrid[:H, :W] + 0.5
    x, y = (column - W / 2) / 30, (row - H / 2) / 30
    depth = (4 + 0.3 * position[0] - position[2]) / (1 - 0.3 * x)
    place_x, place_y = position[0] + depth * x, position[1] + depth * y
    rgb = np.stack([128 + 60 * np.sin(2 * place_x), 128 + 60 * np.cos(2 * place_y), 90 + 0 * x])
    return depth.astype(np.float32), rgb.transpose(1, 2, 0).round().astype(np.uint8)


def samples(step=(0.05, 0.02, 0.04), count=4, *, without=(), hole=None):
    """Scored frames of the walk; `without` names fields of the records that are missing."""
    found = []
    for i in range(count):
        position = i * np.array(step)
        depth, rgb = frame(position)
        known = np.ones((H, W), bool)
        if hole is not None:
            known[hole] = False
        depth = np.where(known, depth, np.float32(0))
        pose = np.eye(4)
        pose[:3, 3] = position
        record = DepthRecord(
            sample_id=f"walk/0/{i}",
            scene="0",
            rgb_HW3=rgb,
            depth_HW=depth,
            valid_HW=known,
            intrinsics_33=None if "camera" in without else CAMERA,
            pose_44=None if "pose" in without else pose,
        )
        found.append(PreparedSample(record, rgb, depth, known, known, record.intrinsics_33))
    return found


def measured(depth_of, frames=None, names=CLIP_METRICS, options=TRUTH):
    """The metrics of a prediction: truth of the frame -> depth."""
    frames = samples() if frames is None else frames
    truths = [np.where(c.known_HW, c.truth_HW, 4).astype(np.float64) for c in frames]
    depth = np.stack([depth_of(truth, i) for i, truth in enumerate(truths)])
    return measure_clip(ScoredClip(frames, depth, options), names)


def pumping(truth, i):
    """5 % nearer, 5 % farther, in turn."""
    return truth * (1.05 if i % 2 else 0.95)


def test_true_depth_of_a_walk_does_not_flicker():
    values = measured(lambda truth, i: truth).values
    assert values["flicker"] < 1e-6
    assert abs(values["scale_drift"]) < 1e-5
    assert 0 < values["tae_v2"] < 1.0  # pixels are whole, depth is not
    forward = measured(lambda truth, i: truth, samples(step=(0, 0, 0.04)))  # nothing new comes in
    assert forward.values["opw"] < 0.05


def test_depth_that_pumps_shows_in_every_metric():
    steady = measured(lambda truth, i: truth).values
    found = measured(pumping)
    assert found.values["flicker"] == pytest.approx(math.log(1.05 / 0.95), rel=1e-4)
    assert found.values["tae"] > 5 + steady["tae"]
    assert found.values["tae_v2"] > 5 + steady["tae_v2"]
    assert 0.95 < found.notes["static_share"] <= 1
    growing = measured(lambda truth, i: truth * 1.02**i).values
    assert growing["scale_drift"] == pytest.approx(-100 * math.log(1.02), rel=1e-4)
    assert growing["flicker"] == pytest.approx(math.log(1.02), rel=1e-4)
    rng = np.random.default_rng(0)
    ahead = samples(step=(0, 0, 0.04))
    noisy = measured(lambda truth, i: truth + rng.normal(0, 0.1, truth.shape), ahead).values
    assert noisy["opw"] > 0.5


def test_a_scale_that_never_changes_is_steady_and_a_near_camera_no_flicker():
    scaled = measured(lambda truth, i: 2 * truth, samples(step=(0, 0, 0.3))).values
    assert scaled["flicker"] < 1e-6
    flat = measured(lambda truth, i: np.full_like(truth, 4.0), samples(step=(0, 0, 0.3))).values
    assert flat["flicker"] > 0.05  # the same map for a wall that comes nearer is wrong


def test_before_a_camera_at_rest_flicker_is_that_of_depth():
    frames = samples(step=(0, 0, 0), hole=(slice(0, 3), slice(0, 5)))
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.02, (4, H, W))
    found = measured(lambda truth, i: truth * np.exp(noise[i]), frames).values
    depth = np.stack([np.where(c.known_HW, c.truth_HW, 4) for c in frames]) * np.exp(noise)
    valid = np.stack([c.known_HW for c in frames])
    assert found["flicker"] == pytest.approx(flicker(depth, valid).flicker, rel=1e-6)


def test_values_are_those_of_the_formulas():
    frames = samples()
    depth = np.stack([pumping(c.truth_HW.astype(float), i) for i, c in enumerate(frames)])
    poses = np.stack([c.record.pose_44 for c in frames])
    truth = np.stack([c.truth_HW for c in frames])
    found = measured(pumping).values
    assert found["tae"] == tae(depth, CAMERA, poses).percent
    assert found["tae_v2"] == tae_v2(depth, CAMERA, poses, occlusion=None).percent
    assert found["tae_v2_checked"] == tae_v2(depth, CAMERA, poses, occlusion=0.1).percent
    assert found["scale_drift"] == scale_drift(depth, truth, truth > 0).slope
    still = samples(step=(0, 0, 0))
    photos = np.stack([c.rgb_HW3.transpose(2, 0, 1) for c in still])
    flow = np.zeros((3, 2, H, W))
    depth = np.stack([pumping(c.truth_HW.astype(float), i) for i, c in enumerate(still)])
    expected = opw(depth, photos, flow, rgb_range=1.0).error
    assert measured(pumping, still).values["opw"] == pytest.approx(expected, abs=1e-9)


def test_parity_keeps_the_camera_of_the_uncropped_frame():
    shifted = CAMERA - np.array([[0, 0, 6.0], [0, 0, 4.0], [0, 0, 0]])
    frames = [sample._replace(intrinsics_33=shifted) for sample in samples(step=(0, 0, 0.3))]
    depth = np.stack([sample.truth_HW for sample in frames]).astype(float)
    poses = np.stack([sample.record.pose_44 for sample in frames])
    found = measured(lambda truth, i: truth, frames, ("tae", "tae_v2")).values
    assert found["tae"] == tae(depth, CAMERA, poses).percent
    assert found["tae_v2"] == tae_v2(depth, shifted, poses, occlusion=None).percent
    assert found["tae_v2"] != tae_v2(depth, CAMERA, poses, occlusion=None).percent


def test_one_frame_has_no_motion_and_image_metrics_are_left_alone():
    alone = measured(lambda truth, i: truth, samples(count=1))
    assert set(alone.values) == set(CLIP_METRICS) and all(map(math.isnan, alone.values.values()))
    assert measured(pumping, names=("abs_rel", "tae")).values.keys() == {"tae"}
    assert clip_metrics(("abs_rel", "flicker", "delta1")) == ["flicker"]


def test_missing_poses_and_cameras_are_named():
    with pytest.raises(DataError, match="walk/0/0: has no pose"):
        measured(pumping, samples(without=("pose",)))
    with pytest.raises(DataError, match="walk/0/0: has no camera"):
        measured(pumping, samples(without=("camera",)))
    frames = samples()
    frames[2] = frames[2]._replace(intrinsics_33=CAMERA * 1.1)
    with pytest.raises(DataError, match="walk/0/2: has a different camera"):
        measured(pumping, frames)


def test_a_flow_that_is_not_here_is_refused():
    require_flow(("abs_rel", "tae"), {}, where="p")
    require_flow(("opw",), TRUTH, where="p")
    with pytest.raises(ConfigError, match="p: opw follows an optical flow that is not in nearfar"):
        require_flow(("opw",), {"strict": False}, where="p")
