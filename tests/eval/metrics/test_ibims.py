import sys
from pathlib import Path

import numpy as np
import pytest
import skimage

from nearfar.data.record import Plane
from nearfar.errors import DataError, MissingExtraError
from nearfar.eval.metrics.ibims import ibims_directed, ibims_edges, ibims_planes

GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "eval" / "ibims.npz"))
PRED, GT, EDGES, VALID = (GOLDEN[name] for name in ("pred", "gt", "edges", "valid"))
CALIB = GOLDEN["calib"].T  # centers of pixels at whole numbers
CAMERA = CALIB + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def planes(name):
    """The planes of the file, its axes (right, forward, up) turned into OpenCV's."""
    masks, rows = GOLDEN[f"mask_{name}"], GOLDEN[f"paras_{name}"]
    return [
        Plane(
            name=name,
            mask_HW=masks == j + 1,
            normal_3=np.array([row[4], -row[6], row[5]]),
            offset=0.0,
        )
        for j, row in enumerate(rows)
    ]


def test_golden_edge_errors():
    found = ibims_edges(PRED, EDGES)
    np.testing.assert_array_equal(found.edges_HW, GOLDEN["edges_est"])
    np.testing.assert_allclose(found[:2], GOLDEN["dbe"], rtol=1e-9)
    np.testing.assert_allclose(
        [found.accuracy_px, found.truncated_px], GOLDEN["dbe_depthart"], rtol=1e-9
    )
    assert found.canny == f"scikit-image {skimage.__version__}" and found.farthest_px == 10


def test_golden_edge_errors_of_a_map_without_edges():
    ramp = np.repeat((2 + 1e-4 * np.arange(1, 321))[None], 200, axis=0).astype(np.float32)
    np.testing.assert_array_equal(ibims_edges(ramp, EDGES)[:2], GOLDEN["dbe_noedge"])
    flat = ibims_edges(np.full(GT.shape, 3.0), EDGES)
    assert flat[:3] == (10, 10, 10) and not flat.edges_HW.any()
    assert np.isnan(ibims_edges(PRED, np.zeros_like(EDGES))[:3]).all()


def test_holes_of_the_prediction_are_no_edges():
    ramp = np.repeat((2 + 1e-4 * np.arange(1, 321))[None], 200, axis=0)
    ramp[80:100, 100:140] = 0
    assert not ibims_edges(ramp, EDGES).edges_HW.any()


def test_edges_of_the_truth_are_nearest_to_it_and_a_shift_moves_them():
    true_edges = ibims_edges(GT, EDGES).edges_HW
    assert ibims_edges(GT, true_edges)[:3] == (0, 0, 0)
    shifted = np.roll(GT, 3, axis=1)
    found = ibims_edges(shifted, true_edges)
    assert 0.5 < found.accuracy_px <= 3 and found.completeness_px > 0.5
    far = np.zeros_like(true_edges)
    far[:, -1] = True
    assert ibims_edges(GT, far).completeness_px > ibims_edges(GT, far).truncated_px


def test_golden_directed_errors():
    found = ibims_directed(PRED, GT, VALID)
    np.testing.assert_allclose(found[:3], GOLDEN["dde_thr3"], rtol=1e-7)
    assert sum(found[:3]) == pytest.approx(1) and found.plane_m == 3
    assert ibims_directed(GT, GT, VALID)[:3] == (1, 0, 0)
    assert ibims_directed(GT * 10, GT, VALID).nearer == 0
    assert ibims_directed(GT / 10, GT, VALID).farther == 0


@pytest.mark.parametrize("name", ["wall", "floor"])
def test_golden_plane_errors(name):
    found = ibims_planes(PRED, GT, VALID, planes(name), CAMERA)
    np.testing.assert_allclose(found.flatness_cm_K, GOLDEN[f"pe_{name}.fla"], rtol=1e-7)
    np.testing.assert_allclose(found.orientation_deg_K, GOLDEN[f"pe_{name}.ori"], rtol=1e-5)
    assert ((found.pixels_K < 15360) == np.isnan(found.flatness_cm_K)).all()


def test_a_true_plane_is_flat_and_a_bent_one_is_not():
    row, column = np.mgrid[:30, :40]
    camera = np.array([[40.0, 0, 20], [0, 40, 15], [0, 0, 1]])
    x, y = (column + 1.5 - 20) / 40, (row + 1.5 - 15) / 40  # rays of the published formula
    normal = np.array([0.6, 0.0, 0.8])
    truth = 2 / (normal[0] * x + normal[1] * y + normal[2])
    valid = np.ones(truth.shape, bool)
    plane = Plane(name="wall", mask_HW=valid, normal_3=-normal, offset=-2.0)
    for scale in (1.0, 0.3):  # scale does not count
        found = ibims_planes(scale * truth, truth, valid, [plane], camera, smallest_px=100)
        np.testing.assert_allclose(found[:2], 0, atol=1e-6)
    bent = ibims_planes(truth + 0.1 * x**2, truth, valid, [plane], camera, smallest_px=100)
    assert bent.flatness_cm_K[0] > 0.1
    turned = ibims_planes(0 * truth + 2, truth, valid, [plane], camera, smallest_px=100)
    assert turned.orientation_deg_K[0] == pytest.approx(np.degrees(np.arccos(0.8)))
    assert np.isnan(ibims_planes(truth, truth, valid, [plane], camera).flatness_cm_K[0])


def test_unusable_input_is_refused(monkeypatch):
    with pytest.raises(DataError, match="edges"):
        ibims_edges(PRED, EDGES[1:])
    with pytest.raises(DataError, match="Write 0"):
        ibims_edges(np.full_like(PRED, np.nan), EDGES)
    with pytest.raises(DataError, match="shapes differ"):
        ibims_directed(PRED[1:], GT, VALID)
    with pytest.raises(DataError, match="no valid pixel"):
        ibims_directed(PRED, GT, np.zeros_like(VALID))
    with pytest.raises(DataError, match="not finite"):
        ibims_directed(np.full_like(PRED, np.inf), GT, VALID)
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(MissingExtraError, match="pip install .*scipy"):
        ibims_edges(PRED, EDGES)
