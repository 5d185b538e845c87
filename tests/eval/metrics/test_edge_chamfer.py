import sys
from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError, MissingExtraError
from nearfar.eval.metrics.edge_chamfer import (
    EdgeChamfer,
    edge_chamfer,
    edge_zone,
    flying_pixel_rate,
    flying_pixels,
)

GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "eval" / "own_boundary.npz"))
GT, VALID, CAMERA = GOLDEN["cd.gt"], GOLDEN["cd.valid"], GOLDEN["cd.K"]


def scores(depth, **options):
    return edge_chamfer(depth, GT, VALID, CAMERA, **options)


def blurred(depth, times):
    for _ in range(times):
        depth = np.pad(depth, 1, mode="edge")
        depth = (depth[:-2] + 2 * depth[1:-1] + depth[2:]) / 4
        depth = (depth[:, :-2] + 2 * depth[:, 1:-1] + depth[:, 2:]) / 4
    return depth


def test_golden_scores():
    found = scores(GOLDEN["cd.pred"])
    expected = {
        "chamfer_m": "cd.lin.chamfer",
        "to_truth_m": "cd.lin.pred2gt",
        "to_prediction_m": "cd.lin.gt2pred",
        "chamfer_log": "cd.log.chamfer",
        "fly3d": "cd.fly3d_rate",
        "flywin": "cd.flywin_rate",
    }
    for name, key in expected.items():
        assert getattr(found, name) == pytest.approx(GOLDEN[key].item(), rel=1e-9), name
    assert found.pixels == GOLDEN["cd.mask"].sum()
    assert found.parameters == EdgeChamfer()


def test_golden_masks():
    zone = edge_zone(GT, VALID)
    np.testing.assert_array_equal(zone, GOLDEN["cd.mask"])
    flying = flying_pixels(GOLDEN["cd.pred"], GT, VALID, zone_HW=zone)
    np.testing.assert_array_equal(flying, GOLDEN["cd.flywin"])


def test_the_truth_itself_scores_zero():
    found = scores(GT)
    assert found[:6] == (0, 0, 0, 0, 0, 0)
    assert flying_pixel_rate(GT, GT, VALID).rate == 0


def test_more_blur_is_worse_everywhere():
    # only between two surfaces: blur that the windows of the truth already hold does not fly
    runs = [scores(np.where(VALID, blurred(GT, times), GT)) for times in (0, 1, 4)]
    for name in ("chamfer_m", "chamfer_log", "fly3d", "flywin"):
        values = [getattr(run, name) for run in runs]
        assert values[0] < values[1] < values[2], name
    rates = [flying_pixel_rate(blurred(GT, times), GT, VALID).rate for times in (0, 1, 4)]
    assert rates[0] < rates[1] < rates[2]


def test_a_surface_moved_back_does_not_fly():
    found = scores(GT * 10)
    assert found.flywin == 0 and found.fly3d == 1 and found.chamfer_m > 1


def test_holes_make_no_edges():
    truth = np.full((30, 40), 5.0)
    truth[8:12, 8:12] = 0
    assert not edge_zone(truth, truth > 0).any()
    truth[:, 20:] = 2.0
    zone = edge_zone(truth, truth > 0)
    columns = np.flatnonzero(zone.any(axis=0))
    assert (columns.min(), columns.max()) == (17, 21)
    assert not (zone & (truth == 0)).any()


def test_what_lies_outside_the_zone_is_of_no_interest():
    depth = GT.copy()
    depth[~GOLDEN["cd.mask"]] = np.nan
    assert scores(depth).chamfer_m == 0


def test_no_edge_and_no_truth_give_nan_and_say_so():
    flat = np.full((20, 20), 3.0)
    for valid in (np.ones_like(flat, bool), np.zeros_like(flat, bool)):
        found = edge_chamfer(flat, flat, valid, CAMERA)
        assert found.pixels == 0 and np.isnan(found[:6]).all()
        rate = flying_pixel_rate(flat, flat, valid)
        assert np.isnan(rate.rate) and rate.pixels == 0


def test_parameters_change_the_number_and_travel_with_it():
    strict = scores(GOLDEN["cd.pred"], parameters=EdgeChamfer(far=0.01, ratio=1.01))
    usual = scores(GOLDEN["cd.pred"])
    assert strict.fly3d > usual.fly3d and strict.flywin > usual.flywin
    assert strict.parameters.far == 0.01
    fewer = scores(GOLDEN["cd.pred"], parameters=EdgeChamfer(low=200, high=600))
    assert 0 < fewer.pixels < usual.pixels
    with pytest.raises(ConfigError, match="ratio 1"):
        EdgeChamfer(ratio=1.0)
    with pytest.raises(ConfigError, match="high 10"):
        EdgeChamfer(high=10)


def test_depth_that_is_not_positive_is_wrong_but_counted():
    depth = GT.copy()
    depth[GOLDEN["cd.mask"]] = -1.0
    found = scores(depth)
    assert found.fly3d == 1 and found.flywin == 0 and np.isfinite(found.chamfer_log)


def test_unusable_input_is_refused():
    broken = GT.copy()
    broken[GOLDEN["cd.mask"]] = np.nan
    with pytest.raises(DataError, match="not finite"):
        scores(broken)
    with pytest.raises(DataError, match="not finite"):
        flying_pixel_rate(broken, GT, VALID)
    with pytest.raises(DataError, match="nearest"):
        scores(GT[:-1])
    with pytest.raises(DataError, match="not positive"):
        edge_zone(np.zeros_like(GT), VALID)
    with pytest.raises(DataError, match="mask"):
        edge_zone(GT, VALID[:-1])


def test_without_scipy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(MissingExtraError, match="pip install .*scipy"):
        scores(GT)
