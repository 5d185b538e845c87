import pytest

from nearfar.errors import ConfigError
from nearfar.eval.measures import CLIP_METRICS, require_known
from nearfar.eval.metric_names import (
    arrow,
    goal_of,
    higher_is_better,
    is_judged,
    shown,
    title_of,
)

HIGHER = {
    *("delta0.5", "delta0.5_ppd", "delta2_ppd", "delta3_ppd", "boundary_precision_masked"),
    *("boundary_recall", "boundary_recall_masked", "windowed_boundary_f1_r2"),
    *("windowed_boundary_f1_r3", "aurg_abs_rel"),
    *("delta0.5", "delta1", "delta2", "delta3", "delta1_ppd", "delta1_points"),
    *("boundary_f1", "boundary_f1_masked", "boundary_recall_matting", "boundary_precision"),
    *("windowed_boundary_f1_r1", "pair_accuracy", "dde_equal", "aurg_rmse", "spearman"),
}
LOWER = {
    *("abs_rel", "rmse", "silog_dav2", "delta1_error", "ratio_1.02_error", "nonpositive_share"),
    *("edge_chamfer_m", "edge_fly3d", "flying_rate", "dbe_acc", "dde_nearer", "pe_fla_cm"),
    *("fov_error_deg", "ause_abs_rel", "calibration_error", "tae", "opw"),
    *("sq_rel", "rmse_log", "log10", "i_rmse", "silog", "mae", "mse", "silog_loss"),
    *("silog_unidepth", "abs_rel_ppd", "abs_rel_moge", "delta2_error", "delta3_error"),
    *("ratio_1.05_error", "ratio_1.10_error", "edge_to_truth_m", "edge_to_prediction_m"),
    *("edge_chamfer_log", "dbe_com", "dbe_com_capped", "dde_farther", "pe_ori_deg"),
    *("rel_points", "ause_rmse", "tae_v2", "tae_v2_checked", "flicker"),
}


def test_directions_of_metrics():
    assert [name for name in HIGHER if arrow(name) != "up" or not higher_is_better(name)] == []
    assert [name for name in LOWER if arrow(name) != "down" or higher_is_better(name)] == []
    assert (arrow("coverage_90"), goal_of("coverage_90"), arrow("sharpness")) == ("to 0.9", 0.9, "")
    assert goal_of("abs_rel") is None and arrow("scale_drift") == "to 0"


def known_metrics():
    """Every metric that a protocol may list, from the refusal of one that does not exist."""
    with pytest.raises(ConfigError) as caught:
        require_known(["no such metric"], where="here")
    return {*caught.value.remedy.removeprefix("Known: ").split(", "), *CLIP_METRICS}


def test_every_metric_has_its_direction_written_here():
    """A new metric must be put into a list above by hand: its direction is no guess."""
    directed = {name for name in known_metrics() if is_judged(name) and goal_of(name) is None}
    assert directed == HIGHER | LOWER
    assert {n for n in known_metrics() if not is_judged(n)} == {"sharpness"}


def test_numbers_are_short_and_missing_ones_a_dash():
    assert [shown(v) for v in (0.123456, 12345.6, 0, None, float("nan"))] == [
        "0.1235",
        "12346",
        "0",
        "-",
        "-",
    ]
    assert (title_of("abs_rel"), title_of("own_thing")) == ("AbsRel", "own thing")
