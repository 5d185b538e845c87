import math
from dataclasses import replace

import numpy as np
import pytest
from mini_data import MiniData, mini_protocol

from nearfar.data.record import Pair, Plane
from nearfar.errors import ConfigError, DataError
from nearfar.eval.measures import UNCERTAINTY, Scored, counters, measure, require_known
from nearfar.eval.prepare import prepare


def scored(record=None, factor=1.0, **more):
    case = prepare(record or MiniData().record(1), mini_protocol("real-folder"))
    depth = case.truth_HW.astype(np.float64) * factor + 6.0 * (case.truth_HW == 0)
    given = {"raw_HW": depth, "value_space": "metric", "sigma_HW": None, "fov_x_deg": 53.130102}
    return Scored(case=case, depth_HW=depth, options={}, **(given | more))


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
