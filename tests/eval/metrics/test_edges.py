import sys
from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError, MissingExtraError
from nearfar.eval.metrics import edges
from nearfar.eval.metrics.edges import (
    THRESHOLDS,
    EdgeChamfer,
    boundary_f1,
    boundary_recall,
    edge_chamfer,
    edge_zone,
    flying_pixel_rate,
    flying_pixels,
    windowed_boundary_f1,
)

FOLDER = Path(__file__).parents[2] / "golden" / "eval"
GOLDEN = dict(np.load(FOLDER / "depthpro.npz"))
MOGE = dict(np.load(FOLDER / "moge_boundary.npz"))
CASES = ("same", "blur", "noisy", "flat", "shift1px", "with_zero")
GT = GOLDEN["gt"]


def test_thresholds_are_the_published_ones():
    np.testing.assert_allclose(THRESHOLDS, GOLDEN["thresholds"], rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_golden_f1(case):
    found = boundary_f1(GOLDEN[f"{case}.pred"], GT)
    for name in ("f1", "precision", "recall"):
        np.testing.assert_allclose(
            getattr(found, f"{name}_K"), GOLDEN[f"{case}.{name}"], rtol=1e-12, err_msg=name
        )
    assert found.f1 == pytest.approx(GOLDEN[f"{case}.si_f1"].item(), rel=1e-12)
    assert not found.masked


@pytest.mark.parametrize("case", CASES)
def test_golden_f1_counts_the_holes_of_the_truth_as_edges(case):
    found = boundary_f1(GOLDEN[f"{case}.pred"], GOLDEN["gt_with_zero"])
    assert found.f1 == pytest.approx(GOLDEN[f"{case}.si_f1_gtzero"].item(), rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_golden_recall_of_mattes(case):
    found = boundary_recall(GOLDEN[f"{case}.pred"], GOLDEN["alpha"])
    np.testing.assert_allclose(found.recall_K, GOLDEN[f"{case}.recall_matting"], rtol=1e-12)
    assert found.recall == pytest.approx(GOLDEN[f"{case}.si_recall"].item(), rel=1e-12)


def test_golden_edge_maps():
    near = edges._nearness(GOLDEN["blur.pred"].astype(np.float64))
    rises = {"left": near[:, :-1] - near[:, 1:], "top": near[:-1] - near[1:]}
    rises |= {"right": -rises["left"], "bottom": -rises["top"]}
    for way, rise in rises.items():
        expected = GOLDEN[f"blur.edges1.1.{way}"]
        np.testing.assert_array_equal(rise > np.log(1.1), expected, err_msg=way)
        thin = GOLDEN[f"blur.thinned1.1.{way}"]
        if way in ("top", "bottom"):
            rise, thin = rise.T, thin.T
        all_of_them, on_golden = (
            edges._peaks_on(mask, rise, np.log([1.1]))[0] for mask in (thin | True, thin)
        )
        assert all_of_them == on_golden == thin.sum() > 0, way  # the same pixels, no more, no fewer


def test_masked_f1_forgets_the_holes():
    truth = GOLDEN["gt_with_zero"]
    valid = truth > 0
    perfect = boundary_f1(GT, truth, valid_HW=valid)
    assert perfect.f1 == perfect.precision == perfect.recall == 1 and perfect.masked
    rubbish = np.where(valid, GT, np.nan)
    assert boundary_f1(rubbish, truth, valid_HW=valid).f1 == 1
    shifted = boundary_f1(GOLDEN["shift1px.pred"], truth, valid_HW=valid)
    assert shifted.f1 < 0.5
    everywhere = boundary_f1(GOLDEN["blur.pred"], GT, valid_HW=np.ones_like(valid))
    assert everywhere.f1 == boundary_f1(GOLDEN["blur.pred"], GT).f1


def test_scale_changes_nothing_and_inversion_does():
    blur = GOLDEN["blur.pred"]
    assert boundary_f1(7 * blur, GT).f1 == pytest.approx(boundary_f1(blur, GT).f1)
    assert boundary_f1(1 / GT, GT).f1 < 0.2  # near and far swapped: relations fall the other way


@pytest.mark.parametrize(("name", "depth"), [("bf1", "bf1.pred"), ("bf1_same", "gt.depth")])
@pytest.mark.parametrize("radius", [1, 2, 3])
def test_golden_windowed_f1(name, depth, radius):
    found = windowed_boundary_f1(MOGE[depth], MOGE["gt.depth"], MOGE["gt.mask"], radius=radius)
    assert found.f1 == pytest.approx(MOGE[f"{name}.r{radius}"].item(), rel=1e-7)
    assert found.radius == radius


def test_windowed_f1_of_a_flat_map_is_zero_and_of_its_holes_nothing():
    truth, valid = MOGE["gt.depth"], MOGE["gt.mask"]
    assert windowed_boundary_f1(np.ones_like(truth), truth, valid, radius=1).f1 == 0
    holes = np.where(valid, truth, np.nan)
    assert windowed_boundary_f1(holes, holes, valid, radius=2).f1 == 1


def test_depth_of_zero_is_no_relation_of_its_window():
    truth, valid = MOGE["gt.depth"], MOGE["gt.mask"]
    assert windowed_boundary_f1(0 * truth, truth, valid, radius=1).f1 == 0


def test_centimetres_have_boundaries_too():
    assert boundary_f1(0.001 * GT, GT).f1 == 1


def test_wider_windows_forgive_more():
    truth = np.ones((12, 20))
    truth[:, 10:] = 2
    shifted = np.roll(truth, 1, axis=1)
    shifted[:, 0] = 1
    valid = np.ones_like(truth, bool)
    values = [windowed_boundary_f1(shifted, truth, valid, radius=radius).f1 for radius in (1, 2, 3)]
    assert values[0] == 0 < values[1] < values[2] < 1


def test_unusable_input_is_refused():
    with pytest.raises(DataError, match="one size"):
        boundary_f1(GT[:-1], GT)
    with pytest.raises(DataError, match="prediction is not finite"):
        boundary_f1(np.full_like(GT, np.inf), GT)
    with pytest.raises(DataError, match="truth is not finite"):
        boundary_f1(GT, np.full_like(GT, np.nan))
    with pytest.raises(ConfigError, match="radius"):
        windowed_boundary_f1(GT, GT, GT > 0, radius=0)
    with pytest.raises(DataError, match="no pixel"):
        windowed_boundary_f1(GT[:5], GT[:5], GT[:5] > 0, radius=3)


GOLDEN_EDGE_CHAMFER = dict(
    np.load(Path(__file__).parents[2] / "golden" / "eval" / "own_boundary.npz")
)
GT_EDGE_CHAMFER, VALID, CAMERA = (
    GOLDEN_EDGE_CHAMFER["cd.gt"],
    GOLDEN_EDGE_CHAMFER["cd.valid"],
    GOLDEN_EDGE_CHAMFER["cd.K"],
)


def scores(depth, **options):
    return edge_chamfer(depth, GT_EDGE_CHAMFER, VALID, CAMERA, **options)


def blurred(depth, times):
    for _ in range(times):
        depth = np.pad(depth, 1, mode="edge")
        depth = (depth[:-2] + 2 * depth[1:-1] + depth[2:]) / 4
        depth = (depth[:, :-2] + 2 * depth[:, 1:-1] + depth[:, 2:]) / 4
    return depth


def test_golden_scores():
    found = scores(GOLDEN_EDGE_CHAMFER["cd.pred"])
    expected = {
        "chamfer_m": "cd.lin.chamfer",
        "to_truth_m": "cd.lin.pred2gt",
        "to_prediction_m": "cd.lin.gt2pred",
        "chamfer_log": "cd.log.chamfer",
        "fly3d": "cd.fly3d_rate",
        "flywin": "cd.flywin_rate",
    }
    for name, key in expected.items():
        assert getattr(found, name) == pytest.approx(GOLDEN_EDGE_CHAMFER[key].item(), rel=1e-9), (
            name
        )
    assert found.pixels == GOLDEN_EDGE_CHAMFER["cd.mask"].sum()
    assert found.parameters == EdgeChamfer()


def test_golden_masks():
    zone = edge_zone(GT_EDGE_CHAMFER, VALID)
    np.testing.assert_array_equal(zone, GOLDEN_EDGE_CHAMFER["cd.mask"])
    flying = flying_pixels(GOLDEN_EDGE_CHAMFER["cd.pred"], GT_EDGE_CHAMFER, VALID, zone_HW=zone)
    np.testing.assert_array_equal(flying, GOLDEN_EDGE_CHAMFER["cd.flywin"])


def test_the_truth_itself_scores_zero():
    found = scores(GT_EDGE_CHAMFER)
    assert found[:6] == (0, 0, 0, 0, 0, 0)
    assert flying_pixel_rate(GT_EDGE_CHAMFER, GT_EDGE_CHAMFER, VALID).rate == 0


def test_more_blur_is_worse_everywhere():
    # only between two surfaces: blur that the windows of the truth already hold does not fly
    runs = [
        scores(np.where(VALID, blurred(GT_EDGE_CHAMFER, times), GT_EDGE_CHAMFER))
        for times in (0, 1, 4)
    ]
    for name in ("chamfer_m", "chamfer_log", "fly3d", "flywin"):
        values = [getattr(run, name) for run in runs]
        assert values[0] < values[1] < values[2], name
    rates = [
        flying_pixel_rate(blurred(GT_EDGE_CHAMFER, times), GT_EDGE_CHAMFER, VALID).rate
        for times in (0, 1, 4)
    ]
    assert rates[0] < rates[1] < rates[2]


def test_a_surface_moved_back_does_not_fly():
    found = scores(GT_EDGE_CHAMFER * 10)
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
    depth = GT_EDGE_CHAMFER.copy()
    depth[~GOLDEN_EDGE_CHAMFER["cd.mask"]] = np.nan
    assert scores(depth).chamfer_m == 0


def test_no_edge_and_no_truth_give_nan_and_say_so():
    flat = np.full((20, 20), 3.0)
    for valid in (np.ones_like(flat, bool), np.zeros_like(flat, bool)):
        found = edge_chamfer(flat, flat, valid, CAMERA)
        assert found.pixels == 0 and np.isnan(found[:6]).all()
        rate = flying_pixel_rate(flat, flat, valid)
        assert np.isnan(rate.rate) and rate.pixels == 0


def test_parameters_change_the_number_and_travel_with_it():
    strict = scores(GOLDEN_EDGE_CHAMFER["cd.pred"], parameters=EdgeChamfer(far=0.01, ratio=1.01))
    usual = scores(GOLDEN_EDGE_CHAMFER["cd.pred"])
    assert strict.fly3d > usual.fly3d and strict.flywin > usual.flywin
    assert strict.parameters.far == 0.01
    fewer = scores(GOLDEN_EDGE_CHAMFER["cd.pred"], parameters=EdgeChamfer(low=200, high=600))
    assert 0 < fewer.pixels < usual.pixels
    with pytest.raises(ConfigError, match="ratio 1"):
        EdgeChamfer(ratio=1.0)
    with pytest.raises(ConfigError, match="high 10"):
        EdgeChamfer(high=10)


def test_depth_that_is_not_positive_is_wrong_but_counted():
    depth = GT_EDGE_CHAMFER.copy()
    depth[GOLDEN_EDGE_CHAMFER["cd.mask"]] = -1.0
    found = scores(depth)
    assert found.fly3d == 1 and found.flywin == 0 and np.isfinite(found.chamfer_log)


def test_unusable_input_is_refused_by_edge_chamfer():
    broken = GT_EDGE_CHAMFER.copy()
    broken[GOLDEN_EDGE_CHAMFER["cd.mask"]] = np.nan
    with pytest.raises(DataError, match="not finite"):
        scores(broken)
    with pytest.raises(DataError, match="not finite"):
        flying_pixel_rate(broken, GT_EDGE_CHAMFER, VALID)
    with pytest.raises(DataError, match="nearest"):
        scores(GT_EDGE_CHAMFER[:-1])
    with pytest.raises(DataError, match="not positive"):
        edge_zone(np.zeros_like(GT_EDGE_CHAMFER), VALID)
    with pytest.raises(DataError, match="mask"):
        edge_zone(GT_EDGE_CHAMFER, VALID[:-1])


def test_without_scipy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(MissingExtraError, match="pip install .*scipy"):
        scores(GT_EDGE_CHAMFER)
