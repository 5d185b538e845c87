from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError
from nearfar.eval.metrics import boundary
from nearfar.eval.metrics.boundary import (
    THRESHOLDS,
    boundary_f1,
    boundary_recall,
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
    near = boundary._nearness(GOLDEN["blur.pred"].astype(np.float64))
    rises = {"left": near[:, :-1] - near[:, 1:], "top": near[:-1] - near[1:]}
    rises |= {"right": -rises["left"], "bottom": -rises["top"]}
    for way, rise in rises.items():
        expected = GOLDEN[f"blur.edges1.1.{way}"]
        np.testing.assert_array_equal(rise > np.log(1.1), expected, err_msg=way)
        thin = GOLDEN[f"blur.thinned1.1.{way}"]
        if way in ("top", "bottom"):
            rise, thin = rise.T, thin.T
        all_of_them, on_golden = (
            boundary._peaks_on(mask, rise, np.log([1.1]))[0] for mask in (thin | True, thin)
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
