import numpy as np

from nearfar.eval.case_pictures import case_pictures
from nearfar.eval.results import Preview


def preview(**more):
    truth = np.full((6, 8), 2.0, np.float16)
    truth[:, 4:] = 4.0
    truth[0] = np.nan
    fields = {
        "rgb": np.zeros((6, 8, 3), np.uint8),
        "truth": truth,
        "prediction": np.where(np.isnan(truth), 3, truth).astype(np.float16),
        "valid": np.isfinite(truth),
    }
    return Preview(**(fields | more))


def test_truth_and_prediction_share_their_colors_and_unknown_is_black():
    pictures = case_pictures(preview())
    assert list(pictures) == ["photo", "truth", "prediction", "error"]
    assert np.array_equal(pictures["truth"][1:], pictures["prediction"][1:])
    assert not pictures["truth"][0].any() and pictures["prediction"][0].any()
    assert not np.array_equal(pictures["truth"][1, 0], pictures["truth"][1, 7])
    assert pictures["error"].max() < 10


def test_error_is_bright_where_the_prediction_is_wrong():
    wrong = preview().prediction.copy()
    wrong[3, 3] *= 2
    error = case_pictures(preview(prediction=wrong))["error"].astype(int).sum(axis=2)
    assert np.unravel_index(error.argmax(), error.shape) == (3, 3) and error[3, 3] > 300


def test_missing_parts_are_left_out():
    unknown = np.full((6, 8), np.nan, np.float16)
    assert "uncertainty" in case_pictures(preview(uncertainty=np.ones((6, 8), np.float16)))
    assert list(case_pictures(preview(truth=unknown))) == ["photo", "prediction"]
    assert list(case_pictures(preview(truth=unknown, prediction=unknown))) == ["photo"]
